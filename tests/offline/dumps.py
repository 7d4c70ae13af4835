# SPDX-License-Identifier: BSD-3-Clause
"""Dumps as LAMMPS writes them, made by the tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from insitu.testing import lattice

Array = NDArray[np.float64]


def hot(cells: int = 5, seed: int = 0) -> tuple[Array, Array]:
    """Hot fcc copper, atoms within the cell."""
    r, cell = lattice("fcc", 3.63, (cells,) * 3)
    r = r + np.random.default_rng(seed).normal(0, 0.08, r.shape)
    return r % cell[0, 0], cell


def header(
    step: int, n: int, cell: Array, columns: str, *, origin: Array | None = None,
    flags: str = "pp pp pp", before: str = "",
) -> str:  # fmt: skip
    """What stands above a frame's rows; a tilted cell as its bounds."""
    low = np.zeros(3) if origin is None else origin
    high = low + np.diag(cell)
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    tilted = bool(xy or xz or yz)
    low = low + np.array([min(0, xy, xz, xy + xz), min(0, yz), 0])
    high = high + np.array([max(0, xy, xz, xy + xz), max(0, yz), 0])
    rows = [f"{a:.16e} {b:.16e}" for a, b in zip(low, high, strict=True)]
    if tilted:
        rows = [f"{row} {t:.16e}" for row, t in zip(rows, (xy, xz, yz), strict=True)]
    words = " ".join(w for w in ("xy xz yz" if tilted else "", flags) if w)
    return (
        f"{before}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{n}\n"
        f"ITEM: BOX BOUNDS {words}".rstrip()
        + "\n"
        + "\n".join(rows)
        + f"\nITEM: ATOMS {columns} \n"
    )


def rows(*columns: Sequence[object]) -> str:
    """Rows of some columns."""
    lines = zip(*columns, strict=True)
    return "".join(" ".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in line) + " \n"
                   for line in lines)  # fmt: skip


def frame(
    r: Array, cell: Array, step: int = 0, *, columns: str = "id type x y z", **more: object
) -> str:
    """A frame of one type."""
    first = {"id": range(1, len(r) + 1), "type": [1] * len(r)}
    head = [first[c] for c in columns.split() if c in first]
    return header(step, len(r), cell, columns, **more) + rows(*head, *r.T.tolist())  # type: ignore[arg-type]


def binary(r: Array, cell: Array, step: int = 0, *, units: str = "", time: float | None = None,
           order: str = "<", chunks: int = 2, style: bytes = b"DUMPCUSTOM") -> bytes:  # fmt: skip
    """A frame as ``dump … file.bin`` has it."""
    columns = b"id type x y z"
    size = np.diag(cell)
    table = np.column_stack([np.arange(1, len(r) + 1), np.ones(len(r)), r])
    out = (
        struct.pack(order + "q", -len(style))
        + style
        + struct.pack(order + "iiqqi", 1, 2, step, len(r), 0)
    )
    out += struct.pack(order + "6i", *[0] * 6)
    out += struct.pack(order + "6d", *np.column_stack([np.zeros(3), size]).ravel())
    out += struct.pack(order + "ii", 5, len(units)) + units.encode()
    out += b"\1" + struct.pack(order + "d", time) if time is not None else b"\0"
    out += struct.pack(order + "i", len(columns)) + columns + struct.pack(order + "i", chunks)
    for part in np.array_split(table, chunks):
        out += struct.pack(order + "i", part.size) + part.astype(order + "f8").tobytes()
    return out
