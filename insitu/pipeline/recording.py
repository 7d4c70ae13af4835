# SPDX-License-Identifier: BSD-3-Clause
"""The history of a run on rank 0: made at the first frame, and what LAMMPS' clock does to it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insitu.analyses.base import Analysis, Observable
from insitu.analyses.phases.analysis import Phases
from insitu.errors import InsituError, StorageError
from insitu.frame.frame import Frame
from insitu.frame.units import THERMO_UNITS
from insitu.pipeline.provenance import provenance
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.history.writing.writer import Series
    from insitu.lammps.view import LammpsView

log = logging.getLogger(__name__)

#: A write that failed is tried again after so many times the time that it took.
_PATIENT = 10.0


@dataclass(frozen=True)
class Moment:
    """LAMMPS' clock at a frame, which may be written later.

    Parameters
    ----------
    began, ends
        First and last step of the run; None: not known.
    timestep
        Length of a step in the deck's unit of time.
    """

    began: int | None
    ends: int | None
    timestep: float

    @classmethod
    def of(cls, view: LammpsView) -> Moment:
        """Return the present one."""
        return cls(*view.run_span, view.timestep)


class Recorder:
    """What the frames of one analysis are written to; without a series until the first of them.

    Parameters
    ----------
    settings
        Of the run.
    analyzer, further
        The analyses whose observables are written.
    stages
        Names of the stages whose wall times are.
    n_ranks
        Number of ranks.
    more
        What else is written: of the settings `overhead` and `overlap`.
    """

    def __init__(
        self, settings: Settings, analyzer: Phases, further: Sequence[Analysis[Any]],
        stages: Sequence[str], n_ranks: int, more: Sequence[Observable] = (),
    ) -> None:  # fmt: skip
        self._more = more
        self._settings, self._analyzer, self._further = settings, analyzer, further
        self._stages, self._n_ranks = stages, n_ranks
        self._series: Series | None = None
        self._lost_time, self._joined = 0.0, False
        self._again, self._said, self._reason = 0.0, False, ""

    @property
    def last_step(self) -> int | None:
        """Step of the last frame; None without one, and on all ranks but the first."""
        return self._series.last_step if self._series is not None else None

    @property
    def last_time(self) -> float | None:
        """Time of the last frame, as the history has it; as :attr:`last_step`."""
        return self._series.last_time if self._series is not None else None

    @property
    def path(self) -> Path | None:
        """The history; None before its first frame, and on all ranks but the first."""
        return self._series.path if self._series is not None else None

    def link(self, file: Path, group: str) -> None:
        """Let the history have a group of another file beside it."""
        assert self._series is not None
        self._series.link(file, group)

    def continue_at(self, step: int, first_step: int) -> None:
        """Go on with a run whose clock is at `step` and that analyses from `first_step` on."""
        if self._series is None or self._series.is_lost:  # as on all ranks but 0
            return
        before = self._series.last_step
        self._series = self._series.begin(step, first_step)
        if self._series is None or self._series.last_step != before:
            self._lost_time = 0.0

    @property
    def continues(self) -> bool:
        """Whether a history that is there goes on; on rank 0."""
        return self._series is not None or (
            self._settings.if_exists == "append" and os.path.exists(self._settings.file)
        )

    def values_before(self, first_step: int, paths: Sequence[str]) -> Mapping[str, Any]:
        """Return observables of the last frame before a step, and `step`, of the history that goes on."""
        if self._series is not None:
            return self._series.values_before(first_step, paths)
        if not self.continues:
            return {}
        from insitu.history.elements import opened
        from insitu.history.writing.continuation import values_before

        with opened(self._settings.file) as file:
            return values_before(file, first_step, paths)

    def append(
        self, view: LammpsView | None, moment: Moment, frame: Frame, values: Mapping[str, Any],
        sums: Mapping[str, Any], timing: Mapping[str, float],
    ) -> None:  # fmt: skip
        """Write a frame.

        Parameters
        ----------
        view
            The LAMMPS instance; None: it is past the frame, which is not the history's first.
        moment, frame
            Its clock at the frame, and this rank's frame of it.
        values
            Of the analyses and of LAMMPS' temperature, energy and pressure, by path.
        sums
            Over all ranks: ``atoms``, and ``wall_STAGE`` [s].
        timing
            Further wall times of rank 0 [s].

        Raises
        ------
        InsituError
            It cannot be written, and the setting `on_write_error` does not let the run go on.
        """
        if self._series is None or self._settings.on_write_error == "stop":
            self._append(view, moment, frame, values, sums, timing)
            return
        started = time.perf_counter()
        if self._series.is_lost:
            return
        if started < self._again:  # what fails may take long: it is not tried at every frame
            self._series.note_missing(frame.step, self._reason)
            return
        try:
            self._append(view, moment, frame, values, sums, timing)
        except StorageError as error:
            self._missed(frame.step, error)
            self._again = time.perf_counter() + _PATIENT * (time.perf_counter() - started)
        else:
            if self._said:
                log.warning(
                    "insitu: file='%s' is written again from step %d on", self.path, frame.step
                )
            self._said = False

    def _missed(self, step: int, error: StorageError) -> None:
        """Note a frame that is not in the history, and say so once."""
        assert self._series is not None
        self._reason = str(error.__cause__ or error)
        self._series.note_missing(step, self._reason)
        if self._series.is_lost:
            log.warning(
                "insitu: %s Nothing more is written into it, the simulation and its analysis go on "
                "(setting write_limit).", error,
            )  # fmt: skip
        elif not self._said:
            log.warning(
                "insitu: %s The simulation goes on; frames that cannot be written are missing in the "
                "history, which will say so (setting on_write_error).", error,
            )  # fmt: skip
        self._said = True

    def _append(
        self, view: LammpsView | None, moment: Moment, frame: Frame, values: Mapping[str, Any],
        sums: Mapping[str, Any], timing: Mapping[str, float],
    ) -> None:  # fmt: skip
        values = {
            **values,
            "thermo/atoms": round(float(sums["atoms"])),
            **{f"timing/{s}": seconds for s, seconds in timing.items()},
            **{
                f"timing/{s}": float(sums[f"wall_{s}"]) / self._n_ranks
                for s in ("simulation", *self._stages)
            },
        }
        began = moment.began
        first_step = frame.step if began is None else min(frame.step, began + 1)
        self.continue_at(frame.step, first_step)
        if self._series is None:
            assert view is not None
            self._series = self._create(view, first_step)
            if self._settings.if_exists == "new":
                log.warning("insitu: the history is '%s'", self._series.path)
        self._series.append(frame.step, self._time(frame, moment.timestep), values)

    def _time(self, frame: Frame, timestep: float) -> float:
        # A restart file that LAMMPS writes during a run holds the time at which that run began, and
        # reset_timestep to an earlier step sets the time to 0: the history's own goes on.
        assert self._series is not None
        last, step = self._series.last_time, self._series.last_step
        if last is None or step is None:
            self._joined = True
            return frame.time
        expected = last + (frame.step - step) * timestep
        behind = (expected - frame.time - self._lost_time) / timestep if timestep else 0.0
        # Another time step than the history's would hardly be behind by whole steps.
        whole = behind > 0.5 and abs(behind - round(behind)) < 1e-3
        # In a minimisation the clock stands still: the same time at a later step is no fault.
        back = frame.time + self._lost_time < last - 1e-6 * abs(timestep)
        if back or (whole and not self._joined):
            self._lost_time = expected - frame.time
            log.warning(
                "insitu: LAMMPS' clock is behind the history by %g at step %d, as after a restart "
                "file written during a run; the history's time goes on from step %d",
                self._lost_time, frame.step, step,
            )  # fmt: skip
        self._joined = True
        return max(frame.time + self._lost_time, last)

    def note(self, view: LammpsView | None, step: int, reason: str) -> None:
        """Write that the analysis ended at a step, and why."""
        if self._series is None:
            if view is None:
                raise InsituError("there is no history yet")
            kept = os.path.exists(self._settings.file) and self._settings.if_exists != "new"
            if kept and self._settings.if_exists != "append":
                raise InsituError(f"file='{self._settings.file}' is of an earlier run and is kept")
            self._series = self._create(view, None if kept else step)
        self._series.note_disabled(step, reason)

    def _create(self, view: LammpsView, first_step: int | None) -> Series:
        from insitu.history.writing.writer import Series

        kelvin, energy, pressure = THERMO_UNITS[view.units]
        observables = [
            *self._analyzer.observables,
            *(o for a in self._further for o in a.observables),
            *self._more,
            Observable("thermo/temperature", (), "f8", kelvin, "compute thermo_temp"),
            Observable("thermo/potential_energy", (), "f8", energy, "compute thermo_pe, all atoms"),
            Observable("thermo/pressure", (), "f8", pressure, "compute thermo_press"),
            Observable("thermo/atoms", (), "i8", "", "atoms of the simulation"),
            Observable("timing/simulation", (), "f8", "s", "since the last frame, mean of ranks"),
            *[Observable(f"timing/{s}", (), "f8", "s", "mean of the ranks") for s in self._stages],
            Observable("timing/reduce", (), "f8", "s", "exchange, waiting and all-reduce, rank 0"),
            Observable("timing/write", (), "f8", "s", "of the frame before, rank 0"),
        ]
        return Series.create(
            self._settings.file,
            observables,
            time_unit=view.time_unit,
            provenance=provenance(
                self._settings, self._analyzer, self._further, view, self._n_ranks
            ),
            classes=self._analyzer.classes,
            codes=self._analyzer.codes,
            if_exists=self._settings.if_exists,
            first_step=first_step,
            limit=self._settings.write_limit,
        )

    def close(self) -> None:
        """Close the history."""
        if self._series is not None:
            self._series.close()
            self._series = None
