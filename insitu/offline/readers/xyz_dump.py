# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS' `dump xyz`, which has types where other XYZ files have elements; read as a stream."""

from __future__ import annotations

import re

import numpy as np

from insitu.offline.readers.dump_frame import CutError, Header
from insitu.offline.readers.lammps_dump import TextDump
from insitu.offline.readers.soundness import shown


def is_xyz_of_types(head: bytes) -> bool:
    """Return whether a file begins as `dump xyz`."""
    return bool(
        re.match(rb"\s*\d+[ \t]*\r?\n[^\n]*\n[ \t]*\d+([ \t]+[-+.\deE]+){3}[ \t]*\r?\n", head)
    )


def is_xyz(head: bytes) -> bool:
    """Return whether a file begins as XYZ: also with elements, and with columns that its comment names."""
    number = rb"[ \t]+[-+.\deE]+"
    row = rb"[ \t]*(?:[A-Za-z]\S*|\d+)(?:%b){3}(?=\s|$)" % number
    return bool(re.match(rb"\s*\d+[ \t]*\r?\n(?:[^\n]*Properties=|[^\n]*\n%b)" % row, head))


class XyzDump(TextDump):
    """A dump of the style xyz: types and positions, no box; arguments as of the class that it extends."""

    def _header(self, header: Header) -> bool:
        """Read a number of atoms and a comment; False: the file has ended."""
        line = self._next()
        while line is not None and not line.strip():
            line = self._next()
        if line is None:
            if self._text[self._at :].strip():
                self._at = len(self._text)
                raise CutError
            return False
        if not line.strip().isdigit():
            raise self._wrong(
                f"'{shown(line)}' stands where a frame should begin with its number of atoms; correct it, "
                "or write a dump of the style custom"
            )
        header.atoms, comment = int(line), self._next()
        if comment is None:
            self._at = len(self._text)
            raise CutError
        text = comment.decode(errors="replace")
        if step := re.search(r"Timestep:?\s+(-?\d+)", text):
            header.step = int(step[1])
        if time := re.search(r"Time:\s+([-+.\deE]+)", text):
            header.time = float(time[1])
        header.cell, header.pbc = np.zeros((3, 3)), np.zeros(3, dtype=bool)
        header.columns = ["type", "x", "y", "z"]
        return True
