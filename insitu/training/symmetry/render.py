# SPDX-License-Identifier: BSD-3-Clause
"""Powder patterns of a library's crystals as an instrument would show them, many at once."""

from dataclasses import dataclass

import numpy as np

from insitu.diffraction.patterns.grid import ANGLES, REFERENCE, STEP

from .library import Library
from .sites import Array
from .structures import system_of

POINTS = len(ANGLES)
LENGTH = 4608  # of the Fourier transform: the grid and the longest tail


@dataclass(frozen=True)
class Instrument:
    """How much of each effect a pattern gets.

    Attributes
    ----------
    perfect : bool
        Only Scherrer widths of 20–100 nm, no noise (the literature's test sets); the cells as drawn.
    """

    perfect: bool = False


def reciprocal_metric(cells: Array) -> Array:
    """Return A, B, C, D, E, F of 1/d^2 = A h^2 + B k^2 + C l^2 + D kl + E hl + F hk, shape (k, 6)."""
    a, b, c = cells[:, :3].T
    ca, cb, cg = np.cos(np.radians(cells[:, 3:])).T
    metric = np.empty((len(cells), 3, 3))
    metric[:, 0, 0], metric[:, 1, 1], metric[:, 2, 2] = a * a, b * b, c * c
    metric[:, 1, 2] = metric[:, 2, 1] = b * c * ca
    metric[:, 0, 2] = metric[:, 2, 0] = a * c * cb
    metric[:, 0, 1] = metric[:, 1, 0] = a * b * cg
    g = np.linalg.inv(metric)
    return np.stack(
        [g[:, 0, 0], g[:, 1, 1], g[:, 2, 2], 2 * g[:, 1, 2], 2 * g[:, 0, 2], 2 * g[:, 0, 1]], 1
    )


def _strained(cells: Array, systems: Array, rng: np.random.Generator) -> Array:
    """Cells a few percent away, of the same metric."""
    cells = cells.astype(float)
    n = len(cells)
    factors = np.exp(rng.normal(0, 0.035, (n, 3)))
    uniaxial = (systems >= 3) & (systems <= 5)
    factors[uniaxial, 1] = factors[uniaxial, 0]
    factors[systems == 6] = 1.0
    cells[:, :3] *= factors * np.exp(rng.uniform(-0.07, 0.05, (n, 1)))
    mono = systems == 1
    cells[mono, 4] = np.maximum(cells[mono, 4] + rng.normal(0, 1.5, mono.sum()), 90.2)
    triclinic = systems == 0
    cells[triclinic, 3:] += rng.normal(0, 1.0, (triclinic.sum(), 3))
    return cells


def render(
    library: Library, which: Array, rng: np.random.Generator, instrument: Instrument
) -> Array:
    """Patterns of crystals, each with its own instrument.

    Parameters
    ----------
    library : Library
    which : array of int, shape (k,)
        Crystals.
    rng : numpy.random.Generator
    instrument : Instrument

    Returns
    -------
    array, shape (k, 4250), float32
        On `ANGLES`; largest peak about 1, with background and noise.
    """
    n = len(which)
    count = library.first[which + 1] - library.first[which]
    row = np.repeat(np.arange(n), count)
    start = np.cumsum(count) - count
    peak = np.arange(count.sum()) - start[row] + library.first[which][row]
    hkl = library.indices[peak].astype(np.float32)
    value = library.intensities[peak]
    systems = np.array([system_of(int(g)) for g in library.numbers[which]])
    real = not instrument.perfect
    cells = library.cells[which]
    metric = reciprocal_metric(_strained(cells, systems, rng) if real else cells.astype(float))
    m = metric.astype(np.float32)[row]
    h, k, l = hkl.T  # noqa: E741
    q = (
        m[:, 0] * h * h
        + m[:, 1] * k * k
        + m[:, 2] * l * l
        + m[:, 3] * k * l
        + m[:, 4] * h * l
        + m[:, 5] * h * k
    )
    sine = np.sqrt(q) * np.float32(REFERENCE / 2)
    if real:
        value = value * np.exp(-(rng.uniform(0, 2.0, n).astype(np.float32)[row]) * q / 2)
        spread = (rng.uniform(0, 0.7, n) * (rng.random(n) < 0.7)).astype(np.float32)
        value = value * np.exp(spread[row] * rng.standard_normal(len(row), dtype=np.float32))
        value = value * _texture(systems, hkl, metric, q, row, rng)
    fine = (sine > 0.04) & (sine < 0.72)
    row, sine, value = row[fine], sine[fine], value[fine]
    cosine = np.sqrt(1 - sine * sine)
    value = value * (1 + (1 - 2 * sine * sine) ** 2) / (sine * sine * cosine)
    angle = np.degrees(2 * np.arcsin(sine))
    if real:
        doublet = (rng.random(n) < 0.35)[row]
        angle = np.concatenate(
            [angle, angle[doublet] + np.degrees(2 * 2.49e-3 * sine[doublet] / cosine[doublet])]
        )
        cosine = np.concatenate([cosine, cosine[doublet]])
        value = np.concatenate([value, 0.5 * value[doublet]])
        row = np.concatenate([row, row[doublet]])
        offset = rng.normal(0, 0.03, n) * (rng.random(n) < 0.8)
        height = rng.normal(0, 0.04, n) * (rng.random(n) < 0.8)
        angle = angle + offset[row] + height[row] * cosine
    place = (angle - ANGLES[0]) / STEP
    inside = (place >= 0) & (place < POINTS - 1)
    row, place, value = row[inside], place[inside], value[inside]
    low = place.astype(np.int64)
    part = place - low
    flat = row * LENGTH + low
    lines = np.bincount(flat, value * (1 - part), minlength=n * LENGTH)
    lines += np.bincount(flat + 1, value * part, minlength=n * LENGTH)
    patterns = _broadened(lines.reshape(n, LENGTH).astype(np.float32), rng, real)
    patterns /= np.maximum(patterns.max(1, keepdims=True), 1e-30)
    return _measured(patterns, rng) if real else patterns


def _texture(
    systems: Array, hkl: Array, metric: Array, q: Array, row: Array, rng: np.random.Generator
) -> Array:
    """March-Dollase factors along an axis that no equivalent reflection disagrees about."""
    n = len(systems)
    axis = np.where(systems == 1, 1, np.where(systems == 2, rng.integers(0, 3, n), 2))
    active = (rng.random(n) < 0.4) & (systems >= 1) & (systems <= 5)
    r = np.where(active, np.exp(rng.normal(0, 0.35, n)), 1.0).astype(np.float32)[row]
    along = hkl[np.arange(len(row)), axis[row]]
    # 1/d^2 of the component along a reciprocal axis that is perpendicular to the others.
    square = along**2 * metric[np.arange(n), axis].astype(np.float32)[row] / q
    square = np.minimum(square, 1)
    return np.asarray((r * r * square + (1 - square) / r) ** -1.5)


def _broadened(lines: Array, rng: np.random.Generator, real: bool) -> Array:
    """Pseudo-Voigt peaks whose width grows with the angle: a blend of two convolutions."""
    import torch

    n = len(lines)
    f = torch.arange(LENGTH // 2 + 1, dtype=torch.float32)[None] / LENGTH
    if real:
        narrow = np.exp(rng.uniform(np.log(0.05), np.log(0.32), n))
        wide = narrow * rng.uniform(1.0, 2.3, n)
        share = rng.uniform(0, 1, n) * 0.9
    else:
        narrow = np.degrees(0.9 * REFERENCE / rng.uniform(200, 1000, n))
        wide, share = narrow * 1.41, np.zeros(n)
    spectrum = torch.fft.rfft(torch.from_numpy(lines))
    eta = torch.from_numpy(share[:, None].astype(np.float32))
    out = []
    for fwhm in (narrow, wide):
        w = torch.from_numpy((fwhm[:, None] / STEP).astype(np.float32))
        kernel = (1 - eta) * torch.exp(-3.5597 * (w * f) ** 2) + eta * torch.exp(-3.14159 * w * f)
        out.append(torch.fft.irfft(spectrum * kernel, n=LENGTH)[:, :POINTS])
    blend = torch.linspace(0, 1, POINTS)[None]
    return torch.clamp_(out[0] + (out[1] - out[0]) * blend, min=0).numpy()


def _measured(patterns: Array, rng: np.random.Generator) -> Array:
    """With impurity lines, background, counting noise and a range that ends earlier."""
    n = len(patterns)
    x = ((ANGLES - 5) / 85).astype(np.float32)[None]

    def draw(low: float, high: float) -> Array:
        return np.exp(rng.uniform(np.log(low), np.log(high), (n, 1))).astype(np.float32)

    for i in np.flatnonzero(rng.random(n) < 0.25):
        for _ in range(rng.integers(1, 6)):
            centre, width = rng.integers(200, POINTS - 60), rng.uniform(3, 9)
            reach = np.arange(-40, 41)
            near = np.clip(centre + reach, 0, POINTS - 1)
            patterns[i, near] += np.exp(rng.uniform(np.log(0.004), np.log(0.08))) * np.exp(
                -((reach / width) ** 2)
            )
    level = draw(0.003, 0.25) * (rng.random((n, 1)) < 0.85)
    shape = (
        0.4
        + 0.6 * np.exp(-x * draw(1, 12))
        + (rng.random((n, 1)) < 0.3)
        * np.exp(
            -(((x - rng.uniform(0.1, 0.4, (n, 1))) / rng.uniform(0.06, 0.2, (n, 1))) ** 2)
        ).astype(np.float32)
    )
    patterns = patterns + (level * shape).astype(np.float32)
    counts = draw(400, 200000)
    noise = rng.standard_normal(patterns.shape, dtype=np.float32)
    patterns += noise * np.sqrt((patterns + 0.002) / counts)
    np.maximum(patterns, 0, out=patterns)
    for i in np.flatnonzero(rng.random(n) < 0.15):
        if rng.random() < 0.5:
            patterns[i, rng.integers(2700, POINTS) :] = 0
        else:
            patterns[i, : rng.integers(0, 600)] = 0
    return patterns
