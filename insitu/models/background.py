# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that are none of some added classes, made without molecular dynamics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.copies import (
    Crystal,
    displaced,
    nearest,
    of_class,
    random_crystal,
    shape,
    shuffled,
    stacked,
)
from insitu.frame.lattices.perfect import LATTICES
from insitu.frame.lattices.random_symmetry import symmetric_crystal

Array = NDArray[np.float64]
#: Numbers of configurations: of each lattice and stacking; of shuffled lattices and of random crystals
#: without symmetry; of those with some; of glasses and of gases.
OF_A_LATTICE, OF_NO_CLASS, OF_SYMMETRY, OF_DISORDER = 14, 80, 200, 6
#: Of each lattice beyond melting; of each added prototype with its atoms moved elsewhere, or deformed.
OF_A_MELT, OF_NEARLY = 6, 8
#: Root mean square difference of 18 nearest distances below which a crystal is like an added class.
_ALIKE = 0.06
#: Largest displacements of the lattices and of the others, in nearest distances.
_HOT, _WARM = 0.1, 0.07
#: The same beyond melting, and shifts of a prototype's atoms and strains that make another crystal of it.
_MOLTEN, _MOVED, _DEFORMED = (0.13, 0.32), (0.12, 0.3), 0.25
_STACKS = ("ABAC", "ABCACB", "ABCBCACAB", "ABCABACB")
#: Shortest distance, in units of (volume an atom)^(1/3).
_CLOSEST = 0.5
_POINTS = 150
#: Of the cells, in units of (volume an atom)^(1/3).
HEIGHT = 4.8


def known(rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Yield positions and cells of the models' lattices: hot, strained, with vacancies, stacked."""
    crystals = [of_class(name) for name in LATTICES]
    crystals += [stacked(s, diamond=d) for d in (False, True) for s in _STACKS]
    for k, crystal in enumerate(crystals):
        for j in range(OF_A_LATTICE if k < len(LATTICES) else OF_A_LATTICE // 4):
            strain = (0.0, 0.05, 0.1)[j % 3]
            r, cell, _ = displaced(crystal, rng.uniform(0.0, _HOT), strain, rng, HEIGHT)
            if j % 4 == 3:
                r = r[rng.random(len(r)) > rng.uniform(0.0, 0.3)]
            yield r, cell


def disordered(rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Yield positions and cells of glasses of soft spheres, of independent points, of molten lattices."""
    for name in LATTICES:
        for _ in range(OF_A_MELT):
            yield displaced(of_class(name), rng.uniform(*_MOLTEN), 0.05, rng, HEIGHT)[:2]
    side = np.cbrt(_POINTS)
    cell = side * np.eye(3)
    for k in range(2 * OF_DISORDER):
        r = rng.random((_POINTS, 3)) * side
        if k < OF_DISORDER:
            r = _relaxed(r, side, rng.uniform(1.05, 1.35))
            r += rng.normal(0.0, 1.0, r.shape) * rng.uniform(0.0, 0.08)
        yield r, cell


def _relaxed(r: Array, side: float, reach: float, steps: int = 50) -> Array:
    """Return points ``(n, 3)`` of a periodic cube after repelling each other within a distance."""
    for _ in range(steps):
        d = r[:, None] - r[None]
        d -= side * np.rint(d / side)
        length = np.linalg.norm(d, axis=-1)
        np.fill_diagonal(length, reach)
        push = np.maximum(1.0 - length / reach, 0.0) / np.maximum(length, 1e-9)
        r = r + 0.35 * (d * push[..., None]).sum(axis=1)
    return r % side


def _nearly(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Return a prototype whose atoms are moved, or that is deformed, so far that it is another crystal."""
    sites, cell = crystal
    if rng.random() < 0.3 or len(sites) == 1:
        return sites, cell @ (np.eye(3) + rng.uniform(-_DEFORMED, _DEFORMED, (3, 3)))
    u = rng.normal(size=sites.shape)
    u *= rng.uniform(*_MOVED) / np.sqrt((u**2).sum(axis=1).mean())
    unit = np.cbrt(abs(np.linalg.det(cell)) / len(sites))
    return sites + u * float(nearest(sites, cell, 1).min()) * unit @ np.linalg.inv(cell), cell


def _crystals(rng: np.random.Generator, added: list[Crystal]) -> Iterator[Crystal]:
    """Yield made-up crystals, and some that are nearly the added ones."""
    for _ in range(OF_NO_CLASS):
        yield random_crystal(rng)
        yield shuffled(rng)
    for _ in range(OF_SYMMETRY):
        yield symmetric_crystal(rng)
    for k in range(OF_NEARLY * len(added)):
        crystal = _nearly(added[k % len(added)], rng)
        if float(nearest(*crystal, 1).min()) >= _CLOSEST:
            yield crystal


def no_class(rng: np.random.Generator, added: list[Crystal]) -> Iterator[tuple[Array, Array]]:
    """Yield positions and cells of crystals that are like no class.

    Parameters
    ----------
    rng
        Of the crystals.
    added
        Prototypes of the added classes: none is like them, some are nearly.
    """
    shapes = np.concatenate([shape(*c) for c in added]) if added else np.empty((0, 18))
    for crystal in _crystals(rng, added):
        if len(shapes):
            apart = shape(*crystal)[:, None] - shapes[None]
            if (np.sqrt((apart**2).mean(axis=-1)) < _ALIKE).any():
                continue
        yield displaced(crystal, rng.uniform(0.0, _WARM), 0.03, rng, HEIGHT)[:2]
