# SPDX-License-Identifier: BSD-3-Clause
"""Reflections of a crystal: indices, multiplicities and squared structure factors."""

import numpy as np

from insitu.diffraction.scattering.form_factors import scattering_factors
from insitu.frame.species import SYMBOLS

from .sites import Array, operations
from .structures import Crystal, lattice_vectors


def allowed_indices(crystal: Crystal, shortest: float) -> Array:
    """One of each set of equivalent reflections that the space group allows, shape (n, 3)."""
    import gemmi

    group = gemmi.find_spacegroup_by_number(crystal.number)
    return gemmi.make_miller_array(gemmi.UnitCell(*crystal.cell), group, shortest, 0, True)


def multiplicities(number: int, indices: Array) -> Array:
    """How many equivalent reflections there are (Friedel's law holds), shape (n,)."""
    rotations = np.unique(operations(number)[0], axis=0)
    rotations = np.unique(np.concatenate([rotations, -rotations]), axis=0)
    images = np.einsum("ni,kij->knj", indices.astype(np.float32), rotations.astype(np.float32))
    same = (np.abs(images - indices[None]) < 0.5).all(-1).sum(0)
    return np.asarray(len(rotations) // same)


def squared_structure_factors(crystal: Crystal, indices: Array) -> Array:
    """|F(hkl)|^2 [electrons^2], shape (n,), of indices, shape (n, 3)."""
    reciprocal = np.linalg.inv(lattice_vectors(crystal.cell)).T
    q = 2 * np.pi * np.linalg.norm(indices @ reciprocal, axis=1)
    kinds, which = np.unique(crystal.elements, return_inverse=True)
    factors = scattering_factors([SYMBOLS[z] for z in kinds], q)
    total = np.zeros(len(indices), dtype=complex)
    for k in range(len(kinds)):
        phase = 2 * np.pi * (indices @ crystal.positions[which == k].T)
        total += factors[k] * (np.cos(phase).sum(1) + 1j * np.sin(phase).sum(1))
    return np.abs(total) ** 2


def reflections(crystal: Crystal, shortest: float = 1.02) -> tuple[Array, Array]:
    """Return indices and intensities without Lorentz-polarisation factor down to a spacing.

    Parameters
    ----------
    crystal : Crystal
    shortest : float
        Shortest spacing of lattice planes [Å].

    Returns
    -------
    indices : array, shape (n, 3)
    intensities : array, shape (n,)
        Multiplicity times |F|^2.
    """
    indices = allowed_indices(crystal, shortest)
    if not len(indices):
        return indices, np.zeros(0)
    return indices, multiplicities(crystal.number, indices) * squared_structure_factors(
        crystal, indices
    )
