# SPDX-License-Identifier: BSD-3-Clause
"""Bragg peaks of a powder pattern: position, area, height and width over a background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A peak stands out of the speckle of its background by this many standard deviations.
_SIGNIFICANT = 5.0
#: The background does not follow what is narrower than about twice this many FWHM.
_CLIP = 1.5
#: Broader than this many FWHM of the resolution, a maximum is that of a liquid.
_BROADEST = 1.5


@dataclass(frozen=True)
class Peak:
    """A Bragg peak.

    Parameters
    ----------
    position
        Centroid of its upper half, 2θ [degrees].
    area
        Over the background [unit of the intensity × degrees].
    width
        Full width at half maximum [degrees].
    height
        Over the background.
    """

    position: float
    area: float
    width: float
    height: float


def background(
    intensity: NDArray[np.float64], spacing: float, widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what is below the peaks ``(n,)``: peaks are clipped (SNIP).

    Parameters
    ----------
    intensity
        ``(n,)`` at equidistant angles.
    spacing
        Of them [degrees].
    widths
        ``(n,)`` FWHM of the resolution [degrees].

    References
    ----------
    C. G. Ryan et al., Nucl. Instrum. Methods B 34, 396 (1988), doi:10.1016/0168-583X(88)90063-8.
    """
    found = np.array(intensity, dtype=np.float64)
    clip = np.maximum(_CLIP * widths / spacing, 1.0)
    most = min(int(clip.max()), (len(found) - 1) // 2)
    for reach in range(most, 0, -1):
        inner = found[reach:-reach]
        mean = 0.5 * (found[: -2 * reach] + found[2 * reach :])
        found[reach:-reach] = np.where(reach <= clip[reach:-reach], np.minimum(inner, mean), inner)
    return found


def find_peaks(
    two_theta: NDArray[np.float64], intensity: NDArray[np.float64], widths: NDArray[np.float64],
    *, scatter: NDArray[np.float64] | float = 0.0, least: float = 0.01,
) -> list[Peak]:  # fmt: skip
    """Return the Bragg peaks of a pattern, by their angle.

    A peak is a maximum over the background that is at least `least` times as high as the highest, that
    stands out of the background's scatter, and that is at most 1.5 times as broad as the resolution: the
    maxima of a liquid are none.

    Parameters
    ----------
    two_theta
        ``(n,)`` equidistant angles [degrees].
    intensity
        ``(n,)``.
    widths
        ``(n,)`` FWHM of the resolution [degrees].
    scatter
        ``(n,)`` relative standard deviation of the background.
    least
        Height of the lowest in units of the highest.

    Returns
    -------
    list of Peak
    """
    if len(intensity) < 5 or not np.isfinite(intensity).all():
        return []
    spacing = float(two_theta[1] - two_theta[0])
    below = background(intensity, spacing, widths)
    net = intensity - below
    inner = net[1:-1]
    (at,) = np.nonzero((inner > net[:-2]) & (inner >= net[2:]) & (inner > 0))
    at = at + 1
    top = float(net[at].max(initial=0.0))
    noise = _SIGNIFICANT * np.broadcast_to(scatter, net.shape) * np.abs(below)
    edge = np.minimum(at, len(net) - 1 - at) * spacing  # cut off there: neither position nor area
    at = at[edge > 0.75 * widths[at]]
    at = at[(net[at] >= least * top) & (net[at] > noise[at]) & (net[at] > 1e-9 * (top + 1e-300))]
    found = []
    around = [0, *at, len(net) - 1]
    for i, before, after in zip(at, around, around[2:], strict=False):
        first = before + int(np.argmin(net[before : i + 1]))  # the valley on each side
        last = i + int(np.argmin(net[i : after + 1]))
        reach = int(2.0 * widths[i] / spacing) + 1
        first, last = max(first, i - reach), min(last, i + reach)
        x, y = two_theta[first : last + 1], net[first : last + 1]
        width, upper = _half(x, y, i - first)
        if not 0 < width <= _BROADEST * widths[i]:
            continue
        weight = np.where(upper, y - 0.5 * net[i], 0.0)
        position = float((weight @ x) / weight.sum())
        found.append(Peak(position, float(y.sum() * spacing), width, float(net[i])))
    return found


def _half(
    x: NDArray[np.float64], y: NDArray[np.float64], at: int
) -> tuple[float, NDArray[np.bool_]]:
    """Return the full width at half maximum, and which points are above it, around a maximum."""
    half = 0.5 * y[at]
    first, last = at, at
    while first > 0 and y[first - 1] > half:
        first -= 1
    while last < len(y) - 1 and y[last + 1] > half:
        last += 1
    left = right = np.nan
    if first > 0:
        left = x[first] - (x[1] - x[0]) * (y[first] - half) / (y[first] - y[first - 1])
    if last < len(y) - 1:
        right = x[last] + (x[1] - x[0]) * (y[last] - half) / (y[last] - y[last + 1])
    if np.isnan(left):  # cut off, or another peak: twice the side that is there
        left = 2 * x[at] - right
    if np.isnan(right):
        right = 2 * x[at] - left
    upper = np.zeros(len(y), dtype=bool)
    upper[first : last + 1] = True
    return float(right - left), upper
