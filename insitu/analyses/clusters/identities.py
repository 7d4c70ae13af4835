# SPDX-License-Identifier: BSD-3-Clause
"""Clusters that are known again from frame to frame, by some of their atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks

#: Atoms of a cluster by which it is known again: of larger ones a sample, by a hash of the ids.
MEMBERS = 32


#: Quantities that :meth:`Identities.restore` needs, in its order.
STATE = ("members", "identity", "size", "identities")


def observables(of: Callable[..., Observable], member: str) -> tuple[Observable, ...]:
    """Return the observables of what is known again: its number, its name in a frame, some atoms.

    Parameters
    ----------
    of
        Makes one of quantity, type, unit, description and further axes.
    member
        Name of the axis of the atoms.
    """
    return (
        of("identity", "i8", "", "number that it keeps from frame to frame; 0: there is none"),
        of("id", "i8", "", "smallest id of its atoms"),
        of(
            "members", "i8", "", "ids of some of its atoms, by which it is known again; 0: none",
            (member, tuple(range(1, MEMBERS + 1)), ""),
        ),
    )  # fmt: skip


class Identities:
    """Numbers of the largest clusters: the same on all ranks, whatever atoms they own.

    Parameters
    ----------
    k
        Clusters that are followed.

    Attributes
    ----------
    numbers
        ``(k,)`` of the clusters of the last frame, 0 where there is none.
    members
        ``(k, MEMBERS)`` ids of atoms of each, 0 where there are no more.
    sizes
        ``(k,)`` atoms of each.
    given
        Numbers that were given so far.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self.restore()

    def restore(
        self,
        members: NDArray[np.int64] | None = None,
        numbers: NDArray[np.int64] | None = None,
        sizes: NDArray[np.int64] | None = None,
        given: int = 0,
    ) -> None:
        """Go on from what a frame of the history has, or from nothing."""
        k = self._k
        self.members = np.zeros((k, MEMBERS), np.int64) if members is None else members.copy()
        self.numbers = np.zeros(k, np.int64) if numbers is None else numbers.copy()
        self.sizes = np.zeros(k, np.int64) if sizes is None else sizes.copy()
        self.given = int(given)

    def shared(
        self,
        frame: Frame,
        number: NDArray[np.int64],
        label: NDArray[np.int64],
        largest: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return how many atoms each of the largest clusters shares with those before; not collective.

        Parameters
        ----------
        frame
            This rank's frame.
        number
            ``(n_local,)`` piece of each atom, −1: none.
        label
            ``(n,)`` smallest atom id of each piece's cluster.
        largest
            ``(k,)`` of the clusters, 0 where there is none.

        Returns
        -------
        shared
            ``(k, k)``: of this rank's atoms, the clusters before along the second axis.
        """
        found = np.zeros((self._k, self._k))
        wanted = self.members.ravel()
        order = np.argsort(wanted, kind="stable")
        ids = frame.ids[: frame.n_local]
        at = np.searchsorted(wanted[order], ids)
        at[at == len(wanted)] = 0
        (here,) = np.nonzero((wanted[order][at] == ids) & (number >= 0))
        before = order[at[here]] // MEMBERS
        now = label[number[here]]
        for k, one in enumerate(largest):
            if one:
                found[k] = np.bincount(before[now == one], minlength=self._k)
        return found

    def go_on(self, shared: NDArray[np.float64], sizes: NDArray[np.int64]) -> None:
        """Give the clusters of a frame their numbers.

        Parameters
        ----------
        shared
            ``(k, k)`` over all ranks.
        sizes
            ``(k,)`` atoms of the clusters, 0 where there is none.
        """
        seen = np.maximum((self.members > 0).sum(axis=1), 1)
        overlap = shared * (np.maximum(self.sizes, seen) / seen)
        new = np.zeros(self._k, dtype=np.int64)
        now, before = np.nonzero(overlap)
        for i in np.lexsort((now, self.numbers[before], -overlap[now, before])):
            if not new[now[i]] and self.numbers[before[i]] not in new:
                new[now[i]] = self.numbers[before[i]]
        for k in np.flatnonzero((sizes > 0) & (new == 0)):
            self.given += 1
            new[k] = self.given
        self.numbers, self.sizes = new, sizes.copy()

    def choose(
        self,
        frame: Frame,
        number: NDArray[np.int64],
        label: NDArray[np.int64],
        largest: NDArray[np.int64],
        ranks: Ranks,
    ) -> None:
        """Choose the atoms by which the clusters of this frame will be known again; collective."""
        ids = frame.ids[: frame.n_local]
        rows = []
        piece = np.flatnonzero(np.isin(label, largest[largest > 0]))
        one = np.full(len(label), -1)
        for k, smallest in enumerate(largest):
            if smallest:
                one[piece[label[piece] == smallest]] = k
        which = np.where(number >= 0, one[number], -1) if len(label) else number
        for k in range(self._k):
            (atoms,) = np.nonzero(which == k)
            if not len(atoms):
                continue
            key = hashed(ids[atoms])
            # No more than about twice as many over all ranks, however many there are.
            few = key < 2.0**64 * min(1.0, 2.0 * MEMBERS / self.sizes[k])
            kept = np.flatnonzero(few)[np.argsort(key[few], kind="stable")[:MEMBERS]]
            rows.append(np.column_stack([np.full(len(kept), k), ids[atoms[kept]]]))
        mine = np.concatenate(rows).astype(np.float64) if rows else np.zeros((0, 2))
        everyones = ranks.everyones(mine).astype(np.int64)
        self.members = np.zeros((self._k, MEMBERS), np.int64)
        for k in range(self._k):
            some = everyones[everyones[:, 0] == k, 1]
            some = some[np.lexsort((some, hashed(some)))][:MEMBERS]
            self.members[k, : len(some)] = some


def hashed(ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 64 bits for each id that look random: splitmix64 (Steele, Lea and Flood, 2014)."""
    x = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
