# SPDX-License-Identifier: BSD-3-Clause
"""The Neighbors Map in plain NumPy, from its definition, and the structures it is compared on.

Nothing here uses the package's kernels: every periodic image is written out, every list is sorted
in float64. It is slow on purpose.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TIE = 1e-5
ROUND = 0.473906417  # no short decimal is at a limit of this grid, see kernels/config.hpp


def images_around(
    i: int, r: Array, cell: Array | None, pbc: tuple[bool, bool, bool], radius: float
) -> tuple[Array, NDArray[np.intp], Array]:
    """Displacements, owners and distances of all points with d <= radius of atom i, without it."""
    d = r - r[i]
    shifts = np.zeros((1, 3))
    if cell is not None:
        # Distance between opposite faces = volume / area of the face.
        volume = abs(np.linalg.det(cell))
        reach = [0, 0, 0]
        s = np.linalg.solve(cell.T, d.T).T
        for a in range(3):
            if pbc[a]:
                face = np.linalg.norm(np.cross(cell[(a + 1) % 3], cell[(a + 2) % 3]))
                d = d - np.rint(s[:, a])[:, None] * cell[a]
                reach[a] = int(np.ceil(radius * face / volume + 0.5))  # |s| <= 1/2
        spans = [range(-k, k + 1) for k in reach]
        shifts = np.array(list(itertools.product(*spans)), dtype=float) @ cell
    every = (d[None, :, :] + shifts[:, None, :]).reshape(-1, 3)
    owner = np.tile(np.arange(len(r)), len(shifts))
    distance = np.sqrt((every**2).sum(axis=1))
    itself = (owner == i) & (distance < 1e-9)
    keep = (distance <= radius) & ~itself
    return every[keep], owner[keep], distance[keep]


def grid(distance: Array, length: float) -> NDArray[np.int64]:
    """Distances rounded to 1e-5 of the length, as whole numbers."""
    return np.floor(distance / (TIE * length) + ROUND).astype(np.int64)


# --- equal distances ------------------------------------------------------------------------------

Words = NDArray[np.uint32]


def scrambled(v: Words) -> Words:
    v = v ^ (v >> np.uint32(15))
    v = v * np.uint32(0x85EBCA6B)
    return v ^ (v >> np.uint32(13))


def marks(q: Words, color: Array) -> Words:
    """What a neighbour is to the others: its rounded distance from the centre, and its colours."""
    look = np.zeros(len(q), dtype=np.uint32)
    for weights in color[1:]:
        bits = (weights.astype(np.float32) + np.float32(0.0)).view(np.uint32)
        look = scrambled(look * np.uint32(0x9E3779B1) + bits)
    return q * np.uint32(0x9E3779B1) + look


def between(v: Array, quantum: float) -> Words:
    """Rounded distances of neighbours to each other."""
    d = np.linalg.norm(v[:, None] - v[None], axis=2)
    return np.floor(d / quantum + ROUND).astype(np.uint32)


def keys(q: Words, looks: Words) -> NDArray[np.uint64]:
    """Sum of the distances to the others, then that of the scrambled ones with the others' marks."""
    total = q.sum(axis=1, dtype=np.uint32).astype(np.uint64)
    return total << np.uint64(32) | scrambled(q + looks).sum(axis=1, dtype=np.uint32)


def end_of_ball(v: Array, q: Words, looks: Words, ball: int, quantum: float) -> NDArray[np.intp]:
    """The members of a ball that ends inside a shell; arrays are in order of distance."""
    last = int((q <= q[ball]).sum())
    shell = np.nonzero(q == q[ball])[0]
    between_all = between(v[:last], quantum)
    looks = looks[:last]

    def refined(seen: NDArray[np.uint64]) -> Words:
        low, high = seen.astype(np.uint32), (seen >> np.uint64(32)).astype(np.uint32)
        return scrambled((high + scrambled(low)) * np.uint32(0x9E3779B1))

    for _ in range(2):
        looks = refined(keys(between_all, looks))
    chosen: list[int] = []
    left = list(shell)
    while len(chosen) < ball - shell[0]:
        seen = keys(between_all, looks)
        far = between_all[:, chosen].sum(axis=1, dtype=np.uint64) << np.uint64(32)
        best = int(np.argmax((seen + far)[left]))
        looks = refined(seen)
        looks[[left[best]]] += np.uint32((len(chosen) + 1) * 0x27D4EB2F % 2**32)
        chosen.append(int(left[best]))
        left[best] = left[0]
        left = left[1:]
    return np.append(np.arange(shell[0]), chosen).astype(np.intp)


@dataclass
class Reference:
    """Images and what the comparison has to know about them."""

    images: Array  # (n, channels, size, size)
    found: NDArray[np.int64]  # (n,) neighbours in the ball
    tied: NDArray[np.bool_]  # (n,) equal distances among the rows, or at the end of a ball
    fragile: NDArray[np.bool_]  # (n,) a distance within double rounding of a limit of the grid
    blurred: NDArray[np.bool_]  # (n, size, size) colour hangs on a float32 rounding, see below


def neighbors_map(
    r: Array,
    cell: Array | None,
    pbc: tuple[bool, bool, bool] | bool,
    *,
    cutoff: float = 6.0,
    size: int = 32,
    gamma: float = 2.0,
    beta: float = 3.0,
    scale_free: bool = False,
    ball: int = 32,
    local: int = 14,
    weights: Array | None = None,
    ids: NDArray[np.int64] | None = None,
    indices: list[int] | NDArray[np.int64] | None = None,
    draw: bool = True,
) -> Reference:
    r = np.asarray(r, dtype=float)
    flags = (pbc,) * 3 if isinstance(pbc, bool) else pbc
    ids = np.arange(1, len(r) + 1) if ids is None else ids
    color = np.ones((1, len(r)))
    if weights is not None:
        color = np.concatenate([color, np.atleast_2d(weights).astype(float)])
    atoms = np.arange(len(r)) if indices is None else np.asarray(indices, dtype=int)
    out = Reference(
        np.zeros((len(atoms), len(color), size, size)),
        np.zeros(len(atoms), dtype=np.int64),
        np.zeros(len(atoms), dtype=bool),
        np.zeros(len(atoms), dtype=bool),
        np.zeros((len(atoms), size, size), dtype=bool),
    )
    for k, i in enumerate(atoms):
        radius = cutoff * (1 + (1 - ROUND) * TIE)
        v, owner, d = images_around(i, r, cell, flags, radius)
        # A scale-free ball is a number of neighbours: look as far as needed, if there are any.
        most = len(r) - 1 if not any(flags) else 10**9
        while scale_free and len(d) < min(max(ball, local) + 1, most):
            radius *= 1.5
            v, owner, d = images_around(i, r, cell, flags, radius)
        length = cutoff
        if scale_free and len(d):
            length = np.sort(d)[:local].mean()
        quantum = TIE * length
        image = np.floor(v / quantum + ROUND)
        # Ids and images decide between equivalent neighbours only.
        order = np.lexsort((image[:, 2], image[:, 1], image[:, 0], ids[owner], grid(d, length)))
        equal = np.diff(grid(np.sort(d), length)) == 0
        out.tied[k] = equal[: size - 1].any() or (scale_free and equal[ball - 1 : ball].any())
        edges = (d / quantum + ROUND + 0.5) % 1.0 - 0.5
        out.fragile[k] = (np.abs(edges) < 1e-6).any() or (np.abs(d - radius) < 1e-11).any()
        if out.tied[k]:
            q = grid(d[order], length).astype(np.uint32)
            looks = marks(q, color[:, owner[order]])
            if scale_free and equal[ball - 1 : ball].any():
                order = order[end_of_ball(v[order], q, looks, ball, quantum)]
            members = order[:ball] if scale_free else order
            looks = marks(grid(d[members], length).astype(np.uint32), color[:, owner[members]])
            seen = keys(between(v[members], quantum), looks)
            order = members[np.lexsort((seen, grid(d[members], length)))]
        if scale_free:
            order = order[:ball]
        v, owner, d = v[order], owner[order], d[order]
        unit = length if scale_free else 1.0
        out.found[k] = len(d)
        if not draw:
            continue
        _fill(
            out.images[k], out.blurred[k], np.vstack([np.zeros(3), v]) / unit,
            color[:, np.append(i, owner)], gamma, beta, length / unit, np.sort(d) / unit,
        )  # fmt: skip
    return out


def _fill(
    image: Array, blurred: NDArray[np.bool_], points: Array, color: Array,
    gamma: float, beta: float, length: float, ascending: Array,
) -> None:  # fmt: skip
    size = image.shape[-1]
    total = len(points)
    rank = np.empty(total, dtype=int)
    rank[np.lexsort((np.arange(total), *color[:0:-1]))] = np.arange(total)
    for j in range(min(size, total)):
        a = 1.0 if j == 0 else max(ascending[j - 1], 0.01) ** (-1.0 / beta)
        others = np.delete(np.arange(total), j)
        d = np.linalg.norm(points[others] - points[j], axis=1)
        pixel = a / np.maximum(np.sort(d), 0.01) ** gamma
        order = np.lexsort((rank[others], grid(np.maximum(d, 0.01), length)))
        shown = min(size, total - 1)
        for c in range(len(color)):
            w = color[c, j] * color[c, others[order]]
            image[c, j, :shown] = (pixel * w)[:shown] if c else pixel[:shown]
        # The kernels compare the rounded distances of further rows in float32 (2e-7 of 2 cutoffs,
        # 0.05 grid steps). Runs of neighbouring grid points that hold a distance so near to its
        # rounding limit have a colour that the definition itself leaves to the rounding.
        t = np.sort(d) / (TIE * length) + ROUND
        risky = np.abs(np.mod(t, 1.0) - 0.5) > 0.5 - 0.1
        run = np.cumsum(np.append(0, np.diff(t) > 1.2))
        bad = np.isin(run, run[risky]) & (np.bincount(run)[run] > 1)
        blurred[j, :shown] = bad[:shown]


# --- structures -----------------------------------------------------------------------------------


def packing(n: int, density: float, seed: int, steps: int = 80) -> tuple[Array, Array]:
    """Liquid-like: random points in a periodic cube pushed apart by a soft repulsion."""
    rng = np.random.default_rng(seed)
    side = (n / density) ** (1 / 3)
    diameter = 1.02 * density ** (-1 / 3)
    r = rng.uniform(0, side, (n, 3))
    for _ in range(steps):
        d = r[:, None] - r[None]
        d -= side * np.rint(d / side)
        distance = np.linalg.norm(d, axis=-1) + np.eye(n) * 1e9 + 1e-9
        push = np.maximum(diameter - distance, 0.0) / distance
        r = (r + 0.3 * (push[..., None] * d).sum(axis=1)) % side
    return r, np.eye(3) * side


def gas(n: int, side: float, seed: int, apart: float = 1.0) -> tuple[Array, Array]:
    """Random points no nearer than `apart`: most have 0 … 3 neighbours."""
    rng = np.random.default_rng(seed)
    kept: list[Array] = []
    while len(kept) < n:
        p = rng.uniform(0, side, 3)
        if all(np.linalg.norm((p - q) - side * np.rint((p - q) / side)) > apart for q in kept):
            kept.append(p)
    return np.array(kept), np.eye(3) * side


def triclinic(n: int, density: float, seed: int, tilt: float = 0.45) -> tuple[Array, Array]:
    """A liquid-like packing sheared into a triclinic cell."""
    r, cell = packing(n, density, seed)
    shear = np.array([[1.0, 0, 0], [tilt, 1, 0], [-0.3, tilt / 2, 1]])
    return r @ shear, cell @ shear


def rotation(seed: int, *, mirror: bool = False) -> Array:
    """Random rotation, or one with a reflection."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q)) * (-1.0 if mirror else 1.0)
