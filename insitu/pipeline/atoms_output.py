# SPDX-License-Identifier: BSD-3-Clause
"""The atoms of every so many steps with their phases (setting `atoms`): from all ranks into one file.

Rank 0 writes them in the order of their ids, a range of ids after another: however many atoms there are, it
gathers no more at a time than `atoms_memory` allows.
"""

from __future__ import annotations

import glob
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.analysis import Phases
from insitu.errors import HistoryError, InsituError, SettingError, guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.species import ELEMENTS, elements_of_masses
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.history.atoms.layout import About
    from insitu.history.atoms.particles import AtomsFile, AtomsFrame
    from insitu.history.atoms.parts import PartsFile
    from insitu.lammps.view import LammpsView
    from insitu.pipeline.recording import Recorder

#: Ranges of ids in a frame, at most: with more, ids are far from 1 … n.
_MOST_RANGES = 100_000
#: A range is on rank 0 three times for a moment: as it came, put together, in its order.
_COPIES = 3


class AtomsOutput:
    """Writes the atoms of some frames; every rank has one, its methods are collective.

    Parameters
    ----------
    settings
        Of the run; `atoms` is set.
    phases
        Whose labels are written.
    ranks
        The ranks of the simulation.
    recorder
        Of the history that the file is beside.
    """

    def __init__(
        self, settings: Settings, phases: Phases, ranks: Ranks, recorder: Recorder
    ) -> None:
        assert settings.atoms
        self._every, self._settings = settings.atoms, settings
        self._phases, self._ranks, self._recorder = phases, ranks, recorder
        #: What this rank writes, and on rank 0 what is shown of all.
        self._file: AtomsFile | None = None
        self._shown: AtomsFile | PartsFile | None = None
        self._checked = False

    def check(self, view: LammpsView) -> None:
        """Refuse a file of an earlier run, before the first frame; local.

        Raises
        ------
        SettingError
            It exists, and `if_exists` does not say what to do.
        """
        if self._ranks.rank or self._checked:
            return
        from insitu.history.atoms.particles import beside
        from insitu.history.writing.file_access import free_name

        self._checked = True
        s = self._settings
        path = beside(free_name(s.file) if s.if_exists == "new" else s.file)
        goes_on = s.if_exists == "overwrite" or (s.if_exists == "append" and Path(s.file).exists())
        for there in filter(Path.exists, self._paths(path)):
            if not goes_on:
                raise SettingError(
                    f"atoms={self._every}: '{there}' exists, of an earlier run; remove or rename it, or "
                    "choose if_exists overwrite"
                )

    def _paths(self, path: Path) -> list[Path]:
        """Return all files that are written, by the path of the first."""
        return [path]

    def keep_before(self, view: LammpsView, frame: Frame) -> None:
        """Make the file ready for a frame that is in the history; on rank 0.

        Raises
        ------
        HistoryError
            It cannot be written, or is of another run.
        """
        from insitu.history.atoms.particles import beside

        history = self._recorder.path
        assert history is not None
        path = beside(history)
        if self._shown is None or self._shown.path != path:
            about = self._about(view, frame, history)
            self._refuse(path)
            self._shown = self._opened(path, about, self._settings.if_exists == "append")
            self._recorder.link(path, "particles/all")
        self._shown.keep_before(frame.step)

    def _opened(self, path: Path, about: About, continues: bool) -> AtomsFile | PartsFile:
        """Return the file to which the history has a link."""
        from insitu.history.atoms.particles import AtomsFile

        self._file = AtomsFile(path, about, continues, self._settings.write_limit)
        return self._file

    def _about(self, view: LammpsView, frame: Frame, history: Path) -> About:
        from insitu.history.atoms.layout import About

        reduced, s = frame.units == "lj", self._settings
        kinds = s.species or elements_of_masses(view.masses())
        if len(kinds) != view.setting("ntypes") or not set(kinds) <= set(ELEMENTS):
            kinds = ()
        return About(
            history.name, frame.pbc.tolist(), "" if reduced else "Angstrom",
            "" if reduced else view.time_unit, self._phases.classes, self._phases.codes, kinds,
            self._phases.model.sha256, s.atoms_writers,
        )  # fmt: skip

    def _refuse(self, path: Path) -> None:
        """Refuse a file of an earlier run, or remove what is not overwritten of one."""
        how = self._settings.if_exists
        if path.exists() and how not in ("append", "overwrite"):
            raise HistoryError(f"'{path}' exists, of an earlier run; remove or rename it")
        if how == "overwrite":  # one that had more writers
            for part in path.parent.glob(f"{glob.escape(path.stem)}.*{path.suffix}"):
                number = part.name.removeprefix(f"{path.stem}.").removesuffix(path.suffix)
                if number.isdecimal() and part not in self._paths(path):
                    part.unlink()

    def __call__(self, view: LammpsView, frame: Frame) -> None:
        """Write the atoms of a frame if it is its turn; all ranks raise or none.

        Raises
        ------
        InsituError
            The file cannot be written.
        """
        if frame.step % self._every:
            return
        # Atoms of a frame that the history lacks would have no time, and nothing to belong to.
        missed = self._ranks.rank == 0 and self._recorder.last_step != frame.step
        if self._ranks.any(missed):
            return
        atoms: NDArray[Any] | None = None

        def prepare() -> None:
            nonlocal atoms
            atoms = self._of_rank(view, frame)

        self._ranks.agree(guarded(prepare))
        assert atoms is not None
        own = atoms["id"]
        most = int(self._ranks.largest(np.array([own[-1] if len(own) else 0.0], dtype=float))[0])
        self._write(view, frame, atoms, most)

    def _ranges(self, most: int, itemsize: int) -> tuple[int, int]:
        """Return how many ids are written at a time, and how often that is.

        Raises
        ------
        InsituError
            On all ranks: far too often.
        """
        width = max(1, int(self._settings.atoms_memory * 1e6 / (_COPIES * itemsize)))
        if (ranges := -(-most // width)) > _MOST_RANGES:
            raise InsituError(
                f"atoms={self._every}: the largest id is {most:,}, far more than there are atoms; number "
                "them anew in the deck (reset_atoms id), or give more atoms_memory"
            )
        return width, ranges

    def _write(self, view: LammpsView, frame: Frame, atoms: NDArray[Any], most: int) -> None:
        """Write the atoms of all ranks; collective.

        Parameters
        ----------
        view, frame
            LAMMPS, and this rank's frame.
        atoms
            Of this rank, in the order of their ids.
        most
            Largest id of all.
        """
        own = atoms["id"]
        total = round(float(self._ranks.sum(np.array([float(len(own))]))[0]))
        width, ranges = self._ranges(most, atoms.itemsize)
        writer: AtomsFrame | None = None

        def begin() -> None:
            nonlocal writer
            time = self._recorder.last_time
            assert self._file is not None and time is not None  # noqa: PT018
            writer = self._file.frame(frame.step, time, frame.cell, frame.origin, total)

        trouble = guarded(begin) if self._ranks.rank == 0 else None
        for k in range(ranges):
            low, high = np.searchsorted(own, [1 + k * width, 1 + (k + 1) * width])
            some = self._gather(atoms[low:high])
            if writer is not None and trouble is None:
                trouble = guarded(partial(writer.put, some))
        if writer is not None:
            ended = guarded(partial(writer.end, trouble is None))
            trouble = trouble or ended
        self._ranks.agree(trouble)

    def _of_rank(self, view: LammpsView, frame: Frame) -> NDArray[Any]:
        """Return this rank's atoms in the order of their ids, also those that were not analysed."""
        from insitu.history.atoms.layout import ATOM

        # All of the rank's atoms, also those that are nobody's neighbours.
        whole = frame if frame.kept is None else view.frame(with_ghosts=False)
        codes = frame.of_rank(self._phases.atom_codes(frame), -1)
        confidence = frame.of_rank(self._phases.confidence, 0.0)
        n = whole.n_local
        order = np.argsort(whole.ids[:n], kind="stable")
        atoms = np.empty(n, dtype=ATOM)
        atoms["id"], atoms["type"] = whole.ids[:n][order], whole.types[:n][order]
        atoms["position"] = (whole.positions[:n] - whole.origin)[order]
        atoms["phase"] = codes[order]
        atoms["confidence"] = np.where(codes < 0, 0, np.rint(255 * confidence))[order]
        return atoms

    def _gather(self, atoms: NDArray[Any]) -> NDArray[Any]:
        """Return the atoms of all ranks in the order of their ids, on rank 0; collective."""
        if self._ranks.size == 1:
            return atoms
        raw = np.ascontiguousarray(atoms).view(np.uint8).ravel()
        sizes = self._ranks.gather(np.array([[float(len(raw))]]))
        here = self._ranks.rank == 0
        most = {r: int(s[0, 0]) for r, s in enumerate(sizes) if r and s[0, 0]} if here else {}
        mine = {} if here or not len(raw) else {0: raw}
        came = self._ranks.trade(mine, most, np.uint8)
        if not here:
            return atoms
        every = np.concatenate([atoms, *(part.view(atoms.dtype) for part in came.values())])
        ordered: NDArray[Any] = every[np.argsort(every["id"], kind="stable")]
        return ordered
