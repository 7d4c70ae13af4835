# SPDX-License-Identifier: BSD-3-Clause
"""Bins along an axis of the box, in which the phases are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.errors import SettingError
from insitu.frame.frame import Frame, heights

#: Names of the axes in a deck, by their number.
AXES = "xyz"
MOST_BINS = 10_000


@dataclass(frozen=True)
class ProfileSettings:
    """What a deck says of a profile.

    Parameters
    ----------
    axis
        0, 1, 2: along the first, second or third vector of the box.
    bins
        How many.
    limits
        Where the first begins and the last ends, in the deck's unit of length; None: the box at the
        first analysed step.
    """

    axis: int
    bins: int
    limits: tuple[float, float] | None = None

    @classmethod
    def parse(cls, words: tuple[str, ...]) -> ProfileSettings:
        """Return the settings from ``axis, bins`` or ``axis, bins, low, high``.

        Raises
        ------
        SettingError
            They are not understood.
        """
        text = ",".join(words)
        try:
            axis, number, *rest = words
            bins, limits = int(number), tuple(map(float, rest))
            if axis not in AXES or len(axis) != 1 or len(limits) not in (0, 2):
                raise ValueError
        except ValueError:
            raise SettingError(
                f"profile={text} is not understood; give an axis (x, y, z) and a number of bins, and if "
                "wanted where they begin and end: profile z,50 or profile z,50,0,400"
            ) from None
        if not 1 <= bins <= MOST_BINS:
            raise SettingError(f"profile={text}: {bins} bins; give 1 … {MOST_BINS}")
        if limits and not (np.isfinite(limits).all() and limits[0] < limits[1]):
            raise SettingError(f"profile={text} begins at or behind its end; give low < high")
        return cls(AXES.index(axis), bins, (limits[0], limits[1]) if limits else None)


class Profile:
    """Counts of the phases in bins of equal width along an axis.

    Along a periodic axis the bins are parts of the present box; along another one they stand still
    where they were at the first step, whatever the box does. Atoms outside of all bins are not counted.

    Parameters
    ----------
    settings
        Axis, bins, limits.
    cell, origin, pbc
        Box at the first analysed step, as in a Frame.
    length
        Unit of length of the deck [Å].
    unit
        Of positions in the file: ``Angstrom``, or "" in reduced units.
    n_phases
        Columns of the history, with ``unknown``.
    """

    def __init__(
        self, settings: ProfileSettings, cell: NDArray[np.float64], origin: NDArray[np.float64],
        pbc: NDArray[np.bool_], *, length: float, unit: str, n_phases: int,
    ) -> None:  # fmt: skip
        self.bins, self._axis, self._n_phases = settings.bins, settings.axis, n_phases
        # Positions along the normal of the box's two other vectors.
        self._inverse, self._origin = np.linalg.inv(cell)[:, self._axis], origin.copy()
        self._height = float(heights(cell)[self._axis])
        begin = float(origin[self._axis])
        low, high = (begin, begin + self._height)
        if settings.limits is not None:
            low, high = (length * v for v in settings.limits)
        #: Whether bins are parts of the present box.
        self._follows = bool(pbc[self._axis])
        self._whole = self._follows and settings.limits is None
        self._begin, self._low, self._width = begin, low, (high - low) / self.bins
        #: ``(bins,)`` middle of each bin [Å].
        self.positions: NDArray[np.floating[Any]] = low + self._width * (np.arange(self.bins) + 0.5)
        shape = (self.bins, n_phases)
        axis = AXES[self._axis]
        axes = (("bin", tuple(self.positions.tolist()), unit),)
        about = f"of the atoms in each bin along {axis}"
        self.sums = {"by_bin": shape}
        self.observables = (
            Observable("phases/profile", shape, "f8", "", f"fractions {about}", axes=axes),
            Observable("phases/profile_count", shape, "i8", "", f"numbers {about}", axes=axes),
        )

    def bins_of(self, frame: Frame) -> NDArray[np.int64]:
        """Return the bin ``(n_local,)`` of each owned atom, −1 where it is in none."""
        r = frame.positions[: frame.n_local]
        if self._follows:
            s = (r - frame.origin) @ np.linalg.inv(frame.cell)[:, self._axis]
            s -= np.floor(s)
            s[s >= 1.0] = 0.0  # just below 0, and rounded
        else:
            s = (r - self._origin) @ self._inverse
        at = np.floor((self._begin + s * self._height - self._low) / self._width)
        if self._whole:  # the last bin ends where the box does, whatever rounding says
            at = np.minimum(at, self.bins - 1)
        inside = (at >= 0) & (at < self.bins)
        return np.where(inside, at, -1).astype(np.int64)

    def count(
        self, frame: Frame, column: NDArray[np.int64], counted: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Return one rank's numbers ``(bins, phases)``.

        Parameters
        ----------
        frame
            This rank's frame.
        column
            ``(n_local,)`` phase of each atom.
        counted
            ``(n_local,)`` which were analysed.
        """
        at = self.bins_of(frame)
        those = counted & (at >= 0)
        flat = at[those] * self._n_phases + column[those]
        shape = (self.bins, self._n_phases)
        return {"by_bin": np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)}
