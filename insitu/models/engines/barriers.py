# SPDX-License-Identifier: BSD-3-Clause
"""Energy barriers of atoms with NumPy: :mod:`insitu.models.networks.barriers` without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.models.engines.angular import AngularSettings, power_spectra

Floats = NDArray[np.float64]

#: Local terms of an atom: its own, and those of which the neighbours get means.
TERMS = 5
#: Pairs whose densities are in memory at a time.
_BLOCK = 1 << 17


@dataclass(frozen=True)
class BarrierSettings:
    """Radial densities and averages of a model of energy barriers.

    Parameters
    ----------
    species
        Elements, in the order of the weights.
    cutoff, taper
        Farthest neighbour, and where weights begin to fall to 0 there [Å].
    centres, width
        Centres of the Gaussians of the radial densities and their standard deviation [Å].
    decay
        Length ξ of the averages over neighbours [Å].
    inner, outer
        The first shell's weight falls from 1 to 0 between these distances [Å].
    angular
        Power spectra, if the model has them.
    """

    species: tuple[str, ...]
    cutoff: float
    taper: float
    centres: tuple[float, ...]
    width: float
    decay: float
    inner: float
    outer: float
    angular: AngularSettings | None = None

    @property
    def features(self) -> int:
        """Number of values that describe an atom: densities, power spectra, and 1."""
        kinds = len(self.species)
        more = self.angular.count(kinds) if self.angular else 0
        return kinds * len(self.centres) + more + 1


def falling(distance: Floats, inner: float, outer: float) -> Floats:
    """Return weights that fall from 1 at `inner` to 0 at `outer`, as a cosine."""
    t = np.clip((distance - inner) / (outer - inner), 0.0, 1.0)
    weight: Floats = 0.5 * (1.0 + np.cos(np.pi * t))
    return weight


@dataclass(frozen=True)
class Pairs:
    """Neighbours within the cutoff, and the weights of the averages.

    Parameters
    ----------
    offsets, other
        Neighbours of atom *i* are ``other[offsets[i]:offsets[i + 1]]``.
    vectors, distance
        ``(e, 3)``, ``(e,)`` [Å].
    decaying, shell
        ``(e,)`` weights of the two averages.
    """

    offsets: NDArray[np.int64]
    other: NDArray[np.integer]
    vectors: Floats
    distance: Floats
    decaying: Floats
    shell: Floats

    @classmethod
    def make(
        cls, settings: BarrierSettings, offsets: NDArray[np.int64], other: NDArray[np.integer],
        vectors: Floats,
    ) -> Pairs:  # fmt: skip
        """Return the pairs ``(e,)`` of vectors ``(e, 3)`` [Å], with their weights."""
        distance: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        shell = falling(distance, settings.inner, settings.outer)
        decaying = np.exp(-distance / settings.decay)
        decaying *= falling(distance, settings.taper, settings.cutoff)
        return cls(offsets, other, vectors, distance, decaying, shell)

    def sums(self, values: Floats) -> Floats:
        """Return the sums ``(n, …)`` of values of the pairs ``(e, …)`` over each atom's neighbours."""
        n = len(self.offsets) - 1
        found = np.zeros((n, *values.shape[1:]))
        some = np.diff(self.offsets) > 0
        if some.any():
            found[some] = np.add.reduceat(values, self.offsets[:-1][some], axis=0)
        return found


class NativeBarriers:
    """The network with NumPy, step by step: between the steps ranks exchange one number an atom.

    Parameters
    ----------
    settings
        Radial densities and averages.
    weight
        ``(species, 5, features)`` of the terms.
    """

    def __init__(self, settings: BarrierSettings, weight: Floats) -> None:
        self.settings, self.weight = settings, weight
        self._centres = np.array(settings.centres)

    def densities(self, pairs: Pairs, species: NDArray[np.integer]) -> Floats:
        """Return the radial densities ``(n, species · centres)``.

        Parameters
        ----------
        pairs
            Neighbours.
        species
            ``(m,)`` of all rows that `pairs.other` counts.
        """
        n, kinds, k = len(pairs.offsets) - 1, len(self.settings.species), len(self._centres)
        found = np.zeros((n, kinds, k))
        counts = np.diff(pairs.offsets)
        begin = 0
        while begin < n:
            end = (
                int(np.searchsorted(pairs.offsets, pairs.offsets[begin] + _BLOCK, side="right")) - 1
            )
            end = max(min(end, n), begin + 1)
            those = slice(pairs.offsets[begin], pairs.offsets[end])
            r, kind = pairs.distance[those], species[pairs.other[those]]
            values = np.exp(-0.5 * ((r[:, None] - self._centres) / self.settings.width) ** 2)
            values *= falling(r, self.settings.taper, self.settings.cutoff)[:, None]
            some = np.flatnonzero(counts[begin:end]) + begin
            for s in range(kinds):
                if len(some):
                    masked = values * (kind == s)[:, None]
                    found[some, s] = np.add.reduceat(
                        masked, pairs.offsets[some] - those.start, axis=0
                    )
            begin = end
        return found.reshape(n, kinds * k)

    def described(self, pairs: Pairs, species: NDArray[np.integer]) -> Floats:
        """Return what the terms are linear in, ``(n, features)``; parameters of :meth:`densities`."""
        found = [self.densities(pairs, species)]
        if self.settings.angular:
            found.append(
                power_spectra(
                    self.settings.angular, len(self.settings.species), pairs.offsets,
                    species[pairs.other], pairs.vectors, pairs.distance,
                )
            )  # fmt: skip
        return np.concatenate([*found, np.ones((len(found[0]), 1))], axis=1)

    def terms(self, described: Floats, species: NDArray[np.integer]) -> Floats:
        """Return the local terms ``(n, 5)`` [eV] of atoms with these species ``(n,)``."""
        found = np.zeros((len(described), self.weight.shape[1]))
        for s, weight in enumerate(self.weight):
            mine = species == s
            found[mine] = described[mine] @ weight.T
        return found

    def average(self, values: Floats, own: Floats, pairs: Pairs) -> Floats:
        """Return the decaying means ``(n,)`` of values ``(m,)`` of all rows and `own` ``(n,)``."""
        total = own + pairs.sums(pairs.decaying * values[pairs.other])
        mean: Floats = total / (1.0 + pairs.sums(pairs.decaying))
        return mean

    def shells(self, given: Floats, species: NDArray[np.integer], pairs: Pairs) -> Floats:
        """Return the sum ``(n,)`` over species of the means over the first shell.

        Parameters
        ----------
        given
            ``(m,)`` what each atom gives to its neighbours.
        species
            ``(m,)``.
        pairs
            Neighbours.
        """
        found = np.zeros(len(pairs.offsets) - 1)
        kind = species[pairs.other]
        for s in range(len(self.settings.species)):
            weight = pairs.shell * (kind == s)
            found += pairs.sums(weight * given[pairs.other]) / np.maximum(pairs.sums(weight), 1e-9)
        return found

    def whole(self, pairs: Pairs, species: NDArray[np.integer]) -> Floats:
        """Return the barriers ``(n,)`` [eV] of a sample that is here as a whole."""
        e = self.terms(self.described(pairs, species), species)
        z = e[:, 3]
        for more in (0.0, 0.0, e[:, 2], e[:, 1]):
            z = self.average(z + more, z + more, pairs)
        barriers: Floats = e[:, 0] + z + self.shells(e[:, 4], species, pairs)
        return barriers
