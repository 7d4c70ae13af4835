# SPDX-License-Identifier: BSD-3-Clause
"""Crystals that are none of the classes: known prototypes by name, and made-up ones."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ase.spacegroup import crystal as symmetric
from ase.spacegroup.spacegroup import SpacegroupError
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.testing import LATTICES

#: Fractional coordinates ``(n, 3)`` and cell vectors ``(3, 3)`` of a crystal.
Crystal = tuple[NDArray[np.float64], NDArray[np.float64]]

#: Nearest neighbours whose distances tell a site from the classes' own.
_SHELLS = 18
#: Scatter of these distances below which a made-up crystal's site is too much like a class.
_ALIKE = 0.07
#: Shortest distance in a made-up crystal, in units of (volume an atom)^(1/3).
_CLOSEST = 0.62
#: The same for a layered one, and for a lattice whose atoms are shuffled.
_CLOSEST_LAYERED, _CLOSEST_SHUFFLED = 0.55, 0.6
#: Unlikeness of a shuffled lattice's least unlike site; root mean square of its shifts, in units of the
#: nearest distance.
_ALIKE_SHUFFLED, _SHIFTS = 0.045, (0.13, 0.32)
#: Primitive cells and places in them.
_FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
_HCP = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
_PRIMITIVE = {
    "sc": (np.eye(3), [[0.0, 0, 0]]),
    "bcc": (0.5 - np.eye(3), [[0.0, 0, 0]]),
    "fcc": (_FCC, [[0.0, 0, 0]]),
    "cubic_diamond": (_FCC, [[0.0, 0, 0], [0.25, 0.25, 0.25]]),
    "hcp": (_HCP, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
}
#: Special places of space groups.
_PLACES = np.array([0.0, 0.25, 0.5, 0.75, 1 / 3, 2 / 3, 0.125])


def prototypes() -> dict[str, Crystal]:
    """Return the AFLOW prototypes by name, as pymatgen's file has them.

    A name is AFLOW's label; the second of the same label has ``:2`` behind it, and so on.
    Mehl et al., Comput. Mater. Sci. 136, S1 (2017).

    Raises
    ------
    SettingError
        pymatgen is not installed, or has no such file.
    """
    try:
        spec = find_spec("pymatgen.analysis.prototypes")
    except ModuleNotFoundError:
        spec = None
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = [p for f in folders if (p := Path(f) / "aflow_prototypes.json.gz").is_file()]
    if not paths:
        raise SettingError(
            "the recipe's [foreign] names prototypes of crystals, which are read from pymatgen's file of "
            "them, and there is none: pip install pymatgen, or leave its lists of names out"
        )
    with gzip.open(paths[0]) as file:
        entries = json.load(file)
    seen: Counter[str] = Counter()
    found = {}
    for e in entries:
        label = e["tags"]["aflow"]
        seen[label] += 1
        name = label if seen[label] == 1 else f"{label}:{seen[label]}"
        cell = np.array(e["snl"]["lattice"]["matrix"])
        sites = np.array([s["abc"] for s in e["snl"]["sites"]])
        # A left-handed cell becomes the mirror image, from which no descriptor can tell it.
        found[name] = sites, cell * np.sign(np.linalg.det(cell))
    return found


def _unit(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cell with one atom in a unit of volume."""
    scaled: NDArray[np.float64] = cell / np.cbrt(abs(np.linalg.det(cell)) / len(sites))
    return scaled


def _steps(most: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lattice steps ``(m, 3)`` up to so many in each direction."""
    grid = np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3)


def nearest(sites: NDArray[np.float64], cell: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the k nearest distances ``(n, k)`` of each site, in units of (volume an atom)^(1/3)."""
    cell, reach = _unit(sites, cell), 2.4
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    while True:
        steps = _steps(np.ceil(reach / heights).astype(int) + 1)
        at = (sites[:, None] + steps[None]).reshape(-1, 3) @ cell
        d = np.linalg.norm(at[None] - (sites @ cell)[:, None], axis=-1)
        d = np.sort(np.partition(d, k, axis=1)[:, : k + 1], axis=1)[:, 1:]
        if d.max() < reach:
            return d
        reach *= 1.3


def _shape(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    d = nearest(sites, cell, _SHELLS)
    shape: NDArray[np.float64] = d / d.mean(axis=1, keepdims=True)
    return shape


_KNOWN = np.concatenate(
    [_shape(np.array(b), np.diag(np.asarray(a, dtype=float)))[:1] for a, b in LATTICES.values()]
)


def unlikeness(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how little each site ``(n,)`` is like that of the nearest class.

    Root mean square difference of the 18 nearest distances, in units of their mean.
    """
    d = _shape(sites, cell)[:, None] - _KNOWN[None]
    away: NDArray[np.float64] = np.sqrt((d**2).mean(axis=-1)).min(axis=1)
    return away


def made_up(rng: np.random.Generator, most: int = 40, *, layered: bool = False) -> Crystal:
    """Return a crystal of a random space group that is like none of the classes.

    One to four orbits on special and general places, in a cell of random proportions that the crystal
    system allows; up to `most` atoms in the primitive cell. A `layered` one has a long third vector and
    its atoms in one half of it.
    """
    closest = _CLOSEST_LAYERED if layered else _CLOSEST
    while True:
        group = int(rng.integers(3, 195) if layered else rng.integers(2, 231))
        lengths, angles = np.exp(rng.uniform(-0.5, 0.5, 3)), rng.uniform(70, 115, 3)
        if layered:
            lengths[2] *= np.exp(rng.uniform(0.4, 1.2))
        if group >= 195:
            lengths[:] = 1.0
        elif group >= 75:
            lengths[1] = lengths[0]
        if group >= 16:
            angles[:] = 90.0
        elif group >= 3:
            angles[[0, 2]] = 90.0
        if 143 <= group <= 194:
            angles[2] = 120.0
        basis = [
            np.where(rng.random(3) < 0.6, rng.choice(_PLACES, 3), rng.random(3))
            for _ in range(rng.integers(1, 5))
        ]
        if layered:
            for place in basis:
                place[2] = rng.uniform(-0.25, 0.25) + rng.choice([0.0, 0.25, 0.5])
        try:
            made = symmetric(
                "X" * len(basis), basis, spacegroup=group, cellpar=[*lengths, *angles],
                onduplicates="error", primitive_cell=True,
            )  # fmt: skip
        except (SpacegroupError, ValueError):  # two orbits on one place
            continue
        if not 2 <= len(made) <= most:
            continue
        cell = np.array(made.cell)
        found = made.positions @ np.linalg.inv(cell), cell
        if nearest(*found, 1).min() >= closest and unlikeness(*found).min() >= _ALIKE:
            return found


def _multiple(rng: np.random.Generator, k: int) -> NDArray[np.int64]:
    """Return a matrix ``(3, 3)`` of integers whose lattice has k times the volume."""
    of = [(a, b, k // a // b) for a in range(1, k + 1) for b in range(1, k + 1) if k % (a * b) == 0]
    h = np.diag(of[rng.integers(len(of))])
    h[1, 0], h[2, 0], h[2, 1] = rng.integers(h[0, 0]), rng.integers(h[0, 0]), rng.integers(h[1, 1])
    return h


def shuffled(rng: np.random.Generator) -> Crystal:
    """Return a lattice of a class whose atoms are shifted in a small supercell, like omega is of bcc.

    Shifts are random, or all along one direction; a fifth of the larger cells lacks an atom as well.
    """
    while True:
        cell, basis = _PRIMITIVE[str(rng.choice(list(_PRIMITIVE)))]
        k = int(rng.integers(2, 9))
        big = _multiple(rng, k) @ cell
        steps = _steps(np.full(3, k + 1)) @ cell
        r = (steps[:, None] + (np.array(basis) @ cell)[None]).reshape(-1, 3) @ np.linalg.inv(big)
        sites = np.unique(np.round(r - np.floor(r + 1e-6), 5) % 1.0, axis=0)
        n = k * len(basis)
        if len(sites) != n:
            continue
        width = float(nearest(sites, big, 1).min()) * np.cbrt(abs(np.linalg.det(big)) / n)
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
    cell = _unit(sites, cell)
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
