# SPDX-License-Identifier: BSD-3-Clause
"""The atoms of some frames of a run: H5MD particles in a file beside the history, which has a link to them.

Beside it, since a history is small and copied while it grows, and these are not. The file is H5MD 1.1 by
itself, without observables: readers take the k-th sample of an observable for that of the k-th positions.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.errors import HistoryError
from insitu.history.atoms.layout import (
    ABSENT,
    ATOM,
    GROUP,
    About,
    add_atoms,
    growing,
    lay_out,
    steps,
)  # fmt: skip
from insitu.history.elements import text
from insitu.history.writing.file_access import explained
from insitu.history.writing.journal import Journaled
from insitu.history.writing.patience import Patience

_LIBVER = ("earliest", "v108")


def beside(history: str | os.PathLike[str]) -> Path:
    """Return the file of the atoms of a history: ``phases.h5`` has ``phases.atoms.h5md``."""
    return Path(history).with_suffix(".atoms.h5md")


def made(change: Callable[[h5py.File], object], libver: tuple[str, str] = _LIBVER) -> bytes:
    """Return the bytes of a new HDF5 file, of which the file system knows nothing yet."""
    image = io.BytesIO()
    with h5py.File(image, "w", libver=libver) as file:
        change(file)
    return image.getvalue()


def placed(path: Path, content: bytes) -> None:
    """Give a file that content, at once."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_run(path: Path, file: h5py.File, about: About) -> None:
    """Raise HistoryError if a file is of another run than the one that wants to continue it."""
    stored = dict(file["parameters/insitu_atoms"].attrs)
    for what, mine in about.must_agree.items():
        if (theirs := text(stored.get(what, "1"))) != mine:
            raise HistoryError(
                f"'{path}' has {what} '{theirs}', and this run has '{mine}': remove or rename it, use the "
                "settings of that run, or if_exists overwrite."
            )


class AtomsFile:
    """The file of a run's atoms; it is open while a frame is written.

    Parameters
    ----------
    path
        The file.
    about
        What is the same in all frames.
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
        #: Makes every call that could hang: never within HDF5, which lets one thread in at a time.
        self.patience = Patience(limit)
        self.last_step: int | None = None
        with explained(f"file='{path}' could not be opened for writing"):
            if continues and self.patience(path.exists):
                disk = self.patience(Journaled, path)
                try:
                    with h5py.File(disk, "r") as file:
                        check_run(path, file, about)
                        there = steps(file)
                        self.last_step = int(there[-1]) if len(there) else None
                finally:
                    self.patience(disk.close)
            else:
                self.patience(placed, path, made(lambda file: lay_out(file, about)))

    def keep_before(self, step: int) -> None:
        """Drop frames from a step on, of a run whose clock was set back."""
        if self.last_step is None or step > self.last_step:
            return
        with explained(f"file='{self.path}': frames could not be dropped"):
            change, complete = _Change(self.path, self.patience), False
            try:
                there = steps(change.file)
                kept = int((there < step).sum())
                for dataset in growing(change.file):
                    dataset.resize(kept, axis=0)
                complete = True
            finally:
                change.end(complete)
            self.last_step = int(there[kept - 1]) if kept else None

    def frame(
        self, step: int, time: float, cell: NDArray[np.float64], origin: NDArray[np.float64], n: int
    ) -> AtomsFrame:
        """Begin a frame; it is in the file when its `end` has returned.

        Parameters
        ----------
        step, time
            Step of the simulation, after that of the last frame, and time.
        cell, origin
            ``(3, 3)`` cell vectors as rows, ``(3,)`` corner, in the unit of length.
        n
            Atoms of the frame.

        Raises
        ------
        HistoryError
            The file cannot be written.
        """
        return AtomsFrame(self, step, time, cell, origin, n)


class _Change:
    """The file open for a change that holds when `end` is told that it is complete.

    What HDF5 writes is kept in memory, and goes to the file after HDF5 has returned.
    """

    def __init__(self, path: Path, patience: Patience) -> None:
        self._patience = patience
        self._disk = patience(Journaled, path)
        try:
            patience(self._disk.keep)
            self.file = h5py.File(self._disk, "r+", libver=_LIBVER, rdcc_nbytes=8 << 20)
        except BaseException:
            self._give_up()
            raise

    def flush(self) -> None:
        """Write what was kept.

        Raises
        ------
        OSError
            It cannot be written.
        """
        try:
            self._patience(self._disk.put)
        finally:  # also what HDF5 writes when it closes a file that is given up
            self._disk.keep_on()

    def _give_up(self) -> None:
        """Close the file, unless the file system does not answer."""
        with suppress(OSError):
            self._patience(self._disk.close)
        self._disk.abandoned = self._patience.gone

    def end(self, complete: bool) -> None:
        """Make the change hold, or undo it."""
        try:
            self.file.close()
            if complete:
                self._patience(self._disk.commit)
        except BaseException:
            complete = False
            raise
        finally:
            if not complete and not self._patience.gone:
                self._patience(self._disk.rollback)
            self._give_up()


class AtomsFrame:
    """A frame that is being written; :meth:`AtomsFile.frame` makes it."""

    def __init__(
        self, atoms: AtomsFile, step: int, time: float, cell: NDArray[np.float64],
        origin: NDArray[np.float64], n: int,
    ) -> None:  # fmt: skip
        self._atoms, self._step, self._filled = atoms, step, 0
        self._what = f"file='{atoms.path}': the atoms of step {step} could not be written"
        with explained(self._what):
            self._change = _Change(atoms.path, atoms.patience)
            try:
                self._begin(step, time, cell, origin, n)
            except BaseException:
                self._change.end(False)
                raise

    def _begin(
        self, step: int, time: float, cell: NDArray[np.float64], origin: NDArray[np.float64], n: int
    ) -> None:
        file = self._change.file
        at = self._at = len(steps(file))
        if "position" not in file[GROUP]:
            add_atoms(file, n)
        for dataset in growing(file):
            size = [at + 1, *dataset.shape[1:]]
            if dataset.name.split("/")[-2] in ABSENT:
                size[1] = max(size[1], n)
            dataset.resize(size)
        box = file[f"{GROUP}/box"]
        box["edges/value"][at], box["offset/value"][at] = cell, origin
        box["edges/step"][at], box["edges/time"][at] = step, time

    def put(self, atoms: NDArray[Any]) -> None:
        """Write the next atoms ``(k,)``, of the kind `ATOM`; positions from the corner of the cell.

        Raises
        ------
        HistoryError
            They cannot be written.
        """
        with explained(self._what):
            self._put(atoms)
            self._change.flush()

    def _put(self, atoms: NDArray[Any]) -> None:
        group = self._change.file[GROUP]
        rows = slice(self._filled, self._filled + len(atoms))
        for name in ATOM.names or ():
            group[name]["value"][self._at, rows] = atoms[name]
        numbers = group.attrs.get("atomic_numbers")
        if numbers is not None:
            group["species/value"][self._at, rows] = numbers[atoms["type"]]
        self._filled += len(atoms)

    def end(self, complete: bool = True) -> None:
        """Make the frame hold, or leave the file as it was before.

        Raises
        ------
        HistoryError
            It cannot be written; the file is as it was before.
        """
        with explained(self._what):
            self._change.end(complete)
        if complete:
            self._atoms.last_step = self._step
