# SPDX-License-Identifier: BSD-3-Clause
"""Where in a box to look for a crystal: the densest part of a set of atoms, and the ball around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.frame.cell import heights
from insitu.frame.ranks.reduce import Ranks

#: Radius of the ball in units of (volume an atom)^(1/3): about 3,000 atoms.
RADIUS = 9.0
#: Edge of the grid's cells in that unit, and most cells along a vector of the box.
_EDGE, _MOST = 3.0, 48
#: Where the grid begins, so that atoms of a perfect crystal are not on its borders [fractional].
_OFFSET = np.array([0.00317, 0.00431, 0.00569])


@dataclass(frozen=True)
class Box:
    """A box: ``(3, 3)`` vectors as rows [Å], ``(3,)`` corner, ``(3,)`` which directions are periodic."""

    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    pbc: NDArray[np.bool_]

    def fractional(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return fractional coordinates ``(n, 3)``."""
        return np.asarray((positions - self.origin) @ np.linalg.inv(self.cell))


def densest(
    positions: NDArray[np.float64], box: Box, ranks: Ranks
) -> tuple[NDArray[np.float64], float, int] | None:
    """Return where a set of atoms is densest; collective, the same on all ranks.

    Atoms are counted in the cells of a grid, and each cell with those around it.

    Parameters
    ----------
    positions
        ``(n, 3)`` of this rank's atoms of the set [Å].
    box
        The box.
    ranks
        Among which the atoms are dealt out.

    Returns
    -------
    center, length, atoms
        ``(3,)`` [Å], (volume an atom)^(1/3) there [Å], atoms of the set on all ranks; None: it has none.
    """
    s = box.fractional(positions) if len(positions) else np.empty((0, 3))
    total = round(float(ranks.sum(np.array([float(len(s))]))[0]))
    if not total:
        return None
    low = np.zeros(3)
    span = np.ones(3)
    if (
        not box.pbc.all()
    ):  # beyond the box' faces there may be atoms, or there may be vacuum before them
        ends = np.concatenate([-s.min(axis=0), s.max(axis=0)]) if len(s) else np.full(6, -1e300)
        ends = ranks.largest(ends)
        low = np.where(box.pbc, 0.0, -ends[:3])
        span = np.where(box.pbc, 1.0, np.maximum(ends[3:] + ends[:3], 1e-9))
    height = heights(box.cell) * span
    volume = abs(float(np.linalg.det(box.cell))) * float(np.prod(span))
    length = float(np.cbrt(volume / total))
    n = np.clip(np.rint(height / (_EDGE * length)).astype(int), 1, _MOST)
    at = (s - low) / span - _OFFSET
    at = np.where(box.pbc, at % 1.0, np.clip(at, 0.0, 1.0 - 1e-12))
    place = np.minimum((at * n).astype(int), n - 1)
    flat = np.ravel_multi_index(tuple(place.T), tuple(n))
    counts = ranks.sum(np.bincount(flat, minlength=int(np.prod(n))).astype(np.float64))
    around = counts.reshape(tuple(n))
    cells = np.ones(tuple(n))
    for axis in range(3):
        if n[axis] < 3:
            continue
        around, cells = (_with_next(a, axis, bool(box.pbc[axis])) for a in (around, cells))
    best = np.unravel_index(int(np.argmax(around / cells)), tuple(n))
    density = around[best] / cells[best] * np.prod(n) / volume
    center = ((np.array(best) + 0.5) / n + _OFFSET) * span + low
    return np.asarray(box.origin + center @ box.cell), float(np.cbrt(1.0 / density)), total


def _with_next(a: NDArray[np.float64], axis: int, periodic: bool) -> NDArray[np.float64]:
    """Return the sum of each cell and those before and after it."""
    if periodic:
        return np.asarray(a + np.roll(a, 1, axis) + np.roll(a, -1, axis))
    wide = np.pad(a, [(int(k == axis),) * 2 for k in range(3)])
    n = a.shape[axis]
    return sum((np.take(wide, range(k, k + n), axis) for k in range(3)), np.zeros_like(a))


def around(
    positions: NDArray[np.float64], box: Box, center: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the atoms of a ball, periodic images among them.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    box
        The box.
    center, radius
        Of the ball [Å].

    Returns
    -------
    atoms, vectors
        ``(k,)`` which atom each is, ``(k, 3)`` from the centre [Å].
    """
    s = (positions - center) @ np.linalg.inv(box.cell)
    s -= np.where(box.pbc, np.rint(s), 0.0)
    most = np.where(box.pbc, np.floor(radius / heights(box.cell) + 0.5), 0).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), axis=-1)
    atoms, vectors = [], []
    r = s @ box.cell
    for shift in grid.reshape(-1, 3) @ box.cell:
        v = r + shift
        inside = np.flatnonzero((v * v).sum(axis=1) <= radius * radius)
        atoms.append(inside)
        vectors.append(v[inside])
    return np.concatenate(atoms), np.concatenate(vectors)


def octant(
    positions: NDArray[np.float64], box: Box, center: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return in which eighth around a centre atoms are ``(n,)``, 0 … 7: independent parts of a sample."""
    s = (positions - center) @ np.linalg.inv(box.cell)
    s -= np.where(box.pbc, np.rint(s), 0.0)
    return np.asarray((s >= 0.0) @ np.array([1, 2, 4]), dtype=np.int64)
