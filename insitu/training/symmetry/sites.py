# SPDX-License-Identifier: BSD-3-Clause
"""Symmetry operations of the 230 space groups and their special positions, found by projection."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Generators tried for each space group when special positions are sought.
ATTEMPTS = 240


@dataclass(frozen=True)
class Site:
    """A kind of Wyckoff position: the affine map that takes any point onto it.

    Attributes
    ----------
    matrix : array, shape (3, 3)
    shift : array, shape (3,)
    multiplicity : int
        Atoms in the conventional cell.
    free : int
        Free coordinates (0–3).
    """

    matrix: Array
    shift: Array
    multiplicity: int
    free: int


@cache
def operations(number: int) -> tuple[Array, Array]:
    """All symmetry operations of a space group in its reference setting, centrings included.

    Parameters
    ----------
    number : int
        1–230.

    Returns
    -------
    rotations : array, shape (n, 3, 3)
    translations : array, shape (n, 3)
        Of fractional coordinates: x' = R x + t.
    """
    import gemmi

    ops = list(gemmi.find_spacegroup_by_number(number).operations())
    rot = np.array([op.rot for op in ops], dtype=float) / 24
    return np.rint(rot), np.array([op.tran for op in ops], dtype=float) / 24


def orbit(number: int, point: Array, tolerance: float = 1e-4) -> Array:
    """Distinct images of a point in the conventional cell.

    Parameters
    ----------
    number : int
        Space group, 1–230.
    point : array, shape (3,)
        Fractional coordinates.
    tolerance : float
        Points nearer than this (fractional) are one.

    Returns
    -------
    array, shape (m, 3)
        In [0, 1).
    """
    rot, tran = operations(number)
    images = (rot @ point + tran) % 1.0
    grid = np.rint(images / tolerance).astype(np.int64) % round(1 / tolerance)
    _, first = np.unique(grid, axis=0, return_index=True)
    points = images[np.sort(first)]
    if len(rot) % len(points):  # two images on both sides of a rounding edge
        delta = points[:, None] - points[None]
        near = (np.abs(delta - np.rint(delta)) < 2 * tolerance).all(-1)
        points = points[~np.triu(near, 1).any(0)]
    return np.asarray(points)


@cache
def sites(number: int) -> tuple[Site, ...]:
    """Kinds of Wyckoff positions of a space group, the general position first.

    The operations that leave a point where it is form a finite group; the mean over the group projects
    any point onto the position. For several operations the projections are applied in turn until they
    settle.

    Parameters
    ----------
    number : int
        1–230.

    Returns
    -------
    tuple of Site
        Special positions are found at random (`ATTEMPTS` draws): rare ones may be missing.
    """
    rot, tran = operations(number)
    rng = np.random.default_rng(number)
    probe = np.array([0.1234, 0.2718, 0.4142])
    found: dict[bytes, Site] = {}
    for attempt in range(ATTEMPTS if len(rot) > 1 else 0):
        operators, maps = [], []
        for _ in range(1 + attempt % 3):
            k = rng.integers(1, len(rot))
            shift = tran[k] + rng.integers(-1, 2, 3)
            g = np.eye(4)
            g[:3, :3], g[:3, 3] = rot[k], shift
            powers = [np.eye(4)]
            while len(powers) < 7 and not np.allclose((nxt := g @ powers[-1])[:3, :3], np.eye(3)):
                powers.append(nxt)
            if np.abs((g @ powers[-1])[:3, 3]).max() > 1e-6:
                break  # a screw, a glide or a translation leaves no point where it is
            operators.append(g)
            maps.append(np.mean(powers, axis=0))
        else:
            step = np.linalg.multi_dot([*maps, np.eye(4)]) if len(maps) > 1 else maps[0]
            for _ in range(7):
                step = step @ step
            if any(np.abs(g @ step - step).max() > 1e-5 for g in operators):
                continue  # no common fixed point
            key = np.rint(np.hstack([step[:3, :3].ravel(), step[:3, 3] % 1.0]) * 1000)
            if key.tobytes() not in found:
                points = orbit(number, step[:3, :3] @ probe + step[:3, 3])
                free = int(np.linalg.matrix_rank(step[:3, :3], tol=1e-3))
                found[key.tobytes()] = Site(step[:3, :3], step[:3, 3], len(points), free)
    general = Site(np.eye(3), np.zeros(3), len(rot), 3)
    return (general, *found.values())
