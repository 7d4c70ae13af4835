# SPDX-License-Identifier: BSD-3-Clause
"""A crystal found among atoms: from a ball to its lattice, from all atoms to its parameters and basis.

Three steps, so that they also work where the atoms are dealt out to ranks: :func:`lattice_of` looks at a
ball of some thousand atoms, :meth:`Lattice.sums` adds up what any atoms say of its translations, and
:func:`assemble` makes the crystal of the sums and the ball.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.crystal import translations
from insitu.crystal.cells import parameters
from insitu.crystal.folding import Basis, fold
from insitu.crystal.spacegroup import SpaceGroup
from insitu.crystal.spacegroup import find as space_group
from insitu.crystal.translations import Pairs
from insitu.frame.frame import Frame
from insitu.frame.neighbors import Neighbors

#: Atoms in the middle of the ball whose surroundings tell the lattice; fewest atoms of the ball.
_CENTERS, LEAST = 300, 40
#: How far translations are looked for, in units of (volume an atom)^(1/3).
_REACHES = (2.6, 3.6, 4.8)
#: Part of the translations that an atom of the crystal has, and how much less they may fit than the
#: median atom's of the ball.
MEMBER, _WORSE = 0.7, 4.0
#: Deviation of atoms from their sites beyond which there is no crystal, in units of the nearest
#: distance, and part of the atoms of the ball's middle that may be on no site.
_MOLTEN, _LEFT = 0.22, 0.2
#: Tolerance of the space group: in standard errors of a site, at least in units of the nearest distance.
_ERRORS, _FLOOR = 9.0, 0.01
#: Octants that have to know the lattice for an error to be given.
_PARTS = 4


@dataclass(frozen=True)
class Ball:
    """Atoms around a point.

    Parameters
    ----------
    vectors
        ``(n, 3)`` from the centre [Å], nearest first.
    kinds
        ``(n,)`` species, whole numbers.
    length
        (Volume an atom)^(1/3) [Å].
    first
        ``(n,)`` whether it is the first of the periodic images of an atom in the ball.
    ids
        ``(n,)`` the same for images of one atom.
    """

    vectors: NDArray[np.float64]
    kinds: NDArray[np.int64]
    length: float
    first: NDArray[np.bool_]
    ids: NDArray[np.int64]

    @classmethod
    def of(
        cls, vectors: NDArray[np.float64], kinds: NDArray[np.int64], length: float,
        ids: NDArray[np.integer[Any]],
    ) -> Ball:  # fmt: skip
        """Return a ball of atoms in any order: the result does not depend on it.

        `ids` are the same for images of one atom.
        """
        square = np.round((vectors**2).sum(axis=1) / length**2, 9)
        order = np.lexsort((*np.round(vectors.T / length, 7), square))
        first, own = np.zeros(len(ids), dtype=bool), np.asarray(ids, dtype=np.int64)[order]
        first[np.unique(own, return_index=True)[1]] = True
        return cls(vectors[order], np.asarray(kinds, dtype=np.int64)[order], length, first, own)


@dataclass(frozen=True)
class Lattice:
    """The lattice of a ball's middle.

    Parameters
    ----------
    cell
        ``(3, 3)`` primitive translations [Å].
    steps
        ``(t, 3)`` whole numbers: the translations that are measured.
    scale, near
        Mean distance of an atom to the nearest of its species, and to the nearest of all [Å].
    limit
        Mean squared distance from where the translations have its partners that an atom may have [Å²].
    blind
        Species are mixed on the sites: the lattice is that of the positions.
    """

    cell: NDArray[np.float64]
    steps: NDArray[np.int64]
    scale: float
    near: float
    limit: float
    blind: bool

    @property
    def cutoff(self) -> float:
        """How far pairs are needed [Å]."""
        longest = float(np.linalg.norm(self.steps @ self.cell, axis=1).max())
        return longest + translations.NEAR * self.scale

    def members(self, pairs: Pairs) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which atoms are of the crystal ``(atoms,)``, and the translation of each pair."""
        which, residual, share = translations.matched(
            pairs, self.cell, self.steps, self.scale, self.blind
        )
        return (share >= MEMBER) & (_mean_square(pairs, which, residual) <= self.limit), which

    def sums(
        self, pairs: Pairs, octants: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return what atoms say of the translations: to be added up.

        Parameters
        ----------
        pairs
            All pairs of the atoms within :attr:`cutoff`.
        octants
            ``(atoms,)`` part of the sample in which each is.

        Returns
        -------
        sums, members
            ``(8, t, 4)`` number of pairs along each translation and sum of their vectors [Å];
            ``(atoms,)`` which are of the crystal.
        """
        members, which = self.members(pairs)
        those = (which != 0) & members[pairs.first]
        number, sign = np.abs(which[those]) - 1, np.sign(which[those])
        at = octants[pairs.first[those]] * len(self.steps) + number
        size = 8 * len(self.steps)
        parts: list[NDArray[Any]] = [np.bincount(at, minlength=size)]
        for k in range(3):
            weights = sign * pairs.vectors[those, k]
            parts.append(np.bincount(at, weights=weights, minlength=size))
        found = np.stack(parts, axis=1).astype(np.float64)
        return found.reshape(8, len(self.steps), 4), members


@dataclass(frozen=True)
class Crystal:
    """A crystal found in a frame.

    Parameters
    ----------
    cell, sites, kinds
        Primitive, Niggli-reduced cell in the axes of the box: ``(3, 3)`` [Å], ``(s, 3)``, ``(s,)``.
    conventional, conventional_sites, conventional_kinds
        Cell in the standard setting, with the symmetry imposed.
    parameters, errors
        ``(6,)`` a, b, c [Å], α, β, γ [degrees] of the conventional cell, and their standard errors: of
        eight parts of the sample; NaN where these are too small.
    volume, volume_error
        Of a site [Å³].
    group
        Space group and point group, at :attr:`tolerance`; None: spglib found none.
    tolerance
        Of the space group [Å].
    settled
        The space group is the same at 0.75 and at 1.5 of the tolerance.
    atoms, share
        Atoms that belong to it, and part of those that were looked at.
    deviation
        Root mean square displacement of the atoms from their sites [Å].
    left
        Part of the atoms of the ball that is on no site: interstitials.
    purity
        Part of the atoms on sites of their own species; 1: ordered.
    """

    cell: NDArray[np.float64]
    sites: NDArray[np.float64]
    kinds: NDArray[np.int64]
    conventional: NDArray[np.float64]
    conventional_sites: NDArray[np.float64]
    conventional_kinds: NDArray[np.int64]
    parameters: NDArray[np.float64]
    errors: NDArray[np.float64]
    volume: float
    volume_error: float
    group: SpaceGroup | None
    tolerance: float
    settled: bool
    atoms: int
    share: float
    deviation: float
    left: float
    purity: float


def pairs_of(
    frame: Frame, neighbors: Neighbors, places: NDArray[np.int32], atoms: NDArray[np.int32],
    kinds: NDArray[np.int64], cutoff: float, ids: NDArray[np.int64] | None = None,
) -> Pairs:  # fmt: skip
    """Return the pairs of some atoms of a frame.

    Parameters
    ----------
    frame, neighbors
        The frame and the search over it.
    places, atoms
        ``(k,)`` the atoms, as places in the cell order and as indices.
    kinds
        ``(n_local + n_ghost,)`` species.
    cutoff
        Longest pair [Å].
    ids
        ``(n_local + n_ghost,)``: pairs of one are left out; None: there are none.
    """
    offsets, other = neighbors.lists(cutoff, places)
    first = np.repeat(np.arange(len(atoms)), np.diff(offsets))
    if ids is not None:
        apart = ids[other] != ids[atoms[first]]
        first, other = first[apart], other[apart]
    vectors = frame.positions[other] - frame.positions[atoms[first]]
    return Pairs(first, vectors, kinds[other] == kinds[atoms[first]], len(atoms))


def _mean_square(
    pairs: Pairs, which: NDArray[np.int64], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean squared residual of each atom's pairs ``(atoms,)`` [Å²]."""
    those = which != 0
    first = pairs.first[those]
    square = np.bincount(first, (residual[those] ** 2).sum(axis=1), minlength=pairs.atoms)
    return np.asarray(square / np.maximum(np.bincount(first, minlength=pairs.atoms), 1))


def lattice_of(ball: Ball, longest: float = np.inf, images: bool = False) -> Lattice | str:
    """Return the lattice of the atoms in the middle of a ball, or why there is none.

    Parameters
    ----------
    ball
        Atoms around a point.
    longest
        How far pairs will be known in the whole sample [Å].
    images
        An atom's own images count: the box is a unit cell. Else the box' periods are no translations, which
        a liquid has as well.
    """
    n = len(ball.vectors)
    if n < LEAST:
        return f"{n} atoms are too few (fewer than {LEAST})"
    frame = Frame.from_arrays(ball.vectors, None, False, reach=0.0, types=ball.kinds)
    distance = np.linalg.norm(ball.vectors, axis=1)
    radius = float(distance[-1])
    reaches = [min(r * ball.length, 0.75 * radius) for r in _REACHES]
    search = Neighbors(frame, reaches[-1] * 1.001)
    place = np.empty(n, dtype=np.int32)
    place[search.owned[1]] = search.owned[0]
    for blind in (False, True):
        kinds = np.zeros_like(ball.kinds) if blind else ball.kinds
        if blind and len(np.unique(ball.kinds)) == 1:
            break
        kept: list[tuple[translations.Candidates, Pairs]] = []
        for reach in dict.fromkeys(reaches):
            inner = int(np.searchsorted(distance, radius - reach))
            some = np.arange(min(max(inner, 30), _CENTERS, n), dtype=np.int32)
            own = None if images else ball.ids
            pairs = pairs_of(frame, search, place[some], some, kinds, reach, own)
            for seed in some[:2]:
                those = (pairs.first == seed) & pairs.like
                found = translations.candidates(pairs, pairs.vectors[those], reach)
                if found is None:
                    continue
                kept.append((found, pairs))
                cell = translations.lattice(found, strict=True)
                if cell is not None:
                    return _completed(cell, found.scale, pairs, blind, longest)
        for found, pairs in kept:
            cell = translations.lattice(found, strict=False)
            if cell is not None:
                return _completed(cell, found.scale, pairs, blind, longest)
    return "its atoms repeat along no three directions"


def _completed(
    cell: NDArray[np.float64], scale: float, pairs: Pairs, blind: bool, longest: float
) -> Lattice | str:
    """Return the lattice with what the middle of the ball says of its translations, or why not."""
    n = translations.to_be_measured(cell, longest - translations.NEAR * scale)
    if len(n) < 3 or np.linalg.matrix_rank(n) < 3:
        return (
            f"its lattice has a translation of {np.linalg.norm(cell, axis=1).max():.1f} Å, farther than "
            f"neighbours are known ({longest:.1f} Å)"
        )
    nearest = np.full(pairs.atoms, np.inf)
    np.minimum.at(nearest, pairs.first, np.linalg.norm(pairs.vectors, axis=1))
    near = float(nearest[np.isfinite(nearest)].mean())
    start = Lattice(cell, n, scale, near, np.inf, blind)
    which, residual, share = translations.matched(pairs, cell, n, scale, blind)
    inside = share >= MEMBER
    if not inside.any():
        return start
    typical = float(np.median(_mean_square(pairs, which, residual)[inside]))
    return Lattice(cell, n, scale, near, max(_WORSE * typical, (0.03 * scale) ** 2), blind)


def _fitted(sums: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the lattice ``(3, 3)`` of sums over translations ``(t, 4)`` by least squares [Å]."""
    count = sums[:, 0]
    some = count > 0
    if some.sum() < 3 or np.linalg.matrix_rank(n[some]) < 3:
        return None
    weight = np.sqrt(count[some])[:, None]
    mean = sums[some, 1:] / count[some][:, None]
    return np.asarray(np.linalg.lstsq(n[some] * weight, mean * weight, rcond=None)[0], np.float64)


def assemble(
    lattice: Lattice,
    sums: NDArray[np.float64],
    ball: Ball,
    atoms: int,
    looked_at: int,
    tolerance: float | None = None,
) -> Crystal | str:
    """Return the crystal of a lattice, or why it is none.

    Parameters
    ----------
    lattice, sums
        Of :func:`lattice_of`, and of :meth:`Lattice.sums` added up.
    ball
        Atoms of the crystal around a point.
    atoms, looked_at
        Atoms that belong to the crystal, and all that were looked at.
    tolerance
        Of the space group [Å]; None: 9 standard errors of a site's position, at least 1 % of the nearest
        distance.
    """
    cell = _fitted(sums.sum(axis=0), lattice.steps)
    if cell is None:
        return "none of its atoms has all neighbours that the lattice asks for"
    frame = Frame.from_arrays(ball.vectors, None, False, reach=0.0, types=ball.kinds)
    search = Neighbors(frame, lattice.cutoff * 1.001)
    kinds = np.zeros_like(ball.kinds) if lattice.blind else ball.kinds
    places, order = search.owned
    pairs = pairs_of(frame, search, places, order, kinds, lattice.cutoff)
    which, residual, share = translations.matched(
        pairs, cell, lattice.steps, lattice.scale, lattice.blind
    )
    # At the ball's border and at vacancies translations are missing: half of them are enough here.
    inside = np.zeros(len(ball.vectors), dtype=bool)
    inside[order] = (share >= 0.45) & (_mean_square(pairs, which, residual) <= lattice.limit)
    if inside.sum() < LEAST:
        return f"{int(inside.sum())} atoms around the point are of one crystal (fewer than {LEAST})"
    inside &= ball.first
    basis = fold(ball.vectors[inside], ball.kinds[inside], cell, lattice.near)
    if basis is None or basis.left > _LEFT:
        return "its atoms do not fall on the sites of one cell"
    if basis.deviation > _MOLTEN * basis.nearest:
        return (
            f"its atoms are {basis.deviation:.2f} Å from their sites (r.m.s.), more than "
            f"{_MOLTEN:g} of the nearest distance: molten"
        )
    cell, basis, limit = _larger(cell, basis, ball, inside, lattice.near, tolerance)
    group, settled = _grouped(cell, basis, limit)
    return _crystal(lattice, sums, cell, basis, group, limit, settled, atoms, looked_at)


def _tolerance(basis: Basis, given: float | None) -> float:
    if given is not None:
        return given
    return max(_ERRORS * basis.error, _FLOOR * basis.nearest)


def _larger(
    cell: NDArray[np.float64], basis: Basis, ball: Ball, inside: NDArray[np.bool_], near: float,
    tolerance: float | None,
) -> tuple[NDArray[np.float64], Basis, float]:  # fmt: skip
    """Return the cell that has the crystal's distortions: this one, or twice it in all directions."""
    limit = _tolerance(basis, tolerance)
    if 16 * len(basis.sites) > int(inside.sum()) / 4:
        return cell, basis, limit
    twice = fold(ball.vectors[inside], ball.kinds[inside], 2.0 * cell, near)
    if twice is None or len(twice.sites) != 8 * len(basis.sites):
        return cell, basis, limit
    limit_of_twice = _tolerance(twice, tolerance)
    away = 2.0 * twice.sites[:, None] - basis.sites[None]
    away -= np.rint(away)
    apart = np.linalg.norm(away @ cell, axis=2).min(axis=1)
    other = (
        twice.kinds != basis.kinds[np.linalg.norm(away @ cell, axis=2).argmin(axis=1)]
    ) & (twice.purity > 0.8)  # fmt: skip
    if apart.max() <= limit_of_twice and not other.any():
        return cell, basis, limit
    return 2.0 * cell, twice, limit_of_twice


def _grouped(
    cell: NDArray[np.float64], basis: Basis, tolerance: float
) -> tuple[SpaceGroup | None, bool]:
    group = space_group(cell, basis.sites, basis.kinds, tolerance)
    if group is None:
        return None, False
    others = [
        space_group(cell, basis.sites, basis.kinds, factor * tolerance) for factor in (0.75, 1.5)
    ]
    return group, all(o is not None and o.number == group.number for o in others)


def _crystal(
    lattice: Lattice, sums: NDArray[np.float64], cell: NDArray[np.float64], basis: Basis,
    group: SpaceGroup | None, tolerance: float, settled: bool, atoms: int, looked_at: int,
) -> Crystal:  # fmt: skip
    whole = _fitted(sums.sum(axis=0), lattice.steps)
    assert whole is not None
    parts = [p for p in (_fitted(s, lattice.steps) for s in sums) if p is not None]
    strained = [np.linalg.inv(whole) @ p for p in parts]
    if group is None:
        primitive, sites, kinds = cell, basis.sites, basis.kinds
        ideal, conventional = cell, (cell, basis.sites, basis.kinds)
    else:
        primitive, sites, kinds = group.primitive, group.primitive_sites, group.primitive_numbers
        ideal, conventional = group.conventional, (group.cell, group.sites, group.numbers)
    six = parameters(conventional[0])
    errors, volume_error = np.full(6, np.nan), np.nan
    volume = abs(float(np.linalg.det(primitive))) / len(sites)
    if len(parts) >= _PARTS:
        every = np.array([parameters(ideal @ f) for f in strained])
        for columns in (slice(0, 3), slice(3, 6)):  # what the symmetry makes equal is a mean
            for k in range(columns.start, columns.stop):
                equal = np.abs(six[columns] - six[k]) < 1e-6 * max(1.0, abs(six[k]))
                mean = every[:, columns][:, equal].mean(axis=1)
                errors[k] = mean.std(ddof=1) / np.sqrt(len(parts))
        volumes = volume * np.array([abs(np.linalg.det(f)) for f in strained])
        volume_error = float(volumes.std(ddof=1) / np.sqrt(len(parts)))
    weight = basis.counts / basis.counts.sum()
    return Crystal(
        primitive, sites, kinds, *conventional, six, errors, volume, volume_error, group, tolerance,
        settled, atoms, atoms / max(looked_at, 1), basis.deviation, basis.left,
        float((basis.purity * weight).sum()),
    )  # fmt: skip
