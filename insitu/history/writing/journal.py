# SPDX-License-Identifier: BSD-3-Clause
"""A large HDF5 file that grows frame by frame and survives a kill at any moment, without being copied.

What HDF5 adds lies after the old end of the file, where no reader of the old state looks. What it
changes before that (a few kB of its structure) is first written into a journal beside the file, with a
checksum, and only then into the file: a whole journal is carried out when the file is opened the next
time, one that is not whole is thrown away, and the file is what it was before the frame.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

from insitu.history.writing.file_access import Disk, lock

_MAGIC = b"insitu journal 1"
_ENTRY = struct.Struct("<qq")


def journal_of(path: Path) -> Path:
    """Return where the journal of a file is."""
    return path.with_name(f".{path.name}.journal")


class Journaled(Disk):
    """A file for HDF5 to write to; its changes hold when `commit` returns, or not at all.

    Parameters
    ----------
    path
        The file, which exists. What a writer that was killed has left is finished or undone first.

    Raises
    ------
    HistoryError
        Another process writes it.
    OSError
        It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r+")
        self._path = path
        lock(self.fileno(), path)
        self._recover()
        self._before = os.fstat(self.fileno()).st_size
        self._changes: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        """Write what is after the old end, keep what is before it."""
        view = memoryview(data).cast("B")
        at = self.tell()
        old = max(0, min(len(view), self._before - at))
        if old:
            self._changes.append((at, bytes(view[:old])))
            self.seek(at + old)
        if len(view) > old:
            super().write(view[old:])
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read, with the changes that are kept."""
        at = self.tell()
        n = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for offset, change in self._changes:
            low, high = max(at, offset), min(at + n, offset + len(change))
            if low < high:
                view[low - at : high - at] = change[low - offset : high - offset]
        return n

    def truncate(self, size: int | None = None) -> int:
        """Set the length; what was there before the frame stays, for the state before it needs it."""
        size = self.tell() if size is None else size
        return super().truncate(max(size, self._before))

    def commit(self) -> None:
        """Make the changes hold.

        Raises
        ------
        OSError
            Something could not be written; the file is what it was before.
        """
        try:
            self.put()
            os.fsync(self.fileno())
            journal = journal_of(self._path)
            if self._changes:
                body = b"".join(_ENTRY.pack(o, len(c)) + c for o, c in self._changes)
                temporary = journal.with_suffix(".tmp")
                with open(temporary, "wb") as file:
                    file.write(_MAGIC + struct.pack("<I", zlib.crc32(body)) + body)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, journal)
        except OSError:
            self.rollback()
            raise
        self._carry_out(self._changes)
        self._changes.clear()
        journal.unlink(missing_ok=True)

    def rollback(self) -> None:
        """Leave the file as it was before; also what was kept in memory is gone."""
        self._changes.clear()
        self.drop()
        super().truncate(self._before)

    def _carry_out(self, changes: list[tuple[int, bytes]]) -> None:
        for offset, change in changes:
            self.seek(offset)
            super().write(change)
        self.check()
        os.fsync(self.fileno())

    def _recover(self) -> None:
        journal = journal_of(self._path)
        journal.with_suffix(".tmp").unlink(missing_ok=True)
        if journal.exists():
            self._carry_out(_entries(journal.read_bytes()))
            journal.unlink()


def _entries(content: bytes) -> list[tuple[int, bytes]]:
    """Return the changes in a journal; none if it is not whole."""
    head = len(_MAGIC) + 4
    body = content[head:]
    if content[: len(_MAGIC)] != _MAGIC or len(content) < head:
        return []
    if struct.unpack("<I", content[len(_MAGIC) : head])[0] != zlib.crc32(body):
        return []
    found, at = [], 0
    while at < len(body):
        offset, size = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        found.append((offset, body[at : at + size]))
        at += size
    return found
