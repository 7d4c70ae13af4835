# SPDX-License-Identifier: BSD-3-Clause
"""Real compounds as a library of crystals: what a database has, to compare with random ones."""

from collections.abc import Iterable

import numpy as np

from insitu.crystal.cells import parameters
from insitu.training.structures.tensor_tables import Record

from .library import Library, gathered, of_note, symmetry_dataset
from .peaks import reflections
from .structures import Crystal

#: Symmetry is found with this tolerance [Å]: the cells are relaxed ones.
TOLERANCE = 0.01
#: Largest conventional cell [Å^3].
LARGEST = 4000.0


def library_of(records: Iterable[Record], part: str) -> tuple[Library, int]:
    """Return the crystals of a part of a list, each formula and space group once.

    Parameters
    ----------
    records : iterable of Record
        Dealt out to parts by composition.
    part : str
        ``train``, or ``test`` (also what is for validation).

    Returns
    -------
    library : Library
    duplicates : int
        How many were left out, since formula and space group were there.
    """
    found = []
    seen: set[tuple[str, int]] = set()
    duplicates = 0
    for record in records:
        if (record.part == "train") != (part == "train"):
            continue
        crystal = standard(record)
        if crystal is None:
            continue
        key = record.formula, crystal.number
        if key in seen:
            duplicates += 1
            continue
        seen.add(key)
        hkl, values = reflections(crystal)
        if len(hkl) < 4:
            continue
        found.append((crystal.cell, crystal.number, *of_note(hkl, values)))
    return gathered(found), duplicates


def standard(record: Record) -> Crystal | None:
    """Return a crystal in the standard setting of its space group; None where it is too large."""
    found = symmetry_dataset(record.cell, record.sites, record.numbers, TOLERANCE)
    if found is None or abs(np.linalg.det(found.std_lattice)) > LARGEST:
        return None
    return Crystal(
        int(found.number), parameters(found.std_lattice), np.asarray(found.std_positions),
        np.asarray(found.std_types),
    )  # fmt: skip
