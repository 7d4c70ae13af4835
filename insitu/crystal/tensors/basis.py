# SPDX-License-Identifier: BSD-3-Clause
"""Bases in which tensors turn with a crystal: traceless symmetric ones of rank 2 and 4, and what they make.

An elastic tensor is made of two scalars, two tensors of rank 2 and one of rank 4, a dielectric one of a
scalar and one of rank 2. A tensor of bonds, ``Σ w n⊗n…`` projected onto these, has the crystal's symmetry
whatever the weights are, as long as they are the same for equivalent bonds.

References
----------
G. Backus, Rev. Geophys. Space Phys. 8, 633 (1970), doi:10.1029/RG008i003p00633.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.tensors.voigt import to_voigt

#: Number of components of each rank.
SIZES = {2: 5, 4: 9}


@cache
def traceless(rank: int) -> NDArray[np.float64]:
    """Return an orthonormal basis ``(5 or 9, 3^rank)`` of traceless symmetric tensors of rank 2 or 4."""
    shape, size = (3,) * rank, 3**rank
    places = np.arange(size).reshape(shape)
    symmetric = np.zeros((size, size))
    orders = list(permutations(range(rank)))
    for order in orders:
        symmetric[np.arange(size), places.transpose(order).ravel()] += 1.0 / len(orders)
    trace = np.eye(size).reshape(size, *shape).trace(axis1=1, axis2=2).reshape(size, -1)
    both = np.concatenate([np.eye(size) - symmetric, trace.T])
    _, values, vectors = np.linalg.svd(both)
    full = np.concatenate([values, np.zeros(size - len(values))])[:size]
    return np.asarray(vectors[full < 1e-9])


def harmonics(direction: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Return the components ``(e, 5 or 9)`` of ``n⊗n…`` of unit vectors ``(e, 3)``."""
    power = direction
    for _ in range(rank - 1):
        power = (power[:, :, None] * direction[:, None, :]).reshape(len(direction), -1)
    return np.asarray(power @ traceless(rank).T)


@cache
def elastic() -> dict[str, NDArray[np.float64]]:
    """Return what a component of each part adds to the stiffness in Voigt notation, ``(…, 36)``.

    `bulk` and `shear` ``(1, 36)`` are the isotropic parts, `first` and `second` ``(5, 36)`` those of both
    tensors of rank 2, `fourth` ``(9, 36)`` that of rank 4.
    """
    one = np.eye(3)
    pressure = np.einsum("ij,kl->ijkl", one, one)
    shear = np.einsum("ik,jl->ijkl", one, one) + np.einsum("il,jk->ijkl", one, one)
    q = traceless(2).reshape(5, 3, 3)
    first = np.einsum("ij,akl->aijkl", one, q) + np.einsum("aij,kl->aijkl", q, one)
    second = (
        np.einsum("ik,ajl->aijkl", one, q) + np.einsum("il,ajk->aijkl", one, q)
        + np.einsum("jk,ail->aijkl", one, q) + np.einsum("jl,aik->aijkl", one, q)
    )  # fmt: skip
    fourth = traceless(4).reshape(9, 3, 3, 3, 3)

    def flat(tensors: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([to_voigt(t).ravel() for t in tensors])

    return {
        "bulk": flat(pressure[None]), "shear": flat((shear - 2 / 3 * pressure)[None]),
        "first": flat(first), "second": flat(second), "fourth": flat(fourth),
    }  # fmt: skip
