# SPDX-License-Identifier: BSD-3-Clause
"""A crystal of its lattice and atoms: parameters with errors, basis, space group.

Three steps, so that they also work where the atoms are dealt out to ranks: :func:`lattice_of` looks at a
ball of some thousand atoms, :meth:`Lattice.sums` adds up what any atoms say of its translations
(:mod:`insitu.crystal.finding.ball_lattice`), and :func:`assemble` makes the crystal of the sums and
the ball.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.cells import DENSITY, parameters
from insitu.crystal.finding import translations
from insitu.crystal.finding.ball_lattice import LEAST, Ball, Lattice, fitted, mean_square, pairs_of
from insitu.crystal.finding.folding import Basis, fold
from insitu.crystal.spacegroup import SpaceGroup
from insitu.crystal.spacegroup import find as space_group
from insitu.frame.frame import Frame
from insitu.frame.lattices.copies import nearest_distance
from insitu.frame.neighbors.search import Neighbors

#: Deviation of atoms from their sites beyond which there is no crystal, in units of the nearest
#: distance, and part of the atoms of the ball's middle that may be on no site.
_MOLTEN, _LEFT = 0.22, 0.2
#: Tolerance of the space group: in standard errors of a site, at least in units of the nearest distance.
_ERRORS, _FLOOR = 9.0, 0.01
#: Octants that have to know the lattice for an error to be given.
_PARTS = 4
#: Part of the atoms on sites of their own species from which on the crystal counts as ordered.
PURE = 0.98


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
    mixture
        For each of `kinds`, what its sites hold: part of their atoms by species. A random alloy has one
        kind of site, named by the species of most of its atoms.
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
    mixture: Mapping[int, Mapping[int, float]]

    @property
    def mixed(self) -> bool:
        """Whether species share sites: `kinds` alone are not what the crystal is made of."""
        return self.purity < PURE

    @property
    def composition(self) -> dict[int, float]:
        """Part of the atoms by species, each kind of site as often as the cell has it."""
        kinds, counts = np.unique(self.kinds, return_counts=True)
        found: dict[int, float] = {}
        for kind, count in zip(kinds.tolist(), counts / counts.sum(), strict=True):
            for species, share in self.mixture[kind].items():
                found[species] = found.get(species, 0.0) + float(count) * share
        return found

    def density(self, masses: Mapping[int, float]) -> float:
        """Return the density [g/cm³]; NaN where a species has no mass [g/mol]."""
        mass = sum(masses.get(z, np.nan) * share for z, share in self.composition.items())
        return float(DENSITY * mass / self.volume)


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
    whole = fitted(sums.sum(axis=0), lattice.steps)
    if whole is None:
        return "none of its atoms has all neighbours that the lattice asks for"
    frame = Frame.from_arrays(ball.vectors, None, False, reach=0.0, types=ball.kinds)
    search = Neighbors(frame, lattice.cutoff * 1.001)
    kinds = np.zeros_like(ball.kinds) if lattice.blind else ball.kinds
    places, order = search.owned
    pairs = pairs_of(frame, search, places, order, kinds, lattice.cutoff)
    which, residual, share = translations.matched(
        pairs, whole, lattice.steps, lattice.scale, lattice.blind
    )
    # At the ball's border and at vacancies translations are missing: half of them are enough here.
    inside = np.zeros(len(ball.vectors), dtype=bool)
    inside[order] = (share >= 0.45) & (mean_square(pairs, which, residual) <= lattice.limit)
    if inside.sum() < LEAST:
        return f"{int(inside.sum())} atoms around the point are of one crystal (fewer than {LEAST})"
    inside &= ball.first
    basis = fold(ball.vectors[inside], ball.kinds[inside], whole, lattice.near)
    if basis is None or basis.left > _LEFT:
        return "its atoms do not fall on the sites of one cell"
    if basis.deviation > _MOLTEN * basis.nearest:
        return (
            f"its atoms are {basis.deviation:.2f} Å from their sites (r.m.s.), more than "
            f"{_MOLTEN:g} of the nearest distance: molten"
        )
    cell, basis, limit = _larger(whole, basis, ball, inside, lattice.near, tolerance)
    group, settled = _grouped(cell, basis, limit)
    parts = [p for p in (fitted(s, lattice.steps) for s in sums) if p is not None]
    strained = [np.linalg.inv(whole) @ p for p in parts]
    return _crystal(strained, cell, basis, group, limit, settled, atoms, looked_at)


def of_cell(
    cell: NDArray[np.float64], sites: NDArray[np.float64], kinds: NDArray[np.int64],
    tolerance: float | None = None,
) -> Crystal | None:  # fmt: skip
    """Return the crystal of which a cell is one period; None: nothing but its periods says that it is one.

    Parameters
    ----------
    cell, sites, kinds
        ``(3, 3)`` [Å], ``(n, 3)`` fractional coordinates, ``(n,)`` species.
    tolerance
        Of the space group [Å]; None: 1 % of the nearest distance.
    """
    n = len(sites)
    species, which = np.unique(kinds, return_inverse=True)
    one, near = np.ones(n), nearest_distance(sites, cell)
    if near <= 0.0:
        return None
    shares = np.eye(len(species))[which]
    basis = Basis(sites, kinds, one, one, species, shares, one.astype(np.int64), 0.0, 0.0, near)
    limit = _tolerance(basis, tolerance)
    group = space_group(cell, sites, kinds, limit)
    if group is None or group.number == 1:  # as in a liquid, where spglib takes long
        return None
    group, settled = _grouped(cell, basis, limit)
    return _crystal([], cell, basis, group, limit, settled, n, n)


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
    apart = np.linalg.norm(away @ cell, axis=2)
    other = (twice.kinds != basis.kinds[apart.argmin(axis=1)]) & (twice.purity > 0.8)
    if apart.min(axis=1).max() <= limit_of_twice and not other.any():
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
    strained: list[NDArray[np.float64]], cell: NDArray[np.float64], basis: Basis,
    group: SpaceGroup | None, tolerance: float, settled: bool, atoms: int, looked_at: int,
) -> Crystal:  # fmt: skip
    """Return the crystal; `strained` is how the lattices of the sample's parts differ from the whole's."""
    if group is None:
        primitive, sites, kinds = cell, basis.sites, basis.kinds
        ideal, conventional = cell, (cell, basis.sites, basis.kinds)
    else:
        primitive, sites, kinds = group.primitive, group.primitive_sites, group.primitive_numbers
        ideal, conventional = group.conventional, (group.cell, group.sites, group.numbers)
    six = parameters(conventional[0])
    errors, volume_error = np.full(6, np.nan), np.nan
    volume = abs(float(np.linalg.det(primitive))) / len(sites)
    if len(strained) >= _PARTS:
        every = np.array([parameters(ideal @ f) for f in strained])
        for columns in (slice(0, 3), slice(3, 6)):  # what the symmetry makes equal is a mean
            for k in range(columns.start, columns.stop):
                equal = np.abs(six[columns] - six[k]) < 1e-6 * max(1.0, abs(six[k]))
                mean = every[:, columns][:, equal].mean(axis=1)
                errors[k] = mean.std(ddof=1) / np.sqrt(len(strained))
        volumes = volume * np.array([abs(np.linalg.det(f)) for f in strained])
        volume_error = float(volumes.std(ddof=1) / np.sqrt(len(strained)))
    weight = basis.counts / basis.counts.sum()
    mixture = {}
    for kind in np.unique(basis.kinds).tolist():
        mean = basis.shares[basis.kinds == kind].mean(axis=0)
        held = zip(basis.species.tolist(), mean.tolist(), strict=True)
        mixture[kind] = {species: share for species, share in held if share > 0.0}
    return Crystal(
        primitive, sites, kinds, *conventional, six, errors, volume, volume_error, group, tolerance,
        settled, atoms, atoms / max(looked_at, 1), basis.deviation, basis.left,
        float((basis.purity * weight).sum()), mixture,
    )  # fmt: skip
