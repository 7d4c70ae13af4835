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
from insitu.frame.lattices.copies import Crystal, nearest, unlikeness

#: Scatter of these distances below which a made-up crystal's site is too much like a class.
_ALIKE = 0.07
#: Shortest distance in a made-up crystal, in units of (volume an atom)^(1/3).
_CLOSEST = 0.62
#: The same for a layered one.
_CLOSEST_LAYERED = 0.55
#: Special places of space groups.
_PLACES = np.array([0.0, 0.25, 0.5, 0.75, 1 / 3, 2 / 3, 0.125])


def prototypes() -> dict[str, Crystal]:
    """Return the AFLOW prototypes by name, as :func:`prototypes_with_species` has them."""
    return {name: crystal for name, (crystal, _) in prototypes_with_species().items()}


def prototypes_with_species() -> dict[str, tuple[Crystal, NDArray[np.int64]]]:
    """Return the AFLOW prototypes by name, and which species each of their atoms is, 0, 1, …, ``(n,)``.

    They are as pymatgen's file has them. A name is AFLOW's label; the second of the same label has ``:2``
    behind it, and so on.
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
            "prototypes of crystals are read from pymatgen's file of them, and there is none: pip install "
            "pymatgen, or, in a recipe, leave the lists of names in [foreign] out"
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
        labels = [s["label"] for s in e["snl"]["sites"]]
        _, species = np.unique(labels, return_inverse=True)
        found[name] = (sites, cell * np.sign(np.linalg.det(cell))), species.astype(np.int64)
    return found


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
