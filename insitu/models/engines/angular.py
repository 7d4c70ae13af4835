# SPDX-License-Identifier: BSD-3-Clause
"""Power spectra of atoms' surroundings with NumPy: the angles of neighbours, in any orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.harmonics import harmonics

Floats = NDArray[np.float64]

#: Atoms whose neighbours' harmonics are in memory at a time.
_BLOCK = 256


@dataclass(frozen=True)
class AngularSettings:
    """Power spectra of a model of energy barriers.

    Parameters
    ----------
    degree
        The highest degree of the Legendre polynomials.
    centres, width
        Centres of the Gaussians in the distance and their standard deviation [Å].
    cutoff, taper
        Farthest neighbour, and where weights begin to fall to 0 there [Å].
    """

    degree: int
    centres: tuple[float, ...]
    width: float
    cutoff: float
    taper: float

    def count(self, kinds: int) -> int:
        """Return the number of values of an atom, with that many species."""
        functions = kinds * len(self.centres)
        return (self.degree + 1) * functions * (functions + 1) // 2


def power_spectra(
    settings: AngularSettings, kinds: int, offsets: NDArray[np.int64], kind: NDArray[np.integer],
    vectors: Floats, distance: Floats,
) -> Floats:  # fmt: skip
    r"""Return the power spectra ``(n, count)`` of atoms.

    :math:`p_{l,ab} = \sum_{jk} R_a(r_j) R_b(r_k) P_l(\cos θ_{jk})` over an atom's neighbours, with *a* and
    *b* the species of the neighbour and then the centre of the Gaussian; the values go by l, then by the
    pairs a ≤ b.

    Parameters
    ----------
    settings
        Of the spectra.
    kinds
        Number of species.
    offsets
        ``(n + 1,)``: the pairs ``offsets[i]:offsets[i + 1]`` are those of atom i.
    kind
        ``(e,)`` species of the neighbour.
    vectors, distance
        ``(e, 3)``, ``(e,)`` [Å].

    References
    ----------
    Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115 (2013), section IV.
    """
    n, k, most = len(offsets) - 1, len(settings.centres), kinds * len(settings.centres)
    centres, l_max = np.array(settings.centres), settings.degree
    first, second = np.triu_indices(most)
    found = np.zeros((n, l_max + 1, len(first)))
    near = np.flatnonzero(distance < settings.cutoff)
    begins = np.searchsorted(near, offsets)
    for begin in range(0, n, _BLOCK):
        end = min(begin + _BLOCK, n)
        those = near[begins[begin] : begins[end]]
        if not len(those):
            continue
        counts = np.diff(begins[begin : end + 1])
        row = np.repeat(np.arange(end - begin), counts)
        place = np.arange(len(those)) - np.repeat(begins[begin:end] - begins[begin], counts)
        r = distance[those]
        t = np.clip((r - settings.taper) / (settings.cutoff - settings.taper), 0.0, 1.0)
        radial = np.exp(-0.5 * ((r[:, None] - centres) / settings.width) ** 2)
        radial *= 0.5 * (1.0 + np.cos(np.pi * t))[:, None]
        # The neighbours of an atom are rows of two small matrices, whose product is its expansion.
        left = np.zeros((end - begin, int(counts.max()), kinds, k))
        left[row, place, kind[those]] = radial
        right = np.zeros((end - begin, int(counts.max()), (l_max + 1) ** 2))
        own = harmonics(vectors[those] / r[:, None], range(l_max + 1))
        right[row, place] = np.concatenate(own, axis=1)
        c = left.reshape(*left.shape[:2], most).transpose(0, 2, 1) @ right
        for degree in range(l_max + 1):
            part = c[:, :, degree**2 : (degree + 1) ** 2]
            found[begin:end, degree] = (part @ part.transpose(0, 2, 1))[:, first, second]
    return found.reshape(n, settings.count(kinds))
