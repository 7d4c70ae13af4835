# SPDX-License-Identifier: BSD-3-Clause
"""The fits of one rank's atoms by the kernels (kernels/core/lattice_fit.hpp)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame
from insitu.frame.neighbors import Neighbors, compiled
from insitu.frame.threads import thread_count

#: Lattices by the kernels' numbers, and how many sites each has.
LATTICES = {
    "fcc": 0, "bcc": 1, "hcp": 2, "cubic_diamond": 3, "hexagonal_diamond": 4, "sc": 5,
}  # fmt: skip
SITES = np.array([12, 14, 12, 16, 16, 6])
#: Chemical orders by the kernels' numbers.
ORDERS = (
    "none", "pure", "L1_0", "L1_2 majority", "L1_2 minority", "B2", "zincblende", "wurtzite", "rocksalt",
)  # fmt: skip
_STRAINS = ("exx", "eyy", "ezz", "exy", "exz", "eyz")
#: Orientations that differ by less are one, when they are averaged [rad].
_WITHIN = float(np.radians(15.0))
#: Orientations are searched for.
_NO_GUESS = np.empty((0, 4), dtype=np.float32)


@dataclass
class Fits:
    """What was found of the atoms on lattices, n of them.

    Parameters
    ----------
    places, atoms
        ``(n,)`` in the cell order, and as indices into the frame's owned atoms.
    kinds
        ``(n,)`` lattice, one of :data:`LATTICES`.
    values
        ``(n, 15)`` residual, quaternion, distance, strain, shear, empty sites, length of their sum; NaN
        where too few sites have a neighbour.
    neighbors
        ``(n, 16)`` index of the neighbour on each site, −1: none.
    order
        ``(n,)`` chemical order.
    counts
        ``(n, 3)`` neighbours on sites that were analysed; that have the atom's label; and its orientation.
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
        """``(n,)`` root mean squared distance from the sites."""
        return self.values[:, 0]

    @property
    def quaternions(self) -> NDArray[np.float32]:
        """``(n, 4)`` orientation, w first."""
        return self.values[:, 1:5]

    @property
    def distance(self) -> NDArray[np.float32]:
        """``(n,)`` nearest distance of the lattice [Å]."""
        return self.values[:, 5]

    @property
    def missing(self) -> NDArray[np.float32]:
        """``(n,)`` sites without a neighbour."""
        return self.values[:, 13]

    @property
    def lacking(self) -> NDArray[np.float32]:
        """``(n,)`` length of the sum of these sites."""
        return self.values[:, 14]

    def shared(self, frame: Frame) -> NDArray[np.float32]:
        """Return lattice and quaternion ``(n_local, 5)`` of the owned atoms.

        The lattice is −1 where there is none, −2 where the atom was not analysed; the others are NaN there.
        """
        own = np.full((frame.n_local, 5), np.nan, dtype=np.float32)
        own[:, 0] = -1.0 if frame.selected is None else np.where(frame.selected, -1.0, -2.0)
        own[self.atoms, 0] = self.kinds
        own[self.atoms, 1:] = self.quaternions
        return own

    def columns(self, place: NDArray[np.int64]) -> dict[str, NDArray[np.floating]]:
        """Return the columns of the analysis by name, ``(n,)``."""
        v = self.values
        return {
            "residual": self.residual,
            **{f"q{c}": v[:, 1 + k] for k, c in enumerate("wxyz")},
            "distance": self.distance,
            **{c: v[:, 6 + k] for k, c in enumerate(_STRAINS)},
            "shear": v[:, 12],
            "missing": self.missing,
            "like": self.counts[:, 1],
            "place": place,
            "order": self.order,
        }


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
    there = kinds[neighbors.atoms] >= 0
    places, atoms = neighbors.places[there], neighbors.atoms[there]
    n = len(places)
    found = Fits(
        places, atoms, kinds[atoms], np.empty((n, compiled().LATTICE_VALUES), dtype=np.float32),
        np.empty((n, 16), dtype=np.int32), np.empty(n, dtype=np.int32),
        np.zeros((n, 3), dtype=np.int32), cutoff, distance or 0.0,
    )  # fmt: skip
    _run(found, neighbors, species)
    return found


def _run(
    found: Fits,
    neighbors: Neighbors,
    species: NDArray[np.int32],
    guess: NDArray[np.float32] = _NO_GUESS,
) -> None:
    types = species[neighbors.frame.types[neighbors.index]]
    compiled().fit_lattices(
        neighbors.cells, found.places, found.kinds, types, found.values, found.neighbors, found.order,
        guess, found.unstrained, found.cutoff,
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
    mean = np.empty((len(found.atoms), 5), dtype=np.float32)
    compiled().average_orientations(
        everywhere, found.atoms, found.neighbors, _WITHIN, mean, found.counts
    )
    _, like, agreeing = found.counts.T
    # In a hot crystal a few atoms fit another orientation, of a twin, about as well.
    odd = ~(mean[:, 4] >= np.cos(0.5 * _WITHIN)) & (agreeing >= 3) & (2 * agreeing >= like)
    if odd.any():
        again = Fits(
            found.places[odd], found.atoms[odd], found.kinds[odd], found.values[odd],
            found.neighbors[odd], found.order[odd], found.counts[odd], found.cutoff, found.unstrained,
        )  # fmt: skip
        _run(again, neighbors, species, mean[odd, :4])
        found.values[odd], found.neighbors[odd], found.order[odd] = (
            again.values, again.neighbors, again.order,
        )  # fmt: skip
    if averaged:
        known = np.isfinite(mean[:, 0]) & np.isfinite(found.residual)
        found.quaternions[known] = mean[known, :4]
