# SPDX-License-Identifier: BSD-3-Clause
"""Where a profile begins that moves: the centre or an end of some atoms, or a front that is found in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import System
from insitu.analyses.profile.bins import Slabs
from insitu.analyses.profile.planes import BoxPlanes
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks

#: Nowhere: there are no such atoms, or no front.
_NOWHERE = np.full(3, np.nan)


def center(
    frame: Frame, weights: NDArray[np.float64], ranks: Ranks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre of mass of some atoms, and where each atom is from there; collective.

    Across periodic borders they are put together about the mean of their angles.

    Parameters
    ----------
    frame
        This rank's frame.
    weights
        ``(n_local,)`` mass of each owned atom, 0 for those that do not count.
    ranks
        The ranks of the simulation.

    Returns
    -------
    center, away
        ``(3,)`` [Å], NaN where there are no atoms; ``(n_local, 3)`` fractions of the box' vectors.

    References
    ----------
    L. Bai and D. Breen, J. Graph. Tools 13, 53 (2008), doi:10.1080/2151237X.2008.10129266.
    """
    s = frame.fractional(slice(0, frame.n_local))
    angle = 2.0 * np.pi * s
    each = np.column_stack([np.cos(angle), np.sin(angle), s, np.ones(len(s))])
    total = ranks.sum(weights @ each)
    if total[9] <= 0.0:
        return _NOWHERE, np.full_like(s, np.nan)
    around = np.arctan2(total[3:6], total[:3]) / (2.0 * np.pi)
    middle = np.where(frame.pbc, around, total[6:9] / total[9])
    away = s - middle
    away -= np.where(frame.pbc, np.floor(away + 0.5), 0.0)
    shift = ranks.sum(weights @ away) / total[9]
    middle, away = middle + shift, away - shift
    middle = middle - np.where(frame.pbc, np.floor(middle), 0.0)
    return frame.origin + middle @ frame.cell, away


def end(
    frame: Frame, chosen: NDArray[np.bool_], slabs: Slabs, high: bool, ranks: Ranks
) -> NDArray[np.float64]:
    """Return a point ``(3,)`` at the height of the lowest or highest of some atoms [Å]; collective."""
    middle, away = center(frame, chosen.astype(np.float64), ranks)
    u, w = slabs.weights(frame.cell)
    heights = away[chosen] @ w * (1.0 if high else -1.0)
    # LAMMPS' reductions know no empty ones: far below any atom.
    most = float(ranks.largest(np.array([heights.max(initial=-1e300)]))[0])
    found: NDArray[np.float64] = middle + u * (most if high else -most)
    return found


class Front:
    """The plane at which a phase, or what is dense, ends along a direction.

    Its share of the atoms (or their density) is taken in bins of the whole box, each with its two
    neighbours. The front lies where this falls below a level, between two bins by a straight line: of
    several the one nearest to that of the frame before, at first the last one.

    Parameters
    ----------
    slabs
        The bins, which do not move.
    level
        Share, or density [1/Å³].
    dense
        Whether it is a density.

    Attributes
    ----------
    last
        Where it was in the frame before [Å]; NaN: nowhere yet.
    """

    def __init__(self, slabs: Slabs | BoxPlanes, level: float, dense: bool) -> None:
        self.slabs, self._level, self._dense = slabs, level, dense
        self.last = float("nan")

    def __call__(
        self, frame: Frame, counted: NDArray[np.bool_], chosen: NDArray[np.bool_], ranks: Ranks
    ) -> float:
        """Return where it is [Å], NaN for nowhere; collective.

        Parameters
        ----------
        frame
            This rank's frame.
        counted, chosen
            ``(n_local,)`` the atoms of which there are shares, and those of the phase.
        ranks
            The ranks of the simulation.
        """
        at, n = self.slabs.of(frame), self.slabs.bins
        both = [np.bincount(at[m & (at >= 0)], minlength=n) for m in (chosen, counted)]
        phase, atoms = ranks.sum(np.array(both, dtype=np.float64))
        if self._dense:
            value = self._smooth(atoms) / self._smooth(self.slabs.volumes(frame, None))
        else:
            value = self._smooth(phase) / np.maximum(self._smooth(atoms), 1.0)
        found = self._crossings(value)
        if not len(found):
            return float("nan")
        best = found[-1]
        if np.isfinite(self.last):
            apart = found - self.last
            if self.slabs.follows:
                span = self.slabs.bins * self.slabs.width
                apart -= span * np.rint(apart / span)
            best = found[int(np.abs(apart).argmin())]
        self.last = float(best)
        return self.last

    def _smooth(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        left, right = np.roll(values, 1), np.roll(values, -1)
        if not self.slabs.follows:
            left[0] = right[-1] = 0.0
        return values + left + right

    def _crossings(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        after = np.append(value[1:], value[0] if self.slabs.follows else 0.0)
        (k,) = np.nonzero((value >= self._level) & (after < self._level))
        part = (value[k] - self._level) / (value[k] - after[k])
        found: NDArray[np.float64] = self.slabs.positions[k] + part * self.slabs.width
        return found


def masses(system: System, frame: Frame) -> NDArray[np.float64]:
    """Return the mass of each owned atom ``(n_local,)`` [g/mol]; 1 where the deck has none by type."""
    if system.masses is None:
        return np.ones(frame.n_local)
    by_type: NDArray[np.float64] = np.array([0.0, *system.masses])
    mine: NDArray[np.float64] = by_type[frame.types[: frame.n_local]]
    return mine
