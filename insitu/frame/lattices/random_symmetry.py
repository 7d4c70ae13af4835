# SPDX-License-Identifier: BSD-3-Clause
"""Crystals of random symmetry: what unnamed structures may look like, made without a table of any.

A few random symmetry operations generate a group, whose orbits of points, on special positions or not, are
the sites. Crystals that nobody made on purpose are seldom without symmetry, those of
:func:`insitu.frame.lattices.copies.random_crystal` are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.copies import Crystal, nearest, unlikeness

#: Rotation and translation in twelfths of the cell vectors: integers, so that products are exact.
_Operation = tuple[NDArray[np.int64], NDArray[np.int64]]

_CELL = 12
#: Matrices, in the basis of the cell, of which the groups are generated: of cubic and of hexagonal cells.
_CUBIC = np.array([
    [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    [[-1, 0, 0], [0, -1, 0], [0, 0, 1]], [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
])  # fmt: skip
_HEXAGONAL = np.array([
    [[1, -1, 0], [1, 0, 0], [0, 0, 1]], [[0, -1, 0], [1, -1, 0], [0, 0, 1]],
    [[-1, 0, 0], [0, -1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
    [[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, -1]],
    [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
])  # fmt: skip
#: Screws and glides are by multiples of a half and a fourth, or a third and a sixth, of the cell vectors.
_PARTS = {False: (2, 4), True: (2, 3, 6)}
#: Centrings, in twelfths.
_CENTRED = {False: ((6, 6, 6), (0, 6, 6), (6, 6, 0)), True: ((8, 4, 4),)}
#: How often cells are hexagonal, operations have no translation, and lattices are centred.
_OFTEN_HEXAGONAL, _OFTEN_PURE, _OFTEN_CENTRED = 0.35, 0.4, 0.35
#: Most operations; most orbits; most sites; shortest distance in units of (volume an atom)^(1/3).
_ORDER, _ORBITS, SITES, _CLOSEST = 96, 4, 36, 0.62
#: Cells and sites that are tried with one group.
_TRIES = 4
#: Unlikeness of a site that is least unlike the classes' lattices.
_ALIKE = 0.06
#: Points are the same within this part of a cell vector.
_SAME = 1e-3


def _group(rng: np.random.Generator, hexagonal: bool) -> list[_Operation]:
    """Return the operations that a few random ones generate, modulo the lattice; none if too many."""
    pool = _HEXAGONAL if hexagonal else _CUBIC
    generators: list[_Operation] = []
    for _ in range(int(rng.integers(1, 4))):
        step = int(rng.choice(_PARTS[hexagonal]))
        shift = rng.integers(0, step, 3) * (_CELL // step) * (rng.random() >= _OFTEN_PURE)
        generators.append((pool[rng.integers(len(pool))], shift))
    if rng.random() < _OFTEN_CENTRED:
        centrings = _CENTRED[hexagonal]
        shift = np.array(centrings[rng.integers(len(centrings))])
        generators.append((np.eye(3, dtype=np.int64), shift))
    found: dict[tuple[int, ...], _Operation] = {}
    todo: list[_Operation] = [(np.eye(3, dtype=np.int64), np.zeros(3, np.int64))]
    while todo:
        matrix, shift = todo.pop()
        key = (*matrix.ravel().tolist(), *(shift % _CELL).tolist())
        if key in found:
            continue
        found[key] = matrix, shift % _CELL
        if len(found) > _ORDER:
            return []
        todo += [(g @ matrix, (g @ shift + s) % _CELL) for g, s in generators]
    return list(found.values())


def _special(
    point: NDArray[np.float64], group: list[_Operation], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the point moved onto what up to two random operations leave where it is."""
    for _ in range(int(rng.integers(0, 3))):
        matrix, shift = group[rng.integers(len(group))]
        away = np.eye(3) - matrix
        wanted = shift / _CELL + rng.integers(-1, 2, 3)
        moved = point + np.linalg.lstsq(away, wanted - away @ point, rcond=None)[0]
        if np.abs(away @ moved - wanted).max() < 1e-6:
            point = moved
    return point % 1.0


def _orbit(point: NDArray[np.float64], group: list[_Operation]) -> NDArray[np.float64]:
    """Return the images ``(m, 3)`` of a point."""
    matrices, shifts = (np.array(part) for part in zip(*group, strict=True))
    images = (matrices @ point + shifts / _CELL) % 1.0
    apart = images[:, None] - images[None]
    same = np.abs(apart - np.rint(apart)).max(axis=2) < _SAME
    first: NDArray[np.float64] = images[same.argmax(axis=1) == np.arange(len(images))]
    return first


def _cell(
    rng: np.random.Generator, group: list[_Operation], hexagonal: bool
) -> NDArray[np.float64]:
    """Return a random cell whose metric the operations leave as it is."""
    if hexagonal:
        metric = np.array([[1, -0.5, 0], [-0.5, 1, 0], [0, 0, np.exp(rng.uniform(-1.4, 1.4))]])
    else:
        metric = np.diag(np.exp(rng.uniform(-1.0, 1.0, 3)))
        if rng.random() < 0.3:
            oblique = np.eye(3) + np.triu(rng.uniform(-0.3, 0.3, (3, 3)), 1)
            metric = oblique @ metric @ oblique.T
    matrices = np.array([matrix for matrix, _ in group])
    metric = (matrices.transpose(0, 2, 1) @ metric @ matrices).mean(axis=0)
    cell: NDArray[np.float64] = np.linalg.cholesky(metric)
    return cell


def symmetric_crystal(rng: np.random.Generator) -> Crystal:
    """Return a crystal of random symmetry, of 2 to 36 sites, that is like no class of the models.

    Parameters
    ----------
    rng
        Of group, cell and sites.

    References
    ----------
    Wyckoff positions as points that operations of the space group leave in place: International Tables for
    Crystallography A (2016), chapter 1.4.
    """
    while True:
        hexagonal = bool(rng.random() < _OFTEN_HEXAGONAL)
        group = _group(rng, hexagonal)
        for _ in range(_TRIES if group else 0):
            cell, sites = _cell(rng, group, hexagonal), np.empty((0, 3))
            for _ in range(int(rng.integers(1, _ORBITS + 1))):
                orbit = _orbit(_special(rng.random(3), group, rng), group)
                if len(sites) + len(orbit) <= SITES:
                    sites = np.vstack([sites, orbit])
            if len(sites) < 2 or nearest(sites, cell, 1).min() < _CLOSEST:
                continue
            if unlikeness(sites, cell).min() >= _ALIKE:
                return sites, cell
