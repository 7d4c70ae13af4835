# SPDX-License-Identifier: BSD-3-Clause
"""Crystals made of lattices, that are none: waves of displacements, filled holes, layers of nets."""

from __future__ import annotations

import numpy as np

from insitu.frame.lattices.copies import (
    PRIMITIVE,
    Crystal,
    nearest,
    nearest_distance,
    steps,
    supercell,
    unit,
)

#: Amplitude of a wave, in units of the nearest distance.
_AMPLITUDE = 0.09, 0.34
#: Shortest distance in a crystal, in units of (volume an atom)^(1/3): of a wave, of others.
_CLOSEST_WAVE, _CLOSEST = 0.6, 0.5
#: Radii of the second kind of spheres, in units of the first's.
_SMALLER = 0.55, 1.0


def _usable(crystal: Crystal, closest: float) -> bool:
    return bool(abs(np.linalg.det(crystal[1])) > 1e-6 and nearest(*crystal, 1).min() >= closest)


def waved(rng: np.random.Generator) -> Crystal:
    """Return a lattice with one or two frozen waves of displacements, and a strain.

    Wave vectors fit a supercell of two to eight primitive cells, mostly few; polarisations are
    longitudinal, transverse, along an axis or any; a basis moves together or each atom with a phase of
    its own.
    """
    while True:
        name = str(rng.choice([*PRIMITIVE, "bcc", "hcp"]))
        sites, cell = supercell(rng, name, int(rng.choice([2, 2, 3, 3, 3, 4, 4, 5, 6, 8])))
        width = nearest_distance(sites, cell)
        u, back = np.zeros_like(sites), np.linalg.inv(cell)
        own = rng.random() < 0.5
        for _ in range(int(rng.choice([1, 1, 2]))):
            g = rng.integers(-1, 2, 3)
            q = back @ g
            kind = rng.choice([0, 0, 1, 2, 3])
            along = rng.normal(size=3)
            if kind == 0 and q.any():
                along = q.copy()
            elif kind == 1 and q.any():
                along = np.cross(q, along)
            elif kind == 2:
                along = rng.choice([-1.0, 0.0, 1.0], 3) + 1e-9
            along /= np.linalg.norm(along)
            phase = rng.choice([0.0, 0.25, 0.125, rng.random()]) + (
                rng.choice([0.0, 0.5, 0.25, rng.random()], len(sites)) if own else 0.0
            )
            u += np.cos(2 * np.pi * (sites @ g + phase))[:, None] * along
        u -= u.mean(axis=0)
        size = np.linalg.norm(u, axis=1).max()
        if size < 1e-3:
            continue
        moved = sites + u / size * rng.uniform(*_AMPLITUDE) * width @ back
        found = moved, cell @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3)))
        if _usable(found, _CLOSEST_WAVE):
            return found


def stuffed(rng: np.random.Generator) -> Crystal:
    """Return a lattice with half as many to thrice as many atoms in its holes, in order.

    Holes are places on a grid of a fourth or a third of a small cell; the lattice may lack a site.
    """
    while True:
        name = str(rng.choice(list(PRIMITIVE)))
        sites, cell = supercell(rng, name, int(rng.integers(1, 5)))
        n = len(sites)
        most = int(rng.integers(max(1, n // 2), 3 * n + 1))
        parts = int(rng.choice([2, 3, 4, 6]))
        for _ in range(most):
            place = (rng.integers(0, parts, 3) / parts + sites[rng.integers(len(sites))]) % 1.0
            more = np.vstack([sites, place])
            if nearest(more, cell, 1).min() >= _CLOSEST:
                sites = more
        if len(sites) < 1.45 * n or len(sites) > 28:
            continue
        if n > 1 and rng.random() < 0.2:
            sites = np.delete(sites, rng.integers(n), axis=0)
        found = sites, cell @ (np.eye(3) + rng.uniform(-0.1, 0.1, (3, 3)))
        if len(sites) > 1 and _usable(found, _CLOSEST):
            return found


def bridged(rng: np.random.Generator, base: Crystal) -> Crystal | None:
    """Return a crystal with an atom on every bond of the nearest, or those atoms alone, or None."""
    sites, cell = base
    cell = unit(sites, cell)
    limit = nearest(sites, cell, 1).min() * rng.uniform(1.02, 1.2)
    grid = steps(2)
    d = sites[None, :, None] + grid - sites[:, None, None]
    i, j, m = np.nonzero(
        (np.linalg.norm(d @ cell, axis=-1) < limit) & (np.linalg.norm(d @ cell, axis=-1) > 1e-6)
    )
    middles = np.unique(np.round((sites[i] + 0.5 * d[i, j, m]) % 1.0, 5) % 1.0, axis=0)
    found = middles if rng.random() < 0.3 else np.vstack([sites, middles])
    if not 2 <= len(found) <= 40 or nearest(found, cell, 1).min() < _CLOSEST:
        return None
    return found, cell @ (np.eye(3) + rng.uniform(-0.08, 0.08, (3, 3)))


def netted(rng: np.random.Generator) -> Crystal:
    """Return layers of flat nets, on one hexagonal or square grid, over one another.

    A layer takes one to three of the grid's places, or the middles of its edges; it may be puckered.
    """
    square = rng.random() < 0.35
    plane = np.eye(2) if square else np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)]])
    places = (
        np.array([[0, 0], [0.5, 0.5], [0.5, 0], [0, 0.5]])
        if square
        else np.array([[0, 0], [1 / 3, 2 / 3], [2 / 3, 1 / 3], [0.5, 0], [0, 0.5], [0.5, 0.5]])
    )
    while True:
        layers, sites, z = int(rng.integers(1, 7)), [], 0.0
        last: list[int] = []
        heights = rng.uniform(0.25, 1.1, 2)
        for _ in range(layers):
            if last and rng.random() < 0.25:
                chosen = last
            elif not square and rng.random() < 0.15:
                chosen = [3, 4, 5] if rng.random() < 0.6 else [0, 3, 4, 5]
            else:
                span = 4 if square else 3
                chosen = rng.permutation(span)[: int(rng.choice([1, 1, 1, 2, 2, 3]))].tolist()
            pucker = rng.uniform(0.05, 0.3) if len(chosen) > 1 and rng.random() < 0.25 else 0.0
            sites += [[*places[p], z + pucker * (k % 2)] for k, p in enumerate(chosen)]
            z += float(rng.choice(heights))
            last = chosen
        height = z + (rng.uniform(0.0, 1.0) if rng.random() < 0.3 else 0.0)
        at = np.array(sites)
        at[:, 2] /= height
        cell = np.zeros((3, 3))
        cell[:2, :2], cell[2, 2] = plane, height
        if rng.random() < 0.2:
            cell[2, :2] = rng.uniform(-0.5, 0.5) * plane[0]
        if rng.random() < 0.3:
            cell[0] *= rng.uniform(0.85, 1.2)
        if 2 <= len(at) <= 24 and _usable((at, cell), _CLOSEST + 0.05):
            return at, cell


def packed(rng: np.random.Generator, base: Crystal, rounds: int = 50) -> Crystal | None:
    """Return a crystal of spheres of two sizes, pressed together from another one, or None.

    Its atoms and its cell follow a soft repulsion and a pressure, which keeps the symmetry.
    """
    sites, cell = base
    cell, n = unit(sites, cell), len(sites)
    # Sites with equal surroundings get equal spheres.
    kind = np.unique(np.round(nearest(sites, cell, 6), 2), axis=0, return_inverse=True)[1].ravel()
    radii = np.where(rng.random(kind.max() + 1) < 0.5, 1.0, rng.uniform(*_SMALLER))[kind]
    size = (radii[:, None] + radii) / np.cbrt((radii**3).mean()) * 0.56
    grid = steps(2)
    apart = (sites[None, :, None] + grid - sites[:, None, None]).reshape(-1, 3)
    shift = np.zeros_like(sites)
    rate = 0.03
    for _ in range(rounds):
        f = (
            apart + np.repeat((shift[None] - shift[:, None]).reshape(-1, 3), len(grid), axis=0)
        ) @ cell
        d = np.linalg.norm(f, axis=1)
        d[d < 1e-6] = np.inf  # itself
        x = np.repeat(size.ravel(), len(grid)) / d
        pull = np.where(d < 2.2, np.minimum(x**8, 30.0) - 0.35 * x**4, 0.0) / d
        force = f * pull[:, None]
        on = -force.reshape(n, n, -1, 3).sum(axis=(1, 2))
        stress = (f.T @ force) / n
        stress = 0.5 * (stress + stress.T)
        top = max(float(np.abs(on).max()), float(np.abs(stress).max()), 1e-9)
        shift += on / max(top, 1.0) * rate @ np.linalg.inv(cell)
        cell = cell @ (np.eye(3) + 0.5 * rate * stress / max(top, 1.0))
        rate = rate * 0.985
    found = sites + shift, cell
    if not np.isfinite(cell).all() or not _usable(found, _CLOSEST + 0.05):
        return None
    return found
