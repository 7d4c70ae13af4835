# SPDX-License-Identifier: BSD-3-Clause
"""A library of crystals balanced over the extinction groups, kept as reflections on disk."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, class_of

from .peaks import reflections
from .sites import Array
from .structures import Crystal, lattice_vectors, random_crystal


@dataclass(frozen=True)
class Library:
    """Reflections of many crystals, one after the other.

    Attributes
    ----------
    indices : array, shape (n, 3), int8
    intensities : array, shape (n,), float32
        Multiplicity times |F|^2, largest of a crystal 1.
    first : array, shape (crystals + 1,)
        Where the reflections of each crystal begin.
    cells : array, shape (crystals, 6)
        [Å, degrees]
    numbers, classes : array, shape (crystals,)
        Space groups that spglib finds (1-based), extinction groups (0-based).
    """

    indices: Array
    intensities: Array
    first: Array
    cells: Array
    numbers: Array
    classes: Array

    def __len__(self) -> int:
        return len(self.numbers)


def symmetry_dataset(cell: Array, sites: Array, elements: Array, tolerance: float) -> Any:
    """Return what spglib finds of a crystal, within a tolerance [Å]; None where it finds nothing."""
    import spglib

    with warnings.catch_warnings():  # it announces another way of telling errors
        warnings.simplefilter("ignore", DeprecationWarning)
        given: Any = (cell, sites, elements)
        return spglib.get_symmetry_dataset(given, symprec=tolerance)


def found_group(crystal: Crystal) -> int | None:
    """Space group that spglib finds, 1-based; None where it is of another extinction group than meant."""
    vectors = lattice_vectors(crystal.cell)
    found = symmetry_dataset(vectors, crystal.positions, crystal.elements, 1e-3)
    if found is None or class_of(found.number) != class_of(crystal.number):
        return None
    return int(found.number)


def make(crystals_per_class: int, seed: int) -> tuple[Library, float]:
    """`make_classes` for as many crystals of each class."""
    return make_classes(np.tile(np.arange(len(EXTINCTION_GROUPS)), crystals_per_class), seed)


def make_classes(wanted: Array, seed: int, shares: Array | None = None) -> tuple[Library, float]:
    """Draw a crystal of each class asked for; reject what has another symmetry than meant.

    Parameters
    ----------
    wanted : array of int, shape (n,)
        Extinction groups, 0-based.
    seed : int
    shares : array, shape (230,), optional
        How often each space group is drawn for its class; None: all of a class alike.

    Returns
    -------
    library : Library
    kept : float
        Share of the crystals drawn that spglib agreed with.
    """
    rng = np.random.default_rng(seed)
    found = []
    drawn = 0
    for k in wanted:
        members = np.array(EXTINCTION_GROUPS[k].space_groups)
        p = None if shares is None else shares[members - 1] / shares[members - 1].sum()
        while True:
            crystal = random_crystal(int(rng.choice(members, p=p)), rng)
            if crystal is None:
                continue
            drawn += 1
            if (number := found_group(crystal)) is not None:
                hkl, values = reflections(crystal)
                if len(hkl) > 3:
                    break
        found.append((crystal.cell, number, *of_note(hkl, values)))
    return gathered(found), len(found) / drawn


def of_note(hkl: Array, intensities: Array) -> tuple[Array, Array]:
    """Return indices (int8) and relative intensities (float32) of reflections that are not too faint."""
    strong = intensities > 1e-6 * intensities.max()
    return hkl[strong].astype(np.int8), (intensities[strong] / intensities.max()).astype(np.float32)


def gathered(found: Sequence[tuple[Array, int, Array, Array]]) -> Library:
    """Return the library of crystals: cell, space group, and what `of_note` gives, of each."""
    cells, numbers, indices, intensities = zip(*found, strict=True)
    return Library(
        np.concatenate(indices), np.concatenate(intensities),
        np.concatenate([[0], np.cumsum([len(v) for v in intensities])]),
        np.array(cells, dtype=np.float32), np.array(numbers),
        np.array([class_of(n) for n in numbers]),
    )  # fmt: skip


def save(library: Library, path: Path) -> None:
    """Write a library (npz)."""
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **vars(library))
    partial.rename(path)


def load(paths: list[Path]) -> Library:
    """Read libraries and join them."""
    parts = []
    for path in paths:
        with np.load(path) as file:
            parts.append({name: file[name] for name in file.files})
    first, start = [np.zeros(1, dtype=np.int64)], 0
    for part in parts:
        first.append(part["first"][1:] + start)
        start += part["first"][-1]
    joined = {n: np.concatenate([p[n] for p in parts]) for n in parts[0] if n != "first"}
    return Library(first=np.concatenate(first), **joined)
