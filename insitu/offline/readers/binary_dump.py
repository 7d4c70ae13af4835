# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS' binary dumps (``dump … file.bin``), read as a stream; as its tool binary2txt has the format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.units import ANGSTROM
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import CutError, Header, Tell, Wanted, make, restricted
from insitu.offline.readers.soundness import shown
from insitu.offline.readers.streams import Stream

#: Names of the format at the beginning of each frame.
_MAGIC = (b"DUMPATOM", b"DUMPCUSTOM")
#: What the byte order is told by.
_ENDIAN = 1


def is_binary_dump(head: bytes) -> bool:
    """Return whether a file that begins so is a binary dump."""
    return any(head[8 : 8 + len(m)] == m for m in _MAGIC)


class BinaryDump:
    """A binary dump.

    Parameters
    ----------
    stream
        The file.
    tell
        Is told which frames were left out, and why.
    everything
        Keep all columns.
    """

    def __init__(self, stream: Stream, tell: Tell, everything: bool = False) -> None:
        self._stream, self._tell, self._everything = stream, tell, everything
        self._data, self._at, self._before = b"", 0, 0
        self._order, self._units = "<", ""

    def _take(self, n: int) -> bytes:
        while len(self._data) - self._at < n:
            more = self._stream.read()
            if not more:
                self._before += len(self._data)
                self._data, self._at = b"", 0
                raise CutError
            self._before += self._at
            self._data, self._at = self._data[self._at :] + more, 0
        part = self._data[self._at : self._at + n]
        self._at += n
        return part

    def _get(self, format: str) -> Any:
        values = struct.unpack(self._order + format, self._take(struct.calcsize("=" + format)))
        return values[0] if len(values) == 1 else values

    def _words(self, most: int = 100_000) -> str:
        n = self._get("i")
        if not 0 <= n <= most:
            raise self._wrong(f"has a text of {n} characters in a frame's header")
        return self._take(n).decode(errors="replace") if n else ""

    def _wrong(self, what: str) -> SettingError:
        return SettingError(
            f"'{self._stream.path}', near byte {self._before + self._at}: {what}; it is no binary dump of "
            "LAMMPS, or was changed: dump it anew, or as text"
        )

    @staticmethod
    def first_step(head: bytes) -> int | None:
        """Return the step of the first frame of a file that begins so."""
        length = next(len(m) for m in _MAGIC if head[8 : 8 + len(m)] == m)
        order = "<" if head[8 + length : 12 + length] == struct.pack("<i", _ENDIAN) else ">"
        try:
            step: int = struct.unpack_from(order + "q", head, 16 + length)[0]
        except struct.error:
            return None
        return step

    def frames(self, wanted: Wanted) -> Iterator[Configuration | None]:
        """Yield the complete frames in their order; None for one that is not wanted."""
        number = 0
        while True:
            header = Header()
            try:
                if not self._begin():
                    return
                rows = self._frame(header)
            except CutError:
                self._tell(
                    f"'{self._stream.path}': frame {number}{header.name} is incomplete (the file ends at "
                    f"byte {self._before}) and left out; the frames before it are complete"
                )
                return
            where = f"'{self._stream.path}', frame {number}{header.name}"
            if wanted(number):
                values: dict[str, NDArray[Any]] = {
                    name: rows[:, k]
                    for k, name in enumerate(header.columns)
                    if name not in ("element", "typelabel")  # numbers of the types, not names
                }
                yield make(header, values, where, self._everything)
            else:
                yield None
            number += 1

    def _begin(self) -> bool:
        if self._at < len(self._data):
            return True
        more = self._stream.read()
        self._before += len(self._data)
        self._data, self._at = more, 0
        return bool(more)

    def _frame(self, header: Header) -> NDArray[np.float64]:
        raw = self._take(8)
        length = -min(struct.unpack("<q", raw)[0], struct.unpack(">q", raw)[0], key=abs)
        if length not in map(len, _MAGIC):
            raise self._wrong("a frame does not begin with the name of the format")
        if (name := self._take(length)) not in _MAGIC:
            raise self._wrong(f"'{name!r}' is not known as a format of dumps")
        order = self._take(4)
        self._order = "<" if struct.unpack("<i", order)[0] == _ENDIAN else ">"
        revision, header.step, atoms, tilted = self._get("iqqi")
        if revision < 2:
            raise self._wrong("this old format does not name its columns")
        flags = np.array(self._get("6i")).reshape(3, 2)
        header.pbc = (flags == 0).all(axis=1)
        if tilted == 2:
            numbers = np.array(self._get("12d")).reshape(4, 3)
            header.cell, header.origin = numbers[:3].copy(), numbers[3].copy()
        else:
            bounds = np.array(self._get("6d")).reshape(3, 2)
            tilts = self._get("3d") if tilted else (0.0,) * 3
            try:
                header.cell, header.origin = restricted(bounds, tilts)
            except ValueError as error:
                raise self._wrong(f"of the box {error}") from None
        width = self._get("i")
        self._units = header.units = self._words() or self._units
        if header.units and header.units not in ANGSTROM:
            raise self._wrong(
                f"units '{shown(header.units, 20)}' are not known; known: {', '.join(ANGSTROM)}"
            )
        if self._take(1) != b"\0":
            header.time = self._get("d")
        header.columns = self._words().split()
        header.atoms = atoms
        if width != len(header.columns) or atoms < 0:
            raise self._wrong(
                f"a frame of {atoms} atoms names {len(header.columns)} columns of {width}"
            )
        chunks = []
        for _ in range(self._get("i")):
            n = self._get("i")
            if n < 0 or n % max(width, 1):
                raise self._wrong(f"a rank's part has {n} numbers, in rows of {width}")
            chunks.append(np.frombuffer(self._take(8 * n), dtype=self._order + "f8"))
        rows = np.concatenate(chunks) if chunks else np.zeros(0)
        if len(rows) != atoms * width:
            raise self._wrong(f"a frame has {len(rows) // max(width, 1)} of {atoms} rows")
        return rows.astype(np.float64).reshape(atoms, width)
