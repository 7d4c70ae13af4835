# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of atoms over all ranks: connected within a rank, joined at the borders, whole across periods.

What connects two atoms is the caller's: that both are marked and near each other, or any list of pairs.
A rank joins its own atoms first; of its border it then tells its neighbours the number of the piece that
each atom is in, and pieces that touch are joined (:mod:`insitu.frame.clusters.union`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.clusters.union import Union
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.ranks.reduce import Ranks

#: Words of 4 bytes of an atom that :meth:`Links.words` makes, and that :meth:`Links.of` takes.
WORDS = 3


@dataclass(frozen=True)
class Links:
    """Whose images the ghosts of a frame are.

    Parameters
    ----------
    frame
        This rank's frame.
    node
        ``(n_local + n_ghost,)`` int32: of an owned atom and of its images its index; of other ranks'
        n_local + their number in the halo; −1 for ghosts that nobody reads.
    periods
        ``(n_local + n_ghost, 3)`` int32 periods of the box from the owner's position to the ghost's.
    nodes
        How many there are.
    ghosts, rank
        ``(nodes - n_local,)`` of each atom of other ranks a ghost, and the rank that owns it.
    """

    frame: Frame
    node: NDArray[np.int32]
    periods: NDArray[np.int32]
    nodes: int
    ghosts: NDArray[np.intp]
    rank: NDArray[np.int64]

    @staticmethod
    def words(frame: Frame) -> NDArray[np.int32]:
        """Return what ghosts have to be told of their owners, ``(n_local, WORDS)``."""
        own: NDArray[np.int32] = frame.positions[: frame.n_local].astype(np.float32).view(np.int32)
        return own

    @classmethod
    def of(cls, frame: Frame, halo: Halo, told: NDArray[np.int32]) -> Links:
        """Return the links of a frame.

        Parameters
        ----------
        frame
            This rank's frame.
        halo
            Of the frame.
        told
            ``(n_local + n_ghost, WORDS)``: :meth:`words` of the atoms and their ghosts' owners.
        """
        n, owners = frame.n_local, halo.owners
        node = np.concatenate([np.arange(n, dtype=np.int32), owners.of_ghost])
        owner = np.ascontiguousarray(told).view(np.float32)
        with np.errstate(invalid="ignore"):
            moved = np.rint((frame.positions - owner) @ np.linalg.inv(frame.cell))
        moved[:n] = 0.0
        known = np.asarray(np.isfinite(moved).all(axis=1))
        node[~known] = -1
        periods = np.where(known[:, None] & frame.pbc, moved, 0.0).astype(np.int32)
        rank = np.full(halo.received, -1, dtype=np.int64)
        for r, (places, _) in owners.sources.items():
            rank[places] = r
        return cls(frame, node, periods, n + halo.received, owners.ghosts, rank)


@dataclass(frozen=True)
class Pieces:
    """What hangs together within one rank.

    Parameters
    ----------
    number
        ``(n_local,)`` int64 piece of each owned atom, −1: none.
    periods
        ``(n_local, 3)`` by which the atom has to be moved into the piece's frame.
    first
        ``(m,)`` the owned atom of each piece that is not moved.
    wraps
        ``(m, 3)`` in which directions it meets its own image.
    border
        ``(e, 5)``: a piece, an atom of another rank that is in it (its number in the halo), and the
        periods by which that one is moved.
    """

    number: NDArray[np.int64]
    periods: NDArray[np.int32]
    first: NDArray[np.intp]
    wraps: NDArray[np.bool_]
    border: NDArray[np.int64]

    @classmethod
    def within(cls, links: Links, member: NDArray[np.bool_], cutoff: float) -> Pieces:
        """Return the pieces of marked atoms that are not farther from each other than a distance.

        Parameters
        ----------
        links
            Of the frame.
        member
            ``(n_local + n_ghost,)`` which atoms, and which ghosts, can be in a cluster.
        cutoff
            The distance [Å]; ghosts have to be there up to it.
        """
        nodes, wraps = _alone(links)
        points = np.flatnonzero(member & (links.node >= 0))
        compiled().join_within(
            nodes, wraps, np.ascontiguousarray(links.frame.positions[points]), links.node[points],
            np.ascontiguousarray(links.periods[points]),
            (points < links.frame.n_local).astype(np.uint8), cutoff,
        )  # fmt: skip
        return cls._found(links, member, nodes, wraps)

    @classmethod
    def of_pairs(
        cls, links: Links, member: NDArray[np.bool_], first: NDArray[Any], second: NDArray[Any]
    ) -> Pieces:
        """Return the pieces that chosen pairs make up.

        Parameters
        ----------
        links
            Of the frame.
        member
            ``(n_local + n_ghost,)`` which atoms can be in a cluster; one without a pair is one of its own.
        first, second
            ``(p,)`` each: indices into the frame's arrays, owned atoms first. A pair of which one is
            no member, or a ghost that nobody reads, is left out. One rank of the two suffices.
        """
        nodes, wraps = _alone(links)
        kept = member[first] & member[second] & (links.node[first] >= 0) & (links.node[second] >= 0)
        kept &= first < links.frame.n_local
        i, j = first[kept], second[kept]
        compiled().join_pairs(
            nodes, wraps, links.node[i], links.node[j], np.ascontiguousarray(links.periods[j])
        )
        return cls._found(links, member, nodes, wraps)

    @classmethod
    def _found(
        cls, links: Links, member: NDArray[np.bool_], nodes: NDArray[np.int32],
        wraps: NDArray[np.uint8],
    ) -> Pieces:  # fmt: skip
        compiled().find_roots(nodes, wraps)
        n = links.frame.n_local
        is_first = member[:n] & (nodes[:n, 0] == np.arange(n))
        number_of = np.cumsum(is_first) - 1
        first = np.flatnonzero(is_first)
        number = np.where(member[:n], number_of[nodes[:n, 0]], -1) if n else np.zeros(0, np.int64)
        # The lowest node of a piece is its root: another rank's atom never is where it touches one.
        touch = n + np.flatnonzero(nodes[n:, 0] < n)
        border = np.column_stack(
            [number_of[nodes[touch, 0]] if n else touch, touch - n, nodes[touch, 1:]]
        )
        bits = np.arange(3, dtype=np.uint8)
        around = (wraps[first][:, None] >> bits & 1).astype(bool)
        return cls(number, nodes[:n, 1:].copy(), first, around, border.astype(np.int64))


def _alone(links: Links) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return a node for each atom of this rank and of the halo, none of which is joined."""
    nodes = np.zeros((links.nodes, 4), dtype=np.int32)
    nodes[:, 0] = np.arange(links.nodes)
    return nodes, np.zeros(links.nodes, dtype=np.uint8)


class Clusters:
    """Clusters over all ranks, of one or several graphs at once; making it is collective.

    Its arrays are of this rank's pieces, those of all graphs in a row. Each cluster has its totals at one
    of them, one of :attr:`roots`, on one rank.

    Parameters
    ----------
    links
        Of the frame.
    graphs
        Pieces of each.
    exchange
        Returns values ``(n_local + n_ghost, k)`` int32 of all atoms from those of the owned ones:
        :meth:`insitu.analyses.base.Analysis.with_ghosts`, by then of any width.
    ranks
        The ranks of the simulation.

    Attributes
    ----------
    number
        ``(graphs, n_local)`` piece of each owned atom, −1: none.
    periods
        ``(graphs, n_local, 3)`` by which it has to be moved so that its cluster is whole.
    graph
        ``(n,)`` which one a piece belongs to.
    label
        ``(n,)`` smallest id of the atoms of its cluster.
    origin
        ``(n, 3)`` position of one of these atoms, which is not moved [Å].
    wraps
        ``(n, 3)`` in which directions the cluster meets its own image, at the roots only.
    roots
        Pieces at which the totals of a cluster are.
    passes
        How many the union of the ranks' pieces took.
    """

    def __init__(
        self, links: Links, graphs: Sequence[Pieces],
        exchange: Callable[[NDArray[np.int32]], NDArray[np.int32]], ranks: Ranks,
    ) -> None:  # fmt: skip
        frame, begin = links.frame, np.cumsum([0, *(len(g.first) for g in graphs)])
        n_local = frame.n_local
        self.number = np.array(
            [np.where(g.number < 0, -1, g.number + b) for g, b in zip(graphs, begin, strict=False)]
        ).reshape(len(graphs), n_local)
        self.graph = np.repeat(np.arange(len(graphs)), np.diff(begin))
        own = np.concatenate(
            [np.column_stack([self.number[k], g.periods]) for k, g in enumerate(graphs)], axis=1
        )
        there = exchange(np.ascontiguousarray(own, dtype=np.int32))[links.ghosts]
        edges = []
        for k, (g, b) in enumerate(zip(graphs, begin, strict=False)):
            atom = g.border[:, 1]
            theirs = there[atom, 4 * k : 4 * k + 4].astype(np.int64)
            known = (links.rank[atom] >= 0) & (theirs[:, 0] >= 0)
            code = (links.rank[atom] << 32) + theirs[:, 0]
            edge = np.column_stack([g.border[:, 0] + b, code, g.border[:, 2:] - theirs[:, 1:]])
            edges.append(edge[known])
        everything = np.concatenate(edges)
        self._union = union = Union(
            int(begin[-1]), everything[:, 0], everything[:, 1], everything[:, 2:], ranks
        )
        self.roots, self.passes = union.roots, union.passes
        first = np.concatenate([g.first for g in graphs])
        wraps = np.concatenate([g.wraps for g in graphs]) | union.wraps
        lowest = np.full(len(first), np.inf)
        for k in range(len(graphs)):
            some = self.number[k] >= 0
            np.minimum.at(lowest, self.number[k][some], frame.ids[:n_local][some].astype(float))
        found = union.to_roots(np.column_stack([lowest, -1.0 * wraps]), np.minimum.at)
        self.wraps = found[:, 1:] < 0
        found = union.from_roots(np.column_stack([found[:, 0], frame.positions[first]]))
        self.label, self.origin = found[:, 0].astype(np.int64), found[:, 1:]
        self.periods = np.array([g.periods for g in graphs], dtype=np.int64).reshape(
            len(graphs), n_local, 3
        )
        for k in range(len(graphs)):
            some = self.number[k] >= 0
            self.periods[k][some] += union.periods[self.number[k][some]]

    def apart(self, frame: Frame, graph: int, atoms: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return positions ``(k, 3)`` of some atoms relative to the origin of their clusters [Å]."""
        moved = self.periods[graph][atoms] @ frame.cell
        away: NDArray[np.float64] = frame.positions[atoms] + moved
        away -= self.origin[self.number[graph][atoms]]
        return away

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums ``(n, w)`` over clusters of sums over pieces, to be read at the roots; collective."""
        return self._union.to_roots(values, np.add.at)

    def lowest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the smallest values ``(n, w)`` of the pieces of clusters, as :meth:`total`; collective."""
        return self._union.to_roots(values, np.minimum.at)

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each piece ``(n, w)`` what is at the root of its cluster; collective."""
        return self._union.from_roots(values)
