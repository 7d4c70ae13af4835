# SPDX-License-Identifier: BSD-3-Clause
"""Patterns as the symmetry network sees them: any grid and wavelength, no background, logarithmic in Q.

Two grids: `ANGLES`, uniform in the 2theta of `REFERENCE`, and bins uniform in ln Q, on which a larger
cell is
only a shift.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Wavelength of the uniform grid [Å], Cu K-alpha1.
REFERENCE = 1.5406
STEP = 0.02
#: Centres of the uniform grid [degrees].
ANGLES = 5.0 + STEP * (np.arange(4250) + 0.5)
#: Full width at half maximum of lines that are made [degrees].
LINE_WIDTH = 0.12
#: Bins in ln Q, from 0.40 to 5.80 1/Å.
BINS = 2560
LN_Q = (float(np.log(0.40)), float(np.log(5.80)))
#: Points in a block and blocks to both sides (1.4 degrees) of the background's minimum.
BLOCK, REACH = 10, 7


@lru_cache(maxsize=1)
def _bins() -> tuple[Array, Array, Array]:
    """Edges of the ln Q bins on the uniform grid: point before, fraction, 1 / width in points."""
    q = np.exp(np.linspace(*LN_Q, BINS + 1))
    angle = 2 * np.degrees(np.arcsin(np.minimum(q * REFERENCE / (4 * np.pi), 1.0)))
    place = np.clip((angle - 5.0) / STEP, 0, len(ANGLES) - 1e-3)
    width = np.maximum(np.diff(place), 1e-6)
    before = place.astype(np.int64)
    return before, (place - before).astype(np.float32), (1 / width).astype(np.float32)


def background(patterns: Array) -> Array:
    """Return a smooth line under the peaks: the least of local means within 1.4 degrees, smoothed.

    Parameters
    ----------
    patterns : array, shape (k, 4250)
        On `ANGLES`.

    Returns
    -------
    array, shape (k, 4250)
    """
    blocks = patterns.reshape(len(patterns), -1, BLOCK).mean(-1)
    window = 2 * REACH + 1

    def windows(values: Array) -> Array:
        padded = np.pad(values, ((0, 0), (REACH, REACH)), mode="edge")
        return np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)

    smooth = windows(windows(blocks).min(-1)).mean(-1)
    place = np.clip((np.arange(patterns.shape[1]) + 0.5) / BLOCK - 0.5, 0, blocks.shape[1] - 1.001)
    low = place.astype(np.int64)
    part = (place - low).astype(patterns.dtype)
    line: Array = smooth[:, low] * (1 - part) + smooth[:, low + 1] * part
    return line


def network_input(patterns: Array) -> Array:
    """Return what the network reads of patterns.

    Parameters
    ----------
    patterns : array, shape (k, 4250)
        Intensities on `ANGLES`, any scale.

    Returns
    -------
    array, shape (k, 2, 2560), float32
        Square root and logarithm of the intensity over its maximum, without background, in bins of ln Q.
    """
    patterns = np.asarray(patterns, dtype=np.float32)
    clean = np.maximum(patterns - background(patterns), 0)
    clean /= np.maximum(clean.max(1, keepdims=True), 1e-30)
    before, fraction, per_width = _bins()
    total = np.zeros((len(clean), clean.shape[1] + 1), dtype=np.float32)
    np.cumsum(clean, axis=1, out=total[:, 1:])
    edges = total[:, before]
    edges += (total[:, before + 1] - edges) * fraction
    binned = np.diff(edges, axis=1)
    binned *= per_width
    np.clip(binned, 0, 1, out=binned)
    out = np.empty((len(clean), 2, BINS), dtype=np.float32)
    np.sqrt(binned, out=out[:, 0])
    np.log1p(binned * 200, out=out[:, 1])
    out[:, 1] /= np.float32(np.log(201))
    return out


def on_uniform_grid(two_theta: Array, intensity: Array, wavelength: float) -> Array:
    """Return a pattern on `ANGLES`, as Cu K-alpha1 would give it.

    Where the given grid is finer its mean over a step is taken, where it is coarser it is
    interpolated; outside its range the pattern is as low as near its end, so that no line is seen where a
    background ends. The Lorentz-polarisation factor is changed to that of the reference.

    Parameters
    ----------
    two_theta : array, shape (n,)
        Increasing [degrees].
    intensity : array, shape (n,)
    wavelength : float
        Of the pattern [Å].

    Returns
    -------
    array, shape (4250,)
    """
    sine = np.sin(np.radians(two_theta) / 2) * REFERENCE / wavelength
    fine = (sine > 0) & (sine < 1)
    sine, values, given = sine[fine], intensity[fine], np.radians(two_theta[fine])
    angle = 2 * np.arcsin(sine)
    if wavelength != REFERENCE:

        def factor(x: Array) -> Array:
            # Lorentz-polarisation, and the step of 2theta in ln Q: areas stay areas.
            return np.asarray((1 + np.cos(x) ** 2) / np.sin(x / 2) ** 2)

        values = values * factor(angle) / factor(given)
    degrees = np.degrees(angle)
    if not len(degrees):
        return np.zeros(len(ANGLES))
    edges = np.append(ANGLES - STEP / 2, ANGLES[-1] + STEP / 2)
    # The integral of the piecewise linear pattern, exact at the edges of the steps.
    knots = np.union1d(degrees, edges)
    line = np.interp(knots, degrees, values, left=0.0, right=0.0)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (line[1:] + line[:-1]) * np.diff(knots))])
    out: Array = np.diff(np.interp(edges, knots, integral)) / STEP
    inside = np.flatnonzero((degrees[0] <= ANGLES) & (degrees[-1] >= ANGLES))
    if not len(inside):
        return np.zeros(len(ANGLES))
    first, last = int(inside[0]), int(inside[-1])
    out[:first] = _lowest(out[first : last + 1][: BLOCK * REACH])
    out[last + 1 :] = _lowest(out[first : last + 1][-BLOCK * REACH :])
    return out


def _lowest(part: Array) -> float:
    """Return the least mean of `BLOCK` points in a row."""
    blocks = part[: max(len(part) // BLOCK, 1) * BLOCK]
    return float(blocks.reshape(-1, min(BLOCK, len(blocks))).mean(1).min())


def pattern_of_lines(q: Array, intensity: Array) -> Array:
    """Return the pattern that a powder of crystals with some reflections has, with narrow lines.

    Parameters
    ----------
    q : array, shape (n,)
        [1/Å] Of each reflection, equivalent ones one by one.
    intensity : array, shape (n,)
        |F|^2.

    Returns
    -------
    array, shape (4250,)
        On `ANGLES`, with the Lorentz-polarisation factor of a powder; zero where no line is near.
    """
    sine = q * REFERENCE / (4 * np.pi)
    seen = (sine > np.sin(np.radians(ANGLES[0] / 2))) & (sine < np.sin(np.radians(ANGLES[-1] / 2)))
    sine, values = sine[seen], intensity[seen]
    cosine = np.sqrt(1 - sine**2)
    values = values * (1 + (1 - 2 * sine**2) ** 2) / (sine**2 * cosine)
    place = (2 * np.degrees(np.arcsin(sine)) - ANGLES[0]) / STEP
    left = place.astype(np.int64)
    share = place - left
    lines = np.bincount(left, values * (1 - share), minlength=len(ANGLES) + 1)
    lines += np.bincount(left + 1, values * share, minlength=len(ANGLES) + 1)
    offsets = np.arange(-20, 21) * STEP
    kernel = np.exp(-4 * np.log(2) * (offsets / LINE_WIDTH) ** 2)
    out: Array = np.convolve(lines[:-1], kernel, mode="same")
    return out
