# SPDX-License-Identifier: BSD-3-Clause
"""Which pieces of different ranks belong together, found without a rank that sees them all.

Every piece points to a piece that it hangs together with, by a code: the rank in the upper 32 bits and
the number of the piece there. In a pass neighbours compare where the pieces they point to point to, and
all point to the lowest that they have heard of: the algorithm FastSV of Zhang, Azad and Hu, SIAM PP
(2020), doi:10.1137/1.9781611976137.5. The number of passes grows with the logarithm of the number of
pieces in a row, also for a cluster that winds through all ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.ranks.reduce import Ranks

_PIECE = 0xFFFFFFFF
#: Column of the periods of a pointer, in tables of whole numbers.
_P = slice(1, 4)


class Union:
    """The clusters that pieces of several ranks make up; making it is collective.

    A piece has a frame of positions: those of its atoms, moved by whole periods of the box so that they
    hang together. Every cluster has one, too: that of its root, the piece with the lowest code.

    Parameters
    ----------
    n
        Pieces of this rank.
    piece, other, periods
        ``(e,)`` piece of this rank, ``(e,)`` code of the piece on another one that it touches, and
        ``(e, 3)`` periods by which that one's frame has to be moved to touch. An edge may be known to
        one of the two ranks only.
    ranks
        The ranks of the simulation.

    Attributes
    ----------
    root
        ``(n,)`` code of the root of each piece.
    periods
        ``(n, 3)`` by which its frame has to be moved into that of the root.
    wraps
        ``(n, 3)`` whether an edge of the piece closes a way around the box.
    passes
        How many it took.
    """

    def __init__(
        self, n: int, piece: NDArray[Any], other: NDArray[Any], periods: NDArray[Any], ranks: Ranks
    ) -> None:
        self._ranks, self._base, self._n = ranks, ranks.rank << 32, n
        self.root = self._base + np.arange(n, dtype=np.int64)
        self.periods = np.zeros((n, 3), dtype=np.int64)
        self.wraps = np.zeros((n, 3), dtype=bool)
        self.passes = 0
        self._reported: dict[int, NDArray[np.int64]] = {}
        if ranks.size == 1 or not ranks.any(bool(len(piece))):
            return
        edges = self._symmetric(np.column_stack([piece, other, periods]).astype(np.int64))
        others, at = np.unique(edges[:, 1], return_inverse=True)
        home = others >> 32
        asked = {int(r): np.flatnonzero(home == r) for r in np.unique(home)}
        sent = {r: np.unique(edges[home[at] == r, 0]) for r in asked}
        # Pointers (n, 4): code and periods; those that they point to point to; and those of others.
        point = np.column_stack([self.root, self.periods])
        beyond = point.copy()
        while True:
            self.passes += 1
            came = ranks.trade(
                {r: beyond[k].ravel() for r, k in sent.items()},
                {r: 4 * len(k) for r, k in asked.items()},
                np.int64,
            )
            theirs = np.zeros((len(others), 4), dtype=np.int64)
            for r, k in asked.items():
                theirs[k] = came[r].reshape(-1, 4)
            heard = theirs[at]
            heard[:, _P] -= edges[:, 2:]
            self._hook(point, beyond, edges[:, 0], heard)
            before = beyond
            beyond = self._beyond(point)
            if not ranks.any(bool((beyond[:, 0] != before[:, 0]).any())):
                break
        self.root, self.periods = beyond[:, 0].copy(), beyond[:, _P].copy()
        # One more look at the neighbours' frames: do both ways to the root agree?
        came = ranks.trade(
            {r: beyond[k].ravel() for r, k in sent.items()},
            {r: 4 * len(k) for r, k in asked.items()},
            np.int64,
        )
        for r, k in asked.items():
            theirs[k] = came[r].reshape(-1, 4)
        apart = theirs[at][:, _P] - edges[:, 2:] - self.periods[edges[:, 0]]
        np.logical_or.at(self.wraps, edges[:, 0], apart != 0)

    def _symmetric(self, edges: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the edges that this rank or the other one knows, each once; collective."""
        edges = _distinct(edges)
        home = edges[:, 1] >> 32
        turned = np.column_stack([edges[:, 1] & _PIECE, edges[:, 0] + self._base, -edges[:, 2:]])
        told = {int(r): turned[home == r].ravel() for r in np.unique(home)}
        came = self._ranks.deliver(told, np.int64)
        return _distinct(np.concatenate([edges, *(c.reshape(-1, 5) for c in came.values())]))

    def _hook(
        self, point: NDArray[np.int64], beyond: NDArray[np.int64], piece: NDArray[np.int64],
        heard: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Let pieces, and those that they point to, point to the lowest that they heard of; collective."""
        which, best = _lowest(piece, heard)
        parent = point[which]
        better = best[:, 0] < parent[:, 0]
        told: dict[int, NDArray[np.int64]] = {}
        if better.any():
            up, new = parent[better], best[better].copy()
            new[:, _P] -= up[:, _P]
            order = np.lexsort((new[:, 0], up[:, 0]))
            up, new = up[order], new[order]
            first = np.ones(len(up), dtype=bool)
            first[1:] = up[1:, 0] != up[:-1, 0]
            rows = np.column_stack([up[first, 0] & _PIECE, new[first]])
            home = up[first, 0] >> 32
            told = {int(r): rows[home == r].ravel() for r in np.unique(home)}
            point[which[better]] = best[better]
        came = self._ranks.deliver(told, np.int64)
        if came:
            rows = np.concatenate([c.reshape(-1, 5) for c in came.values()])
            which, best = _lowest(rows[:, 0], rows[:, 1:])
            better = best[:, 0] < point[which, 0]
            point[which[better]] = best[better]
        short = beyond[:, 0] < point[:, 0]
        point[short] = beyond[short]

    def _beyond(self, point: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the pieces point to that the pieces of this rank point to; collective."""
        home = point[:, 0] >> 32
        mine = home == self._ranks.rank
        found = point.copy()
        inner = point[point[mine, 0] & _PIECE]
        found[mine, 0] = inner[:, 0]
        found[mine, _P] += inner[:, _P]
        asks, where = {}, {}
        for r in np.unique(home[~mine]):
            where[int(r)] = np.flatnonzero(home == r)
            asks[int(r)] = point[where[int(r)], 0] & _PIECE
        questions = self._ranks.deliver(asks, np.int64)
        answers = {r: point[q].ravel() for r, q in questions.items()}
        for r, a in self._ranks.deliver(answers, np.int64).items():
            rows = a.reshape(-1, 4)
            found[where[r], 0] = rows[:, 0]
            found[where[r], _P] += rows[:, _P]
        return found

    @property
    def roots(self) -> NDArray[np.int64]:
        """Pieces of this rank that are roots: one for each cluster, on one rank."""
        return np.flatnonzero(self.root == self._base + np.arange(self._n))

    def to_roots(
        self, values: NDArray[np.float64], combine: Callable[..., None]
    ) -> NDArray[np.float64]:
        """Return values of pieces combined at their roots; collective.

        Parameters
        ----------
        values
            ``(n, w)`` of the pieces of this rank.
        combine
            ``np.add.at``, ``np.minimum.at`` or ``np.maximum.at``.

        Returns
        -------
        values
            ``(n, w)``, of which the rows of :attr:`roots` are to be read.
        """
        home, at = self.root >> 32, self.root & _PIECE
        is_root = np.zeros(self._n, dtype=bool)
        is_root[self.roots] = True
        found = values.astype(np.float64)
        mine = (home == self._ranks.rank) & ~is_root
        combine(found, at[mine], values[mine])
        if self._ranks.size == 1:
            return found
        told, self._away = {}, {}
        for r in np.unique(home[home != self._ranks.rank]):
            self._away[int(r)] = which = np.flatnonzero(home == r)
            told[int(r)] = np.column_stack([at[which], values[which]]).ravel()
        self._reported = {}
        for r, c in sorted(self._ranks.deliver(told, np.float64).items()):
            rows = c.reshape(-1, 1 + values.shape[1])
            self._reported[r] = rows[:, 0].astype(np.int64)
            combine(found, self._reported[r], rows[:, 1:])
        return found

    def from_roots(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each piece ``(n, w)`` the values of its root; collective, after :meth:`to_roots`."""
        found = values[np.where(self.root >> 32 == self._ranks.rank, self.root & _PIECE, 0)]
        if self._ranks.size == 1:
            return found
        width = values.shape[1]
        came = self._ranks.trade(
            {r: values[k].ravel() for r, k in self._reported.items()},
            {r: width * len(k) for r, k in self._away.items()},
            np.float64,
        )
        for r, k in self._away.items():
            found[k] = came[r].reshape(-1, width)
        return found


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows ``(n, w)`` sorted, each once."""
    rows = rows[np.lexsort(rows.T[::-1])]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return rows[first]


def _lowest(
    which: NDArray[np.int64], pointers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each number once, and of its pointers ``(n, 4)`` the one with the lowest code."""
    order = np.lexsort((pointers[:, 0], which))
    which, pointers = which[order], pointers[order]
    first = np.ones(len(which), dtype=bool)
    first[1:] = which[1:] != which[:-1]
    return which[first], pointers[first]
