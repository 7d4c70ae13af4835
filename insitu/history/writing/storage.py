# SPDX-License-Identifier: BSD-3-Clause
"""The file of a history that is being written: its name, its lock, the two ways to change it.

The file survives a kill at any moment, and a full disk. HDF5 changes a file in many small writes;
those of most frames only fill space that is already allocated, and in whichever order they reach
the file, it stays readable with every earlier frame (`in_place`). The changes for which that does
not hold (new chunks, dropped frames, notes) are made in a copy, which then replaces the file at
once (`replaced`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from insitu.errors import HistoryError
from insitu.history.writing.file_access import Disk, check_writable, free_name, lock
from insitu.history.writing.patience import Patience

# The 1.8 format is read by everything, and is not marked as "in use" while a writer has it open.
_LIBVER = ("earliest", "v108")


class Storage:
    """The file of a history on disk; closed until `take` or `replaced` opens it.

    Parameters
    ----------
    path
        Where the history is to be.
    if_exists
        ``refuse``, ``append``, ``overwrite`` or ``new``, checked by `check_writable` before.
    limit
        How long the file system is waited for at a time [s]; None: for as long as it takes.

    Attributes
    ----------
    path
        The file, with symbolic links resolved.
    """

    def __init__(
        self, path: str | os.PathLike[str], if_exists: str, limit: float | None = None
    ) -> None:
        #: Makes every call that could hang.
        self.patience = Patience(limit)
        self._wanted = Path(os.path.realpath(path))
        self._if_exists = if_exists
        self.path = free_name(self._wanted) if if_exists == "new" else self._wanted
        # HDF5's view of the file is opened for each frame. One that is open when the process ends
        # would be closed by HDF5 itself, behind Python's back: behind Disk's.
        self._disk: Disk | None = None

    @property
    def is_open(self) -> bool:
        """Whether the file is held and locked."""
        return self._disk is not None

    def take(self) -> None:
        """Hold and lock a file that exists."""
        self._disk = Disk(self.path, "r+")
        lock(self._disk.fileno(), self.path)

    def close(self) -> None:
        """Give the file up; calling it again does nothing."""
        if self._disk is not None:
            disk, self._disk = self._disk, None
            try:
                self.patience(disk.close)
            except OSError:  # what was acknowledged is in the file, or was said not to be
                disk.abandoned = self.patience.gone

    def held(self) -> Disk:
        """Return the file, if it is still the one of that name.

        Raises
        ------
        HistoryError
            It was removed, or replaced by another.
        """
        assert self._disk is not None
        self.patience(self._check_mine, self._disk)
        return self._disk

    def _check_mine(self, disk: Disk) -> None:
        mine = os.fstat(disk.fileno())
        if not (self.path.exists() and os.path.samestat(mine, os.stat(self.path))):
            raise HistoryError(
                f"file='{self.path}' was removed or replaced while the run was writing it, or "
                "another analysis in this deck writes it too; give each its own file, and restart."
            )

    @property
    def disk(self) -> Disk | None:
        """The file that is held, whether or not it still has its name; another after a change in a copy."""
        return self._disk

    def put_directly(self, put: Callable[..., None], *arguments: Any) -> None:
        """Write into the file that is held without HDF5: `put` of its descriptor and of the arguments.

        Raises
        ------
        HistoryError
            It was removed, or replaced by another.
        """
        assert self._disk is not None
        self.patience(self._put, self._disk, put, *arguments)

    def _put(self, disk: Disk, put: Callable[..., None], *arguments: Any) -> None:
        # In one call: each has another thread wake up and be waited for.
        self._check_mine(disk)
        put(disk.fileno(), *arguments)

    @contextmanager
    def in_place(self) -> Iterator[h5py.File]:
        """Change the file itself; only for what allocates nothing."""
        disk = self.held()
        disk.keep()
        try:
            with h5py.File(disk, "r+", libver=_LIBVER) as file:
                yield file
        except BaseException:
            disk.drop()
            raise
        self.patience(disk.put)

    @contextmanager
    def replaced(self, *, copy: bool = True) -> Iterator[h5py.File]:
        """Change a copy of the file (or a new file), which takes its place when that succeeded."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        new = None
        try:
            new = self.patience(self._begin, temporary, self.held() if copy else None)
            new.keep()
            with h5py.File(new, "r+" if copy else "w", libver=_LIBVER) as file:
                yield file
            self.patience(self._end, new, temporary, copy)
        except BaseException:
            if self.patience.gone:
                if new is not None:
                    new.abandoned = True
            else:
                if new is not None:
                    new.close()
                temporary.unlink(missing_ok=True)
            raise
        self.close()  # it is no longer the history
        self._disk = new

    def _begin(self, temporary: Path, old: Disk | None) -> Disk:
        """Return a copy of the file, or a new one."""
        if old is None:
            return Disk(temporary, "w+")
        old.seek(0)  # closing another descriptor of it would give up the lock
        with open(temporary, "wb") as out:
            os.fchmod(out.fileno(), os.fstat(old.fileno()).st_mode & 0o777)
            shutil.copyfileobj(old, out, 1 << 20)
        return Disk(temporary, "r+")

    def _end(self, new: Disk, temporary: Path, copy: bool) -> None:
        """Write what was kept, and give the file its name."""
        new.put()
        lock(new.fileno(), self.path)
        os.fsync(new.fileno())
        if copy:
            assert self._disk is not None
            self._check_mine(self._disk)
        if copy or self._if_exists in ("append", "overwrite"):
            os.replace(temporary, self.path)
        else:
            self._place(temporary)

    def _place(self, temporary: Path) -> None:
        """Give a new file its name, unless another run took that name in the meantime."""
        while True:
            try:
                os.link(temporary, self.path)
                break
            except FileExistsError:
                if self._if_exists == "refuse":
                    check_writable(self.path, "refuse")
                self.path = free_name(self._wanted)
            except OSError:  # a file system without links
                os.replace(temporary, self.path)
                return
        temporary.unlink()


def leftovers(path: Path) -> list[Path]:
    """Return files in which a writer prepared a change of a history, and which it left behind."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"\d+\.tmp")
    return sorted(p for p in path.parent.glob(".*.tmp") if pattern.fullmatch(p.name))
