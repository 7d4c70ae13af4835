# SPDX-License-Identifier: BSD-3-Clause
"""The rims of regions of like orientation: atoms go to the region that fits their surroundings best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.lattice.misorientation import angles
from insitu.frame.ranks.reduce import Ranks

#: How often atoms may change their region: more than a block is wide.
_ROUNDS = 10
#: A region lies between two others if fewer than this part of its atoms have neighbours in it only.
_WITHIN = 1 / 3
#: Surroundings that differ more from all regions next to them (root mean square) are in none [rad].
_LIMIT = float(np.radians(12.0))
#: Decimals of squared angles [rad²] that are compared: rounding is not to decide.
_DECIMALS = 6


@dataclass
class Rims:
    """The regions of one rank's atoms while their rims settle.

    Parameters
    ----------
    region
        ``(n_local + n_ghost,)`` of each atom, −1: none.
    quaternions
        ``(n_local + n_ghost, 4)`` orientations.
    rows, others
        ``(e,)`` owned atoms and their neighbours, those only that take part.
    means
        ``(m, 4)`` of the regions.
    hexagonal
        Whether the lattice is; else it is cubic.
    exchange
        Returns values ``(n_local + n_ghost, 1)`` from those of the owned atoms; collective.
    ranks
        The ranks of the simulation.
    """

    region: NDArray[np.int32]
    quaternions: NDArray[np.float32]
    rows: NDArray[Any]
    others: NDArray[Any]
    means: NDArray[np.float64]
    hexagonal: bool
    exchange: Callable[[NDArray[np.int32]], NDArray[np.int32]]
    ranks: Ranks

    def settle(self, n_local: int) -> None:
        """Let atoms go to the regions that fit best, and give up regions that are a rim; collective."""
        self._move(n_local)
        self._give_up_thin(n_local)
        self._move(n_local)

    def _move(self, n_local: int) -> None:
        changed = np.ones(len(self.region), dtype=bool)
        for _ in range(_ROUNDS):
            atoms, best = self._better(changed)
            changes = best != self.region[atoms]
            if not self.ranks.any(bool(changes.any())):
                return
            own = self.region[:n_local].copy()
            own[atoms] = best
            before, self.region = self.region, self.exchange(own[:, None])[:, 0]
            changed = self.region != before

    def _give_up_thin(self, n_local: int) -> None:
        m = len(self.means)
        if not m:  # no piece is large enough: the same on all ranks
            return
        at_rim = np.zeros(n_local, dtype=bool)
        differs = self.region[self.others] != self.region[self.rows]
        at_rim[self.rows[differs & (self.region[self.others] >= 0)]] = True
        own = self.region[:n_local]
        counts = [np.bincount(own[(own >= 0) & c], minlength=m) for c in (~at_rim, at_rim)]
        within, rim = self.ranks.sum(np.array(counts, dtype=np.float64))
        thin = within < _WITHIN * (within + rim)
        self.region = np.where((self.region >= 0) & thin[self.region], -1, self.region)

    def _better(self, changed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return atoms ``(k,)`` at rims, and the region ``(k,)`` that fits each best.

        They are those around which something has changed: all others have what fits them best.
        Of the regions that the atom and its neighbours are in, it is that from whose mean their
        orientations differ least (mean square).
        """
        region, rows, others = self.region, self.rows, self.others
        differs = (region[others] >= 0) & (region[others] != region[rows])
        near = changed[others] | changed[rows]
        around = np.zeros(len(region), dtype=bool)
        around[rows[near]] = True
        rim = np.unique(rows[differs & around[rows]]).astype(np.int64)
        if not len(rim):
            return rim, np.empty(0, dtype=np.int32)
        at_rim = np.zeros(len(region), dtype=bool)
        at_rim[rim] = True
        own = at_rim[rows]
        # Each of these atoms and its surroundings: its neighbours, and itself.
        whose, who = np.concatenate([rows[own], rim]), np.concatenate([others[own], rim])
        order = np.argsort(whose, kind="stable")
        whose, who = whose[order].astype(np.int64), who[order]
        there = region[who] >= 0
        code = np.unique((whose[there] << 32) | region[who[there]])
        atom, candidate = code >> 32, code & 0xFFFFFFFF
        begin, end = np.searchsorted(whose, atom), np.searchsorted(whose, atom, side="right")
        length = end - begin
        of = np.repeat(np.arange(len(atom)), length)
        place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length) + begin[of]
        apart = angles(self.quaternions[who[place]], self.means[candidate[of]], self.hexagonal)
        # In whole numbers: the order of the neighbours does not matter.
        square = np.rint(apart.astype(np.float64) ** 2 * 2.0**30)
        total = np.bincount(of, weights=square, minlength=len(atom)) * 2.0**-30 / length
        total = np.round(total, _DECIMALS)
        order = np.lexsort((candidate, total, atom))
        first = np.ones(len(order), dtype=bool)
        first[1:] = atom[order][1:] != atom[order][:-1]
        best = order[first]
        fits = total[best] < _LIMIT**2
        return atom[best], np.where(fits, candidate[best], -1).astype(np.int32)
