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
#: Ratio of rates from which on a cooling counts as two ramps.
_TWO_RAMPS = 1.5
#: [eV/K]
BOLTZMANN = 8.617333e-5


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
    first, last = (float(q) for q in np.quantile(t, [0.05, 0.95]))
    grid = np.linspace(first, last, 361)
    # Scaled, so that the normal equations are well conditioned.
    scale, height = np.ptp(t), max(float(np.ptp(e)), 1e-300)
    x, y = (t - grid[:, None]) / scale, (e - e.mean()) / height
    a = np.stack([np.ones_like(x), np.minimum(x, 0.0), np.maximum(x, 0.0)], axis=2)
    products = np.einsum("gni,gnj->ngij", a, a)
    weights = _samples(len(t))
    matrix = np.tensordot(weights, products, 1)  # (samples, grid, 3, 3)
    right = np.tensordot(weights, a.transpose(1, 0, 2) * y[:, None, None], 1)
    lines = np.linalg.solve(matrix + 1e-12 * np.eye(3), right[..., None])[..., 0]
    miss = (weights @ y**2)[:, None] - (lines * right).sum(axis=2)
    best = miss.argmin(axis=1)
    _, below, above = lines[0, best[0]] * height / scale
    return Estimate(
        float(grid[best[0]]), float(np.std(grid[best[1:]])), slopes=(float(below), float(above))
    )


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
    low, high, widths = float(t.min()), float(t.max()), np.geomspace(2.0, 500.0, 25)
    at, width = low, 1.0
    for _ in range(3):  # a grid, then finer ones around its best place
        grid = np.linspace(low, high, 41)
        i, j = np.unravel_index(
            _squares(t, f, grid, widths).sum(axis=0).argmin(), (41, len(widths))
        )
        at, width = float(grid[i]), float(widths[j])
        step = (high - low) / 40
        low, high, widths = at - step, at + step, width * np.geomspace(0.8, 1.25, 15)
    # As far as noise takes the step: a few times its width over the root of the points on it.
    reach = 10.0 * (width + np.ptp(t) / len(t)) / np.sqrt(max(1.0, len(t) * width / np.ptp(t)))
    grid, widths = np.linspace(at - reach, at + reach, 81), width * np.geomspace(0.6, 1.6, 9)
    squares = _squares(t, f, grid, widths).reshape(len(t), -1)
    best = (_samples(len(t))[1:] @ squares).argmin(axis=1)
    return Estimate(at, float(np.std(grid[best // len(widths)])), width=width)


def _squares(
    t: NDArray[np.float64], f: NDArray[np.float64], grid: NDArray[np.float64],
    widths: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the squared distances ``(n, grid, widths)`` of points from logistic steps."""
    x = (t[:, None, None] - grid[:, None]) / widths
    squares: NDArray[np.float64] = (
        1.0 / (1.0 + np.exp(np.clip(x, -60, 60))) - f[:, None, None]
    ) ** 2
    return squares


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
    return line, np.asarray(energy, dtype=float) + 1.5 * BOLTZMANN * t


def quench(history: xarray.Dataset) -> xarray.Dataset:
    """Return the frames of a history after the last one that is as hot as it gets (within 3 %).

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


def slowest(history: xarray.Dataset) -> xarray.Dataset:
    """Return the frames of the slower one of two cooling ramps; of a single ramp all.

    Raises
    ------
    SettingError
        Fewer than 8 frames.
    """
    time, t = history["time"].values, history["temperature"].values
    bend = kink(time, t)
    before, after = np.abs(bend.slopes)
    if max(before, after) < _TWO_RAMPS * min(before, after):
        return history
    late = time > bend.temperature
    return history.isel(step=np.flatnonzero(late if after < before else ~late))


def energy_step(temperature: ArrayLike, energy: ArrayLike) -> Estimate:
    """Return where an energy is half way between the lines of two phases: melting on heating.

    Two parallel lines are fitted to 15 % of the points on each side of the steepest rise, 4 % away from
    it. A common slope, since few points may be left after a melting that comes late.

    Parameters
    ----------
    temperature, energy
        ``(n,)`` of a run in which the temperature rises [K], and in any unit.

    Returns
    -------
    Estimate
        Half way; the width is from a quarter to three quarters of the step. No error is known.

    Raises
    ------
    SettingError
        Fewer than 8 points.
    """
    t, e = _points(temperature, energy, None)
    n = len(t)
    side, gap = max(3, round(0.15 * n)), max(2, round(0.04 * n))
    rise = e[gap:] - e[:-gap]
    at = int(rise.argmax()) + gap // 2
    below = np.arange(max(0, at - gap - side), max(3, at - gap))
    above = np.arange(min(n - 2, at + gap), min(n, at + gap + side))
    one = np.concatenate([np.ones(len(below)), np.zeros(len(above))])
    fitted = np.concatenate([below, above])
    lines = np.linalg.lstsq(np.stack([one, 1 - one, t[fitted]], axis=1), e[fitted], rcond=None)[0]
    share = (e - lines[2] * t - lines[0]) / (lines[1] - lines[0])
    near = slice(max(0, at - 2 * gap), at + 2 * gap + 1)
    quarter, half, most = (crossing(t[near], share[near], y) for y in (0.25, 0.5, 0.75))
    return Estimate(half, float("nan"), width=most - quarter)


def crossing(x: NDArray[np.float64], y: NDArray[np.float64], value: float = 0.5) -> float:
    """Return where y goes through a value: the mean of all its passes; NaN if it does not."""
    d = y - value
    passes = np.flatnonzero(d[:-1] * d[1:] <= 0)
    if not len(passes):
        return float("nan")
    steps = d[passes] - d[passes + 1]
    inside = np.divide(d[passes], steps, out=np.zeros(len(passes)), where=steps != 0)
    return float((x[passes] + inside * (x[passes + 1] - x[passes])).mean())


def melting(history: xarray.Dataset) -> Estimate:
    """Return the energy step of a heating history; see :func:`energy_step`.

    Raises
    ------
    SettingError
        Fewer than 8 frames.
    """
    each = history["potential_energy"].values
    if "atoms" in history:
        each = each / history["atoms"].values
    return energy_step(*on_ramp(history["time"].values, history["temperature"].values, each))


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


def _samples(n: int) -> NDArray[np.float64]:
    """Return how often each of n points is in a bootstrap sample ``(samples, n)``; in the first, once."""
    rng = np.random.default_rng(1)
    picks = rng.integers(0, n, (_SAMPLES, n))
    counts = np.array([np.bincount(p, minlength=n) for p in picks], dtype=float)
    return np.concatenate([np.ones((1, n)), counts])
