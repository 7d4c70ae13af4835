# SPDX-License-Identifier: BSD-3-Clause
"""The atoms of a run in several files, each of another rank, and the file that shows them as one.

Every part is H5MD by itself (:mod:`insitu.history.atoms.particles`) and has a range of ids. The file that
has the name of a single one holds times and boxes, and virtual datasets over the parts: whoever reads it
reads them. It is made anew with each frame, so a frame is in it when all parts have it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.history.atoms.layout import ABSENT, GROUP, About, add_values, lay_out, steps
from insitu.history.atoms.particles import check_run, made, placed
from insitu.history.elements import damage
from insitu.history.writing.file_access import explained
from insitu.history.writing.patience import Patience
from insitu.history.writing.storage import leftovers

#: Virtual datasets are newer than HDF5 1.8.
_LIBVER = ("earliest", "v110")
_CLOCK = ("edges/value", "offset/value", "edges/step", "edges/time")


def part_of(path: Path, number: int) -> Path:
    """Return the file of a part, from 1 on: ``phases.atoms.h5md`` has ``phases.atoms.1.h5md``."""
    return path.with_suffix(f".{number}{path.suffix}")


class PartsFile:
    """The file that shows all parts as one.

    Parameters
    ----------
    path
        The file.
    about
        What is the same in all frames; `about.writers` parts.
    continues
        Frames that are there stay. If not, a new file takes the place of one that is there.
    limit
        How long the file system is waited for at a time [s]; None: for as long as it takes.

    Raises
    ------
    HistoryError
        The file cannot be written, or is of another run.
    """

    def __init__(
        self, path: Path, about: About, continues: bool, limit: float | None = None
    ) -> None:
        self.path = path
        self._patience = Patience(limit)
        self._about = about
        #: Step, time, cell vectors and corner of each frame.
        self._frames: list[tuple[int, float, NDArray[np.float64], NDArray[np.float64]]] = []
        #: Of each part: places for atoms, as many as it had at most.
        self._places: list[int] = [0] * about.writers
        with explained(f"file='{path}' could not be opened for writing"):
            if continues and self._patience(path.exists):
                with h5py.File(path, "r", locking=False) as file:
                    check_run(path, file, about)
                    box = file[f"{GROUP}/box"]
                    edges, offset, step, time = (box[name][()] for name in _CLOCK)
                    self._frames = list(
                        zip(step.tolist(), time.tolist(), edges, offset, strict=True)
                    )
                    self._places = [int(p) for p in file["parameters/insitu_atoms"].attrs["places"]]
                for rest in leftovers(path):  # of a writer that was killed
                    rest.unlink(missing_ok=True)
            else:
                self._write()

    @property
    def last_step(self) -> int | None:
        """Step of the last frame; None without one."""
        return self._frames[-1][0] if self._frames else None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def keep_before(self, step: int) -> None:
        """Drop frames from a step on, of a run whose clock was set back."""
        kept = [f for f in self._frames if f[0] < step]
        if len(kept) < len(self._frames):
            with explained(f"file='{self.path}': frames could not be dropped"):
                self._frames = kept
                if not kept:  # the parts begin anew
                    self._places = [0] * len(self._places)
                self._write()

    def append(
        self, step: int, time: float, cell: NDArray[np.float64], origin: NDArray[np.float64],
        atoms: Sequence[int],
    ) -> None:  # fmt: skip
        """Show a frame that all parts have.

        Parameters
        ----------
        step, time
            Step of the simulation, after that of the last frame, and time.
        cell, origin
            ``(3, 3)`` cell vectors as rows, ``(3,)`` corner, in the unit of length.
        atoms
            Of each part: how many it has in the frame.

        Raises
        ------
        HistoryError
            The file cannot be written.
        """
        with explained(f"file='{self.path}': the atoms of step {step} could not be written"):
            before = self._frames, self._places
            self._frames = [*self._frames, (step, time, cell, origin)]
            self._places = [max(a, b) for a, b in zip(self._places, atoms, strict=True)]
            try:
                self._write()
            except BaseException:
                self._frames, self._places = before
                raise

    def _write(self) -> None:
        # Made in memory: HDF5 lets one thread in at a time, and none while the file system hangs.
        self._patience(placed, self.path, made(self._fill, _LIBVER))

    def _fill(self, file: h5py.File) -> None:
        lay_out(file, self._about)
        file["parameters/insitu_atoms"].attrs["places"] = np.array(self._places, "i8")
        box, n = file[f"{GROUP}/box"], len(self._frames)
        columns = list(zip(*self._frames, strict=True)) or [()] * 4
        for name, values in zip(_CLOCK, (*columns[2:], *columns[:2]), strict=True):
            box[name].resize(n, axis=0)
            if n:
                box[name][...] = np.array(values)
        if n:
            add_values(file, self._virtual)

    def _virtual(
        self, group: h5py.Group, name: str, base: Any, shape: tuple[int, ...]
    ) -> h5py.Dataset:
        """Return the dataset ``value`` over those of all parts."""
        frames, ends = len(self._frames), np.cumsum([0, *self._places]).tolist()
        layout = h5py.VirtualLayout((frames, ends[-1], *shape), base)
        for k, (low, high) in enumerate(pairwise(ends)):
            if high > low:
                there = f"{GROUP}/{name}/value"
                # HDF5 takes %b in a name for a pattern. Without its limits a source that has a frame more,
                # which is not shown yet, could not be read.
                name_of = part_of(self.path, k + 1).name.replace("%", "%%")
                size = high - low
                source = h5py.VirtualSource(name_of, there, (frames, size, *shape), base)
                layout[:, low:high] = source[:frames, :size]
        return group.create_virtual_dataset("value", layout, fillvalue=ABSENT[name])


def absent(dataset: h5py.Dataset) -> list[str]:
    """Return which files of a virtual dataset are not beside its own: their atoms would not be there.

    Parameters
    ----------
    dataset
        Any; one that is not virtual has none.
    """
    if not dataset.is_virtual:
        return []
    folder = Path(os.path.realpath(dataset.file.filename)).parent
    names = [s.file_name.replace("%%", "%") for s in dataset.virtual_sources()]
    return [name for name in names if not (folder / name).exists()]


def damaged(dataset: h5py.Dataset) -> str:
    """Return which file of a virtual dataset cannot be opened, and why; ``""`` if all can."""
    if not dataset.is_virtual:
        return ""
    folder = Path(os.path.realpath(dataset.file.filename)).parent
    for source in dataset.virtual_sources():
        path = folder / source.file_name.replace("%%", "%")
        try:
            h5py.File(path, "r", locking=False).close()
        except OSError as error:
            return f"'{path}' ({damage(error)})"
    return ""


def frames_of(path: Path) -> list[int]:
    """Return the steps of the frames of a file of atoms.

    Raises
    ------
    HistoryError
        It cannot be read.
    """
    with explained(f"file='{path}' could not be read"), h5py.File(path, "r", locking=False) as file:
        found: list[int] = steps(file).tolist()
        return found
