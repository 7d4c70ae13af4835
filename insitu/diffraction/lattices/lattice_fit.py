# SPDX-License-Identifier: BSD-3-Clause
"""How well many lattices at once explain lines, and the least squares of their constants."""

from functools import cache

import numpy as np

from insitu.diffraction.lattices import monoclinic
from insitu.diffraction.patterns.grid import Array

#: Density of lines in q of a primitive lattice: this times sqrt(q) over the volume of the reciprocal cell.
DENSITY = {
    "monoclinic": np.pi / 2,
    "orthorhombic": np.pi / 4,
    "tetragonal": np.pi / 8,
    "hexagonal": np.pi / 12,
    "cubic": np.pi / 24,
}
UNEXPLAINED = 2.5  # what a line without indices costs
#: Least and most that a line is explained by chance.
CHANCE = (1e-3, 0.9)
#: How much the error of the zero is held near 0 [1/degree], lest few lines decide it.
HELD = 0.3


def volume(kind: str, abc: Array) -> Array:
    """Return volumes of reciprocal cells, shape (n,) [1/Å^3]."""
    if kind == "monoclinic":
        return np.sqrt(np.maximum(monoclinic.squared_volume(abc), 1e-14))
    return np.asarray(np.sqrt(abc.prod(1)))


#: Which free constant each of A, B, C (and D) is, by the number of free ones.
FREE = {1: [0, 0, 0], 2: [0, 0, 1], 3: [0, 1, 2], 4: [0, 1, 2, 3]}


@cache
def _plane(kind: str, reach: int) -> Array:
    """Factors of A and B of two indices, shape (n, 2); monoclinic: of A, C and D, shape (n, 3)."""
    if kind == "monoclinic":
        return monoclinic.net(reach)
    h, k = (v.ravel() for v in np.meshgrid(np.arange(reach), np.arange(reach), indexing="ij"))
    if kind == "orthorhombic":
        return np.stack([h * h, k * k], 1).astype(np.float32)
    n = h * h + k * k if kind in ("tetragonal", "cubic") else h * h + h * k + k * k
    n = np.unique(n[h >= k])
    return np.stack([n, 0 * n], 1).astype(np.float32)


def misses(kind: str, abc: Array, q: Array, reach: int) -> tuple[Array, Array, Array]:
    """Return how far lines are from those of each point of the plane.

    Returns
    -------
    square, third : array, shape (n, lines, points)
        The distance over the constant of the third index; the square of that index.
    constant : array, shape (n,)
    """
    abc32, q32 = abc.astype(np.float32), np.atleast_2d(q).astype(np.float32)
    factors = _plane(kind, reach)
    if kind == "monoclinic":
        flat, constant = abc32[:, [0, 2, 3]] @ factors.T, abc32[:, 1]
    else:
        flat, constant = abc32[:, :2] @ factors.T, abc32[:, 2]
    square = (q32[:, :, None] - flat[:, None, :]) / constant[:, None, None]
    third = np.maximum(square, 0)  # the third index, then its square
    np.sqrt(third, out=third)
    np.rint(third, out=third)
    third *= third
    square -= third
    np.abs(square, out=square)
    return square, third, constant


def nearest(kind: str, abc: Array, q: Array, reach: int) -> tuple[Array, Array, Array]:
    """Return for each line the point of the plane whose line is nearest.

    Returns
    -------
    factors : array, shape (n, lines, 2 or 3)
        Of the constants of the plane.
    third, miss : array, shape (n, lines)
        The square of the third index; how far the line is [1/Å^2].
    """
    square, third, constant = misses(kind, abc, q, reach)
    at = square.argmin(-1)
    miss = np.take_along_axis(square, at[..., None], -1)[..., 0] * constant[:, None]
    last = np.take_along_axis(third, at[..., None], -1)[..., 0]
    return _plane(kind, reach).astype(float)[at], last, miss


def scores(kind: str, abc: Array, q: Array, tolerance: Array, weight: Array, reach: int) -> Array:
    """Return how much better than by chance lattices explain lines.

    Parameters
    ----------
    kind : str
        Of `DENSITY`.
    abc : array, shape (n, 3), monoclinic: (n, 4)
        Constants of lattices [1/Å^2].
    q : array, shape (lines,) or (n, lines)
        1/d^2 of lines [1/Å^2].
    tolerance, weight : array, shape (lines,)
        Farthest that a line is from its place [1/Å^2]; how much it counts.
    reach : int
        Indices below are tried.

    Returns
    -------
    array, shape (n,)
    """
    square, _, constant = misses(kind, abc, q, reach)
    miss = square.min(-1) * constant[:, None]
    density = DENSITY[kind] * np.sqrt(np.atleast_2d(q)) / volume(kind, abc)[:, None]
    chance = np.clip(density * 2 * tolerance[None], *CHANCE)
    return np.where(miss < tolerance[None], -np.log(chance), -UNEXPLAINED) @ weight


def refined(
    kind: str,
    abc: Array,
    q: Array,
    tolerance: Array,
    slope: Array,
    weight: Array,
    reach: int,
    steps: int = 2,
) -> tuple[Array, Array]:
    """Refine lattices with the zero of the angle, each by the lines that it explains.

    Parameters
    ----------
    kind, abc, tolerance, weight, reach
        As of `scores`.
    q : array, shape (lines,)
        1/d^2 of lines [1/Å^2].
    slope : array, shape (lines,)
        Change of 1/d^2 with the angle [1/Å^2 a degree].
    steps : int
        How often lines are given indices anew.

    Returns
    -------
    constants : array, shape (n, 3 or 4)
        A lattice that this makes impossible stays as it was.
    zeros : array, shape (n,)
        [degrees]
    """  # fmt: skip
    zeros = np.zeros(len(abc))
    for _ in range(steps):
        moved = q[None] - zeros[:, None] * slope[None]
        flat, last, miss = nearest(kind, abc, moved, reach)
        last = last.astype(float)
        if kind == "monoclinic":
            columns = [flat[..., 0], last, flat[..., 1], flat[..., 2]]
        elif kind == "orthorhombic":
            columns = [flat[..., 0], flat[..., 1], last]
        else:
            columns = [flat[..., 0], last] if kind != "cubic" else [flat[..., 0] + last]
        columns.append(np.broadcast_to(slope, last.shape))
        design = np.stack(columns, -1) / slope[None, :, None]  # [degrees]
        counts = (miss < tolerance[None]) * weight[None]
        normal = np.einsum("nlj,nl,nlk->njk", design, counts, design)
        right = np.einsum("nlj,nl->nj", design, counts * (q / slope)[None])
        size = normal.shape[1]
        normal += np.diag([1e-9] * (size - 1) + [HELD**2])
        normal[:, range(size - 1), range(size - 1)] *= 1 + 1e-7
        solution = np.linalg.solve(normal, right[..., None])[..., 0]
        new = solution[:, FREE[size - 1]]
        fine = (counts > 0).sum(1) >= size + 1
        fine &= (new[:, :3] > 0).all(1) & (np.abs(new - abc)[:, :3] < 0.1 * abc[:, :3]).all(1)
        if kind == "monoclinic":
            fine &= monoclinic.squared_volume(new) > 0
        abc = np.where(fine[:, None], new, abc)
        zeros = np.where(fine, np.clip(solution[:, -1], -0.2, 0.2), zeros)
    return abc, zeros


def distinct(rows: Array, order: Array, parts: float = 300.0) -> Array:
    """Return those of `order` whose rows, shape (n, m), are not an earlier one's, to one of `parts`."""
    rounded = np.rint(np.log(np.maximum(rows, 1e-6)) * parts).astype(np.int64) + 8192
    code = rounded @ (1 << 15) ** np.arange(rows.shape[1])
    _, first = np.unique(code[order], return_index=True)
    return np.asarray(order[np.sort(first)])
