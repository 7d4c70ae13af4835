# SPDX-License-Identifier: BSD-3-Clause
"""Regions of like orientation: pieces of small blocks, merged by their mean orientations.

Neighbours with like orientations alone tell no grains apart: across a boundary of a few degrees the
orientations go over into each other, and a chain of neighbours leads through it. So nothing is chained
farther than a block of the box; pieces of blocks are merged while their *means* agree, those that agree
best first, as agglomerative clustering of a region adjacency graph does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.lattice.misorientation import angles, nearest
from insitu.frame.cell import heights
from insitu.frame.frame import Frame

#: A block is as wide as so many cutoffs, about 100 atoms of a close-packed crystal.
_WIDE = 3.5
#: Most blocks of a box: larger ones in larger boxes. Every rank knows a piece of each.
_MOST_BLOCKS = 2**17
#: Where the first block begins, as a part of a block: no plane of a crystal that is made in the box.
_OFFSET = 0.381966
#: Pieces of fewer atoms have no mean to be merged by.
LEAST = 5
#: Sums of quaternions in whole multiples of this do not depend on the order of their terms.
QUANTUM = 2.0**-30
#: A piece whose orientations spread wider than those of most pieces by this factor lies in two grains.
_MIXED = 1.5
#: Decimals of angles [rad] that are compared: rounding is not to decide.
_DECIMALS = 5


def blocks_of(frame: Frame, cutoff: float) -> NDArray[np.int64]:
    """Return the number of the block ``(n_local,)`` that each owned atom is in.

    Parameters
    ----------
    frame
        This rank's frame.
    cutoff
        Largest distance of neighbours [Å].
    """
    high = heights(frame.cell)
    wide = max(_WIDE * cutoff, float((np.prod(high) / _MOST_BLOCKS) ** (1 / 3)))
    number = np.maximum(np.floor(high / wide), 1).astype(np.int64)
    s = frame.fractional(slice(0, frame.n_local)) * number + _OFFSET
    at = np.floor(s).astype(np.int64)
    at = np.where(frame.pbc, at % number, np.clip(at, -1, number) + 1)
    wide_number = np.where(frame.pbc, number, number + 2)
    block: NDArray[np.int64] = (at[:, 0] * wide_number[1] + at[:, 1]) * wide_number[2] + at[:, 2]
    return block


@dataclass(frozen=True)
class Regions:
    """What pieces were merged into; the same on every rank.

    Parameters
    ----------
    labels
        ``(p,)`` of the pieces, in ascending order.
    region
        ``(p,)`` of each, 0 … m − 1.
    means
        ``(m, 4)`` mean orientations.
    atoms
        ``(m,)`` atoms that they are means of.
    """

    labels: NDArray[np.int64]
    region: NDArray[np.int64]
    means: NDArray[np.float64]
    atoms: NDArray[np.float64]

    def of(self, labels: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the region of atoms of pieces with these labels, −1: none."""
        if not len(self.labels):
            return np.full(len(labels), -1, dtype=np.int32)
        at = np.minimum(np.searchsorted(self.labels, labels), len(self.labels) - 1)
        return np.where(self.labels[at] == labels, self.region[at], -1).astype(np.int32)


def merged(
    pieces: NDArray[np.float64], touch: NDArray[np.int64], angle: float, hexagonal: bool
) -> Regions:
    """Return the regions that pieces make up.

    Parameters
    ----------
    pieces
        ``(p, 7)`` label, atoms, sum of their quaternions (near each other), mean squared angle to the
        mean [rad²]; in any order.
    touch
        ``(e, 2)`` labels of pieces that are neighbours, in any order.
    angle
        Regions whose means differ by less are one [rad].
    hexagonal
        Whether the lattice is; else it is cubic.
    """
    pieces = pieces[np.argsort(pieces[:, 0])]
    labels = pieces[:, 0].astype(np.int64)
    p = len(labels)
    if not p:
        return Regions(labels, labels, np.empty((0, 4)), np.empty(0))
    edges = np.column_stack([np.searchsorted(labels, touch[:, k]) for k in (0, 1)])
    edges = np.minimum(edges, p - 1)
    known = (labels[edges] == touch).all(axis=1)
    edges = _between(edges[known])
    state = _Merging(np.arange(p), pieces[:, 1].copy(), pieces[:, 2:6].copy(), hexagonal)
    spread = np.sqrt(pieces[:, 6])
    usual = float(np.median(spread))
    mixed = spread > max(_MIXED * usual, 0.25 * angle)
    noise = np.minimum(2.0 * usual / np.sqrt(pieces[:, 1]), 0.5 * angle)
    state.merge(edges[~mixed[edges].any(axis=1)], angle, noise)
    state.merge(edges, angle, noise)
    root, region = np.unique(state.whose, return_inverse=True)
    means = state.sums[root]
    return Regions(
        labels, region, means / np.linalg.norm(means, axis=1, keepdims=True), state.atoms[root]
    )


@dataclass
class _Merging:
    """Which region each piece is in, by the number of one of its pieces; and what is there of it."""

    whose: NDArray[np.int64]
    atoms: NDArray[np.float64]
    sums: NDArray[np.float64]
    hexagonal: bool

    def merge(self, edges: NDArray[np.int64], angle: float, noise: NDArray[np.float64]) -> None:
        """Merge regions that touch, best ones first, until the means of all that touch differ."""
        while len(edges):
            edges = _between(self.whose[edges])
            if not len(edges):
                return
            a, b = edges.T
            mean = self.sums / np.linalg.norm(self.sums, axis=1, keepdims=True)
            apart = np.round(angles(mean[a], mean[b], self.hexagonal).astype(np.float64), _DECIMALS)
            few = 1.0 / np.sqrt(self.atoms)
            allowed = angle + np.hypot(noise[a], noise[b]) * np.minimum(
                np.hypot(few[a], few[b]) * np.sqrt(100.0), 1.0
            )
            order = np.lexsort((b, a, apart))
            order = order[apart[order] < allowed[order]]
            if not len(order):
                return
            # The best edge of each region; the best of all is that of both of its regions.
            best = np.full(len(self.whose), -1)
            best[a[order[::-1]]] = order[::-1]
            other = np.full(len(self.whose), -1)
            rank = np.empty(len(a), dtype=np.int64)
            rank[order] = np.arange(len(order))
            other[b[order[::-1]]] = order[::-1]
            some = np.flatnonzero((best >= 0) | (other >= 0))
            first = np.where(best[some] >= 0, rank[best[some]], len(a))
            second = np.where(other[some] >= 0, rank[other[some]], len(a))
            chosen = order[np.minimum(first, second)]
            to = np.where(a[chosen] == some, b[chosen], a[chosen])
            target = np.full(len(self.whose), -1)
            target[some] = to
            # Of two that choose each other the larger one takes in the other, and all that choose it.
            mutual = target[to] == some
            larger = (self.atoms[some] > self.atoms[to]) | (
                (self.atoms[some] == self.atoms[to]) & (some < to)
            )
            takes = np.zeros(len(self.whose), dtype=bool)
            takes[some[mutual & larger]] = True
            goes = takes[to] & ~takes[some]
            self._take(some[goes], to[goes])

    def _take(self, goes: NDArray[np.int64], to: NDArray[np.int64]) -> None:
        unit = self.sums / np.linalg.norm(self.sums, axis=1, keepdims=True)
        length = np.linalg.norm(self.sums[goes], axis=1, keepdims=True)
        turned = nearest(unit[goes], unit[to], self.hexagonal) * length
        # In the order of the numbers: the same on every rank.
        np.add.at(self.sums, to, turned)
        np.add.at(self.atoms, to, self.atoms[goes])
        into = np.arange(len(self.whose))
        into[goes] = to
        self.whose = into[self.whose]


def _between(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return edges ``(e, 2)`` of different ends, the lower one first, each once and in order."""
    edges = np.sort(edges[edges[:, 0] != edges[:, 1]], axis=1)
    if not len(edges):
        return edges
    code = np.unique((edges[:, 0] << 32) | edges[:, 1])
    return np.column_stack([code >> 32, code & 0xFFFFFFFF])
