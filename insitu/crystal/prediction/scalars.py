# SPDX-License-Identifier: BSD-3-Clause
"""Formation energy of a crystal by a regression on published DFT energies (``kernel.py``)."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from insitu.crystal.prediction.graph import graph
from insitu.crystal.prediction.kernel import REACH, predicted
from insitu.crystal.prediction.weights import checked, loaded


@dataclass(frozen=True)
class Energy:
    """A predicted formation energy.

    Parameters
    ----------
    value
        eV/atom, from the elements.
    alike
        How much the crystal is like that of training which is most like it, 0 … 1 (the kernel): energies of
        crystals like none are worse.
    """

    value: float
    alike: float


def formation_energy(cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike) -> Energy:
    """Return the formation energy of a crystal from its elements as DFT (PBE) would have it at 0 K.

    It is the same for each choice of the cell, and for mirror images.

    Parameters
    ----------
    cell
        ``(3, 3)`` any cell of the crystal, rows are vectors [Å].
    sites
        ``(n, 3)`` fractional coordinates.
    numbers
        ``(n,)`` atomic numbers.

    Raises
    ------
    SettingError
        A shape is wrong, an element has no place in the tables, or atoms lie on each other.

    References
    ----------
    F. Faber, A. Lindmaa, O. A. von Lilienfeld, R. Armiento, Int. J. Quantum Chem. 115, 1094 (2015),
    doi:10.1002/qua.24917 (the energies).
    """
    (model,), _ = loaded("formation_energy")
    lattice, s, z = checked(cell, sites, numbers, len(model["radius"]))
    value, alike = predicted(model, graph(lattice, s, z, REACH))
    return Energy(float(value[0]), alike)
