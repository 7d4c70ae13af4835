# SPDX-License-Identifier: BSD-3-Clause
"""Whether a text file was cut, where formats have no count of their rows, or libraries do not look.

A file that ends within a number is a whole file with another number to a reader. Here the last line is
compared with those before it: writers give the numbers of a column equally many decimals.
"""

from __future__ import annotations

import re
from pathlib import Path

from insitu.errors import SettingError
from insitu.offline.readers.dump_frame import Tell
from insitu.offline.readers.soundness import shown
from insitu.offline.readers.streams import Stream

#: Bytes at the end that are looked at, and lines before the last one.
_TAIL, _LINES = 1 << 14, 20
#: Numbers with equally many decimals by which a writer is known to give all as many. Others leave out
#: zeros at the end, and fewer decimals prove nothing.
_ENOUGH = 9
#: Rows of equal length by which a writer is known to give all columns a width.
_ROWS = 4
#: Columns of a row of PDB up to the end of z.
_COORDINATES = 54
#: Styles of rows in data files, by their number of columns (with and without images).
STYLES = {5: "atomic", 8: "atomic", 6: "charge", 9: "charge", 7: "full", 10: "full"}
_NUMBER = re.compile(r"[-+]?\d*\.\d*([eE][-+]?\d*)?$")
_SECTION = re.compile(r"\s*[A-Z][A-Za-z ]+(#.*)?$")


def _decimals(word: str) -> int:
    mantissa = re.split("[eE]", word)[0]
    return len(mantissa.partition(".")[2]) + (len(word) - len(mantissa))


def cut_line(lines: list[str]) -> bool:
    """Return whether the last of some lines ends before those before it: in its columns or its decimals.

    Parameters
    ----------
    lines
        The last one has no newline at its end.
    """
    last, before = lines[-1].split(), [line.split() for line in lines[-1 - _LINES : -1] if line]
    if not last or not before:
        return False
    if len(last) < len(before[-1]):
        return True
    widths = {len(line) for line in lines[-1 - _LINES : -1] if len(line.split()) == len(last)}
    if len(before) >= _ROWS and len(widths) == 1 and len(lines[-1]) < min(widths):
        return True  # columns of a fixed width
    same = [words for words in before if len(words) == len(last)]
    places = [_decimals(word) for words in same for word in words if _NUMBER.match(word)]
    fixed = len(places) >= _ENOUGH and len(set(places)) == 1
    return fixed and _decimals(last[-1]) < places[0]


def cut_text(path: str) -> str:
    """Return the last line of a text file if that was cut, ``""`` if nothing speaks for it."""
    with open(path, "rb") as file:
        file.seek(max(0, Path(path).stat().st_size - _TAIL))
        tail = file.read()
    if not tail or tail.endswith(b"\n") or b"\0" in tail:
        return ""
    lines = tail.decode(errors="replace").splitlines()
    if path.lower().endswith(".gro"):  # the box, whose numbers have equally many decimals
        words = lines[-1].split()
        odd = len({_decimals(w) for w in words}) > 1 or len(words) not in (3, 9)
        return lines[-1] if odd else ""
    return lines[-1] if cut_line(lines) else ""


def check_data(path: str) -> str | None:
    """Check that a LAMMPS data file has the rows that its header says; return its atom style.

    Raises
    ------
    SettingError
        The section Atoms ends too early, or a row of it has other columns.

    Returns
    -------
    str or None
        ``atomic``, ``charge``, ``full`` by its columns, None where the file names it itself.
    """
    rows = Path(path).read_text(errors="replace").splitlines(keepends=True)
    found = next(
        (m for row in rows[:100] if (m := re.match(r"\s*(\d+)\s+atoms\s*(#.*)?$", row))), None
    )
    n = int(found[1]) if found else 0
    at = next((k for k, row in enumerate(rows) if re.match(r"\s*Atoms\s*(#.*)?$", row)), None)
    if at is None:
        raise SettingError(
            f"'{path}' has no section Atoms, of {n} atoms; copy it anew if it was cut, or write it anew "
            "(write_data)"
        )
    seen = width = 0
    last: list[str] = []
    for k, row in enumerate(rows[at + 1 :], at + 2):
        text = row.split("#")[0]
        if not text.strip():
            continue
        if _SECTION.match(row):
            break
        words = text.split()
        width = width or len(words)
        seen += 1
        last = [*last[-1 - _LINES :], text.rstrip("\n")]
        partial = not row.endswith("\n") and cut_line(last)
        if (len(words) != width and k < len(rows)) or seen > n:
            what = f"{len(words)} columns, those before it {width}"
            raise SettingError(
                f"'{path}', line {k}: '{shown(row.strip())}' in the section Atoms "
                + (f"is a row more than the {n} atoms of its header" if seen > n else f"has {what}")
                + "; correct it, or write the file anew (write_data)"
            )
        if partial or len(words) != width:
            seen -= 1
            break
    if seen < n:
        raise SettingError(
            f"'{path}' was cut: its section Atoms has {seen} of {n} complete rows (line {at + 1} on); copy "
            "it anew, or write it anew (write_data)"
        )
    return None if "#" in rows[at] else STYLES.get(width, "atomic")


def check_pdb(path: str) -> str:
    """Return what to say of the end of a PDB file, ``""`` if it is one.

    Raises
    ------
    SettingError
        Its first model was cut.
    """
    begun = ended = number = atoms = 0
    record = line = ""
    with open(path, errors="replace") as file:
        for line in file:
            number += 1
            record = line[:6].rstrip()
            begun += record == "MODEL"
            ended += record == "ENDMDL"
            atoms += record in ("ATOM", "HETATM")
    if not atoms or (begun and ended == begun):
        return ""
    if begun > 1:  # MDAnalysis leaves the last one out if it has fewer atoms than the first
        return f"'{path}' was cut: its last model has no ENDMDL, and what followed it is lost"
    whole = record == "END" or (record in ("ATOM", "HETATM") and len(line) >= _COORDINATES)
    if begun or not (whole or line.endswith("\n")):
        raise SettingError(
            f"'{path}' was cut: line {number}, '{shown(line.strip())}', is its last and "
            + ("its model has no ENDMDL" if begun else "does not end")
            + "; copy it anew"
        )
    if record in ("ATOM", "HETATM"):
        return f"'{path}' ends with an atom and without the record END: if it was cut, atoms are missing"
    return ""


def whole_frames(path: str, tell: Tell) -> str | int:
    """Return how many frames of an XYZ file are complete, ``""`` where it cannot be told."""
    stream, frames, left, text = Stream(path), 0, -1, b""
    size = 0  # of the frame
    before: list[bytes] = []  # its last rows
    try:
        while more := stream.read():
            lines = (text + more).split(b"\n")
            text = lines.pop()
            before = [*before, *lines][-_LINES:]
            for line in lines:
                if left > 0:
                    left -= 1
                elif line.strip():
                    left = int(line) + 1
                    size = left - 1
                frames += left == 0
                left = -1 if left == 0 else left
        if left == 1 and text.strip():
            rows = [
                row.decode(errors="replace")
                for row in (*before[max(len(before) - size + 1, 0) :], text)
            ]
            if not cut_line(rows):
                return frames + 1  # the last row need not end with a newline
        if left > 0 or text.strip():
            tell(
                f"'{path}': frame {frames} is incomplete (the file ends in it) and left out; the "
                "frames before it are complete"
            )
        return frames
    except (ValueError, SettingError):
        return ""
    finally:
        stream.close()
