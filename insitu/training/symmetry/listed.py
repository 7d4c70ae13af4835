# SPDX-License-Identifier: BSD-3-Clause
"""Real compounds as a library of crystals: what a database has, to compare with random ones."""

from collections.abc import Iterable

import numpy as np

from insitu.diffraction.symmetry.groups import class_of
from insitu.training.structures.tensor_tables import Record

from .library import Library, symmetry_dataset
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
    indices, intensities, cells, numbers = [], [], [], []
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
        strong = values > 1e-6 * values.max()
        indices.append(hkl[strong].astype(np.int8))
        intensities.append((values[strong] / values.max()).astype(np.float32))
        cells.append(crystal.cell)
        numbers.append(crystal.number)
    first = np.concatenate([[0], np.cumsum([len(v) for v in intensities])]).astype(np.int64)
    library = Library(
        np.concatenate(indices), np.concatenate(intensities), first,
        np.array(cells, dtype=np.float32), np.array(numbers),
        np.array([class_of(n) for n in numbers]),
    )  # fmt: skip
    return library, duplicates


def standard(record: Record) -> Crystal | None:
    """Return a crystal in the standard setting of its space group; None where it is too large."""
    found = symmetry_dataset(record.cell, record.sites, record.numbers, TOLERANCE)
    if found is None or abs(np.linalg.det(found.std_lattice)) > LARGEST:
        return None
    lengths = np.linalg.norm(found.std_lattice, axis=1)
    unit = found.std_lattice / lengths[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    parameters = np.concatenate([lengths, np.degrees(np.arccos(cosines))])
    return Crystal(
        int(found.number), parameters, np.asarray(found.std_positions), np.asarray(found.std_types)
    )
