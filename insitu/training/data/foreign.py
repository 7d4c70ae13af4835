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
_ALIKE = 0.1
#: Shortest distance in a made-up crystal, in units of (volume an atom)^(1/3).
_CLOSEST = 0.62
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


def made_up(rng: np.random.Generator, most: int = 40) -> Crystal:
    """Return a crystal of a random space group that is like none of the classes.

    One to four orbits on special and general places, in a cell of random proportions that the crystal
    system allows; up to `most` atoms in the primitive cell.
    """
    while True:
        group = int(rng.integers(2, 231))
        lengths, angles = np.exp(rng.uniform(-0.5, 0.5, 3)), rng.uniform(70, 115, 3)
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
        if nearest(*found, 1).min() >= _CLOSEST and unlikeness(*found).min() >= _ALIKE:
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
