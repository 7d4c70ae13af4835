# SPDX-License-Identifier: BSD-3-Clause
"""The atoms of a frame in several files at once (setting `atoms_writers`): each writer has a range of ids.

The ranks that write are spread evenly: as many as there are nodes are on different ones. A frame is there
once all of them have it and rank 0 has shown it; what a frame that failed or a kill has left in some of the
files is dropped before the next one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.analysis import Phases
from insitu.errors import HistoryError, SettingError, guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline.atoms_output import AtomsOutput
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.history.atoms.layout import About
    from insitu.history.atoms.particles import AtomsFrame
    from insitu.history.atoms.parts import PartsFile
    from insitu.lammps.view import LammpsView
    from insitu.pipeline.recording import Recorder


class AtomsParts(AtomsOutput):
    """Writes the atoms of some frames by several ranks; arguments as of the class that it extends.

    Raises
    ------
    SettingError
        There are fewer ranks than writers.
    """

    def __init__(
        self, settings: Settings, phases: Phases, ranks: Ranks, recorder: Recorder
    ) -> None:
        super().__init__(settings, phases, ranks, recorder)
        self._writers = settings.atoms_writers
        if self._writers > ranks.size:
            raise SettingError(
                f"atoms_writers={self._writers} and the simulation has {ranks.size} "
                f"rank{'s' * (ranks.size > 1)}; give 1 … {ranks.size}, for example the number of nodes"
            )
        #: Rank of each writer, and this rank's number among them.
        self._rank_of = np.arange(self._writers) * ranks.size // self._writers
        mine = np.flatnonzero(self._rank_of == ranks.rank)
        self._mine: int | None = int(mine[0]) if len(mine) else None
        self._parts: PartsFile | None = None

    def _paths(self, path: Path) -> list[Path]:
        from insitu.history.atoms.parts import part_of

        return [path, *(part_of(path, k + 1) for k in range(self._writers))]

    def _opened(self, path: Path, about: About, continues: bool) -> PartsFile:
        from insitu.history.atoms.parts import PartsFile

        there = [p for p in self._paths(path)[1:] if p.exists()]
        if there and not path.exists() and continues:
            raise HistoryError(
                f"'{path}' is not there, which shows '{there[0]}': copy it back, or remove its parts"
            )
        self._parts = PartsFile(path, about, continues, self._settings.write_limit)
        return self._parts

    def _write(self, view: LammpsView, frame: Frame, atoms: NDArray[Any], most: int) -> None:
        told = b""
        if self._parts is not None:
            s = self._parts
            told = json.dumps(
                [str(self._recorder.path), self._recorder.last_time, s.last_step, s.frames]
            ).encode()
        history, time, last, frames = json.loads(self._ranks.from_first([told])[0])
        open_ = partial(self._open, view, frame, Path(history), last, frames)
        self._ranks.agree(guarded(open_) if self._mine is not None else None)
        # Ids of a writer, and the atoms that each has.
        span = max(1, -(-most // self._writers))
        mine = np.bincount((atoms["id"] - 1) // span, minlength=self._writers)
        counts = self._ranks.sum(mine.astype(float)).astype(int).tolist()
        trouble = self._share(frame, time, atoms, span, counts)
        complete = not self._ranks.any(trouble is not None)
        if complete and self._parts is not None:
            where = frame.cell, frame.origin, counts
            trouble = guarded(partial(self._parts.append, frame.step, time, *where))
        if self._ranks.any(trouble is not None) and self._file is not None:
            undone = guarded(partial(self._file.keep_before, frame.step))
            trouble = trouble or undone
        self._ranks.agree(trouble)

    def _open(
        self, view: LammpsView, frame: Frame, history: Path, last: int | None, frames: int
    ) -> None:
        """Make this rank's part hold the frames that are shown, and no others."""
        from insitu.history.atoms.particles import AtomsFile, beside
        from insitu.history.atoms.parts import frames_of, part_of

        assert self._mine is not None
        path = beside(history)
        part = part_of(path, self._mine + 1)
        if self._file is not None and self._file.path == part:
            self._file.keep_before(0 if last is None else last + 1)
            return
        about = self._about(view, frame, history)
        if frames == 0 or part.exists():
            self._file = AtomsFile(part, about, frames > 0, self._settings.write_limit)
            self._file.keep_before(0 if last is None else last + 1)
            found = frames_of(part)
            if len(found) == frames and found[-1:] == ([last] if frames else []):
                return
            self._file = None
        raise HistoryError(
            f"'{part}' does not have the {frames} frames of '{path}'; copy it back, or remove '{path}' "
            "and all its parts"
        )

    def _share(
        self, frame: Frame, time: float, atoms: NDArray[Any], span: int, counts: Sequence[int]
    ) -> str | None:
        """Give all atoms to their writers; return what went wrong on this rank; collective."""
        own = atoms["id"]
        width, ranges = self._ranges(span, atoms.itemsize)
        writer: AtomsFrame | None = None

        def begin() -> None:
            nonlocal writer
            if self._mine is not None:
                assert self._file is not None
                n = counts[self._mine]
                writer = self._file.frame(frame.step, time, frame.cell, frame.origin, n)

        trouble = guarded(begin)
        first = 1 + span * np.arange(self._writers)
        for k in range(ranges):
            low = np.searchsorted(own, first + k * width)
            high = np.searchsorted(own, first + min((k + 1) * width, span))
            sent = {
                int(self._rank_of[w]): np.ascontiguousarray(atoms[low[w] : high[w]]).view(np.uint8)
                for w in np.flatnonzero(high > low)
            }
            came = self._ranks.deliver(sent, np.uint8)
            if writer is not None and trouble is None and came:
                every = np.concatenate([part.view(atoms.dtype) for part in came.values()])
                ordered = every[np.argsort(every["id"], kind="stable")]
                trouble = guarded(partial(writer.put, ordered))
        complete = not self._ranks.any(trouble is not None)
        if writer is not None:
            ended = guarded(partial(writer.end, complete))
            trouble = trouble or ended
        return trouble
