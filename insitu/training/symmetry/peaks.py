# SPDX-License-Identifier: BSD-3-Clause
"""Reflections of a crystal: indices, multiplicities and squared structure factors."""

import numpy as np

from .sites import Array, operations
from .structures import Crystal, lattice_vectors


def form_factors(elements: Array, s: Array) -> Array:
    """X-ray form factors (International Tables C, table 6.1.1.4).

    Parameters
    ----------
    elements : array, shape (k,)
        Atomic numbers.
    s : array, shape (n,)
        sin(theta) / wavelength [1/Å].

    Returns
    -------
    array, shape (k, n)
        [electrons]
    """
    import gemmi

    rows = np.array([gemmi.Element(int(z)).it92.get_coefs() for z in elements])
    falling = np.exp(-rows[:, 4:8, None] * (s**2)[None, None])
    return np.asarray(rows[:, 8:] + np.einsum("ki,kin->kn", rows[:, :4], falling))


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
    s = 0.5 * np.linalg.norm(indices @ reciprocal, axis=1)
    kinds, which = np.unique(crystal.elements, return_inverse=True)
    factors = form_factors(kinds, s)
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
