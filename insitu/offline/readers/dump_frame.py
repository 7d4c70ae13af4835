# SPDX-License-Identifier: BSD-3-Clause
"""What a frame of a LAMMPS dump is made of, as text or binary."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.soundness import shown, whole

#: Tells what was left out.
Tell = Callable[[str], None]
#: Whether frame k of a file is wanted.
Wanted = Callable[[int], bool]

#: Columns with positions, and whether these are fractions of the cell; what comes first is taken.
POSITIONS = (
    (("x", "y", "z"), False), (("xs", "ys", "zs"), True), (("xu", "yu", "zu"), False),
    (("xsu", "ysu", "zsu"), True),
)  # fmt: skip
#: Columns that are read whatever is asked for: each has to be there once.
_READ = re.compile("id|type|element|i[xyz]|[xyz](s|u|su)?")


class CutError(Exception):
    """A frame ends before it is complete."""


@dataclass
class Header:
    """What stands above the rows of a frame."""

    step: int | None = None
    time: float | None = None
    units: str = ""
    atoms: int | None = None
    cell: NDArray[np.float64] | None = None
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.ones(3, dtype=bool))
    columns: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the frame is called in messages."""
        return "" if self.step is None else f" (step {self.step})"


def restricted(
    bounds: NDArray[np.float64], tilts: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cell and origin of LAMMPS' restricted triclinic box.

    Parameters
    ----------
    bounds
        ``(3, 2)`` of the box around it, as dumps have them.
    tilts
        xy, xz, yz.

    Raises
    ------
    ValueError
        An end is below its beginning.
    """
    xy, xz, yz = tilts
    low = bounds[:, 0] - np.array([min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0])
    high = bounds[:, 1] - np.array([max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0])
    size = high - low
    if (size < 0).any():
        raise ValueError(f"an end is below its beginning: {low.tolist()}, {high.tolist()}")
    cell = np.array([[size[0], 0.0, 0.0], [xy, size[1], 0.0], [xz, yz, size[2]]])
    return cell, low


def make(
    header: Header, values: dict[str, NDArray[Any]], where: str, everything: bool = False
) -> Configuration:
    """Return the configuration of a frame's columns.

    Raises
    ------
    SettingError
        There are no positions, or two columns of a name; an id or a type is no whole number.
    """
    assert header.cell is not None
    read = [c for c in header.columns if _READ.fullmatch(c)]
    if len(set(read)) < len(read):
        twice = next(c for c in read if read.count(c) > 1)
        raise SettingError(
            f"{where} has the column {shown(twice)} twice; which is meant? Name one of them otherwise in "
            "its line ITEM: ATOMS"
        )
    found = next((p for p in POSITIONS if all(c in values for c in p[0])), None)
    if found is None:
        raise SettingError(
            f"{where} has the columns {shown(' '.join(header.columns), 200)}, and no positions; dump "
            "x y z, xs ys zs, xu yu zu or xsu ysu zsu"
        )
    r = np.stack([values[c] for c in found[0]], axis=1).astype(np.float64)
    if found[1]:
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is found later
            r = r @ header.cell + header.origin
    kinds = values.get("type")
    labels = None
    if kinds is not None and kinds.dtype.kind in "SU":  # labels of types
        labels, which = np.unique(_text(kinds), return_inverse=True)
        kinds, labels = which + 1, labels[which]
    names = values.get("element", values.get("typelabel", labels))
    ids = values.get("id")
    more = {k: v for k, v in values.items() if v.dtype.kind not in "SU"} if everything else {}
    return Configuration(
        r, header.cell, header.origin, header.pbc, header.step, header.time, header.units,
        None if ids is None else whole(ids, "id", where, np.int64),
        None if kinds is None else whole(kinds, "type", where, np.int32),
        None if names is None else _text(names), more,
    )  # fmt: skip


def _text(names: NDArray[Any]) -> NDArray[np.str_]:
    """Return names as text."""
    if names.dtype.kind == "U":
        return names
    try:
        return names.astype("U")  # ASCII, fast
    except UnicodeDecodeError:
        return np.char.decode(names, "utf-8", "replace")
