# SPDX-License-Identifier: BSD-3-Clause
"""Voigt notation, written here and nowhere else: order of the pairs, factors, units.

The pairs are ``xx, yy, zz, yz, xz, xy``. A stiffness and a piezoelectric stress tensor have no factors;
a strain has its shears doubled (engineering strain), a compliance and a piezoelectric strain tensor
accordingly. LAMMPS writes a pressure as ``xx, yy, zz, xy, xz, yz``.

References
----------
J. F. Nye, Physical Properties of Crystals, Oxford University Press (1985).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Pairs of indices of 1 … 6.
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
#: Where the six components of a pressure of LAMMPS are among them.
LAMMPS_ORDER = (0, 1, 2, 5, 4, 3)
#: GPa of other units: of pressure in the unit styles of LAMMPS, and of an energy density.
GPA = {
    "bar": 1e-4, "atm": 1.01325e-4, "Pa": 1e-9, "dyn cm-2": 1e-10, "eV Angstrom-3": 160.2176634,
}  # fmt: skip
_OF = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
_FIRST, _SECOND = np.array(PAIRS).T


def strain_to_voigt(strain: ArrayLike) -> NDArray[np.float64]:
    """Return a strain ``(3, 3)`` as six components, its shears doubled."""
    e = np.asarray(strain, dtype=np.float64)
    return np.asarray(e[_FIRST, _SECOND] * np.array([1, 1, 1, 2, 2, 2]))


def strain_from_voigt(six: ArrayLike) -> NDArray[np.float64]:
    """Return the strain ``(3, 3)`` of six components, whose shears are doubled."""
    e = np.asarray(six, dtype=np.float64) / np.array([1, 1, 1, 2, 2, 2])
    return np.asarray(e[_OF])


def stress_to_voigt(stress: ArrayLike) -> NDArray[np.float64]:
    """Return a stress ``(3, 3)`` as six components."""
    return np.asarray(np.asarray(stress, dtype=np.float64)[_FIRST, _SECOND])


def stress_from_lammps(pressure: ArrayLike, unit: str = "bar") -> NDArray[np.float64]:
    """Return the stress ``(6,)`` [GPa] of a pressure of LAMMPS, ``xx, yy, zz, xy, xz, yz``.

    Stress is positive under tension, pressure under compression.
    """
    p = np.asarray(pressure, dtype=np.float64)
    return np.asarray(-GPA[unit] * p[list(LAMMPS_ORDER)])


def to_voigt(tensor: ArrayLike) -> NDArray[np.float64]:
    """Return a stiffness as ``(6, 6)``, or a piezoelectric stress tensor as ``(3, 6)``; no factors.

    Parameters
    ----------
    tensor
        ``(3, 3, 3, 3)`` C_ijkl, or ``(3, 3, 3)`` e_ijk, symmetric in jk.

    Raises
    ------
    ValueError
        It is neither.
    """
    t = np.asarray(tensor, dtype=np.float64)
    if t.shape == (3,) * 4:
        return np.asarray(t[_FIRST[:, None], _SECOND[:, None], _FIRST, _SECOND])
    if t.shape == (3,) * 3:
        return np.asarray(t[:, _FIRST, _SECOND])
    raise ValueError(
        f"a tensor of shape {t.shape} has no Voigt form; give (3, 3, 3, 3) or (3, 3, 3)"
    )


def from_voigt(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the Cartesian tensor of a stiffness ``(6, 6)`` or of piezoelectric stresses ``(3, 6)``.

    Raises
    ------
    ValueError
        It is neither.
    """
    m = np.asarray(matrix, dtype=np.float64)
    if m.shape == (6, 6):
        return np.asarray(m[_OF[:, :, None, None], _OF])
    if m.shape == (3, 6):
        return np.asarray(m[:, _OF])
    raise ValueError(f"a matrix of shape {m.shape} is no Voigt form; give (6, 6) or (3, 6)")


def compliance_from_voigt(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the Cartesian compliance ``(3, 3, 3, 3)`` of ``(6, 6)``, the inverse of a stiffness."""
    twice = np.array([1, 1, 1, 2, 2, 2])
    return from_voigt(np.asarray(matrix, dtype=np.float64) / np.outer(twice, twice))


def compliance_to_voigt(tensor: ArrayLike) -> NDArray[np.float64]:
    """Return a compliance ``(3, 3, 3, 3)`` as ``(6, 6)``, the inverse of the stiffness."""
    twice = np.array([1, 1, 1, 2, 2, 2])
    return np.asarray(to_voigt(tensor) * np.outer(twice, twice))
