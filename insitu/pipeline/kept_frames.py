# SPDX-License-Identifier: BSD-3-Clause
"""Frames of each rank's atoms in memory, and the LAMMPS dumps that they go to and come from.

OVITO, ASE, MDAnalysis (of decks in Å) and LAMMPS' own ``rerun`` read the dumps. Rank 0 writes and reads
them, one rank's atoms after another's: it never holds more than those of two.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.units import ANGSTROM

#: Atoms that are made text, or read as text, at once.
_ROWS = 20_000
#: Unit styles of Å, and that without a unit: the others are named in a dump.
_ANGSTROM = ("metal", "real", "lj")
#: Digits of a position: of single precision, and those that give back its very bits.
DIGITS, EXACT = 8, 9


@dataclass(frozen=True)
class Kept:
    """A frame of this rank's atoms in memory: 20 bytes an atom, 24 with large ids.

    Parameters
    ----------
    head
        What a dump says before the atoms; their number is left open.
    atoms
        ``(n_local,)`` table: id, type, position in the deck's unit of length, code of the phase.
    units
        Unit style of the deck.
    """

    head: str
    atoms: NDArray[Any]
    units: str

    @property
    def step(self) -> int:
        """Step of the frame; on the rank that has its head."""
        return int(self.head.split("\n", 2)[1])

    @classmethod
    def of(cls, frame: Frame, codes: NDArray[np.int32]) -> Kept:
        """Return a frame as it is now, with the integers of the phases."""
        n, length = frame.n_local, ANGSTROM[frame.units]
        atoms = np.empty(n, dtype=kind(int(frame.ids[:n].max(initial=0))))
        atoms["id"], atoms["type"] = frame.ids[:n], frame.types[:n]
        atoms["r"] = frame.positions[:n] / length
        atoms["phase"] = codes
        return cls(_head(frame, length), atoms, frame.units)


def kind(largest: int) -> np.dtype[Any]:
    """Return what an atom is in memory, packed, where ids go up to the largest."""
    identity = "i8" if largest > np.iinfo(np.int32).max else "i4"
    return np.dtype([("id", identity), ("r", "f4", 3), ("phase", "i2"), ("type", "u2")])


#: An atom as ranks and files pass it on: any id.
_ANY = kind(np.iinfo(np.int64).max)


def _head(frame: Frame, length: float) -> str:
    cell, low = frame.cell / length, frame.origin / length
    high = low + np.diag(cell)
    sides = " ".join("pp" if p else "ff" for p in frame.pbc)
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    if not (xy or xz or yz):
        rows = [f"{a:.16g} {b:.16g}" for a, b in zip(low, high, strict=True)]
        box = f"ITEM: BOX BOUNDS {sides}"
    else:  # the box around the tilted one, as LAMMPS has it
        low += np.array([min(0, xy, xz, xy + xz), min(0, yz), 0.0])
        high += np.array([max(0, xy, xz, xy + xz), max(0, yz), 0.0])
        tilts = zip(low, high, (xy, xz, yz), strict=True)
        rows = [f"{a:.16g} {b:.16g} {t:.16g}" for a, b, t in tilts]
        box = f"ITEM: BOX BOUNDS xy xz yz {sides}"
    return "\n".join(
        ["ITEM: TIMESTEP", str(frame.step), "ITEM: NUMBER OF ATOMS", "{atoms}", box, *rows,
         "ITEM: ATOMS id type x y z phase", ""]
    )  # fmt: skip


def write(
    ranks: Ranks, path: Path, mode: str, frames: Sequence[Kept], digits: int = DIGITS
) -> str | None:
    """Write frames into a dump; return what went wrong, on the rank where it did; collective.

    Parameters
    ----------
    ranks
        That have the frames' atoms, each its own.
    path, mode
        The file, which rank 0 opens, and how: "w" or "a".
    frames
        The same number on each rank.
    digits
        Of the positions.
    """
    trouble: str | None = None
    for kept in frames:
        trouble = _write_one(ranks, path, mode, kept, digits, trouble)
        mode = "a"
    return trouble


def _write_one(
    ranks: Ranks, path: Path, mode: str, kept: Kept, digits: int, trouble: str | None
) -> str | None:
    """Write a frame, unless something went wrong before; collective."""
    sizes = ranks.everyones(np.array([[float(len(kept.atoms))]]))[:, 0].astype(int)
    rows = kept.atoms.astype(_ANY)
    line = "%d %d" + f" %.{digits}g" * 3 + " %d\n"
    file: Any = None

    def begin() -> None:
        nonlocal file
        file = open(path, mode)  # noqa: SIM115 (closed below, whatever happens)
        if mode == "w" and kept.units not in _ANGSTROM:
            file.write(f"ITEM: UNITS\n{kept.units}\n")  # else a reader takes them for Å
        file.write(kept.head.replace("{atoms}", str(int(sizes.sum()))))
        _put(file, line, rows)

    if ranks.rank == 0:
        trouble = trouble or guarded(begin)
    for r in range(1, ranks.size):  # one after another: rank 0 holds one rank's at a time
        mine = {0: rows.view(np.uint8)} if ranks.rank == r else {}
        most = {r: int(sizes[r]) * rows.itemsize} if ranks.rank == 0 else {}
        for part in ranks.trade(mine, most, np.uint8).values():
            trouble = trouble or guarded(partial(_put, file, line, part.view(rows.dtype)))
    if file is not None:
        closed = guarded(file.close)
        trouble = trouble or closed
    return trouble


def _put(file: Any, line: str, atoms: NDArray[Any]) -> None:
    """Write atoms as lines of a dump."""
    for k in range(0, len(atoms), _ROWS):
        some = atoms[k : k + _ROWS]
        columns = [some["id"], some["type"], *some["r"].T, some["phase"]]
        flat = [v for row in zip(*(c.tolist() for c in columns), strict=True) for v in row]
        file.write(line * len(some) % tuple(flat))


def read(ranks: Ranks, path: Path, units: str, first_step: int) -> tuple[list[Kept], str | None]:
    """Return the frames of a dump of :func:`write` from before a step, and what is wrong; collective.

    Each rank gets an equal part of a frame's atoms, whichever rank had them: they are only written again.

    Parameters
    ----------
    ranks
        That share the frames' atoms.
    path
        The file, which rank 0 reads.
    units
        Unit style of the deck.
    first_step
        Frames of this step and later ones are left out.

    Returns
    -------
    frames, trouble
        No frames, and on rank 0 a sentence, if the file is damaged.
    """
    dump: _Dump | None = None
    found: list[Kept] = []
    trouble: str | None = None
    while True:
        head, atoms = "", 0
        mine = rows = np.zeros(0, dtype=_ANY)

        def begin() -> None:
            nonlocal dump, head, atoms
            dump = dump or _Dump(path)
            head, atoms = dump.next_frame(first_step)

        def take(count: int) -> None:
            nonlocal rows
            assert dump is not None
            rows = dump.rows(count)

        if ranks.rank == 0:
            trouble = trouble or guarded(begin)
        there, total = ranks.sum(np.array([float(bool(head)), float(atoms)]))
        if not there:
            break
        edges = [round(total) * r // ranks.size for r in range(ranks.size + 1)]
        for r in range(ranks.size):  # one after another: rank 0 holds one rank's at a time
            count = edges[r + 1] - edges[r]
            if ranks.rank == 0:
                rows = np.zeros(count, dtype=_ANY)
                trouble = trouble or guarded(partial(take, count))
            if r == 0:
                mine = rows
                continue
            sent = {r: rows.view(np.uint8)} if ranks.rank == 0 else {}
            most = {0: count * _ANY.itemsize} if ranks.rank == r else {}
            for part in ranks.trade(sent, most, np.uint8).values():
                mine = part.view(_ANY).copy()
        found.append(Kept(head, mine.astype(kind(int(mine["id"].max(initial=0)))), units))
    if dump is not None:
        dump.file.close()
    damaged = ranks.sum(np.array([float(trouble is not None)]))[0]
    return ([] if damaged else found), trouble


def cut(path: Path, first_step: int) -> None:
    """Leave of a dump the frames before a step, those that are whole."""
    keep, begun, next_is_step = 0, 0, False
    with open(path, "rb+") as file:
        while line := file.readline():
            if next_is_step and int(line) >= first_step:
                keep = begun
                break
            next_is_step = line.startswith(b"ITEM: TIMESTEP")
            if next_is_step:
                begun = file.tell() - len(line)
            keep = file.tell()
        file.truncate(keep)


class _Dump:
    """Reads the frames of a dump of :func:`write`.

    Raises
    ------
    OSError, ValueError
        It cannot be read; it is damaged. So do the methods.
    """

    def __init__(self, path: Path) -> None:
        self.file = open(path)  # noqa: SIM115 (read frame by frame)

    def next_frame(self, first_step: int) -> tuple[str, int]:
        """Return head and number of atoms of the next frame from before a step, or an empty head."""
        while True:
            head: list[str] = []
            for line in self.file:
                if line.startswith("ITEM: UNITS"):
                    next(self.file)
                    continue
                head.append(line)
                if line.startswith("ITEM: ATOMS"):
                    break
            if not head:
                return "", 0
            if not head[-1].startswith("ITEM: ATOMS"):
                raise ValueError("its last frame is not whole")
            step, atoms = int(head[1]), int(head[3])
            if step < first_step:
                return "".join([*head[:3], "{atoms}\n", *head[4:]]), atoms
            collections.deque(islice(self.file, atoms), maxlen=0)

    def rows(self, count: int) -> NDArray[Any]:
        """Return the next atoms of a frame."""
        rows = np.empty(count, dtype=_ANY)
        for k in range(0, count, _ROWS):  # as words they are many times as large
            some = rows[k : k + _ROWS]
            flat = np.array(" ".join(islice(self.file, len(some))).split(), dtype=np.float64)
            if flat.size != 6 * len(some):
                raise ValueError("its last frame is not whole")
            table = flat.reshape(-1, 6)
            some["id"], some["type"], some["phase"] = table[:, 0], table[:, 1], table[:, 5]
            some["r"] = table[:, 2:5]
        return rows
