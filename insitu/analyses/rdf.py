# SPDX-License-Identifier: BSD-3-Clause
"""Radial distribution function of a sample, in all and of each pair of atom types."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.frame.frame import Frame
from insitu.frame.neighbors import Neighbors, compiled

#: Atoms whose pairs are in memory at a time: a few MB in liquids with a radius of 10 Å.
_BLOCK = 1024


class Rdf:
    r"""Count pairs by their distance, :math:`g_{ab}(r) = n_{ab}(r)\,V / (N_{ab}\,4πr^2\,dr)`.

    :math:`n_{ab}` are the ordered pairs of a bin, :math:`N_{ab}` all such pairs of the sample:
    :math:`N_a (N_a - 1)` of one type, :math:`2 N_a N_b` of two. First atoms are those analysed (a
    group), second atoms are all. The shell's volume is exact, and V is the volume of the box: where
    it holds vacuum, g does not go to 1.

    Parameters
    ----------
    radius
        Largest distance [Å].
    bins
        Bins up to there.
    n_types
        Atom types 1 … `n_types`.
    unit
        Of lengths, for the file.
    """

    name = "rdf"

    def __init__(self, radius: float, bins: int, n_types: int = 1, unit: str = "Angstrom") -> None:
        self.cutoff = radius
        self.n_types, self.bins = n_types, bins
        edges = np.linspace(0.0, radius, bins + 1)
        self._shells: NDArray[np.float64] = 4.0 / 3.0 * np.pi * np.diff(edges**3)
        #: ``(bins,)`` middle of each bin [Å].
        self.radii: NDArray[np.float64] = 0.5 * (edges[1:] + edges[:-1])
        kinds = range(1, n_types + 1)
        self._pairs = list(itertools.combinations_with_replacement(kinds, 2))
        #: What each row of g is: all atoms, then pairs of types where there is more than one.
        self.pairs = ("all", *(f"{a}-{b}" for a, b in self._pairs if n_types > 1))
        # Ordered pair of types (from 0) → row of the counts.
        self._row = np.zeros((n_types, n_types), dtype=np.int64)
        for row, (a, b) in enumerate(self._pairs):
            self._row[a - 1, b - 1] = self._row[b - 1, a - 1] = row
        self.sums: Mapping[str, tuple[int, ...]] = {
            "pairs": (len(self._pairs), bins), "centres": (n_types,), "atoms": (n_types,),
            "volume": (), "ranks": (),
        }  # fmt: skip
        self.observables = (
            Observable(
                "rdf", (len(self.pairs), bins), "f4", "", "radial distribution function g(r)",
                axes=(("pair", self.pairs, ""), ("radius", tuple(self.radii.tolist()), unit)),
            ),
        )  # fmt: skip
        self.timing: dict[str, float] = {}

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's pairs ``(pairs, bins)``, its first atoms and its atoms by type."""
        started = time.perf_counter()
        kinds = np.asarray(frame.types, dtype=np.int64) - 1
        rows, size = len(self._pairs), len(self._pairs) * self.bins
        count = np.zeros(size)
        for at in range(0, len(neighbors.atoms), _BLOCK):
            atoms = neighbors.atoms[at : at + _BLOCK]
            offsets, others = compiled().neighbor_lists(
                neighbors.cells, neighbors.places[at : at + _BLOCK], self.cutoff
            )
            centres = np.repeat(atoms, np.diff(offsets))
            d = frame.positions[others] - frame.positions[centres]
            r = np.sqrt(np.einsum("ij,ij->i", d, d))
            bins = np.minimum((r * (self.bins / self.cutoff)).astype(np.int64), self.bins - 1)
            row = self._row[kinds[centres], kinds[others]]
            count += np.bincount(row * self.bins + bins, minlength=size)
        mine = kinds[: frame.n_local]
        sums = {
            "pairs": count.reshape(rows, self.bins),
            "centres": np.bincount(kinds[neighbors.atoms], minlength=self.n_types),
            "atoms": np.bincount(mine, minlength=self.n_types),
            "volume": abs(float(np.linalg.det(frame.cell))),
            "ranks": 1.0,
        }
        self.timing = {"rdf": time.perf_counter() - started}
        return sums

    def finish(self, sums: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Return g(r) ``(pairs, bins)``: NaN for pairs that the sample does not have."""
        centres, atoms = np.rint(sums["centres"]), np.rint(sums["atoms"])
        volume = float(sums["volume"]) / float(sums["ranks"])
        possible = np.zeros(len(self._pairs))
        for a, b in itertools.product(range(self.n_types), repeat=2):
            possible[self._row[a, b]] += centres[a] * (atoms[b] - (a == b))
        count = sums["pairs"]
        if self.n_types > 1:
            count = np.concatenate([count.sum(axis=0, keepdims=True), count])
            possible = np.concatenate([[possible.sum()], possible])
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"rdf": count * volume / (possible[:, None] * self._shells)}
