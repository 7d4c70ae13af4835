# SPDX-License-Identifier: BSD-3-Clause
"""Where a run changes its state: the kink of an energy curve, the middle of a model's transition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError

if TYPE_CHECKING:
    import xarray

#: Points below which neither lines nor a curve are fitted.
_FEWEST = 8
_SAMPLES = 200
_BOLTZMANN = 8.617333e-5  # eV/K


@dataclass(frozen=True)
class Estimate:
    """A temperature and its standard error [K]; `slopes` below and above, or `width` [K], as fitted."""

    temperature: float
    error: float
    slopes: tuple[float, float] = (float("nan"), float("nan"))
    width: float = float("nan")


def kink(
    temperature: ArrayLike, energy: ArrayLike, window: tuple[float, float] | None = None
) -> Estimate:
    """Fit two straight lines that meet to an energy curve: the glass transition of a quench.

    Parameters
    ----------
    temperature, energy
        ``(n,)`` [K] and in any unit; their order does not matter.
    window
        Temperatures to fit [K]; None: all. A liquid's line is curved, so that a longer window moves the
        kink upwards.

    Returns
    -------
    Estimate
        The temperature at which the lines meet. Its error is that of the noise (bootstrap of the
        points), not that of the choice of the window.

    Raises
    ------
    SettingError
        Fewer than 8 points.
    """
    t, e = _points(temperature, energy, window)

    def meet(t: NDArray[np.float64], e: NDArray[np.float64]) -> tuple[float, float, float]:
        low, high = np.quantile(t, [0.05, 0.95])
        best = (np.inf, 0.0, 0.0, 0.0)
        for at in np.linspace(low, high, 181):
            a = np.stack([np.ones_like(t), np.minimum(t - at, 0.0), np.maximum(t - at, 0.0)], 1)
            x, *_ = np.linalg.lstsq(a, e, rcond=None)
            miss = float(((a @ x - e) ** 2).sum())
            if miss < best[0]:
                best = (miss, float(at), float(x[1]), float(x[2]))
        return best[1:]

    at, below, above = meet(t, e)
    return Estimate(at, _bootstrap(lambda t, e: meet(t, e)[0], t, e), slopes=(below, above))


def midpoint(
    temperature: ArrayLike, fraction: ArrayLike, window: tuple[float, float] | None = None
) -> Estimate:
    """Fit a logistic step from 1 (cold) to 0 (hot) to a fraction: a model's transition.

    Parameters
    ----------
    temperature, fraction
        ``(n,)`` [K] and 0 … 1; their order does not matter.
    window
        Temperatures to fit [K]; None: all.

    Returns
    -------
    Estimate
        The temperature of one half, and the width: a fraction of 0.73 lies one width below it.

    Raises
    ------
    SettingError
        Fewer than 8 points.
    """
    t, f = _points(temperature, fraction, window)

    def half(t: NDArray[np.float64], f: NDArray[np.float64]) -> tuple[float, float]:
        low, high, widths = float(t.min()), float(t.max()), np.geomspace(2.0, 500.0, 25)
        at, width = low, 1.0
        for _ in range(3):  # a grid, then finer ones around its best place
            grid = np.linspace(low, high, 41)
            x = (t[:, None, None] - grid[:, None]) / widths
            miss = ((1.0 / (1.0 + np.exp(np.clip(x, -60, 60))) - f[:, None, None]) ** 2).sum(axis=0)
            i, j = np.unravel_index(miss.argmin(), miss.shape)
            at, width = float(grid[i]), float(widths[j])
            step = (high - low) / 40
            low, high, widths = at - step, at + step, width * np.geomspace(0.8, 1.25, 15)
        return at, width

    at, width = half(t, f)
    return Estimate(at, _bootstrap(lambda t, f: half(t, f)[0], t, f, 40), width=width)


def on_ramp(
    time: ArrayLike, temperature: ArrayLike, energy: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take the fluctuations of a thermostat out of a linear ramp.

    Where kinetic energy comes from, potential energy goes: their sum fluctuates less than either, and
    the straight line through the temperatures is what the thermostat follows.

    Parameters
    ----------
    time, temperature, energy
        ``(n,)`` in any unit, [K], potential energy [eV an atom].

    Returns
    -------
    temperature, energy
        ``(n,)`` of the line [K]; potential and kinetic energy [eV an atom].
    """
    t, x = np.asarray(temperature, dtype=float), np.asarray(time, dtype=float)
    line = np.polyval(np.polyfit(x, t, 1), x)
    return line, np.asarray(energy, dtype=float) + 1.5 * _BOLTZMANN * t


def quench(history: xarray.Dataset) -> xarray.Dataset:
    """Return the frames of a history behind the last one that is as hot as it gets (within 3 %).

    Raises
    ------
    SettingError
        It has no temperatures.
    """
    t = np.asarray(history["temperature"].values, dtype=float)
    if not np.isfinite(t).any():
        raise SettingError("the history has no temperatures; analyse at end_of_step")
    hot = np.flatnonzero(t > 0.97 * np.nanmax(t))
    return history.isel(step=slice(int(hot[-1]) + 1, None))


def heating(history: xarray.Dataset) -> xarray.Dataset:
    """Return the frames of a history before the first one that is as hot as it gets (within 3 %)."""
    t = np.asarray(history["temperature"].values, dtype=float)
    hot = np.flatnonzero(t > 0.97 * np.nanmax(t))
    return history.isel(step=slice(0, int(hot[0]) + 1))


def _points(
    x: ArrayLike, y: ArrayLike, window: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t, v = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    keep = np.isfinite(t) & np.isfinite(v)
    if window is not None:
        keep &= (t >= window[0]) & (t <= window[1])
    if keep.sum() < _FEWEST:
        raise SettingError(
            f"{int(keep.sum())} points with a temperature and a value in the window {window} K are "
            f"too few for a fit; analyse more often, or give a wider window ({_FEWEST} points)"
        )
    return t[keep], v[keep]


def _bootstrap(  # type: ignore[no-untyped-def]
    fit, x: NDArray[np.float64], y: NDArray[np.float64], samples: int = _SAMPLES
) -> float:
    """Return the standard deviation of a fit over samples of the points with replacement."""
    rng = np.random.default_rng(1)
    picks = (rng.integers(0, len(x), len(x)) for _ in range(samples))
    return float(np.std([fit(x[p], y[p]) for p in picks]))
