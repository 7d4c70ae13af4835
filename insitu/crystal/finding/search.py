# SPDX-License-Identifier: BSD-3-Clause
"""The crystals of a configuration in memory, one after another, without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.crystal.finding.ball_lattice import LEAST, Ball, Lattice, lattice_of, pairs_of
from insitu.crystal.finding.found import Crystal, assemble, of_cell
from insitu.crystal.finding.region import RADIUS, Box, around, densest, octant
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

#: Points that are tried in vain before the rest is given up, and how much farther apart its atoms may be.
_TRIES, _SPARSE = 5, 1.35
#: A periodic cell of fewer atoms is taken for a unit cell: its own periods are translations.
UNIT_CELL = 100
#: A periodic cell of up to so many atoms is one where nothing smaller is found and it has symmetry as it
#: is.
WHOLE = 1000


@dataclass(frozen=True)
class Found:
    """What was found in a configuration.

    Parameters
    ----------
    crystals
        The crystals, that of most atoms first.
    crystal
        ``(n,)`` which of them each atom belongs to, −1: none.
    reasons
        Why there is no crystal at the points that were tried in vain.
    """

    crystals: tuple[Crystal, ...]
    crystal: NDArray[np.int64]
    reasons: tuple[str, ...]


def find_crystals(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | None = None,
    *,
    most: int = 5,
    least: int = 100,
    tolerance: float | None = None,
) -> Found:
    """Return the crystals of a configuration: hot ones, several, and none in a liquid.

    Of the densest part of the atoms a ball of about 3,000 is taken. In its middle, translations that
    (nearly) all atoms have are looked for; all atoms of the configuration that have them make up the
    crystal, the means over their pairs its lattice. The ball's atoms, folded into one cell, are averaged
    to its sites, and spglib tells the space group. The atoms that are left are treated in the same way.
    Grains of one lattice and orientation are one crystal. A periodic cell of fewer than 100 atoms is taken
    for a unit cell, and so is one of up to 1,000 in which nothing is found, if it has symmetry as it is.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    cell, pbc
        As of :func:`insitu.classify`.
    species
        ``(n,)`` atomic numbers or types; None: all the same.
    most
        Largest number of crystals.
    least
        Atoms that a crystal has to have; periodic images of a small cell count.
    tolerance
        Of the space group [Å]; None: 9 standard errors of a site's position, at least 1 % of the
        nearest distance.

    Returns
    -------
    Found
        The crystals, and which atoms belong to them.

    Raises
    ------
    SettingError
        spglib is not installed, a shape or setting is not usable.

    Examples
    --------
    >>> from insitu.testing import lattice
    >>> positions, cell = lattice("fcc", 4.05, (5, 5, 5))
    >>> found = find_crystals(positions, cell, True)
    >>> found.crystals[0].group.symbol
    'Fm-3m'
    """
    if most < 1 or least < 1:
        raise SettingError(f"most={most}, least={least}: give numbers above 0")
    whole = Frame.from_arrays(positions, cell, pbc, reach=0.0)
    r, n = whole.positions, whole.n_local
    kinds = np.ones(n, dtype=np.int64) if species is None else np.asarray(species, dtype=np.int64)
    if kinds.shape != (n,):
        raise SettingError(f"species have shape {kinds.shape}; give ({n},), one an atom")
    box = Box(whole.cell, whole.origin, whole.pbc)
    # What a crystal of a small periodic cell has are the images, as many as the ball holds.
    enough = LEAST if bool(box.pbc.all()) else least
    number = np.full(n, -1, dtype=np.int64)
    free = np.ones(n, dtype=bool)
    crystals: list[Crystal] = []
    reasons: list[str] = []
    usual = 0.0
    while len(crystals) < most and len(reasons) < _TRIES and free.any():
        if not box.pbc.all() and free.sum() < enough:
            break
        place = densest(r[free], box, Ranks())
        assert place is not None
        center, length, _ = place
        if length > _SPARSE * (usual := usual or length):
            break
        index = np.flatnonzero(free)
        atoms, vectors = around(r[index], box, center, RADIUS * length)
        ball = Ball.of(vectors, kinds[index[atoms]], length, atoms)
        lattice = lattice_of(ball, images=n < UNIT_CELL)
        made: Crystal | str = lattice if isinstance(lattice, str) else ""
        members = np.zeros(n, dtype=bool)
        if isinstance(lattice, Lattice):
            made, members = _measured(whole, kinds, free, lattice, ball, box, center, n, tolerance)
        if isinstance(made, Crystal) and (made.atoms >= least or len(crystals) == 0):
            number[members] = len(crystals)
            crystals.append(made)
            free &= ~members
            continue
        reasons.append(made if isinstance(made, str) else f"{made.atoms} atoms only")
        tried = around(r[index], box, center, 0.35 * RADIUS * length)[0]
        free[index[tried]] = False
        free &= ~members
    # A crystal whose cell is larger than what is looked for: the periods that were given may be its own.
    missed = number.min(initial=0) < 0 if n < UNIT_CELL else not crystals
    if missed and n <= WHOLE and box.pbc.all():
        inside = (r - box.origin) @ np.linalg.inv(whole.cell)
        if (one := of_cell(whole.cell, inside, kinds, tolerance)) is not None:
            return Found((one,), np.zeros(n, dtype=np.int64), tuple(reasons))
    order = sorted(range(len(crystals)), key=lambda k: -crystals[k].atoms)
    rank = np.empty(len(order) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(order)), -1
    return Found(tuple(crystals[k] for k in order), rank[number], tuple(reasons))


def _measured(
    whole: Frame, kinds: NDArray[np.int64], free: NDArray[np.bool_], lattice: Lattice, ball: Ball,
    box: Box, center: NDArray[np.float64], looked_at: int, tolerance: float | None,
) -> tuple[Crystal | str, NDArray[np.bool_]]:  # fmt: skip
    """Return the crystal of a lattice, and which atoms belong to it ``(n,)``."""
    frame = whole.with_images(lattice.cutoff * 1.0001)
    everyone = kinds[frame.ids - 1]
    of = np.zeros_like(everyone) if lattice.blind else everyone
    search = Neighbors(frame, lattice.cutoff * 1.0001)
    places, atoms = search.owned
    kept = free[atoms]
    places, atoms = places[kept], atoms[kept]
    pairs = pairs_of(frame, search, places, atoms, of, lattice.cutoff)
    sums, inside = lattice.sums(pairs, octant(frame.positions[atoms], box, center))
    members = np.zeros(whole.n_local, dtype=bool)
    members[atoms[inside]] = True
    return assemble(lattice, sums, ball, int(members.sum()), looked_at, tolerance), members


def averaged(
    positions: list[NDArray[np.float64]], cells: list[NDArray[np.float64]], pbc: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean positions and cell of some frames of the same atoms in the same order.

    Fractional coordinates are averaged, by the shortest way from the first frame.

    Parameters
    ----------
    positions, cells
        ``(n, 3)`` and ``(3, 3)`` of each frame [Å].
    pbc
        ``(3,)``.

    Raises
    ------
    SettingError
        The frames do not have the same number of atoms.
    """
    if len({len(r) for r in positions}) > 1:
        raise SettingError(
            "frames with different numbers of atoms cannot be averaged; give one frame, or others"
        )
    first = positions[0] @ np.linalg.inv(cells[0])
    total = np.zeros_like(first)
    for r, cell in zip(positions, cells, strict=True):
        away = r @ np.linalg.inv(cell) - first
        total += away - np.where(pbc, np.rint(away), 0.0)
    total /= len(positions)
    total -= total.mean(axis=0)  # no drift of the whole
    mean = np.mean(cells, axis=0)
    return np.asarray((first + total) @ mean), np.asarray(mean)
