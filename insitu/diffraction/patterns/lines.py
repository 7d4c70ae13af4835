# SPDX-License-Identifier: BSD-3-Clause
"""The lines of a powder pattern."""

from dataclasses import dataclass

import numpy as np

from insitu.diffraction.patterns.grid import ANGLES, STEP, Array, background

DOUBLET = 2.49e-3  # K-alpha2 of copper: relative difference of the wavelengths


#: Angles of a pattern that has all of the grid.
EVERYWHERE = (0.0, 90.0)


@dataclass(frozen=True)
class Lines:
    """Lines found in a pattern, by angle.

    Attributes
    ----------
    angles : array, shape (n,)
        2theta of Cu K-alpha1 [degrees].
    heights : array, shape (n,)
        Over the background, highest 1.
    smooth : array, shape (4250,)
        The pattern they were found in, smoothed, highest line 1.
    threshold : float
        Least height of a line.
    span : tuple of float
        First and last angle that were measured: that a line is missing elsewhere says nothing.
    """

    angles: Array
    heights: Array
    smooth: Array
    threshold: float
    span: tuple[float, float] = EVERYWHERE


#: Least heights of a line, and of a valley between two; and of faint lines.
_LEAST, _LEAST_FAINT = (0.004, 0.002), (0.0005, 0.00025)


def find_lines(pattern: Array, faint: bool = False) -> Lines:
    """Lines of a pattern.

    Parameters
    ----------
    pattern : array, shape (4250,)
        On `ANGLES`.
    faint : bool
        Also lines that are barely above the noise from point to point. They decide on absences; in the
        search for lattices too many of them are of something else.

    Returns
    -------
    Lines
    """
    pattern = np.asarray(pattern, dtype=np.float64)
    clean = pattern - background(pattern[None])[0]
    offsets = np.arange(-7, 8)
    kernel = np.exp(-0.5 * (offsets / 2.2) ** 2)
    smooth = np.convolve(clean, kernel / kernel.sum(), mode="same")
    top = max(smooth.max(), 1e-30)
    smooth /= top
    # Noise of what is between the lines: the lower half of the absolute differences two widths apart.
    noise = 1.05 * np.median(np.abs(smooth[12:] - smooth[:-12]))
    least, valley_least = _LEAST
    if faint:
        # Where lines are dense, that is of lines. What smoothing takes away is not.
        noise = 0.53 * np.median(np.abs(clean / top - smooth))
        least, valley_least = _LEAST_FAINT
    threshold = max(5.0 * noise, least)
    middle = smooth[1:-1]
    at = np.flatnonzero((middle > smooth[:-2]) & (middle >= smooth[2:]) & (middle > threshold)) + 1
    left, centre, right = smooth[at - 1], smooth[at], smooth[at + 1]
    shift = 0.5 * (left - right) / np.minimum(left - 2 * centre + right, -1e-12)
    keep = np.ones(len(at), dtype=bool)
    for i in range(1, len(at)):  # a ripple on a shoulder is no line
        valley = smooth[at[i - 1] : at[i] + 1].min()
        if min(centre[i], centre[i - 1]) - valley < max(2.0 * noise, valley_least):
            keep[i if centre[i] < centre[i - 1] else i - 1] = False
    angles, heights = (ANGLES[at] + shift * STEP)[keep], centre[keep]
    first = ~_second_lines(angles, heights)
    return Lines(angles[first], heights[first], smooth, threshold)


def _second_lines(angles: Array, heights: Array) -> Array:
    """Which lines are of K-alpha2: half as high as another and where its partner would be.

    They are told apart only where lines at large angles have such partners as a rule.
    """
    apart = np.degrees(2 * DOUBLET * np.tan(np.radians(angles) / 2))
    away = angles[None] - angles[:, None] - apart[:, None]
    ratio = heights[None] / heights[:, None]
    pairs = (np.abs(away) < 0.035) & (ratio > 0.25) & (ratio < 0.8) & (apart[:, None] > 0.09)
    clear = (angles > 50) & (heights > max(0.08, 3 * heights.min(initial=1))) & ~pairs.any(0)
    if pairs[clear].any(1).sum() < max(2, 0.4 * clear.sum()):
        return np.zeros(len(angles), dtype=bool)
    return np.asarray(pairs.any(0))
