# SPDX-License-Identifier: BSD-3-Clause
"""The fits of one rank's atoms by the kernels (kernels/core/lattice_fit.hpp)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.threads import thread_count

#: Lattices by the kernels' numbers.
LATTICES = {
    "fcc": 0, "bcc": 1, "hcp": 2, "cubic_diamond": 3, "hexagonal_diamond": 4, "sc": 5,
}  # fmt: skip
#: Chemical orders by the kernels' numbers.
ORDERS = (
    "none", "pure", "L1_0", "L1_2 majority", "L1_2 minority", "B2", "zincblende", "wurtzite", "rocksalt",
)  # fmt: skip
#: Columns that are values of the kernel, in its order.
_VALUES = (
    "residual", "qw", "qx", "qy", "qz", "distance", "exx", "eyy", "ezz", "exy", "exz", "eyz", "shear",
    "missing",
)  # fmt: skip
#: Orientations that differ by less are one, when they are averaged [rad].
_WITHIN = float(np.radians(15.0))
#: Orientations are searched for.
_NO_GUESS = np.empty((0, 4), dtype=np.float32)


@dataclass
class Fits:
    """What was found of one rank's atoms.

    Parameters
    ----------
    places, atoms
        ``(n,)`` of the analysed atoms on lattices: in the cell order, and as indices of owned atoms.
    kinds
        ``(n_local,)`` lattice of each owned atom, one of :data:`LATTICES`; −1: none; −2: not analysed.
    values
        ``(n_local, 16)`` residual, quaternion, distance, strain, shear, all NaN where too few sites have a
        neighbour; empty sites, length of their sum, and those of the first shell.
    neighbors
        ``(n_local, 16)`` index of the neighbour on each site, −1: none.
    order
        ``(n_local,)`` chemical order.
    counts
        ``(n_local, 3)`` neighbours on sites that were analysed; that have the atom's label; and its
        orientation.
    cutoff
        Radius of the search [Å].
    unstrained
        Nearest distance of the unstrained lattice [Å], 0: not known.
    """

    places: NDArray[np.int32]
    atoms: NDArray[np.int32]
    kinds: NDArray[np.int32]
    values: NDArray[np.float32]
    neighbors: NDArray[np.int32]
    order: NDArray[np.int32]
    counts: NDArray[np.int32]
    cutoff: float
    unstrained: float

    @property
    def residual(self) -> NDArray[np.float32]:
        """``(n_local,)`` root mean squared distance from the sites."""
        return self.values[:, 0]

    @property
    def quaternions(self) -> NDArray[np.float32]:
        """``(n_local, 4)`` orientation, w first."""
        return self.values[:, 1:5]

    @property
    def distance(self) -> NDArray[np.float32]:
        """``(n_local,)`` nearest distance of the lattice [Å]."""
        return self.values[:, 5]

    @property
    def missing(self) -> NDArray[np.float32]:
        """``(n_local,)`` sites without a neighbour."""
        return self.values[:, 13]

    @property
    def lacking(self) -> NDArray[np.float32]:
        """``(n_local,)`` length of the sum of these sites."""
        return self.values[:, 14]

    @property
    def empty(self) -> NDArray[np.float32]:
        """``(n_local,)`` sites of the first shell without a neighbour."""
        return self.values[:, 15]

    def shared(self) -> NDArray[np.float32]:
        """Return lattice and quaternion ``(n_local, 5)`` of the owned atoms, for their ghosts."""
        own = np.empty((len(self.kinds), 5), dtype=np.float32)
        own[:, 0], own[:, 1:] = self.kinds, self.quaternions
        return own

    def columns(self, place: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return the columns of the analysis by name, ``(n_local,)``; NaN without a lattice."""
        v = self.values
        found: dict[str, NDArray[np.float64]] = {
            name: v[:, k].astype(np.float64) for k, name in enumerate(_VALUES)
        }
        whole: dict[str, NDArray[Any]] = {
            "like": self.counts[:, 1], "place": place, "order": self.order,
        }  # fmt: skip
        for name, values in whole.items():
            found[name] = values.astype(np.float64)
            found[name][self.kinds < 0] = np.nan
        return found


def fit(
    frame: Frame,
    neighbors: Neighbors,
    kinds: NDArray[np.int32],
    species: NDArray[np.int32],
    cutoff: float,
    distance: float | None,
) -> Fits:
    """Return the fits of the analysed atoms that have a lattice.

    Parameters
    ----------
    frame, neighbors
        The frame, and the search over it.
    kinds
        ``(n_local,)`` lattice of each owned atom, −1: none.
    species
        ``(types + 1,)`` species of each type.
    cutoff
        Radius within which neighbours are searched for [Å].
    distance
        Nearest distance of the unstrained lattice [Å], or None.
    """
    if frame.selected is not None:
        kinds = np.where(frame.selected, kinds, np.int32(-2))
    there = kinds[neighbors.atoms] >= 0
    places, atoms = neighbors.places[there], neighbors.atoms[there]
    n = frame.n_local
    found = Fits(
        places, atoms, kinds, np.full((n, compiled().LATTICE_VALUES), np.nan, dtype=np.float32),
        np.empty((n, 16), dtype=np.int32), np.zeros(n, dtype=np.int32),
        np.zeros((n, 3), dtype=np.int32), cutoff, distance or 0.0,
    )  # fmt: skip
    _run(found, slice(None), neighbors, species)
    return found


def _run(
    found: Fits,
    which: Any,
    neighbors: Neighbors,
    species: NDArray[np.int32],
    guess: NDArray[np.float32] = _NO_GUESS,
) -> None:
    """Fit some of the atoms, those of an index into `atoms`."""
    if len(species) == 2:
        types = np.zeros(len(neighbors.frame.positions), dtype=np.int32)
    else:
        types = species[neighbors.frame.types[neighbors.index]]
    compiled().fit_lattices(
        neighbors.cells, found.places[which], found.kinds[found.atoms[which]], types, found.values,
        found.neighbors, found.order, guess, found.unstrained, found.cutoff,
        threads=thread_count(None),
    )  # fmt: skip


def orient(
    found: Fits,
    everywhere: NDArray[np.float32],
    neighbors: Neighbors,
    species: NDArray[np.int32],
    averaged: bool,
) -> None:
    """Compare orientations with those of like neighbours, and fit anew what most of them contradict.

    Parameters
    ----------
    found
        What was fitted; `counts` are set.
    everywhere
        ``(n_local + n_ghost, 5)`` of :meth:`Fits.shared`, ghosts' from their owners.
    neighbors, species
        As of :func:`fit`.
    averaged
        Replace the orientations by means over the atom and those neighbours that have its own.
    """
    atoms = found.atoms
    mean = np.empty((len(found.kinds), 5), dtype=np.float32)
    compiled().average_orientations(everywhere, atoms, found.neighbors, _WITHIN, mean, found.counts)
    like, agreeing = found.counts[atoms, 1], found.counts[atoms, 2]
    # In a hot crystal a few atoms fit another orientation, of a twin, about as well.
    contradicted = ~(mean[atoms, 4] >= np.cos(0.5 * _WITHIN))
    (odd,) = np.nonzero(contradicted & (agreeing >= 3) & (2 * agreeing >= like))
    if len(odd):
        _run(found, odd, neighbors, species, mean[atoms[odd], :4])
    if averaged:
        known = atoms[np.isfinite(mean[atoms, 0]) & np.isfinite(found.residual[atoms])]
        found.values[known, 1:5] = mean[known, :4]
