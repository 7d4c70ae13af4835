# SPDX-License-Identifier: BSD-3-Clause
"""What a sample scatters into each angle: by the nodes of its box, or by its pairs of atoms.

Both give I(Q)/N, the scattered intensity per atom in units of that of one electron (X-rays), fm²
(neutrons) or Å² (electrons), averaged over all directions: for atoms that do not know of each other it is
the mean of f². On the mesh a node within dQ stands for ``V Q² dQ / 2π²`` of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from insitu.diffraction.scattering.form_factors import scattering_factors
from insitu.diffraction.scattering.instrument import Instrument
from insitu.diffraction.scattering.mesh import Slab, amplitudes

#: Windows of the pair histogram.
WINDOWS = ("lorch", "none")


def rings(
    fractional: NDArray[np.float64], kinds: NDArray[np.int64], elements: Sequence[str],
    cell: NDArray[np.float64], slabs: Sequence[Slab], instrument: Instrument, threads: int = 1,
) -> NDArray[np.float64]:  # fmt: skip
    """Return Σ |Σ f exp(iQ·r)|² of the nodes of some slabs, and of those at -Q, by their angle.

    Parameters
    ----------
    fractional
        ``(n, 3)`` fractional coordinates of all atoms.
    kinds
        ``(n,)`` index into `elements`.
    elements
        Symbols.
    cell
        ``(3, 3)`` vectors of the periodic box as rows [Å].
    slabs
        Of h ≥ 0.
    instrument
        Radiation and angles.
    threads
        OpenMP threads of the transform.

    Returns
    -------
    rings
        ``(m,)`` on the inner grid, each node shared between the two angles beside its own.
    """
    fine, step = instrument.fine, instrument.fine_spacing
    factors = scattering_factors(elements, instrument.q(fine), instrument.radiation)
    parts = [fractional[kinds == k] for k in range(len(elements))]
    found = np.zeros(len(fine) + 1)
    sines = np.sin(np.radians(fine[[0, -1]]) / 2) * 2.0 / instrument.wavelength
    low, high = sines**2
    for slab in slabs:
        f_of = [amplitudes(part, slab, threads) for part in parts]
        for row, (h, square) in enumerate(slab.squares(cell)):
            those = np.flatnonzero((square >= low) & (square < high))
            sine = 0.5 * instrument.wavelength * np.sqrt(square.ravel()[those])
            at = (2.0 * np.degrees(np.arcsin(sine)) - fine[0]) / step
            left = np.clip(at.astype(np.int64), 0, len(fine) - 2)
            share = at - left
            total = np.zeros(len(those), dtype=np.complex128)
            for f, amplitude in zip(factors, f_of, strict=True):
                total += (f[left] * (1 - share) + f[left + 1] * share) * amplitude[row].ravel()[
                    those
                ]
            weight = (total.real**2 + total.imag**2) * (2.0 if h else 1.0)
            found += np.bincount(left, weight * (1 - share), minlength=len(found))
            found += np.bincount(left + 1, weight * share, minlength=len(found))
        del f_of
    return found[:-1]


def from_rings(
    summed: NDArray[np.float64], atoms: float, volume: float, instrument: Instrument
) -> NDArray[np.float64]:
    """Return I(Q)/N ``(m,)`` on the inner grid from the sums of all slabs.

    Parameters
    ----------
    summed
        ``(m,)``, :func:`rings` of all slabs.
    atoms
        Number of atoms.
    volume
        Of the periodic box [Å³].
    instrument
        Radiation and angles.
    """
    nodes = _nodes(instrument.fine, volume, instrument.wavelength)
    found: NDArray[np.float64] = summed / (
        max(atoms, 1.0) * nodes * np.radians(instrument.fine_spacing)
    )
    return found


def _nodes(two_theta: NDArray[np.float64], volume: float, wavelength: float) -> NDArray[np.float64]:
    """Return how many nodes of a box there are at each angle 2θ, per radian."""
    theta = np.radians(two_theta) / 2
    found: NDArray[np.float64] = (
        16.0 * np.pi * volume * np.sin(theta) ** 2 * np.cos(theta) / wavelength**3
    )
    return found


def speckle(
    volume: float, instrument: Instrument, widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the relative scatter ``(n,)`` of diffuse intensity: few nodes are in a ring.

    |F|² of a disordered sample has the exponential distribution at each node, and Q and -Q agree.

    Parameters
    ----------
    volume
        Of the periodic box [Å³].
    instrument
        Angles.
    widths
        ``(n,)`` FWHM over which a Gaussian averages [degrees].
    """
    nodes = _nodes(instrument.angles, volume, instrument.wavelength)
    nodes *= 1.505 * np.radians(widths)  # 2√π standard deviations
    found: NDArray[np.float64] = np.sqrt(2.0 / np.maximum(nodes, 2.0))
    return found


def from_pairs(
    count: NDArray[np.float64], row: NDArray[np.int64], centres: NDArray[np.float64],
    atoms: NDArray[np.float64], volume: float, cutoff: float, elements: Sequence[str],
    instrument: Instrument, window: str = "lorch",
) -> NDArray[np.float64]:  # fmt: skip
    """Return I(Q)/N ``(n,)`` at the angles of the pattern from pairs counted by their distance.

    Parameters
    ----------
    count, row, cutoff
        :func:`insitu.frame.neighbors.pairs.count_pairs`, its rows and its cutoff [Å].
    centres, atoms
        ``(elements,)`` number of first atoms and of all atoms.
    volume
        Of the box [Å³].
    elements
        Symbols.
    instrument
        Radiation and angles.
    window
        ``"lorch"``: sin(πr/r_c)/(πr/r_c), which damps the ripples of the cutoff and widens peaks from
        3.8/r_c to 5.4/r_c; ``"none"``.

    References
    ----------
    E. Lorch, J. Phys. C 2, 229 (1969), doi:10.1088/0022-3719/2/2/305.
    """
    bins = count.shape[1]
    edges = np.linspace(0.0, cutoff, bins + 1)
    r = 0.5 * (edges[1:] + edges[:-1])
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    damping = np.sinc(r / cutoff) if window == "lorch" else np.ones(bins)
    q = instrument.q(instrument.angles)
    f = scattering_factors(elements, q, instrument.radiation)
    number = max(float(centres.sum()), 1.0)
    excess = np.array(count, dtype=np.float64)
    for a in range(len(elements)):
        for b in range(len(elements)):
            excess[row[a, b]] -= centres[a] * atoms[b] / volume * shells
    found: NDArray[np.float64] = (centres @ f**2) / number
    transformed = np.empty((len(excess), len(q)))
    for at in range(0, len(q), 1024):
        part = slice(at, at + 1024)
        transformed[:, part] = (excess * damping) @ np.sinc(np.multiply.outer(r, q[part]) / np.pi)
    for a in range(len(elements)):
        for b in range(a, len(elements)):
            found = found + transformed[row[a, b]] * f[a] * f[b] / number
    return found


def structure_factor(
    scattered: NDArray[np.float64], counts: NDArray[np.float64], elements: Sequence[str],
    instrument: Instrument,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the total structure factor S(Q) ``(n,)`` of Faber and Ziman at the angles of the pattern.

    ``S = (I/N - <f²> + <f>²) / <f>²``; NaN where the mean scattering length is none.

    Parameters
    ----------
    scattered
        ``(n,)`` I(Q)/N at the angles of the pattern.
    counts
        ``(elements,)`` atoms of each element.
    elements
        Symbols.
    instrument
        Radiation and angles.

    References
    ----------
    T. E. Faber, J. M. Ziman, Philos. Mag. 11, 153 (1965), doi:10.1080/14786436508211931.
    """
    f = scattering_factors(elements, instrument.q(instrument.angles), instrument.radiation)
    share = counts / max(float(counts.sum()), 1.0)
    mean, square = share @ f, share @ f**2
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (scattered - square + mean**2) / mean**2
    return np.where(mean**2 > 1e-12 * square, found, np.nan)
