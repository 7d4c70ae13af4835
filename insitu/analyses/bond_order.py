# SPDX-License-Identifier: BSD-3-Clause
"""Bonds of atoms, and the spherical harmonics of their directions averaged over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.harmonics import harmonics
from insitu.frame.neighbors.search import Neighbors

#: Distances that differ by less count as equal, relative to the cutoff: as everywhere in insitu.
_TIE = 1e-5


@dataclass(frozen=True)
class Bonds:
    """Bonds of n atoms, one atom after the other.

    Parameters
    ----------
    counts
        ``(n,)`` how many each atom has.
    others, weights, vectors
        ``(b,)`` with whom, ``(b,)`` their weights, and ``(b, 3)`` the vectors [Å].
    """

    counts: NDArray[np.int64]
    others: NDArray[np.int32]
    weights: NDArray[np.float64]
    vectors: NDArray[np.float64]

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """``(n,)`` sum of the weights."""
        return sums(self.weights, self.counts)

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return each atom's mean ``(n, k)`` of values of its bonds ``(b, k)``; 0 without a bond."""
        found = sums(self.weights[:, None] * values, self.counts)
        found /= np.where(self.total > 0, self.total, 1.0)[:, None]
        return found

    def moments(self, degrees: Sequence[int]) -> NDArray[np.float64]:
        """Return q_lm ``(n, sum of 2 l + 1)`` of each atom."""
        unit = self.vectors / np.sqrt((self.vectors**2).sum(axis=1, keepdims=True))
        parts = [
            math.sqrt((2 * degree + 1) / (4.0 * math.pi)) * part
            for degree, part in zip(degrees, harmonics(unit, degrees), strict=True)
        ]
        return self.mean(np.concatenate(parts, axis=1))

    def averaged(self, own: NDArray[Any], everywhere: NDArray[Any]) -> NDArray[np.float64]:
        """Return means ``(n, k)`` over each atom and those that it has bonds with.

        Parameters
        ----------
        own
            ``(n, k)`` values of the atoms.
        everywhere
            ``(m, k)`` of all atoms that `others` names.
        """
        around = sums(self.weights[:, None] * everywhere[self.others], self.counts)
        mean: NDArray[np.float64] = (own + around) / (1.0 + self.total[:, None])
        return mean


def bonds(
    neighbors: Neighbors, cutoff: float, places: Any, atoms: NDArray[np.int32],
    number: int | None = None,
) -> Bonds:  # fmt: skip
    """Return the bonds of some atoms.

    Parameters
    ----------
    neighbors
        The search over the frame.
    cutoff
        Bonds are not longer [Å].
    places, atoms
        ``(n,)`` where the atoms are in the cell order, and their indices.
    number
        Only so many nearest ones; where they end among neighbours at the same distance, these share the
        places that are left. Atoms with fewer have bonds of weight 0. None: all.
    """
    offsets, others, centre, vectors = neighbors.vectors(cutoff, places, atoms)
    counts = np.diff(offsets)
    weights = np.ones(len(others))
    if number is not None and len(others):
        distance = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        enough = counts >= number
        last = np.zeros(len(atoms))
        last[enough] = distance[offsets[:-1][enough] + number - 1]
        off, tie = distance - last[centre], _TIE * cutoff
        inside, tied = (off < -tie).astype(float), (np.abs(off) <= tie).astype(float)
        left = number - sums(inside, counts)
        share = left / np.maximum(sums(tied, counts), 1.0)
        weights = (inside + tied * share[centre]) * enough[centre]
    return Bonds(counts, others, weights, vectors)


def sums(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of consecutive rows, `counts` of them each."""
    found = np.zeros((len(counts), *values.shape[1:]))
    some = counts > 0
    if some.any():
        begin = (np.cumsum(counts) - counts)[some]
        found[some] = np.add.reduceat(values, begin, axis=0, dtype=np.float64)
    return found


def lengths(moments: NDArray[np.float64], degrees: Sequence[int]) -> NDArray[np.float64]:
    """Return q_l ``(n, degrees)`` of q_lm."""
    ends = np.cumsum([2 * degree + 1 for degree in degrees])
    parts = np.split(moments, ends[:-1], axis=1)
    return np.stack(
        [
            np.sqrt(4.0 * math.pi / (2 * degree + 1) * (part**2).sum(axis=1))
            for degree, part in zip(degrees, parts, strict=True)
        ],
        axis=1,
    )
