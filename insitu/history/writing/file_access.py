# SPDX-License-Identifier: BSD-3-Clause
"""May a history be written here? Checks before the first frame, the lock, errors in words."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from insitu.errors import HistoryError, InsituError, SettingError, StorageError, did_you_mean
from insitu.history import IF_EXISTS
from insitu.history.elements import damage, opened
from insitu.history.integrity import half_written, verify

#: What HDF5 says of a file that was cut or changed, where the file system has said nothing.
_DAMAGED = re.compile(
    "truncated file|file signature|superblock|address|B-tree|object header|heap|checksum"
)


class Disk(io.FileIO):
    """A file for HDF5 to write to, whose errors wait in `error` until they are asked for.

    HDF5 does not survive a write that fails (a full disk): it crashes when it closes the file. So
    it is told that all went well, and the code that finds the error gives the file up.
    """

    error: OSError | None = None
    #: Whether it was given up: it is never touched again, not even closed, for that could hang.
    abandoned = False
    #: What is to be written where, None: the length to be set; and the length by then.
    _kept: list[tuple[int, bytes | None]] | None = None
    _length = 0

    def keep(self) -> None:
        """Keep what is written from now on in memory, until `put` is called."""
        self.error = None
        self._length = super().seek(0, os.SEEK_END)
        self._kept = []

    def put(self) -> None:
        """Write what was kept, and on from now on directly.

        Raises
        ------
        OSError
            It cannot be written.
        """
        kept, self._kept = self._kept or [], None
        self.check()
        for at, data in kept:
            if data is None:
                self.truncate(at)
            else:
                self.seek(at)
                self.write(data)
            self.check()

    def keep_on(self) -> None:
        """Keep what is written from now on, after `put`; asks nothing of the file system."""
        self._kept = []

    def drop(self) -> None:
        """Forget what was kept."""
        self._kept = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, also beyond the end, as long as that is only kept."""
        if self._kept is not None and whence == os.SEEK_END:
            offset, whence = self._length + offset, os.SEEK_SET
        return super().seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        """Read, with what is kept."""
        if not self._kept:
            return super().readinto(buffer) or 0
        at = self.tell()
        view = memoryview(buffer).cast("B")[: max(0, self._length - at)]
        n = super().readinto(view) or 0
        view[n:] = bytes(len(view) - n)  # beyond the end of the file
        for offset, data in self._kept:
            if data is None:
                if offset < at + len(view):
                    view[max(0, offset - at) :] = bytes(at + len(view) - max(at, offset))
                continue
            low, high = max(at, offset), min(at + len(view), offset + len(data))
            if low < high:
                view[low - at : high - at] = data[low - offset : high - offset]
        self.seek(at + len(view))
        return len(view)

    def close(self) -> None:
        """Close it, unless it was given up."""
        if not self.abandoned:
            super().close()

    def write(self, data: Any) -> int:
        """Write all of `data`, or keep the error."""
        if self._kept is not None:
            at = self.tell()
            whole = bytes(memoryview(data).cast("B"))
            self._kept.append((at, whole))
            self._length = max(self._length, at + len(whole))
            self.seek(at + len(whole))
            return len(whole)
        rest = memoryview(data).cast("B")
        total = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.error = self.error or error
        return total

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or keep the error."""
        if self._kept is not None:
            self._length = self.tell() if size is None else size
            self._kept.append((self._length, None))
            return self._length
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self.tell() if size is None else size

    def __del__(self) -> None:  # LAMMPS ends without closing its histories: no cause to complain
        self.close()

    def check(self) -> None:
        """Raise the first error there was."""
        if self.error is not None:
            raise self.error


def check_writable(path: str | os.PathLike[str], if_exists: str) -> None:
    """Check that a history can be created or continued; nothing on disk is changed.

    Parameters
    ----------
    path
        The file.
    if_exists
        ``refuse``, ``append``, ``overwrite`` or ``new``.

    Raises
    ------
    HistoryError
        It cannot; the message says what to do.
    SettingError
        `if_exists` is not one of the three words.
    """
    if if_exists not in IF_EXISTS:
        raise SettingError(
            f"if_exists='{if_exists}' is not known; choose {', '.join(IF_EXISTS[:-1])} or "
            f"{IF_EXISTS[-1]}.{did_you_mean(if_exists, IF_EXISTS)}"
        )
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise HistoryError(
            f"file='{path}' is a directory; give a file name, such as '{path / 'phases.h5'}'."
        )
    if not path.parent.is_dir():
        raise HistoryError(
            f"file='{path}': the directory '{path.parent}' does not exist; create it first, or "
            "give another file name."
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise HistoryError(
            f"file='{path}': the directory '{path.parent}' is not writable; give a file name in a "
            "directory that is."
        )
    if not path.exists() or if_exists == "new":
        return
    if if_exists == "refuse":
        raise HistoryError(
            f"file='{path}' exists already; choose if_exists append (continue it), if_exists "
            "overwrite (replace it), if_exists new (write the next free name), or another file name."
        )
    with explained(f"file='{path}' is not writable"), open(path, "r+b") as stream:
        lock(stream.fileno(), path)
        if if_exists == "overwrite" and stream.read(4) not in (b"", b"\x89HDF"):
            raise HistoryError(
                f"if_exists='overwrite': '{path}' is not an HDF5 file and is left alone; give "
                "another file name, or remove it yourself."
            )
    if if_exists == "append":
        try:
            with opened(path) as file:
                verify(file, half_written(file)[0])
        except HistoryError as error:
            raise HistoryError(f"if_exists='append': {error}") from error


def lock(descriptor: int, path: Path) -> None:
    """Let no second process write the file. A POSIX lock, since HDF5 readers do not check those."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise HistoryError(
            f"file='{path}' is being written by another running process; end that run, or give "
            "another file name."
        ) from None
    except OSError:
        pass  # a file system without locks: the run is worth more than this check


def is_written(path: Path) -> bool:
    """Return whether another process holds the lock of a history's writer; asking takes none."""
    try:
        with path.open("rb") as stream:
            asked = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(stream, fcntl.F_GETLK, asked)
        return bool(struct.unpack("hhqqi", answer)[0] != fcntl.F_UNLCK)
    except OSError:
        return False


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the file system or HDF5 complains of into a HistoryError that begins with `what`."""
    try:
        yield
    except InsituError:
        raise
    except (OSError, RuntimeError) as error:  # h5py raises either, depending on the call
        if getattr(error, "errno", None) is None and _DAMAGED.search(str(error)):
            raise StorageError(
                f"{what}, for it is damaged ({damage(error)}): copy it back from where it is whole, or "
                "remove it (if_exists overwrite), or give another file name."
            ) from error
        raise StorageError(
            f"{what} ({error}); look at the space, the quota and the permissions there."
        ) from error
    except (KeyError, TypeError, ValueError) as error:  # what it makes of a damaged file
        raise HistoryError(
            f"{what}, for it is damaged ({damage(error)}); go back to an older copy, or give another "
            "file name."
        ) from error


def free_name(path: str | os.PathLike[str]) -> Path:
    """Return a path that is not in use: `path` itself, else with ``_1``, ``_2`` … in its name."""
    path = Path(path)
    candidates = (path.with_stem(f"{path.stem}_{k}") for k in itertools.count(1))
    return next(p for p in itertools.chain([path], candidates) if not p.exists())
