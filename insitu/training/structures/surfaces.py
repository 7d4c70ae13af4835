# SPDX-License-Identifier: BSD-3-Clause
"""Crystals with surfaces: slabs, clusters, islands and single atoms on them, vacancies, filled holes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.perfect import LATTICES

#: Directions of the faces, in terms of the orthogonal cell's axes.
_FACES = np.array(
    [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (2, 1, 0), (2, 1, 1)],
    dtype=float,
)  # fmt: skip
#: Share of a bulk atom's neighbours that an atom needs for its label.
_LEAST = 0.3
#: Holes of a lattice, in fractions of the orthogonal cell.
_HOLES: dict[str, list[tuple[float, float, float]]] = {
    "fcc": [(0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)],
    "bcc": sorted({(p[0], p[1], p[2]) for x in (0.25, 0.75) for p in permutations((0.0, 0.5, x))}),
    "hcp": [(0, 2 / 3, 0.25), (0.5, 1 / 6, 0.25), (0, 2 / 3, 0.75), (0.5, 1 / 6, 0.75)],
}  # fmt: skip


def block(name: str, atoms: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return a lattice's positions ``(n, 3)`` in a cubic-like cell ``(3, 3)``, and its nearest distance.

    One atom has a unit of volume; the origin is the middle.
    """
    r, cell, width, _, _ = _cells(name, atoms)
    return r, cell, width


def _cells(
    name: str, atoms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, NDArray[np.int64], NDArray[np.float64]]:
    """Return what :func:`block` does, the cells' places ``(m, 1, 3)`` in it and a cell's edges ``(3,)``."""
    lengths, basis = LATTICES[name]
    edges = np.asarray(lengths, dtype=float) / np.cbrt(np.prod(lengths) / len(basis))
    repeat = np.maximum(2, np.rint(np.cbrt(atoms) / edges)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(k) for k in repeat], indexing="ij"), -1)
    grid = grid.reshape(-1, 1, 3)
    r = ((grid + np.asarray(basis)) * edges).reshape(-1, 3)
    width = float(np.linalg.norm(r[1:] - r[0], axis=1).min())
    return r, np.diag(edges * repeat), width, grid, edges


def coordination(
    r: NDArray[np.float64], cell: NDArray[np.float64], reach: float
) -> NDArray[np.int64]:
    """Return the number of neighbours ``(n,)`` within a distance, in a periodic orthogonal cell."""
    side, count = np.diag(cell), np.zeros(len(r), dtype=np.int64)
    for k, at in enumerate(r):
        d = r - at
        d -= side * np.rint(d / side)
        count[k] = int(((d**2).sum(axis=1) < reach**2).sum()) - 1
    return count


def open_crystal(
    rng: np.random.Generator, name: str, atoms: int = 420
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_], float]:
    """Return a lattice with surfaces in a periodic cell with a vacuum.

    A slab along one axis, or a cluster between planes, or a round one; islands of an outer layer or
    single atoms on it, vacancies. Atoms with few neighbours have no label.

    Returns
    -------
    positions, cell, labels, width
        ``(n, 3)``, ``(3, 3)``, ``(n,)``, and the nearest distance.
    """
    kind = rng.integers(4)
    r, cell, width = block(name, atoms * (1 if kind < 2 else 2))
    side, gap = np.diag(cell).copy(), 3.0 + 3.0 * rng.random()
    if kind < 2:  # a slab of whole or broken layers
        axis = int(rng.integers(3))
        side[axis] += gap
        normal = np.eye(3)[axis]
        shell = r @ normal
        levels = np.unique(np.round(shell, 4))
        top = (
            levels[-1 - int(rng.integers(0, min(3, len(levels) - 2)))]
            if rng.random() < 0.6
            else np.inf
        )
        there = shell < top - 1e-3
        outer = np.abs(shell - top) < 1e-3
    else:
        side += gap
        v = r - r.mean(axis=0) + rng.normal(0, 0.2, 3)
        size = 0.5 * np.diag(cell).min() * rng.uniform(0.7, 1.0)
        if kind == 2:
            faces = _FACES[rng.choice(len(_FACES), int(rng.integers(1, 4)), replace=False)]
            signs = np.array([(a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1)])
            faces = (faces[:, None] * signs).reshape(-1, 3)
            shell = (v @ (faces / np.linalg.norm(faces, axis=1, keepdims=True)).T).max(axis=1)
        else:
            shell = np.linalg.norm(v, axis=1)
        there = shell < size
        outer = ~there & (shell < size + 0.9 * width)
    part = rng.choice([0.0, 0.02, rng.random()])
    centre = r[rng.integers(len(r))]
    islands = outer & (np.linalg.norm(r - centre, axis=1) < rng.uniform(1.0, 4.0))
    there |= islands if rng.random() < 0.5 else outer & (rng.random(len(r)) < part)
    if rng.random() < 0.4:
        there &= rng.random(len(r)) >= rng.choice([0.003, 0.01, 0.03])
    bulk = coordination(*block(name, 130)[:2], 1.12 * width).max()
    r = r[there]
    big = np.diag(side)
    few = coordination(r, big, 1.12 * width) < _LEAST * bulk
    return r, big, np.where(few, "", name).astype("<U17"), width


def hydride(
    rng: np.random.Generator, name: str, part: float, atoms: int = 260
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_], float]:
    """Return a metal's lattice with a part of its holes filled at random; those atoms have no label.

    `part` is their number for each atom of the lattice: on octahedral holes of close-packed
    lattices, on tetrahedral or octahedral ones of bcc. Positions, cell, labels, nearest distance.
    """
    metal, cell, width, grid, edges = _cells(name, atoms)
    own = np.array(_HOLES[name])
    if name == "bcc" and rng.random() < 0.5:
        own = np.array(
            [(0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
        )
    holes = ((grid + own) * edges).reshape(-1, 3)
    some = holes[rng.permutation(len(holes))[: round(part * len(metal))]]
    labels = np.array([name] * len(metal) + [""] * len(some), dtype="<U17")
    return np.vstack([metal, some]), cell, labels, width
