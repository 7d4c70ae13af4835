# SPDX-License-Identifier: BSD-3-Clause
"""Crystals as sites and cells: their nearest distances, hot and strained copies, shuffled lattices."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.perfect import LATTICES

#: Fractional coordinates ``(n, 3)`` and cell vectors ``(3, 3)`` of a crystal.
Crystal = tuple[NDArray[np.float64], NDArray[np.float64]]

#: Pairs of sites whose distances are taken together: some 50 MB.
_BLOCK = 1_000_000
#: Nearest neighbours whose distances tell a site from the classes' own.
_SHELLS = 18
#: Shortest distance in a lattice whose atoms are shuffled, in units of (volume an atom)^(1/3).
_CLOSEST_SHUFFLED = 0.6
#: Unlikeness of a shuffled lattice's least unlike site; root mean square of its shifts, in units of the
#: nearest distance.
_ALIKE_SHUFFLED, _SHIFTS = 0.045, (0.13, 0.32)
#: Neighbours by which a site is told to be a lattice's own, and the difference within which it is.
_COUNTED = {"fcc": 12, "hcp": 12, "bcc": 14, "sc": 18, "cubic_diamond": 16, "hexagonal_diamond": 16}
_SAME = 0.03
#: Unlikeness of a random crystal's least unlike site, and special coordinates.
_ALIKE_RANDOM, _SPECIAL = 0.07, np.array([0.0, 0.25, 0.5, 0.75, 1 / 3, 2 / 3])
#: Primitive cells and places in them.
_FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
_HCP = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
PRIMITIVE = {
    "sc": (np.eye(3), [[0.0, 0, 0]]),
    "bcc": (0.5 - np.eye(3), [[0.0, 0, 0]]),
    "fcc": (_FCC, [[0.0, 0, 0]]),
    "cubic_diamond": (_FCC, [[0.0, 0, 0], [0.25, 0.25, 0.25]]),
    "hcp": (_HCP, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
}


def unit(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cell with one atom in a unit of volume."""
    scaled: NDArray[np.float64] = cell / np.cbrt(abs(np.linalg.det(cell)) / len(sites))
    return scaled


def of_class(name: str) -> Crystal:
    """Return the orthogonal cell of a class's lattice, a key of ``LATTICES``."""
    lengths, basis = LATTICES[name]
    return np.array(basis), np.diag(np.asarray(lengths, dtype=float))


def steps(most: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Return the lattice steps ``(m, 3)`` up to so many in each direction."""
    grid = np.meshgrid(*[np.arange(-m, m + 1) for m in np.broadcast_to(most, 3)], indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3)


def _within(cell: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
    """Return the lattice steps ``(m, 3)`` to all cells that a distance reaches from a site of a cell."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return steps(np.floor(reach / heights).astype(int) + 1)


def nearest(sites: NDArray[np.float64], cell: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the k nearest distances ``(n, k)`` of each site, in units of (volume an atom)^(1/3)."""
    cell, reach = unit(sites, cell), max(1.3, 2.4 * float(np.cbrt(k / _SHELLS)))
    sites = sites % 1.0
    while True:
        at = (sites[:, None] + _within(cell, reach)[None]).reshape(-1, 3) @ cell
        nearest_of = []
        for some in np.array_split(sites @ cell, -(-len(sites) * len(at) // _BLOCK)):
            d = np.linalg.norm(at[None] - some[:, None], axis=-1)
            nearest_of.append(np.sort(np.partition(d, k, axis=1)[:, : k + 1], axis=1)[:, 1:])
        d = np.concatenate(nearest_of)
        if d.max() < reach:
            return d
        reach *= 1.3


def nearest_distance(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """Return the shortest distance of two sites, in the unit of the cell."""
    shortest = float(nearest(sites, cell, 1).min())
    return shortest * float(np.cbrt(abs(np.linalg.det(cell)) / len(sites)))


def neighbors_of(
    sites: NDArray[np.float64], cell: NDArray[np.float64], which: int, k: int
) -> NDArray[np.float64]:
    """Return the vectors ``(k, 3)`` from a site to its nearest, in units of (volume an atom)^(1/3)."""
    cell, reach = unit(sites, cell), 2.3
    sites = sites % 1.0
    while True:
        v = ((sites - sites[which])[:, None] + _within(cell, reach)[None]).reshape(-1, 3) @ cell
        d = np.linalg.norm(v, axis=1)
        order = np.argsort(d, kind="stable")[1 : k + 1]
        if d[order[-1]] < reach:
            found: NDArray[np.float64] = v[order]
            return found
        reach *= 1.3


def shape(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each site's 18 nearest distances ``(n, 18)``, in units of their mean."""
    d = nearest(sites, cell, _SHELLS)
    relative: NDArray[np.float64] = d / d.mean(axis=1, keepdims=True)
    return relative


@cache
def _known() -> NDArray[np.float64]:
    """Return the shape of a site of each class ``(C, 18)``."""
    return np.concatenate([shape(*of_class(name))[:1] for name in LATTICES])


def unlikeness(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how little each site ``(n,)`` is like that of the nearest class.

    Root mean square difference of the 18 nearest distances, in units of their mean.
    """
    d = shape(sites, cell)[:, None] - _known()[None]
    away: NDArray[np.float64] = np.sqrt((d**2).mean(axis=-1)).min(axis=1)
    return away


def _angles(
    sites: NDArray[np.float64], cell: NDArray[np.float64], which: int, k: int
) -> NDArray[np.float64]:
    """Return sorted distances ``(k (k + 1) / 2,)``: of a site's k nearest, and theirs from each other."""
    v = neighbors_of(sites, cell, which, k)
    length, (i, j) = np.linalg.norm(v, axis=1), np.triu_indices(k, 1)
    pairs = np.linalg.norm(v[i] - v[j], axis=1)
    found: NDArray[np.float64] = np.concatenate([length, np.sort(pairs)]) / length.mean()
    return found


@cache
def _angles_of_class(name: str) -> NDArray[np.float64]:
    return _angles(*of_class(name), 0, _COUNTED[name])


def classes_of_sites(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> list[str]:
    """Return the lattice that each site is one of, ``""`` where it is none of them.

    A site is a lattice's if the nearest 12 (fcc, hcp), 14 (bcc), 16 (diamonds) or 18 (sc) neighbours have
    the lattice's distances from it, and from each other, within 3 % (root mean square).
    """
    found = [""] * len(sites)
    best = np.full(len(sites), _SAME)
    for name, k in _COUNTED.items():
        own = _angles_of_class(name)
        for n in range(len(sites)):
            apart = np.sqrt(((_angles(sites, cell, n, k) - own) ** 2).mean())
            if apart < best[n]:
                found[n], best[n] = name, apart
    return found


def stacked(letters: str, *, diamond: bool = False) -> Crystal:
    """Return close-packed layers A, B, C (of atoms, or of diamond's bilayers) in a hexagonal cell."""
    at, height = {"A": (0.0, 0.0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}, np.sqrt(2 / 3)
    n, above = len(letters), (0.0, 0.75) if diamond else (0.0,)
    sites = [[*at[letter], (k + up) / n] for k, letter in enumerate(letters) for up in above]
    cell = np.array([[1.0, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, n * height]])
    return np.array(sites), cell


def random_crystal(rng: np.random.Generator, most: int = 9) -> Crystal:
    """Return a crystal of two to `most` atoms on places without symmetry that is like no class."""
    while True:
        n = int(rng.integers(2, most + 1))
        cell = np.diag(np.exp(rng.uniform(-0.4, 0.4, 3))) @ (
            np.eye(3) + np.triu(rng.uniform(-0.4, 0.4, (3, 3)), 1) * (rng.random() < 0.5)
        )
        sites = np.where(rng.random((n, 3)) < 0.3, rng.choice(_SPECIAL, (n, 3)), rng.random((n, 3)))
        if nearest(sites, cell, 1).min() < _CLOSEST_SHUFFLED:
            continue
        if unlikeness(sites, cell).min() >= _ALIKE_RANDOM:
            return sites, cell


def _multiple(rng: np.random.Generator, k: int) -> NDArray[np.int64]:
    """Return a matrix ``(3, 3)`` of integers whose lattice has k times the volume."""
    of = [(a, b, k // a // b) for a in range(1, k + 1) for b in range(1, k + 1) if k % (a * b) == 0]
    h = np.diag(of[rng.integers(len(of))])
    h[1, 0], h[2, 0], h[2, 1] = rng.integers(h[0, 0]), rng.integers(h[0, 0]), rng.integers(h[1, 1])
    return h


def supercell(rng: np.random.Generator, name: str, k: int) -> Crystal:
    """Return k primitive cells of a class's lattice as one cell of random shape."""
    cell, basis = PRIMITIVE[name]
    big = _multiple(rng, k) @ cell
    r = (steps(k + 1)[:, None] @ cell + (np.array(basis) @ cell)[None]).reshape(-1, 3)
    r = r @ np.linalg.inv(big)
    sites = np.unique(np.round(r - np.floor(r + 1e-6), 5) % 1.0, axis=0)
    assert len(sites) == k * len(basis)
    return sites, big


def shuffled(rng: np.random.Generator) -> Crystal:
    """Return a lattice of a class whose atoms are shifted in a small supercell, like omega is of bcc.

    Shifts are random, or all along one direction; a fifth of the larger cells lacks an atom as well.
    """
    while True:
        name = str(rng.choice(list(PRIMITIVE)))
        sites, big = supercell(rng, name, int(rng.integers(2, 9)))
        n, width = len(sites), nearest_distance(sites, big)
        u, along = rng.normal(size=(n, 3)), rng.normal(size=3)
        if rng.random() < 0.5:
            some = rng.choice([-1.0, 0.0, 1.0], n) if rng.random() < 0.6 else rng.normal(size=n)
            if rng.random() < 0.5:
                along = rng.choice([-1.0, 0.0, 1.0], 3) + 1e-9
            u = np.outer(some, along / np.linalg.norm(along))
        u -= u.mean(axis=0)
        size = np.sqrt((u**2).sum(axis=1).mean())
        if size < 1e-3:
            continue
        sites = sites + u * rng.uniform(*_SHIFTS) * width / size @ np.linalg.inv(big)
        if n >= 5 and rng.random() < 0.2:
            sites = np.delete(sites, rng.integers(n), axis=0)
        found = sites, big @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3)))
        if (
            nearest(*found, 1).min() >= _CLOSEST_SHUFFLED
            and unlikeness(*found).min() >= _ALIKE_SHUFFLED
        ):
            return found


def repeated(
    sites: NDArray[np.float64], cell: NDArray[np.float64], height: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return a crystal's copies, so many that the cell is at least this high, at one atom a volume.

    Returns
    -------
    positions, cell, site
        ``(m, 3)``, ``(3, 3)``, and which of the sites each is ``(m,)``.
    """
    cell = unit(sites, cell)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    most = np.maximum(1, np.ceil(height / heights)).astype(int)
    grid = np.stack(np.meshgrid(*map(np.arange, most), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = ((sites[:, None] + grid[None]) @ cell).reshape(-1, 3)
    return positions, cell * most[:, None], np.repeat(np.arange(len(sites)), len(grid))


def displaced(
    crystal: Crystal, sigma: float, strain: float, rng: np.random.Generator, height: float = 5.6
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return copies of a crystal with thermal displacements in a deformed cell.

    Parameters
    ----------
    crystal
        Sites and cell.
    sigma
        Standard deviation of each component of a displacement, in units of the shortest distance.
    strain
        Largest uniaxial and shear component of the deformation.
    rng
        Of both.
    height
        Of the cell, in units of (volume an atom)^(1/3).

    Returns
    -------
    positions, cell, site
        As of :func:`repeated`.
    """
    r, cell, site = repeated(*crystal, height)
    f = np.eye(3) + np.triu(rng.uniform(-strain, strain, (3, 3)))
    width = sigma * float(nearest(*crystal, 1).min())
    return r @ f + rng.normal(0.0, 1.0, r.shape) * width, cell @ f, site
