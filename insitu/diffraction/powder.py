# SPDX-License-Identifier: BSD-3-Clause
"""Powder patterns of atoms in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.form_factors import elements_of
from insitu.diffraction.scattering.instrument import Instrument
from insitu.diffraction.scattering.intensities import (
    WINDOWS,
    from_pairs,
    from_rings,
    rings,
    speckle,
    structure_factor,
)
from insitu.diffraction.scattering.peaks import Peak, find_peaks
from insitu.errors import InsituError, SettingError, one_of
from insitu.frame.cell import heights
from insitu.frame.frame import Frame
from insitu.frame.neighbors.pairs import count_pairs, rows_of_pairs
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.threads import thread_count

METHODS = ("mesh", "histogram")
#: Width of the bins of the pair histogram [Å].
_BIN = 0.02
#: FWHM of a peak in Q times the cutoff of the pairs, for each window.
RESOLUTION = {"lorch": 5.4, "none": 3.8}
#: Ripples of a cutoff reach so far, in units of the highest peak: lower maxima are no peaks there.
_RIPPLES = 0.15


@dataclass(frozen=True)
class Pattern:
    """A powder pattern.

    Parameters
    ----------
    two_theta
        ``(n,)`` [degrees].
    intensity
        ``(n,)`` per atom: electrons² (X-rays), fm² (neutrons), Å² (electrons).
    structure_factor
        ``(n,)`` total structure factor S(Q) of Faber and Ziman.
    wavelength
        [Å].
    widths
        ``(n,)`` FWHM of a peak of a perfect crystal [degrees].
    scatter
        ``(n,)`` relative standard deviation of diffuse intensity: a box has few nodes in a ring.
    least
        Height of the lowest peak in units of the highest.
    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    structure_factor: NDArray[np.float64]
    wavelength: float
    widths: NDArray[np.float64]
    scatter: NDArray[np.float64]
    least: float = 0.01

    @property
    def q(self) -> NDArray[np.float64]:
        """``(n,)`` Q = 4π sin θ / λ [1/Å]."""
        found: NDArray[np.float64] = (
            4.0 * np.pi / self.wavelength * np.sin(np.radians(self.two_theta) / 2)
        )
        return found

    @cached_property
    def peaks(self) -> list[Peak]:
        """Bragg peaks by their angle (:func:`insitu.diffraction.scattering.peaks.find_peaks`)."""
        return find_peaks(
            self.two_theta, self.intensity, self.widths, scatter=self.scatter, least=self.least
        )


def period(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the box ``(3, 3)`` whose reciprocal lattice is taken: twice as long where it has no period.

    There no two atoms meet an image of each other, so that the sum over the nodes is that of Debye.
    """
    return np.where(pbc, 1.0, 2.0)[:, None] * cell


def powder_pattern(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | str,
    *,
    wavelength: float = 1.5406,
    radiation: str = "xray",
    two_theta: tuple[float, float] = (5.0, 90.0),
    spacing: float = 0.02,
    size: float | None = None,
    caglioti: tuple[float, ...] = (),
    lorentz_polarization: bool = True,
    method: str = "mesh",
    cutoff: float | None = None,
    window: str = "lorch",
    memory: float = 2000.0,
    threads: int | None = None,
) -> Pattern:
    """Return the powder pattern of a sample, as a diffractometer would count it.

    The sum over the reciprocal lattice of the box stands for the mean over all directions. It has no
    end in real space, so its peaks are as sharp as the box is large; they are broadened by that at least.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    cell
        ``(3, 3)`` cell vectors as rows, or ``(3,)`` lengths [Å]; None if nothing is periodic.
    pbc
        One flag or three.
    species
        ``(n,)`` atomic numbers or symbols, or one for all.
    wavelength
        [Å]; 1.5406 is that of copper's Kα1.
    radiation
        ``"xray"``, ``"neutron"`` or ``"electron"``.
    two_theta
        First and last angle [degrees].
    spacing
        Step of the angles [degrees].
    size
        Size of crystallites for Scherrer's formula [Å]; None: the smallest height of the box.
    caglioti
        U, V, W of the instrument [degrees²].
    lorentz_polarization
        Whether intensities have the Lorentz factor and, of X-rays, that of polarisation.
    method
        ``"mesh"``: the reciprocal lattice, by a non-uniform FFT; ``"histogram"``: pairs within `cutoff`,
        for samples too large for it.
    cutoff
        Largest distance of pairs [Å]; None: half of the smallest height of the box.
    window
        Of the pairs: ``"lorch"`` or ``"none"``. The FWHM of a peak in Q is 5.4 or 3.8 over the cutoff.
    memory
        Largest that the mesh may take [MB]; it is cut into slabs.
    threads
        OpenMP threads; None: OMP_NUM_THREADS, else all cores that this process may use.

    Returns
    -------
    Pattern
        ``two_theta``, ``intensity``, ``structure_factor``, ``q``, ``peaks``.

    Raises
    ------
    SettingError
        A setting or shape is not usable.
    InsituError
        finufft or gemmi is not installed, or `memory` does not suffice.

    Examples
    --------
    >>> from insitu.diffraction import powder_pattern
    >>> from insitu.testing import lattice
    >>> positions, cell = lattice("fcc", 3.615, (6, 6, 6))
    >>> pattern = powder_pattern(positions, cell, True, "Cu", two_theta=(35, 80), threads=1)
    >>> [round(p.position, 1) for p in pattern.peaks]
    [43.3, 50.4, 74.1]
    """
    one_of("method", method, METHODS)
    one_of("window", window, WINDOWS)
    instrument = Instrument(
        wavelength,
        _tuple("two_theta", two_theta),
        spacing,
        radiation,
        size,
        _tuple("caglioti", caglioti),
        lorentz_polarization,
    )
    bare = Frame.from_arrays(positions, cell, pbc, reach=0.0)
    elements, kinds = elements_of(species, bare.n_local)
    counts = np.bincount(kinds, minlength=len(elements)).astype(np.float64)
    if method == "histogram":
        return _of_pairs(bare, elements, kinds, instrument, cutoff, window)
    threads = thread_count(threads, len(os.sched_getaffinity(0)))
    box = period(bare.cell, bare.pbc)
    volume = abs(float(np.linalg.det(box)))
    those = mesh.slabs(box, instrument.q_max, room(bare.n_local, memory), len(elements))
    fractional = (bare.positions - bare.origin) @ np.linalg.inv(box)
    summed = rings(fractional, kinds, elements, box, those, instrument, threads)
    scattered = from_rings(summed, bare.n_local, volume, instrument)
    size = float(heights(bare.cell).min())
    return pattern_of(scattered, counts, elements, instrument, size=size, volume=volume)


def _of_pairs(
    bare: Frame, elements: tuple[str, ...], kinds: NDArray[np.int64], instrument: Instrument,
    cutoff: float | None, window: str,
) -> Pattern:  # fmt: skip
    radius = cutoff or 0.5 * float(heights(bare.cell).min())
    frame = replace(bare, types=kinds + 1).with_images(radius * 1.0001)
    counts = np.bincount(kinds, minlength=len(elements)).astype(np.float64)
    _, row = rows_of_pairs(len(elements))
    found = count_pairs(frame, Neighbors(frame, radius), row, radius, bins_of(radius))
    volume = abs(float(np.linalg.det(bare.cell)))
    scattered = from_pairs(found, row, counts, counts, volume, radius, elements, instrument, window)
    return pattern_of(scattered, counts, elements, instrument, blur=RESOLUTION[window] / radius)


def _tuple(name: str, value: Any) -> tuple[float, ...]:
    """Return numbers that were given as a sequence."""
    try:
        return tuple(float(v) for v in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError):
        raise SettingError(
            f"{name}={value!r} is not understood; give numbers, for example {name}=(10, 90)"
            if name == "two_theta"
            else f"{name}={value!r} is not understood; give U, V, W, for example (0.05, -0.06, 0.07)"
        ) from None


def bins_of(cutoff: float) -> int:
    """Return the number of bins of the pair histogram up to a distance [Å]."""
    return max(int(np.ceil(cutoff / _BIN)), 1)


def room(atoms: int, memory: float) -> float:
    """Return what a transform may take beside the atoms [bytes].

    Parameters
    ----------
    atoms
        Of the whole sample: each rank that transforms has all of them.
    memory
        The setting [MB].

    Raises
    ------
    InsituError
        The atoms alone take more.
    """
    taken = mesh.BYTES_OF_ATOM * atoms
    if taken >= memory * 1e6:
        raise InsituError(
            f"diffraction: {atoms} atoms take {taken / 1e6:.0f} MB on each rank that transforms them, and "
            f"memory={memory:g} MB; raise memory, or take method histogram, which gathers none"
        )
    return memory * 1e6 - taken


def pattern_of(
    scattered: NDArray[np.float64], counts: NDArray[np.float64], elements: tuple[str, ...],
    instrument: Instrument, *, size: float = 0.0, volume: float = 0.0, blur: float = 0.0,
    least: float = 0.01,
) -> Pattern:  # fmt: skip
    """Return the pattern of what a sample scatters.

    Parameters
    ----------
    scattered
        I(Q)/N, of the mesh ``(m,)`` on the inner grid of the instrument, of pairs ``(n,)`` at the angles.
    counts, elements
        ``(elements,)`` atoms of each element, and their symbols.
    instrument
        The diffractometer.
    size
        Of crystallites, where the instrument does not say it: the box [Å]. For the mesh.
    volume
        Of the box whose nodes were summed [Å³]. For the mesh.
    blur
        FWHM in Q that the peaks have by a cutoff of pairs [1/Å]; 0 for the mesh.
    least
        Height of the lowest peak in units of the highest.
    """
    angles = instrument.angles
    if not blur:
        seen, widths = instrument.broadened(scattered, size), instrument.widths(size)
        counted = instrument.broadened(scattered * instrument.factor(instrument.fine), size)
        scatter = speckle(volume, instrument, widths)
    else:
        seen, scatter = scattered, np.zeros(len(angles))
        widths = np.degrees(
            blur / (2 * np.pi) * instrument.wavelength / np.cos(np.radians(angles / 2))
        )
        if instrument.size or instrument.caglioti:
            seen = instrument.broadened(np.interp(instrument.fine, angles, seen), 0.0)
            widths = np.hypot(widths, instrument.widths(0.0))
        counted = seen * instrument.factor(angles)
        least = max(least, _RIPPLES)
    return Pattern(
        angles, counted, structure_factor(seen, counts, elements, instrument), instrument.wavelength,
        widths, scatter, least,
    )  # fmt: skip
