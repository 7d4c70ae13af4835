# SPDX-License-Identifier: BSD-3-Clause
"""Features of ghost atoms from the ranks that own them, so that no rank computes them twice.

The owner sends: every rank publishes the box of its atoms and how far around it features are
needed, and each owner picks its own atoms, with their periodic images, that lie there.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from insitu.frame import Frame, heights
from insitu.reduce import Ranks


class Halo:
    """Who sends which atoms to whom, for one frame; making it and every method is collective.

    Parameters
    ----------
    frame
        This rank's frame.
    margin
        Distance around the owned atoms within which ghosts' features are needed [Å].
    ranks
        The ranks of the simulation.
    rounds
        How often features will be exchanged in this frame.
    """

    def __init__(self, frame: Frame, margin: float, ranks: Ranks, rounds: int) -> None:
        self._ranks = ranks
        self._left = rounds
        self._send: list[NDArray[np.intp]] = [np.zeros(0, dtype=np.intp)] * ranks.size
        #: ``(k,)`` ids of the atoms whose features :meth:`features` returns.
        self.ids: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        if ranks.size == 1:
            return
        s = (frame.positions[: frame.n_local] - frame.origin) @ np.linalg.inv(frame.cell)
        mine = np.full(6, np.nan)
        if frame.n_local:
            # A little more than asked for: an atom too many does no harm.
            part = 1.001 * margin / heights(frame.cell)
            mine[:3], mine[3:] = s.min(axis=0) - part, s.max(axis=0) + part
        rows = ranks.allgather(mine)
        if frame.n_local:
            low, high = s.min(axis=0), s.max(axis=0)
            for r, region in enumerate(rows):
                if r != ranks.rank and not np.isnan(region[0]):
                    self._send[r] = _inside(s, low, high, region, frame.pbc)
        ids = frame.ids[: frame.n_local]
        self.ids = ranks.swap([ids[k].astype(np.float64) for k in self._send]).astype(np.int64)

    def features(
        self, values: NDArray[np.float32], row_of: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return the features ``(k, w)`` of the atoms :attr:`ids`; collective.

        Parameters
        ----------
        values
            ``(n_local, w)`` of the owned atoms in some order.
        row_of
            ``(n_local,)`` row of each owned atom in `values`.
        """
        if self._ranks.size == 1:
            return np.zeros((0, values.shape[1]), dtype=np.float32)
        return self._exchange([values[row_of[k]] for k in self._send], values.shape[1])

    def finish(self) -> None:
        """Take part in what is left of the frame's rounds, for a rank whose analysis failed.

        Its atoms have features of 0 elsewhere; the frame is given up when the ranks next agree.
        """
        while self._ranks.size > 1 and self._left:
            self._exchange(None, 0)

    def _exchange(self, parts: list[NDArray[np.float32]] | None, width: int) -> NDArray[np.float32]:
        self._left -= 1
        width = int(self._ranks.largest(width))
        if parts is None:
            parts = [np.zeros((len(k), width), dtype=np.float32) for k in self._send]
        return self._ranks.swap([p.ravel() for p in parts]).reshape(len(self.ids), width)


def _inside(
    s: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64],
    region: NDArray[np.float64], pbc: NDArray[np.bool_],
) -> NDArray[np.intp]:  # fmt: skip
    """Return which atoms, or periodic images of them, lie in a region; all in fractions of the cell."""
    shifts = []
    for axis in range(3):
        a, b = region[axis], region[3 + axis]
        first, last = 0, 0
        if pbc[axis]:
            first, last = int(np.ceil(a - high[axis])), int(np.floor(b - low[axis]))
        elif high[axis] < a or low[axis] > b:
            last = -1
        shifts.append(range(first, last + 1))
    found = np.zeros(len(s), dtype=bool)
    for shift in itertools.product(*shifts):
        moved = s + np.array(shift)
        found |= ((moved >= region[:3]) & (moved <= region[3:])).all(axis=1)
    return np.flatnonzero(found)
