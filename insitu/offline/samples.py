# SPDX-License-Identifier: BSD-3-Clause
"""Samples as other packages hold them, told by their attributes: none of these packages is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError
from insitu.frame.given import flags, integers, real
from insitu.frame.species import SYMBOLS
from insitu.gpu.device import in_device_memory

_NUMBER = {symbol: z for z, symbol in enumerate(SYMBOLS)}


@dataclass(frozen=True)
class Sample:
    """A sample as arrays.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    cell
        ``(3, 3)`` cell vectors as rows [Å]; None if nothing is periodic.
    pbc
        One flag or three.
    species
        ``(n,)`` atomic numbers; None: not known.
    origin
        ``(3,)`` corner of the cell [Å].
    """

    positions: ArrayLike
    cell: ArrayLike | None
    pbc: ArrayLike | bool
    species: ArrayLike | None = None
    origin: ArrayLike = (0.0, 0.0, 0.0)


def sample_of(
    given: Any, cell: ArrayLike | None, pbc: ArrayLike | bool | None, species: ArrayLike | None
) -> Sample:
    """Return a sample as arrays.

    Parameters
    ----------
    given
        ``(n, 3)`` positions [Å], an ``ase.Atoms``, an OVITO ``DataCollection``, or an MDAnalysis
        ``AtomGroup`` or ``Universe``.
    cell, pbc, species
        As of :func:`insitu.classify`; what is given here wins over what an object says.

    Raises
    ------
    SettingError
        Positions without `pbc`; an object without positions.
    """
    found = _of_object(given)
    if found is None:
        if pbc is None:
            raise SettingError(
                "pbc is not given: which directions are periodic? Give one flag or three "
                "(insitu.classify(positions, cell, pbc)), or a sample that knows it: an ase.Atoms"
            )
        if species is not None:
            species = _given_numbers(species)
        if not in_device_memory(given):
            given = real("positions", given)
        return Sample(given, cell, pbc, species)
    if found.cell is None and cell is None and pbc is not None and flags("pbc", pbc).any():
        raise SettingError(
            f"pbc={pbc}, and the {type(given).__name__} has no cell; give cell, or leave pbc out"
        )
    own = cell is None
    return Sample(
        found.positions,
        found.cell if own else cell,
        (found.pbc if own else True) if pbc is None else pbc,
        found.species if species is None else _given_numbers(species),
        found.origin if own else (0.0, 0.0, 0.0),
    )


def _given_numbers(species: Any) -> NDArray[np.int64]:
    return integers("species", species, "atomic numbers, such as 29 for Cu")


def _of_object(given: Any) -> Sample | None:
    """Return the sample of an object; None: it is an array, or becomes one."""
    if hasattr(given, "particles") and hasattr(given, "cell"):
        return _of_ovito(given)
    if hasattr(given, "universe") or hasattr(given, "trajectory"):
        return _of_mdanalysis(given)
    if all(hasattr(given, name) for name in ("positions", "cell", "pbc", "numbers")):
        return _of_ase(given)
    return None


def _of_ase(atoms: Any) -> Sample:
    numbers = np.asarray(atoms.numbers)
    return Sample(
        np.asarray(atoms.positions, dtype=np.float64),
        np.asarray(atoms.cell.array) if atoms.cell.rank else None,
        np.asarray(atoms.pbc, dtype=bool),
        numbers if len(numbers) and numbers.all() else None,  # X is no element
        np.ravel(atoms.get_celldisp()),
    )


def _of_ovito(data: Any) -> Sample:
    particles = data.particles
    if particles is None or particles.positions is None:
        raise SettingError("the DataCollection has no particles; give one that has positions")
    kinds = particles.particle_types
    species = None
    if kinds is not None:
        names = {t.id: t.name for t in kinds.types}
        species = _numbers([names.get(k, "") for k in np.asarray(kinds).tolist()])
    positions = np.asarray(particles.positions, dtype=np.float64)
    if data.cell is None:
        return Sample(positions, None, False, species)
    cell = np.asarray(data.cell, dtype=np.float64)
    return Sample(positions, cell[:, :3].T, np.asarray(data.cell.pbc), species, cell[:, 3])


def _of_mdanalysis(group: Any) -> Sample:
    atoms = getattr(group, "atoms", group)
    box = atoms.universe.trajectory.ts.triclinic_dimensions
    species = _numbers(atoms.elements.tolist()) if hasattr(atoms, "elements") else None
    positions = np.asarray(atoms.positions, dtype=np.float64)
    # MDAnalysis has periodic boxes or none.
    if box is None or not np.any(box):
        return Sample(positions, None, False, species)
    return Sample(positions, np.asarray(box, dtype=np.float64), True, species)


def _numbers(names: list[str]) -> NDArray[np.int64] | None:
    """Return atomic numbers where all names are symbols of elements."""
    if not names or not all(n in _NUMBER and n != "X" for n in set(names)):
        return None
    return np.array([_NUMBER[n] for n in names], dtype=np.int64)
