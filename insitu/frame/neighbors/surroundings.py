# SPDX-License-Identifier: BSD-3-Clause
"""Is what surrounds an atom a sample of other atoms? Not in a tiny cell, not at one place.

A periodic cell that is smaller than an atom's ball shows the atom its own images. One atom in a box
is a perfect simple cubic crystal then, whatever it is. And where two atoms are at one place (cores and
shells, Drude oscillators, atoms created twice) distances say nothing of a structure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.frame.cell import heights
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors

#: Nearer than this two atoms are at one place: in spacings, and at most so many Å. The shortest bond
#: (H2) has 0.74 Å; Drude oscillators and shells are less than 0.3 Å from their cores.
_COINCIDENT, _COINCIDENT_ANGSTROM = 0.2, 0.5
#: Atoms whose lists are in memory at a time.
_BATCH = 20_000


@dataclass(frozen=True)
class Surroundings:
    """What is odd about the surroundings of some atoms.

    Parameters
    ----------
    others
        ``(n_local,)`` number of different other atoms among an atom's nearest neighbours; 0 where
        another atom is at its place. A large number where nothing was counted.
    own_images
        Atoms that have an image of themselves among their nearest neighbours.
    coincident
        Atoms that have another atom at their place.
    """

    others: NDArray[np.int32]
    own_images: int
    coincident: int


def shortest_period(frame: Frame) -> float:
    """Return the distance [Å] of an atom from its nearest periodic image; inf if there is none."""
    spans = [np.arange(-3, 4) if flag else np.zeros(1, dtype=int) for flag in frame.pbc]
    steps = np.stack(np.meshgrid(*spans), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(steps[steps.any(axis=1)] @ frame.cell, axis=1)
    return float(lengths.min(initial=np.inf))


def odd_surroundings(
    neighbors: Neighbors, radius: float, nearest: int | None, spacing: float
) -> Surroundings | None:
    """Return what is odd about the surroundings of the analysed atoms; None: nothing.

    Parameters
    ----------
    neighbors
        The search.
    radius
        Of an atom's ball [Å].
    nearest
        Number of neighbours in the ball; None: all within the radius.
    spacing
        Of the atoms [Å], 0 if it is not known.
    """
    frame = neighbors.frame
    limit = _COINCIDENT_ANGSTROM
    limit = min(limit, _COINCIDENT * spacing) if spacing else 0.6 * limit
    looked = limit < neighbors.cutoff
    at_one_place = neighbors.has_within(limit) if looked else np.zeros(0, dtype=bool)
    pairs = bool(at_one_place.any())
    # No period is shorter than the cell is high; all of them take longer to look at.
    thin = bool((heights(frame.cell)[frame.pbc] <= radius).any())
    small = thin and shortest_period(frame) <= radius
    if not (pairs or small):
        return None
    others = np.full(frame.n_local, np.iinfo(np.int32).max, dtype=np.int32)
    own_images, coincident = 0, int(np.count_nonzero(at_one_place))
    for start in range(0, len(neighbors.places) if small else 0, _BATCH):
        places = neighbors.places[start : start + _BATCH]
        atoms = neighbors.atoms[start : start + _BATCH]
        others[atoms], own = _different(neighbors, places, atoms, radius, nearest)
        own_images += own
    if pairs:
        others[neighbors.atoms[at_one_place]] = 0
    if not (own_images or coincident):
        return None
    return Surroundings(others, own_images, coincident)


def _different(
    neighbors: Neighbors, places: NDArray[np.int32], atoms: NDArray[np.int32], radius: float,
    nearest: int | None,
) -> tuple[NDArray[np.int32], int]:  # fmt: skip
    """Return how many other atoms each has among its neighbours, and how many have themselves."""
    ids = neighbors.frame.ids
    offsets, found = compiled().neighbor_lists(neighbors.cells, places, radius)
    row = np.repeat(np.arange(len(places)), np.diff(offsets))
    if nearest is not None:
        kept = np.arange(len(found)) - offsets[row] < nearest
        row, found = row[kept], found[kept]
    itself = ids[found] == ids[atoms[row]]
    own = len(np.unique(row[itself]))
    row, who = row[~itself], ids[found[~itself]]
    order = np.lexsort((who, row))
    row, who = row[order], who[order]
    first = np.ones(len(row), dtype=bool)
    first[1:] = (np.diff(row) != 0) | (np.diff(who) != 0)
    return np.bincount(row[first], minlength=len(places)).astype(np.int32), own
