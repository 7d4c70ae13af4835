# SPDX-License-Identifier: BSD-3-Clause
"""The frames before an event in files, for a run that goes on from a restart file of LAMMPS."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from insitu.analyses.trigger import Trigger
from insitu.errors import guarded
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline import kept_frames
from insitu.pipeline.kept_frames import Kept

log = logging.getLogger(__name__)


class RestartFrames:
    """Keeps the latest frames in two dumps: for the last restart file or the run's end, and the one before.

    LAMMPS does not say when it writes a restart file: the deck says how often. The second dump is there
    since a run may end, or be killed while it writes, before there is another restart file.

    Parameters
    ----------
    triggers
        Of the run; what their `restart` says.
    every
        Steps between frames, if they are known.
    ranks
        Each has its own atoms of a frame.

    Attributes
    ----------
    stem
        Path of the history without its ending; on rank 0.
    asked_by
        Name of the trigger that asks for the files.
    """

    def __init__(self, triggers: Sequence[Trigger], every: int | None, ranks: Ranks) -> None:
        asked = [(t.settings.restart, t.name) for t in triggers if t.settings.restart]
        self._interval, self.asked_by = min(asked, default=(0, ""))
        self._every, self._ranks = every, ranks
        self.stem = ""
        self.begin()

    def begin(self) -> None:
        """Forget what is in the files: the clock was set back, or the history is another one."""
        #: Step of the last frame, and of the last one in the first file.
        self._latest = self._in_file = -1
        #: Whether that file is for a restart file, and is kept beside the next one.
        self._is_kept = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """The two files; none if no trigger asks for them."""
        names = (f"{self.stem}.before.dump", f"{self.stem}.before.old.dump")
        return tuple(map(Path, names)) if self._interval else ()

    def recall(self, most: int, first_step: int, last_step: int, units: str) -> list[Kept]:
        """Return the frames that an earlier run has left for its restart; collective.

        Parameters
        ----------
        most
            Number of frames that are wanted.
        first_step
            The first that will be written.
        last_step
            That of the history's last frame before it; on rank 0, −1 without one.
        units
            Unit style of the deck.

        Returns
        -------
        list of Kept
            None, with a warning, if they do not lead up to the history's last frame.
        """
        best: list[Kept] = []
        troubles = []
        self._is_kept = False
        paths = self.paths
        for path in paths if self._ranks.rank == 0 else ():
            # What is of another course of the run has to go, or the next restart would find it. One that
            # is damaged stays: it is said below.
            if path.exists():
                guarded(
                    partial(kept_frames.cut, path, first_step) if last_step >= 0 else path.unlink
                )
        for k, path in enumerate(paths):
            there = self._ranks.rank == 0 and path.exists()
            if len(best) == most or not self._ranks.sum(np.array([float(there)]))[0]:
                continue
            found, trouble = kept_frames.read(self._ranks, path, units, first_step)
            found = found[-most:]
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
        if best:
            mine = 0 if self._ranks.rank else last_step
            self._latest = round(self._ranks.sum(np.array([float(mine)]))[0])
            self._in_file = self._latest if self._is_kept else -1
        return best

    def take(self, frames: Collection[Kept], step: int, last: int | None) -> None:
        """Write the latest frames, if a restart may go on from here; collective.

        Parameters
        ----------
        frames
            The latest ones, that of the present step among them.
        step
            The present one.
        last
            That at which the run ends, if it is known.

        Raises
        ------
        InsituError
            On all ranks: they cannot be written.
        """
        before, self._latest = self._latest, step
        known = self._every or (step - before if before >= 0 else None)
        following = step + (known or 1)
        restarts = self._is_for_a_restart(before, following)
        # Where it is not known when the next frame will be, it may be after a restart file.
        if restarts or known is None or (last is not None and following > last):
            self.keep(frames, restarts)

    def _is_for_a_restart(self, before: int, following: int) -> bool:
        """Return whether a restart file may be written before the next frame."""
        step, interval = self._latest, self._interval
        if not interval:
            return False
        # Of a restart file since the frame before: that one is the last that is wanted, if it is kept.
        passed = before >= 0 and before // interval < step // interval
        late = passed and (step % interval == 0 or self._in_file != before)
        return late or following > (step // interval + 1) * interval

    def keep(self, frames: Collection[Kept], for_a_restart: bool = False) -> None:
        """Write the latest frames; collective.

        Parameters
        ----------
        frames
            The latest ones.
        for_a_restart
            LAMMPS may write a restart file before the next frame; else it is the end of a run.

        Raises
        ------
        InsituError
            On all ranks: they cannot be written.
        """
        if not self._interval or not frames or self._in_file == self._latest:
            return
        path, old = self.paths
        new = path.with_suffix(".new")
        trouble = kept_frames.write(self._ranks, new, "w", [*frames], kept_frames.EXACT)

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
