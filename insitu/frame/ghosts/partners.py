# SPDX-License-Identifier: BSD-3-Clause
"""Which ranks have atoms near this rank's: found by a directory over the box, kept for many frames.

The box is divided into about as many cells as there are ranks, and every cell has a home rank. Each
rank tells the homes of the cells in which its atoms are where they are, and asks the homes of the
cells within reach who else is there. So a rank exchanges some tens of messages, however many ranks
there are, and no rank sees them all. What was found holds until the atoms of any rank leave the
bounds that it has told; in a frame the ranks only agree that none did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from insitu.frame.cell import heights
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks

#: How far atoms may move until partners are looked for again, in units of the reach.
_MARGIN = 0.3
#: How much the reach, which may follow from the density, may grow until then.
_GROWTH = 1.03
#: Numbers that a message holds for each cell: the cell, whether it is asked about, and bounds.
_ENTRY = 8


class Partners:
    """The ranks near this one; making it is collective.

    Parameters
    ----------
    frame
        This rank's frame, with finite positions.
    reach
        Distance around the owned atoms within which others are looked for [Å].
    ranks
        The ranks of the simulation.

    Attributes
    ----------
    bounds
        ``(6,)`` fractional coordinates between which the rank's atoms may lie: lower ends, then upper
        ends; NaN without atoms; infinite for a rank that has all atoms.
    near
        The bounds of each rank that has atoms within reach of them, by rank; this one is not among
        them. If a rank is a partner of another, so is the other of the one.
    """

    def __init__(self, frame: Frame, reach: float, ranks: Ranks) -> None:
        self.near: dict[int, NDArray[np.float64]] = {}
        self._alone = ranks.size == 1
        if self._alone:
            self.bounds: NDArray[np.float64] = np.repeat([-np.inf, np.inf], 3)
            self._part: NDArray[np.float64] = np.zeros(3)
            return
        margin = _MARGIN * reach / heights(frame.cell)
        part = _GROWTH * reach / heights(frame.cell)
        own = frame.bounds
        self.bounds = own + np.concatenate([-margin, margin])
        self._part, self._pbc = part, frame.pbc
        region = self.bounds + np.concatenate([-part, part])
        found = _Directory(frame, ranks).ask(self.bounds, region)
        # Rounding must not make one a partner of the other and not the other of the one.
        greeted = ranks.deliver(dict.fromkeys(found, self.bounds), np.float64)
        self.near = {r: b for r, b in sorted((found | greeted).items()) if r != ranks.rank}

    def hold(self, frame: Frame, reach: float) -> bool:
        """Return whether the atoms and the reach of a frame are within what was told; not collective."""
        if self._alone or not frame.n_local:
            return True
        own = frame.bounds
        inside = (own[:3] >= self.bounds[:3]).all() and (own[3:] <= self.bounds[3:]).all()
        # The ghosts are counted in a region that is larger by 1e-5.
        far = 1.0001 * reach / heights(frame.cell)
        return bool(inside and (far <= self._part).all() and (frame.pbc == self._pbc).all())

    def reach_into(self, s: NDArray[np.float64], more: float = 0.0) -> NDArray[np.bool_]:
        """Return which points, fractional coordinates ``(n, 3)``, matter to this rank's atoms.

        With `more` also those that are farther away by that part of the reach.
        """
        part = (1.0 + more) * self._part
        low, high = self.bounds[:3] - part, self.bounds[3:] + part
        result: NDArray[np.bool_] = np.all((s >= low) & (s <= high), axis=1)
        return result


def partners_of(frame: Frame, reach: float, ranks: Ranks) -> Partners:
    """Return this rank's partners in a frame: those of an earlier frame, if they hold; collective.

    Parameters
    ----------
    frame
        This rank's frame, with finite positions.
    reach
        Distance around the owned atoms that matters [Å].
    ranks
        The ranks of the simulation; keeps what was found.
    """
    kept = ranks.partners
    if ranks.any(kept is None or not kept.hold(frame, reach)):
        kept = ranks.partners = Partners(frame, reach, ranks)
    assert isinstance(kept, Partners)
    return kept


class _Directory:
    """Cells over the box, with a home rank for each."""

    def __init__(self, frame: Frame, ranks: Ranks) -> None:
        self._ranks, self._pbc = ranks, frame.pbc
        height = heights(frame.cell)
        side = (np.prod(height) / ranks.size) ** (1.0 / 3.0)
        self._cells = np.maximum(np.rint(height / side), 1).astype(np.int64)

    def ask(
        self, bounds: NDArray[np.float64], region: NDArray[np.float64]
    ) -> dict[int, NDArray[np.float64]]:
        """Tell where this rank's atoms are; return the bounds of all that reach into a region, by rank.

        Collective. Without atoms (NaN) nothing is told and nothing asked.
        """
        entries: dict[int, list[NDArray[np.float64]]] = {}
        for asked, box in enumerate((bounds, region)):
            for cell, home in self._over(box):
                entries.setdefault(home, []).append(np.array([cell, asked, *box]))
        told = self._ranks.deliver({h: np.concatenate(e) for h, e in entries.items()}, np.float64)
        answers = self._ranks.deliver(self._answers(told), np.float64)
        rows = [a.reshape(-1, 7) for a in answers.values()]
        return {int(row[0]): row[1:] for row in np.concatenate(rows)} if rows else {}

    def _over(self, box: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
        """Yield the cells that a box reaches into, and their homes."""
        if np.isnan(box).any():
            return
        along: list[Sequence[int]] = []
        for axis in range(3):
            n = int(self._cells[axis])
            first, last = (int(np.floor(box[k] * n)) for k in (axis, 3 + axis))
            if not self._pbc[axis]:
                # What lies outside of the box belongs to its outer cells.
                along.append(range(min(max(first, 0), n - 1), min(max(last, 0), n - 1) + 1))
            elif last - first + 1 >= n:
                along.append(range(n))
            else:
                along.append([k % n for k in range(first, last + 1)])
        _, ny, nz = (int(n) for n in self._cells)
        total = int(np.prod(self._cells))
        for i, j, k in product(*along):
            cell = (i * ny + j) * nz + k
            yield cell, cell * self._ranks.size // total

    def _answers(self, told: dict[int, NDArray[np.float64]]) -> dict[int, NDArray[np.float64]]:
        """Return what this rank, as the home of cells, answers to those who asked."""
        if not told:
            return {}
        rows = np.concatenate([m.reshape(-1, _ENTRY) for m in told.values()])
        source = np.repeat(list(told), [len(m) // _ENTRY for m in told.values()])
        asks = rows[:, 1] > 0
        there: dict[int, list[int]] = {}
        for k in np.flatnonzero(~asks):
            there.setdefault(int(rows[k, 0]), []).append(int(k))
        answers: dict[int, dict[int, NDArray[np.float64]]] = {}
        for k in np.flatnonzero(asks):
            some = there.get(int(rows[k, 0]), [])
            if not some:
                continue
            boxes = rows[some, 2:]
            touch = overlap(rows[k, 2:], boxes, self._pbc)
            mine = answers.setdefault(int(source[k]), {})
            for which in np.flatnonzero(touch):
                mine[int(source[some[which]])] = boxes[which]
        return {
            r: np.concatenate([[s, *box] for s, box in found.items()])
            for r, found in answers.items()
            if found
        }


def overlap(
    region: NDArray[np.float64], boxes: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which boxes ``(n, 6)``, or their periodic images, reach into a region ``(6,)``."""
    low = region[:3] - boxes[:, 3:]
    high = region[3:] - boxes[:, :3]
    # A whole number of cells by which the box can be moved, or none where nothing is periodic.
    touch = np.where(pbc, np.floor(high) >= np.ceil(low), (high >= 0) & (low <= 0))
    result: NDArray[np.bool_] = np.all(touch, axis=1)
    return result


def lies_in(
    s: NDArray[np.float64], box: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which points, fractional coordinates ``(n, 3)``, or their images, lie in a box ``(6,)``."""
    return overlap(box, np.concatenate([s, s], axis=1), pbc)
