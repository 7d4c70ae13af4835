# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS dumps as text, read as a stream: `dump atom`, `dump custom` and their compressed forms.

The count of rows is checked. A frame that was cut, at the end of a file or where a killed run's dump
was appended to, is named and left out; the frames around it stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.compiled import compiled
from insitu.frame.units import ANGSTROM
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import (
    POSITIONS,
    CutError,
    Header,
    Tell,
    Wanted,
    make,
    restricted,
)  # fmt: skip
from insitu.offline.readers.soundness import shown
from insitu.offline.readers.streams import Stream

_SKIP, _NUMBER, _WORD = 0, 1, 2
_WORD_BYTES = 32


class TextDump:
    """A dump as text.

    Parameters
    ----------
    stream
        The file.
    tell
        Is told which frames were left out, and why.
    everything
        Keep all columns of numbers.
    """

    def __init__(self, stream: Stream, tell: Tell, everything: bool = False) -> None:
        self._stream, self._tell, self._everything = stream, tell, everything
        self._text, self._at, self._line, self._ended = b"", 0, 0, False
        self._units = ""

    def _fill(self) -> bool:
        more = b"" if self._ended else self._stream.read()
        self._ended = not more
        self._text, self._at = self._text[self._at :] + more, 0
        return not self._ended

    def _next(self) -> bytes | None:
        """Return the next line that has an end, without it; None: there is none."""
        while (stop := self._text.find(b"\n", self._at)) < 0:
            if not self._fill():
                return None
        line = self._text[self._at : stop]
        self._at, self._line = stop + 1, self._line + 1
        return line

    def _demand(self) -> str:
        line = self._next()
        if line is None:
            self._at = len(self._text)
            raise CutError
        if line.startswith(b"ITEM:"):  # appended to a dump that was cut
            self._at -= len(line) + 1
            self._line -= 1
            raise CutError
        return line.decode(errors="replace").strip()

    def _wrong(self, what: str) -> SettingError:
        return SettingError(f"'{self._stream.path}', line {self._line}: {what}")

    def frames(self, wanted: Wanted) -> Iterator[Configuration | None]:
        """Yield the complete frames in their order; None for one that is not wanted.

        Raises
        ------
        SettingError
            A line is not what LAMMPS writes.
        """
        number = 0
        while True:
            header = Header(units=self._units)
            try:
                if not self._header(header):
                    return
                self._units = header.units
                where = f"'{self._stream.path}', frame {number}{header.name}"
                values = self._rows(header, wanted(number))
            except CutError as cut:
                self._tell(
                    f"'{self._stream.path}': frame {number}{header.name} is incomplete "
                    f"({str(cut) or 'its header was cut'}, line {self._line}) and left out"
                    + ("; the frames before it are complete" if number else "")
                )
                continue
            number += 1
            if values is None:
                yield None
            else:
                yield make(header, values, where, self._everything)

    def _header(self, header: Header) -> bool:
        """Read a header; False: the file has ended."""
        begun = False
        while True:
            line = self._next()
            if line is None:
                if begun or self._text[self._at :].strip():
                    self._at = len(self._text)
                    raise CutError
                return False
            if not line.strip():
                continue
            if not line.startswith(b"ITEM: "):
                raise self._wrong(
                    f"'{shown(line)}' stands where a frame should begin or go on "
                    "(ITEM: …); the file is no LAMMPS dump, or was changed"
                )
            words = line.decode(errors="replace").split()[1:]
            item = " ".join(w for w in words if w.isupper()) if words[:1] != ["ATOMS"] else "ATOMS"
            if begun and item in ("TIMESTEP", "UNITS") and header.step is not None:
                self._at -= len(line) + 1
                self._line -= 1
                raise CutError
            begun = True
            if item == "ATOMS":
                header.columns = words[1:]
                break
            if item == "UNITS":
                header.units = self._demand()
                if header.units not in ANGSTROM:
                    known = ", ".join(ANGSTROM)
                    raise self._wrong(
                        f"units '{shown(header.units)}' are not known; known: {known}"
                    )
            elif item == "TIME":
                header.time = self._number(float)
            elif item == "TIMESTEP":
                header.step = self._number(int)
            elif item == "NUMBER OF ATOMS":
                header.atoms = self._number(int)
            elif item == "BOX BOUNDS":
                self._box(header, words[2:])
            else:
                raise self._wrong(
                    f"'ITEM: {shown(' '.join(words))}' is not of a dump of atoms; give a dump of the "
                    "styles atom or custom"
                )
        if header.atoms is None or header.atoms < 0 or header.cell is None:
            raise self._wrong(
                "the frame says no NUMBER OF ATOMS or no BOX BOUNDS above its rows; dump it anew"
            )
        return True

    def _number(self, kind: type[Any]) -> Any:
        text = self._demand()
        try:
            return kind(text)
        except ValueError:
            raise self._wrong(f"'{shown(text)}' is no number; dump the frame anew") from None

    def _box(self, header: Header, words: list[str]) -> None:
        rows = []
        for _ in range(3):
            text = self._demand()
            try:
                rows.append([float(w) for w in text.split()])
            except ValueError:
                raise self._wrong(
                    f"'{shown(text)}' are no bounds of a box; correct the line, or dump the frame anew"
                ) from None
        widths = {len(r) for r in rows}
        general = words[:2] == ["abc", "origin"]
        if widths not in ({2}, {3}, {4}) or general != (widths == {4}):
            raise self._wrong(
                "the bounds of the box have not 2, 3 (tilted) or 4 numbers a line each; correct them"
            )
        box = np.array(rows)
        if general:
            header.cell, header.origin = box[:, :3].copy(), box[:, 3].copy()
        else:
            tilts = box[:, 2] if box.shape[1] == 3 else np.zeros(3)
            try:
                header.cell, header.origin = restricted(box[:, :2], (tilts[0], tilts[1], tilts[2]))
            except ValueError as error:
                raise self._wrong(f"of the box {error}; correct the bounds") from None
        flags = [w for w in words if len(w) == 2 and set(w) <= set("pfsm")]
        if len(flags) == 3:  # old dumps have none: periodic
            header.pbc = np.array([w == "pp" for w in flags])

    def _kinds(self, names: list[str], wanted: bool) -> NDArray[np.uint8]:
        """Return what each column is, by the first row."""
        while self._text.find(b"\n", self._at) < 0 and self._fill():
            pass
        stop = self._text.find(b"\n", self._at)
        first = self._text[self._at : stop if stop >= 0 else self._at].split()
        kinds = np.full(len(names), _SKIP, dtype=np.uint8)
        if not wanted:
            return kinds
        for k, name in enumerate(names):
            needed = name in ("id", "type", "element", "typelabel") or any(
                name in columns for columns, _ in POSITIONS
            )
            if needed or self._everything:
                kinds[k] = _NUMBER
            if name == "type" and k < len(first) and not _is_number(first[k]):
                kinds[k] = _WORD  # labels of types
        for k, name in enumerate(names):
            if name in ("element", "typelabel"):
                kinds[k] = _WORD
        return kinds

    def _rows(self, header: Header, wanted: bool) -> dict[str, NDArray[Any]] | None:
        """Return the columns of the rows that follow; None where they are not wanted."""
        assert header.atoms is not None
        kinds = self._kinds(header.columns, wanted)
        n_numbers, n_words = int((kinds == _NUMBER).sum()), int((kinds == _WORD).sum())
        parts: list[tuple[NDArray[np.float64], NDArray[np.uint8]]] = []
        left = header.atoms
        while left:
            # Not more than the text can hold: the number in a header may be anything.
            room = min(left, (len(self._text) - self._at) // max(len(kinds), 1) + 1)
            numbers = np.empty((room, n_numbers))
            words = np.empty((room, n_words, _WORD_BYTES), dtype=np.uint8)
            rows, length, column = compiled().read_rows(self._text, self._at, kinds, numbers, words)
            parts.append((numbers[:rows], words[:rows]))
            left, self._at, self._line = left - rows, self._at + length, self._line + rows
            if column >= 0:
                self._bad_row(header, header.atoms - left, column)
            if left and rows < room and not self._fill():
                self._at = len(self._text)
                raise CutError(f"{header.atoms - left} of {header.atoms} rows")
        if not wanted:
            return None
        parts.append(
            (np.empty((0, n_numbers)), np.empty((0, n_words, _WORD_BYTES), dtype=np.uint8))
        )
        numbers = np.concatenate([p[0] for p in parts])
        words = np.concatenate([p[1] for p in parts])
        values: dict[str, NDArray[Any]] = {}
        for kind, table in ((_NUMBER, numbers), (_WORD, words)):
            for at, k in enumerate(np.flatnonzero(kinds == kind)):
                column_values = table[:, at]
                if kind == _WORD:
                    column_values = np.ascontiguousarray(column_values).view(f"S{_WORD_BYTES}")[
                        :, 0
                    ]
                values[header.columns[k]] = column_values
        return values

    def _bad_row(self, header: Header, rows: int, column: int) -> None:
        line = self._text[self._at : self._text.find(b"\n", self._at)]
        if (again := line.find(b"ITEM:")) >= 0:  # the frame was cut, and the dump appended to
            self._at += again
            raise CutError(f"{rows} of {header.atoms} rows")
        self._line += 1
        text, columns = shown(line, 80), shown(" ".join(header.columns), 200)
        n = len(header.columns)
        if column < n and column < len(line.split()):
            raise self._wrong(
                f"'{shown(line.split()[column], 40)}' cannot be the column "
                f"{shown(header.columns[column])} of '{text}'; correct the row"
            )
        raise self._wrong(
            f"'{text}' has {len(line.split())} columns and the frame {n} ({columns}); "
            "correct the row"
        )


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
