# SPDX-License-Identifier: BSD-3-Clause
"""Cartesian tensors of crystals: rotation, projection onto a point group, independent constants.

Neumann's principle: a property of a crystal has at least the symmetry of its point group G. The mean
over the group, ``P T = (1/|G|) Σ R∘T`` (Reynolds operator), is the projector onto the tensors that have it.

References
----------
J. F. Nye, Physical Properties of Crystals, Oxford University Press (1985).
K. Yan et al., GMTNet, arXiv:2406.12888 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError, did_you_mean

Tensor = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A kind of tensor.

    Parameters
    ----------
    rank
        Number of indices.
    permutations
        Of the indices, that leave it the same; their products do, too.
    unit
        Of its components.
    """

    rank: int
    permutations: tuple[tuple[int, ...], ...]
    unit: str


#: Kinds of tensors by name.
KINDS = {
    "dielectric": Kind(2, ((1, 0),), ""),
    "piezoelectric": Kind(3, ((0, 2, 1),), "C m-2"),
    "elastic": Kind(4, ((1, 0, 2, 3), (2, 3, 0, 1)), "GPa"),
}


def kind_of(name: str) -> Kind:
    """Return a kind of tensor by its name.

    Raises
    ------
    SettingError
        There is none of that name.
    """
    if name not in KINDS:
        raise SettingError(
            f"kind='{name}' is no kind of tensor; allowed: {', '.join(KINDS)}.{did_you_mean(name, KINDS)}"
        )
    return KINDS[name]


def rotate(tensor: ArrayLike, rotation: ArrayLike) -> Tensor:
    """Return ``R_ip R_jq … T_pq…``, the tensor of the turned crystal.

    Parameters
    ----------
    tensor
        ``(3, …, 3)``.
    rotation
        ``(3, 3)`` orthogonal matrix that turns column vectors.
    """
    t, r = np.asarray(tensor, dtype=np.float64), np.asarray(rotation, dtype=np.float64)
    for _ in range(t.ndim):  # the first index is turned and becomes the last
        t = np.tensordot(t, r, axes=(0, 1))
    return t


@cache
def _permutations(kind: str) -> tuple[tuple[int, ...], ...]:
    """Return the group of permutations of the indices that a kind of tensor allows."""
    k = kind_of(kind)
    group = {tuple(range(k.rank))}
    while True:
        more = {tuple(p[i] for i in q) for p, q in product(group, k.permutations)} | group
        if more == group:
            return tuple(sorted(group))
        group = more


def symmetrized(tensor: ArrayLike, kind: str) -> Tensor:
    """Return a tensor with the symmetry of its kind's indices, the mean over their permutations."""
    t = np.asarray(tensor, dtype=np.float64)
    rank = kind_of(kind).rank
    if t.shape != (3,) * rank:
        raise SettingError(
            f"the tensor has shape {t.shape} and kind='{kind}' has rank {rank}; give {(3,) * rank}"
        )
    return np.asarray(np.mean([t.transpose(p) for p in _permutations(kind)], axis=0))


def project(tensor: ArrayLike, rotations: ArrayLike, kind: str) -> Tensor:
    """Return the part of a tensor that has the symmetry of a point group and of its indices.

    Parameters
    ----------
    tensor
        ``(3, …, 3)``.
    rotations
        ``(g, 3, 3)`` all operations of the point group, Cartesian
        (:func:`insitu.crystal.spacegroup.find`).
    kind
        Key of :data:`KINDS`.

    Raises
    ------
    SettingError
        The tensor's shape is not that of its kind.
    """
    t = symmetrized(tensor, kind)
    return np.asarray(np.mean([rotate(t, r) for r in np.asarray(rotations)], axis=0))


def projector(rotations: ArrayLike, kind: str) -> NDArray[np.float64]:
    """Return the projector of :func:`project` as a matrix ``(3^n, 3^n)`` on flattened tensors."""
    rank = kind_of(kind).rank
    size = 3**rank
    p = np.zeros((size, size))
    for r in np.asarray(rotations, dtype=np.float64):
        whole = np.eye(1)
        for _ in range(rank):
            whole = np.kron(whole, r)
        p += whole
    places = np.arange(size).reshape((3,) * rank)
    s = np.zeros((size, size))
    for permutation in _permutations(kind):
        s[np.arange(size), places.transpose(permutation).ravel()] += 1.0
    return np.asarray(p @ s / (len(np.asarray(rotations)) * len(_permutations(kind))))


def independent(rotations: ArrayLike, kind: str) -> int:
    """Return how many independent constants a kind of tensor has in a point group."""
    return round(float(np.trace(projector(rotations, kind))))


def symmetry_breaking(tensor: ArrayLike, rotations: ArrayLike, kind: str) -> float:
    """Return ``||T - P T|| / ||T||``: 0 with the symmetry of the group, and up to 1 without.

    As an order parameter it tells by how much a tensor that was measured leaves the point group of a
    crystal that it had before.
    """
    t = symmetrized(tensor, kind)
    norm = float(np.linalg.norm(t))
    if norm == 0.0:
        return 0.0
    return float(np.linalg.norm(t - project(t, rotations, kind))) / norm
