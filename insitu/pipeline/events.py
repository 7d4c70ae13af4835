# SPDX-License-Identifier: BSD-3-Clause
"""The frames around an event: the last ones in memory, the file of an event, and that for a restart."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Sequence
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
from insitu.pipeline.restart_frames import RestartFrames
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
        self._restarts = RestartFrames(triggers, settings.every, ranks)
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
        size = atoms * self._most * kept_frames.kind(view.n_atoms).itemsize / 1e6
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
        self._restarts.begin()
        if self._ranks.rank:
            return
        from insitu.history.writing.file_access import free_name

        wanted = Path(os.path.realpath(self._settings.file))
        new = self._settings.if_exists == "new"
        self._stem = str((free_name(wanted) if new else wanted).with_suffix(""))
        self._restarts.stem = self._stem
        found: list[tuple[str, int | None, Path]] = []
        if not continues:
            found = [(self._restarts.asked_by, None, p) for p in self._restarts.paths if p.exists()]
        found += [(t.name, *file) for t in self.triggers for file in self._files(t)]
        events = {t.name: t.events for t in self.triggers}
        for name, number, path in found:
            if self._settings.if_exists != "overwrite" and not continues:
                raise SettingError(
                    f"analyze {name}: '{path}' exists, of an earlier run; remove it or rename it, or "
                    "choose if_exists overwrite"
                )
            try:
                if number is None or number > events[name]:
                    path.unlink()
                elif number == events[name]:
                    kept_frames.cut(path, first_step)
            except (OSError, ValueError) as error:
                raise SettingError(
                    f"analyze {name}: '{path}' is in the way of the frames of an event and cannot be "
                    f"replaced ({error}); remove it or rename it"
                ) from None

    def recall(self, first_step: int, last_step: int, units: str) -> None:
        """Take up the frames that an earlier run has left, see :meth:`RestartFrames.recall`; collective."""
        self._ring.extend(self._restarts.recall(self._most, first_step, last_step, units))

    def ended(self) -> None:
        """Keep the last frames of a run that has ended, also where it was halted; collective."""
        self._restarts.keep(self._ring)

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
            _, last = view.run_span
            self._restarts.take(self._ring, frame.step, frame.step if ends else last)

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
