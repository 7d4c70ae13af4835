# SPDX-License-Identifier: BSD-3-Clause
"""Bins along an axis of the box, in which the phases are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Observable, Panel, System, setting
from insitu.analyses.phase_counts import fractions, standard_error
from insitu.errors import SettingError
from insitu.frame.frame import Frame, heights
from insitu.frame.neighbors import Neighbors

if TYPE_CHECKING:
    import xarray

#: Names of the axes in a deck, by their number.
AXES = "xyz"
MOST_BINS = 10_000


@dataclass(frozen=True)
class ProfileSettings:
    """What a deck says of a profile."""

    axis: str = setting("vector of the box along which the bins lie", allowed=tuple(AXES))
    bins: int = setting("how many", low=1, high=MOST_BINS)
    low: float | None = setting(
        "where the first begins; without it the box of the first analysed step", default=None,
        unit="the deck's length",
    )  # fmt: skip
    high: float | None = setting(
        "where the last ends, with `low` only", default=None, unit="the deck's length"
    )

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            given, other = ("low", "high") if self.high is None else ("high", "low")
            raise SettingError(f"{given} is given and {other} is not; give both, or neither")
        if self.low is not None and self.high is not None:
            finite = np.isfinite([self.low, self.high]).all()
            if not (finite and self.low < self.high):
                raise SettingError(
                    f"low={self.low:g} high={self.high:g} begins at or after its end; give low < high"
                )

    @classmethod
    def parse(cls, words: tuple[str, ...]) -> ProfileSettings:
        """Return the settings from ``axis, bins`` or ``axis, bins, low, high``: the short form.

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
            raise SettingError(f"profile={text} begins at or after its end; give low < high")
        return cls(axis, bins, *limits)


class Profile(Analysis[ProfileSettings]):
    """The phases in bins of equal width along an axis of the box.

    Along a periodic axis the bins are parts of the present box; along another one they do not move
    where they were at the first step, whatever the box does. Atoms outside of all bins are not counted.
    """

    name = "profile"
    Settings = ProfileSettings
    reads = ("phase",)
    stage = "model"  # a few counts, as those of groups and types
    samples = True

    def __init__(self, settings: ProfileSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        self.bins, self._axis = settings.bins, AXES.index(settings.axis)
        self._n_phases = len(system.classes)
        cell, origin = system.cell, system.origin
        # Positions along the normal of the box's two other vectors.
        self._inverse, self._origin = np.linalg.inv(cell)[:, self._axis], origin.copy()
        self._height = float(heights(cell)[self._axis])
        begin = float(origin[self._axis])
        low, high = (begin, begin + self._height)
        if settings.low is not None and settings.high is not None:
            low, high = (system.length * v for v in (settings.low, settings.high))
        #: Whether bins are parts of the present box.
        self._follows = bool(system.pbc[self._axis])
        self._whole = self._follows and settings.low is None
        self._begin, self._low, self._width = begin, low, (high - low) / self.bins
        #: ``(bins,)`` middle of each bin [Å].
        self.positions: NDArray[np.floating[Any]] = low + self._width * (np.arange(self.bins) + 0.5)
        shape = (self.bins, self._n_phases)
        axes = ((self.axis("bin"), tuple(self.positions.tolist()), system.length_unit),)
        about = f"of the atoms in each bin along {settings.axis}"
        self.sums = {"by_bin": shape} | ({"population": (self.bins,)} if system.sampled else {})
        # Beside the other fractions and counts of the phases.
        self._fraction, self._count = f"phases/{self.name}", f"phases/{self.name}_count"
        self.observables = (
            Observable(self._fraction, shape, "f8", "", f"fractions {about}", axes=axes),
            Observable(self._count, shape, "i8", "", f"numbers {about}", axes=axes),
        )
        self._error = f"phases/{self.name}_standard_error"
        if system.sampled:
            about = f"sampling errors of the fractions {about}"
            self.observables += (Observable(self._error, shape, "f8", "", about, axes=axes),)

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

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's numbers ``(bins, phases)``."""
        label, at = frame.results["phase"], self.bins_of(frame)
        those = at >= 0 if frame.selected is None else frame.selected & (at >= 0)
        column = np.where(label < 0, self._n_phases - 1, label)
        flat = at[those] * self._n_phases + column[those]
        shape = (self.bins, self._n_phases)
        by_bin = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        if not self.system.sampled:
            return {"by_bin": by_bin}
        of = at[frame.sampled_from & (at >= 0)]
        return {"by_bin": by_bin, "population": np.bincount(of, minlength=self.bins)}

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return numbers and fractions of the phases in each bin; NaN in an empty one."""
        count = np.rint(sums["by_bin"]).astype(np.int64)
        found = {self._count: count, self._fraction: fractions(count)}
        if self.system.sampled:
            found[self._error] = standard_error(count, np.rint(sums["population"]))
        return found

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return position over the abscissa, coloured by phase: colours mix as phases do in a bin."""

        def draw(axes: Any, view: Any) -> None:
            part = view.data[name]
            order = np.argsort(view.x, kind="stable")
            along = part[part.dims[1]]
            x, z = view.x[order].astype(float), along.values
            known = [view.color(n) for n in part["phase"].values]
            colors = np.array([[int(c[k : k + 2], 16) / 255.0 for k in (1, 3, 5)] for c in known])
            shares = part.values[order]
            empty = ~np.isfinite(shares).all(axis=2)
            image = np.nan_to_num(shares) @ colors
            image[empty] = 1.0
            if len(x) == 1:  # an area needs two sides
                x, image = x[0] + np.array([-0.5, 0.5]), np.repeat(image, 2, axis=0)
            axes.pcolormesh(x, z, image.swapaxes(0, 1), shading="nearest", rasterized=True)
            for phase in view.phases:  # for the legend
                axes.plot(
                    [], [], linewidth=5, color=view.color(phase), label=phase.replace("_", " ")
                )
            axes.grid(visible=False)
            axis = str(part.attrs.get("long_name", "")).rpartition(" along ")[2]
            words = f"Position along {axis}" if axis else "Position"
            unit = str(along.attrs.get("units", ""))
            axes.set_ylabel(f"{words}\n({unit})" if unit else words)

        def has_data(history: xarray.Dataset) -> bool:
            return name in history and history[name].ndim == 3 and "phase" in history[name].dims

        return Panel(draw, 2.0, has_data)
