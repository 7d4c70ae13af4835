# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of atoms counted by their distance, for each pair of kinds."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors

#: Pairs that are in memory at a time (about 40 bytes each).
_BLOCK = 500_000


def rows_of_pairs(kinds: int) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Return the pairs ``(a, b)``, a ≤ b, of kinds from 0, and the row ``(kinds, kinds)`` of each."""
    pairs = list(itertools.combinations_with_replacement(range(kinds), 2))
    row = np.zeros((kinds, kinds), dtype=np.int64)
    for k, (a, b) in enumerate(pairs):
        row[a, b] = row[b, a] = k
    return pairs, row


def count_pairs(
    frame: Frame, neighbors: Neighbors, row: NDArray[np.int64], cutoff: float, bins: int
) -> NDArray[np.float64]:
    """Return the ordered pairs of one rank by kinds and distance.

    First atoms are those analysed, second atoms are all.

    Parameters
    ----------
    frame, neighbors
        The atoms, and the search among them.
    row
        ``(types, types)`` row of the result for a pair of types (numbered from 0 here).
    cutoff
        Largest distance [Å].
    bins
        Of equal width up to there.

    Returns
    -------
    count
        ``(rows, bins)``.
    """
    kinds = np.asarray(frame.types, dtype=np.int64) - 1
    rows = int(row.max()) + 1
    count = np.zeros(rows * bins)
    at, step = 0, 32
    while at < len(neighbors.atoms):
        those = slice(at, at + step)
        atoms = neighbors.atoms[those]
        _, others, rows_of, d = neighbors.vectors(cutoff, neighbors.places[those], atoms)
        r = np.sqrt(np.einsum("ij,ij->i", d, d))
        where = np.minimum((r * (bins / cutoff)).astype(np.int64), bins - 1)
        if rows > 1:
            where += row[kinds[atoms[rows_of]], kinds[others]] * bins
        count += np.bincount(where, minlength=rows * bins)
        at += step
        step = min(max(int(_BLOCK * len(atoms) / (len(others) + 1)), 1), 8 * step)
    return count.reshape(rows, bins)
