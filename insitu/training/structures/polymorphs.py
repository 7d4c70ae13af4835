# SPDX-License-Identifier: BSD-3-Clause
"""Crystals from their crystallographic data: symmetry, cell and the sites of the asymmetric unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError

#: A rotation ``(3, 3)`` and a translation ``(3,)``, in fractional coordinates.
Operation = tuple[NDArray[np.int64], NDArray[np.float64]]
#: Translations of the space groups are multiples of one over this.
_STEPS = 24
#: The largest space groups have 192 operations with all centrings.
_MOST = 192
#: Sites closer than this [fractional] are one.
_SAME = 1e-3
_TERM = re.compile(r"([+-]?)(?:(\d+(?:/\d+)?)|([xyz]))")


def operation(text: str) -> Operation:
    """Read an operation as the International Tables write it, such as ``-y, x-y, z+1/3``.

    Raises
    ------
    SettingError
        It is not one.
    """
    rotation, shift = np.zeros((3, 3), dtype=np.int64), np.zeros(3)
    rows = text.replace(" ", "").split(",")
    for i, row in enumerate(rows[:3]):
        for sign, number, axis in _TERM.findall(row):
            factor = -1 if sign == "-" else 1
            if axis:
                rotation[i, "xyz".index(axis)] += factor
            else:
                shift[i] += factor * float(Fraction(number))
    if len(rows) != 3 or abs(round(np.linalg.det(rotation))) != 1 or _TERM.sub("", "".join(rows)):
        raise SettingError(f"'{text}' is no symmetry operation; give one like '-y,x-y,z+1/3'")
    return rotation, shift


def group(generators: Sequence[str]) -> list[Operation]:
    """Return all operations of a space group (but lattice translations) from some of them.

    Raises
    ------
    SettingError
        They generate more operations than any space group has.
    """
    found: dict[tuple[int, ...], Operation] = {}
    waiting = [operation("x,y,z")]
    given = [operation(g) for g in generators]
    while waiting:
        rotation, shift = waiting.pop()
        key = (*rotation.ravel().tolist(), *(np.rint(shift * _STEPS) % _STEPS).astype(int).tolist())
        if key in found:
            continue
        found[key] = rotation, shift
        if len(found) > _MOST:
            raise SettingError(
                f"the operations {list(generators)} generate no space group; check their signs"
            )
        waiting += [(a @ rotation, (a @ shift + b) % 1.0) for a, b in given]
    return list(found.values())


def orbit(operations: Sequence[Operation], site: Sequence[float]) -> NDArray[np.float64]:
    """Return the equivalent positions ``(n, 3)`` of a site, fractional, in the unit cell."""
    every = np.array([a @ np.asarray(site, dtype=float) + b for a, b in operations]) % 1.0
    kept: list[NDArray[np.float64]] = []
    for x in every:
        if all(np.abs((x - y + 0.5) % 1.0 - 0.5).max() > _SAME for y in kept):
            kept.append(x)
    return np.array(kept)


def cell_vectors(parameters: Sequence[float]) -> NDArray[np.float64]:
    """Return cell vectors ``(3, 3)`` as rows [Å]: a along x, b in the xy plane.

    Parameters
    ----------
    parameters
        a, b, c [Å], α, β, γ [degrees].
    """
    a, b, c = parameters[:3]
    cos_a, cos_b, cos_g = np.cos(np.radians(parameters[3:]))
    sin_g = np.sqrt(1.0 - cos_g**2)
    cy = c * (cos_a - cos_b * cos_g) / sin_g
    cx = c * cos_b
    return np.array(
        [[a, 0.0, 0.0], [b * cos_g, b * sin_g, 0.0], [cx, cy, np.sqrt(c**2 - cx**2 - cy**2)]]
    )


def unit_cell(
    cell: Sequence[float], symmetry: Sequence[str], sites: Sequence[Sequence[float]]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return fractional positions ``(n, 3)``, atom types ``(n,)`` from 1 and the cell ``(3, 3)``.

    Parameters
    ----------
    cell
        a, b, c [Å], α, β, γ [degrees].
    symmetry
        Operations that generate the space group, centrings included.
    sites
        Type and fractional position of each atom of the asymmetric unit: ``[1, x, y, z]``.
    """
    operations = group(symmetry)
    orbits = [orbit(operations, s[1:]) for s in sites]
    types = np.repeat([int(s[0]) for s in sites], [len(o) for o in orbits])
    return np.concatenate(orbits), types, cell_vectors(cell)


def supercell(
    fractional: NDArray[np.float64], types: NDArray[np.int64], cell: NDArray[np.float64], atoms: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return positions ``(n, 3)`` [Å], types ``(n,)`` and cell of about `atoms` atoms, near a cube.

    What is made equal are the distances between opposite faces: they bound the radius that fits.
    """
    volume = abs(float(np.linalg.det(cell)))
    heights = np.array([
        volume / np.linalg.norm(np.cross(cell[(k + 1) % 3], cell[(k + 2) % 3])) for k in range(3)
    ])  # fmt: skip
    side = (atoms * volume / len(fractional)) ** (1 / 3)
    repeat = np.maximum(1, np.rint(side / heights)).astype(int)
    steps = np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), axis=-1).reshape(-1, 3)
    where = ((fractional[None] + steps[:, None]) / repeat).reshape(-1, 3)
    large = cell * repeat[:, None]
    return where @ large, np.tile(types, len(steps)), large


def random_packing(
    types: NDArray[np.int64], cell: NDArray[np.float64], least: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Return random positions ``(n, 3)`` [Å] in a periodic cell with no two atoms too close.

    Atoms start anywhere and are pushed apart until their least distances are kept (to 2 %).

    Parameters
    ----------
    types
        ``(n,)`` from 1.
    cell
        ``(3, 3)`` [Å].
    least
        ``(t, t)`` least distance of each pair of types [Å].
    seed
        Of the positions.

    Raises
    ------
    SettingError
        The cell is too small for them.
    """
    rng = np.random.default_rng(seed)
    s = rng.random((len(types), 3))
    wanted, inverse = least[types[:, None] - 1, types[None] - 1], np.linalg.inv(cell)
    for _ in range(2000):
        d = s[:, None] - s[None]
        d = (d - np.rint(d)) @ cell
        length = np.linalg.norm(d, axis=2)
        np.fill_diagonal(length, np.inf)
        overlap = np.maximum(wanted - length, 0.0)
        if (overlap / wanted).max() < 0.02:
            return (s % 1.0) @ cell
        push = (0.5 * overlap / np.maximum(length, 1e-3))[:, :, None] * d
        s = s + push.sum(axis=1) @ inverse
    raise SettingError(
        f"{len(types)} atoms do not fit the cell with least distances of {least.tolist()} Å; give a "
        "larger cell"
    )
