# SPDX-License-Identifier: BSD-3-Clause
"""Bins of a profile: slabs along a direction, shells about a point or an axis; where atoms are, volumes."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import System
from insitu.errors import SettingError
from insitu.frame.cell import heights
from insitu.frame.frame import Frame

#: A box vector whose part along a direction is a smaller part of all than this does not cross the bins.
_FLAT = 1e-5
#: Bins that reach less beyond half of the box than this still lie inside, relative.
_ROUNDING = 1e-9
#: The atom that the origin is taken from is at 0, not just below it [Å].
HAIR = 1e-9


class Bins:
    """Bins of equal width; what they lie along is a subclass' affair.

    Parameters
    ----------
    bins
        How many.
    low, high
        Where the first begins and the last ends [Å].
    whole
        They end where the box does, whatever rounding says.

    Attributes
    ----------
    positions
        ``(bins,)`` middle of each [Å].
    edges
        ``(bins + 1,)`` [Å].
    """

    def __init__(self, bins: int, low: float, high: float, whole: bool) -> None:
        self.bins, self._low, self._whole = bins, low, whole
        self.width = (high - low) / bins
        self.positions: NDArray[np.floating[Any]] = low + self.width * (np.arange(bins) + 0.5)
        self.edges: NDArray[np.floating[Any]] = low + self.width * np.arange(bins + 1)

    def coordinates(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return where the owned atoms ``(n_local,)`` are along the bins [Å]."""
        raise NotImplementedError

    def volumes(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the volume of each bin ``(bins,)`` [Å³], of the part that lies in the box.

        NaN where a bin cannot be told: a shell beyond half of a periodic box.
        """
        raise NotImplementedError

    def of(self, frame: Frame, origin: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """Return the bin ``(n_local,)`` of each owned atom, −1 where it is in none.

        Parameters
        ----------
        frame
            This rank's frame.
        origin
            ``(3,)`` point from which positions are taken [Å]; None: the bins are where they were made.
        """
        at = np.floor((self.coordinates(frame, origin) - self._low) / self.width)
        if self._whole:
            at = np.minimum(at, self.bins - 1)
        inside = (at >= 0) & (at < self.bins)
        return np.where(inside, at, -1).astype(np.int64)


class Slabs(Bins):
    """Bins between planes.

    Parameters
    ----------
    system
        The simulation.
    axis
        Vector of the box; the planes are those of its two other vectors. None: `direction` is given.
    direction
        ``(3,)`` normal of the planes.
    bins, low, high
        As in :class:`Bins`; without limits the box of the first step.
    moving
        Positions are relative to an origin that is told at each frame.

    Attributes
    ----------
    follows
        Whether the bins are parts of the present box: it is periodic wherever they cross it.
    """

    def __init__(
        self, system: System, axis: int | None, direction: NDArray[np.float64] | None, bins: int,
        low: float | None = None, high: float | None = None, moving: bool = False,
    ) -> None:  # fmt: skip
        self._axis, self._direction = axis, direction
        cell, origin = system.cell, system.origin
        u, w = self.weights(cell)
        self._span = float(np.abs(w).sum())
        self._first = (u, origin.copy(), float(np.minimum(w, 0.0).sum()))
        self._begin = float(origin @ u) + self._first[2] if axis is None else float(origin[axis])
        self._crossed = np.abs(w) > 0.0
        self.follows = bool(system.pbc[self._crossed].all()) and not moving
        begin = -0.5 * self._span if moving else self._begin
        given = low is not None and high is not None
        super().__init__(
            bins, low if low is not None else begin, high if high is not None else begin + self._span,
            self.follows and not given,
        )  # fmt: skip

    def weights(self, cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the normal ``(3,)``, and how far each vector of a cell goes along it ``(3,)`` [Å]."""
        if self._direction is not None:
            u = self._direction / np.linalg.norm(self._direction)
            w = cell @ u
            return u, np.where(np.abs(w) > _FLAT * np.abs(w).sum(), w, 0.0)
        u = np.linalg.inv(cell)[:, self._axis]
        u = u / np.linalg.norm(u)
        return u, np.where(np.arange(3) == self._axis, cell @ u, 0.0)

    def coordinates(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the heights of the owned atoms ``(n_local,)`` [Å]."""
        r = frame.positions[: frame.n_local]
        along = self._crossed
        if origin is not None:
            s, (_, w) = (r - origin) @ np.linalg.inv(frame.cell), self.weights(frame.cell)
            s -= np.where(frame.pbc & along, np.floor(s + 0.5), 0.0)
            relative: NDArray[np.float64] = s @ w + HAIR
            return relative
        if self.follows:
            s, (_, w) = (r - frame.origin) @ np.linalg.inv(frame.cell), self.weights(frame.cell)
            s -= np.floor(s)
            s[s >= 1.0] = 0.0  # just below 0, and rounded
            part = (s @ w - np.minimum(w, 0.0).sum()) / np.abs(w).sum()
            here: NDArray[np.float64] = self._begin + part * self._span
            return here
        u, first, least = self._first
        if (frame.pbc & along).any():
            s = (r - frame.origin) @ np.linalg.inv(frame.cell)
            r = r - np.where(frame.pbc & along, np.floor(s), 0.0) @ frame.cell
        fixed: NDArray[np.float64] = self._begin + (r - first) @ u - least
        return fixed

    def volumes(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the volume between the planes within the box ``(bins,)`` [Å³].

        Along a vector that is not periodic and is crossed at right angles the box has no end.
        """
        u, w = self.weights(frame.cell)
        whole, span = float(abs(np.linalg.det(frame.cell))), float(np.abs(w).sum())
        if np.count_nonzero(w) == 1:  # the same cross section everywhere
            wide = self.width * (span / self._span if self.follows else 1.0)
            return np.full(self.bins, whole / span * wide)
        if origin is not None:
            corner = np.where(frame.pbc, -0.5, (frame.origin - origin) @ np.linalg.inv(frame.cell))
            t = self.edges - corner @ w
        elif self.follows:
            t = (self.edges - self._begin) * (span / self._span) + np.minimum(w, 0.0).sum()
        else:
            _, first, least = self._first
            t = self.edges - self._begin + least + (first - frame.origin) @ u
        parts: NDArray[np.float64] = whole * np.diff(part_below(w, t))
        return parts

    def point(self, frame: Frame, coordinate: float) -> NDArray[np.float64]:
        """Return a point ``(3,)`` [Å] at a height [Å] of bins that do not move."""
        s = np.full(3, 0.5)
        if self.follows:
            (k,) = np.flatnonzero(self._crossed)
            part = (coordinate - self._begin) / self._span
            s[k] = part if self.weights(frame.cell)[1][k] > 0.0 else 1.0 - part
            return frame.origin + s @ frame.cell
        u, first, least = self._first
        middle = frame.origin + s @ frame.cell
        return middle + u * (coordinate - (self._begin + (middle - first) @ u - least))


def part_below(w: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which part of a parallelepiped lies below planes.

    It is the distribution of ``w · s`` for `s` uniform in the unit cube: a sum over the corners.

    Parameters
    ----------
    w
        ``(3,)`` how far its vectors go along the planes' normal; those that are 0 do not count.
    t
        ``(k,)`` heights of the planes above its first corner.

    References
    ----------
    D. L. Barrow and P. W. Smith, Am. Math. Mon. 86, 704 (1979), doi:10.1080/00029890.1979.11994890.
    """
    steps = np.abs(w[w != 0.0])
    x = (t - np.minimum(w, 0.0).sum()) / steps.sum()
    steps = steps / steps.sum()
    x = np.clip(x, 0.0, 1.0)
    total = np.zeros_like(x)
    for corner in product((0, 1), repeat=len(steps)):
        above = np.maximum(x - np.dot(corner, steps), 0.0) ** len(steps)
        total += above if sum(corner) % 2 == 0 else -above
    part: NDArray[np.float64] = total / (np.prod(steps) * float(np.prod(np.arange(len(steps)) + 1)))
    return np.where(x >= 1.0, 1.0, part)


class Shells(Bins):
    """Bins between spheres about a point, or between cylinders along a vector of the box.

    Parameters
    ----------
    system
        The simulation.
    axis
        Vector of the box along which the cylinders lie; None: spheres.
    bins, low, high
        As in :class:`Bins`; by default from 0 to half of the box.

    Raises
    ------
    SettingError
        They reach beyond half of a periodic box.
    """

    def __init__(
        self, system: System, axis: int | None, bins: int, low: float | None, high: float | None
    ) -> None:
        self._across = np.arange(3) != axis
        self._axis = axis
        limit = self._limit(system.cell, system.pbc)
        if high is not None and high > limit * (1.0 + _ROUNDING):
            raise SettingError(
                f"high={high / system.length:g} is beyond half of the periodic box, where an atom is at "
                f"two distances from the origin; give at most {limit / system.length:.6g}"
            )
        if low is not None and low < 0.0:
            raise SettingError(f"low={low / system.length:g} is no distance; give 0 or more")
        if not np.isfinite(limit):
            limit = 0.5 * float(heights(system.cell)[self._across].min())
        super().__init__(bins, low or 0.0, limit if high is None else high, False)

    def _limit(self, cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> float:
        """Return up to where an atom has one image only [Å]."""
        periodic = pbc & self._across
        return 0.5 * float(heights(cell)[periodic].min(initial=np.inf))

    def _beyond(self, frame: Frame) -> NDArray[np.bool_]:
        limit = self._limit(frame.cell, frame.pbc) * (1.0 + _ROUNDING)
        beyond: NDArray[np.bool_] = self.edges[1:] > limit
        return beyond

    def coordinates(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return distances ``(n_local,)`` from the origin or its axis [Å]; −1 beyond half a box."""
        if origin is None:
            origin = frame.origin + 0.5 * frame.cell.sum(axis=0)
        s = (frame.positions[: frame.n_local] - origin) @ np.linalg.inv(frame.cell)
        s -= np.where(frame.pbc, np.floor(s + 0.5), 0.0)
        x = s @ frame.cell
        if self._axis is not None:
            along = frame.cell[self._axis] / np.linalg.norm(frame.cell[self._axis])
            x -= (x @ along)[:, None] * along
        d: NDArray[np.float64] = np.linalg.norm(x, axis=1)
        beyond = self._beyond(frame)
        if beyond.any():
            d[d >= self.edges[int(beyond.argmax())]] = -1.0
        return d

    def volumes(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the volumes of the shells ``(bins,)`` [Å³]; cylinders are as long as the box."""
        found: NDArray[np.float64]
        if self._axis is None:
            found = 4.0 / 3.0 * np.pi * np.diff(self.edges**3)
        else:
            found = np.pi * np.diff(self.edges**2) * np.linalg.norm(frame.cell[self._axis])
        found[self._beyond(frame)] = np.nan
        return found


def made(
    system: System, shape: str, axis: int | None, direction: NDArray[Any] | None, bins: int,
    low: float | None, high: float | None, moving: bool,
) -> Bins:  # fmt: skip
    """Return the bins that settings ask for; limits in Å."""
    if shape == "slab":
        return Slabs(system, axis, direction, bins, low, high, moving)
    return Shells(system, axis, bins, low, high)
