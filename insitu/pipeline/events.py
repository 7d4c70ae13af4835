# SPDX-License-Identifier: BSD-3-Clause
"""The frames around an event: the last ones in memory, the file of an event, and that for a restart."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from insitu.analyses.phases.analysis import Phases
from insitu.analyses.trigger import Decision, Trigger
from insitu.errors import DeckError, SettingError, guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline import kept_frames
from insitu.pipeline.kept_frames import Kept
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView

log = logging.getLogger(__name__)


class Events:
    """What the triggers of a run have done; every rank has one, its methods are collective.

    Parameters
    ----------
    settings
        Of the run.
    triggers
        In their order.
    phases
        Whose labels are written.
    ranks
        The ranks of the simulation.
    """

    def __init__(
        self, settings: Settings, triggers: Sequence[Trigger], phases: Phases, ranks: Ranks
    ) -> None:
        self.triggers = tuple(triggers)
        self._settings, self._phases, self._ranks = settings, phases, ranks
        self._most = max((t.settings.before for t in triggers), default=0)
        self._ring: deque[Kept] = deque(maxlen=self._most)
        intervals = [t.settings.restart for t in triggers if t.settings.restart]
        #: Steps between restart files, for which the frames before an event are kept in a file as well.
        self._interval = min(intervals, default=0)
        #: Step of the last frame, and of the last one in that file.
        self._latest = self._in_file = -1
        #: Whether that file is for a restart file, and is kept beside the next one.
        self._is_kept = False
        self._stem = ""
        self._said = False

    def begin(self, view: LammpsView) -> None:
        """Check what the deck has to have, and what the frames before an event take in memory; local.

        Raises
        ------
        DeckError
            A variable is missing.
        """
        for t in self.triggers:
            if t.settings.variable and not view.has("variable", t.settings.variable):
                raise DeckError(
                    f"analyze {t.name}: variable={t.settings.variable} is not defined in the deck; add to "
                    f"it, before the run:\n    variable {t.settings.variable} string 0"
                )

    def check_memory(self, view: LammpsView) -> None:
        """Say what the frames before an event take; collective.

        Raises
        ------
        SettingError
            On all ranks: more than `memory`.
        """
        if not self._most:
            return
        atoms = int(self._ranks.largest(np.array([view.setting("nlocal")], dtype=float))[0])
        size = (
            atoms
            * self._most
            * kept_frames.kind(view.n_atoms > np.iinfo(np.int32).max).itemsize
            / 1e6
        )
        limit, who = min((t.settings.memory, t.name) for t in self.triggers if t.settings.before)
        if size > limit:
            raise SettingError(
                f"analyze {who}: the {self._most} frames before an event take {size:.3g} MB on a rank with "
                f"{atoms:,} atoms, and memory={limit:g} MB; give a smaller `before`, more ranks, or a "
                "larger `memory`"
            )
        if self._ranks.rank == 0 and not self._said:
            log.warning(
                "insitu: the %d frames before an event are kept in memory, %.3g MB on the rank with most "
                "atoms", self._most, size,
            )  # fmt: skip
        self._said = True

    def go_on(self, first_step: int, continues: bool) -> None:
        """Leave of the files what is from before a step; on rank 0.

        Parameters
        ----------
        first_step
            The first that will be written.
        continues
            A history that is there goes on. If not, the files are none of its own.

        Raises
        ------
        SettingError
            There are files of an earlier run, and `if_exists` is not ``overwrite``; or a file cannot be
            removed or cut.
        """
        self._ring.clear()
        self._latest = self._in_file = -1
        if self._ranks.rank:
            return
        from insitu.history.writing.file_access import free_name

        wanted = Path(os.path.realpath(self._settings.file))
        new = self._settings.if_exists == "new"
        self._stem = str((free_name(wanted) if new else wanted).with_suffix(""))
        for path in filter(Path.exists, self._for_restarts if self._interval else ()):
            if self._settings.if_exists != "overwrite" and not continues:
                raise SettingError(
                    f"analyze {self.triggers[0].name}: '{path}' exists, of an earlier run; "
                    "remove it or rename it, or choose if_exists overwrite"
                )
            if not continues:
                path.unlink()
        for t in self.triggers:
            for number, path in self._files(t):
                if self._settings.if_exists != "overwrite" and not continues:
                    raise SettingError(
                        f"analyze {t.name}: '{path}' exists, of an earlier run; remove it or rename it, "
                        "or choose if_exists overwrite"
                    )
                try:
                    if number > t.events:
                        path.unlink()
                    elif number == t.events:
                        kept_frames.cut(path, first_step)
                except (OSError, ValueError) as error:
                    raise SettingError(
                        f"analyze {t.name}: '{path}' is in the way of the frames of an event and cannot be "
                        f"replaced ({error}); remove it or rename it"
                    ) from None

    @property
    def _for_restarts(self) -> tuple[Path, Path]:
        """The file for the latest restart file or the end of a run, and that for the one before."""
        return Path(f"{self._stem}.before.dump"), Path(f"{self._stem}.before.old.dump")

    def recall(self, first_step: int, last_step: int, units: str) -> None:
        """Take up the frames that an earlier run has left for its restart; collective.

        Parameters
        ----------
        first_step
            The first that will be written.
        last_step
            That of the history's last frame before it; on rank 0.
        units
            Unit style of the deck.
        """
        best: list[Kept] = []
        troubles = []
        self._is_kept = False
        paths = self._for_restarts if self._interval else ()
        for path in paths if self._ranks.rank == 0 else ():
            # What is of another course of the run has to go, or the next restart would find it. One that
            # is damaged stays: it is said below.
            if path.exists():
                guarded(
                    partial(kept_frames.cut, path, first_step) if last_step >= 0 else path.unlink
                )
        for k, path in enumerate(paths):
            there = self._ranks.rank == 0 and path.exists()
            if len(best) == self._most or not self._ranks.sum(np.array([float(there)]))[0]:
                continue
            found, trouble = kept_frames.read(self._ranks, path, units, first_step)
            found = found[-self._most :]
            if self._ranks.rank == 0 and not trouble:
                last = found[-1].step if found else None
                if last != last_step:  # the history has frames that the file has not: a gap
                    until = (
                        f"ends at step {last}" if found else "has no frame from before the restart"
                    )
                    trouble = (
                        f"it {until}, and the history's last frame before it is of step {last_step}"
                    )
            if trouble:
                troubles.append(f"'{path}': {trouble}")
            fits = not self._ranks.sum(np.array([float(trouble is not None)]))[0]
            if fits and len(found) > len(best):
                best, self._is_kept = found, k == 0
        if troubles and not best:
            log.warning(
                "insitu: the frames before an event are not taken up from %s; an event soon after "
                "the restart has fewer", "; ".join(troubles),
            )  # fmt: skip
        self._ring.extend(best)

    def _files(self, t: Trigger) -> list[tuple[int, Path]]:
        folder = Path(self._stem).parent
        name = re.compile(re.escape(f"{Path(self._stem).name}.{t.name}.") + r"(\d+)\.dump")
        found = [(name.fullmatch(p.name), p) for p in folder.glob("*.dump")]
        return [(int(m[1]), p) for m, p in found if m]

    def __call__(
        self, view: LammpsView, frame: Frame, decisions: Sequence[Decision], ends: bool
    ) -> None:
        """Write what is to be written of a frame, and keep it; all ranks raise or none.

        Parameters
        ----------
        view, frame
            LAMMPS at the frame, and the frame.
        decisions
            Of the triggers.
        ends
            The run ends after this frame.

        Raises
        ------
        InsituError
            A file cannot be written; a variable cannot be set.
        """
        this: list[Kept] = []  # this frame, if it is wanted

        def prepare() -> None:
            for t in self.triggers:
                if t.settings.variable:
                    view.set_variable(t.settings.variable, str(int(t.active)))
            if self._most or any(d.written or self._writes(t, d) for t, d in self._both(decisions)):
                codes = frame.of_rank(self._phases.atom_codes(frame), -1)
                # All of the rank's atoms, also those that are nobody's neighbours.
                whole = frame if frame.kept is None else view.frame(with_ghosts=False)
                this.append(Kept.of(whole, codes))

        self._ranks.agree(guarded(prepare))
        for t, decision in self._both(decisions):
            if self._writes(t, decision):
                first = max(len(self._ring) - t.settings.before, 0)
                self._write(t, [*self._ring, *this][first:], "w")
            elif decision.written:
                self._write(t, this, "a")
            if decision.fired and self._ranks.rank == 0:
                log.warning(
                    "insitu: trigger %s: event %d at step %d, %s = %.6g",
                    t.name, t.events, frame.step, t.settings.on, t.value,
                )  # fmt: skip
        if self._most:
            self._ring.extend(this)
            before, self._latest = self._latest, frame.step
            restarts = self._is_for_a_restart(before)
            if ends or restarts or self._is_last(view, before):
                self.keep(restarts)

    def _is_for_a_restart(self, before: int) -> bool:
        """Return whether a restart file may be written before the next frame."""
        step, interval = self._latest, self._interval
        if not interval:
            return False
        passed = before >= 0 and before // interval < step // interval
        return passed or self._following(before) > (step // interval + 1) * interval

    def _is_last(self, view: LammpsView, before: int) -> bool:
        """Return whether the run ends before the next frame."""
        _, last = view.run_span
        return last is not None and self._following(before) > last

    def _following(self, before: int) -> int:
        return self._latest + (self._settings.every or max(self._latest - before, 1))

    def keep(self, for_a_restart: bool = False) -> None:
        """Write the frames before an event into the file for a restart; collective.

        Parameters
        ----------
        for_a_restart
            LAMMPS may write a restart file before the next frame; else it is the end of a run.

        Raises
        ------
        InsituError
            On all ranks: it cannot be written.
        """
        if not self._interval or not self._ring or self._in_file == self._latest:
            return
        path, old = self._for_restarts
        new = path.with_suffix(".new")
        trouble = kept_frames.write(self._ranks, new, "w", [*self._ring], kept_frames.EXACT)

        def put() -> None:
            # The restart file that belongs to this one may never be finished, and a run that ends
            # may leave none: then a restart goes on from the one before.
            if self._is_kept and path.exists():
                os.replace(path, old)
            os.replace(new, path)

        if self._ranks.rank == 0:
            trouble = trouble or guarded(put)
        self._ranks.agree(trouble and f"'{path}' could not be written: {trouble}")
        self._in_file, self._is_kept = self._latest, for_a_restart

    def _both(self, decisions: Sequence[Decision]) -> list[tuple[Trigger, Decision]]:
        return list(zip(self.triggers, decisions, strict=True))

    @staticmethod
    def _writes(t: Trigger, decision: Decision) -> bool:
        return decision.fired and bool(t.settings.before or t.settings.after)

    def _write(self, t: Trigger, frames: Sequence[Kept], mode: str) -> None:
        """Write frames into the file of a trigger's present event; collective."""
        path = Path(f"{self._stem}.{t.name}.{t.events}.dump")
        trouble = kept_frames.write(self._ranks, path, mode, frames)
        self._ranks.agree(trouble and f"'{path}' could not be written: {trouble}")
