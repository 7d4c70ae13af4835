# SPDX-License-Identifier: BSD-3-Clause
"""The lattice of a ball of hot atoms, and what all atoms of a sample say of its translations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.finding import translations
from insitu.crystal.finding.translations import Pairs
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors

#: Atoms in the middle of the ball whose surroundings tell the lattice; fewest atoms of the ball.
_CENTERS, LEAST = 300, 40
#: How far translations are looked for, in units of (volume an atom)^(1/3).
_REACHES = (2.6, 3.6, 4.8)
#: Part of the translations that an atom of the crystal has, and how much less they may fit than the
#: median atom's of the ball.
MEMBER, _WORSE = 0.7, 4.0


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

    def packed(self) -> NDArray[np.float64]:
        """Return the lattice as numbers, for other ranks."""
        rest = [self.scale, self.near, self.limit, float(self.blind)]
        return np.concatenate([self.cell.ravel(), rest, self.steps.ravel()]).astype(np.float64)

    @classmethod
    def unpacked(cls, v: NDArray[np.float64]) -> Lattice:
        """Return a lattice of what :meth:`packed` made of it."""
        steps = np.rint(v[13:]).astype(np.int64).reshape(-1, 3)
        scale, near, limit = (float(x) for x in v[9:12])
        return cls(v[:9].reshape(3, 3).copy(), steps, scale, near, limit, bool(v[12]))

    def members(self, pairs: Pairs) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which atoms are of the crystal ``(atoms,)``, and the translation of each pair."""
        which, residual, share = translations.matched(
            pairs, self.cell, self.steps, self.scale, self.blind
        )
        return (share >= MEMBER) & (mean_square(pairs, which, residual) <= self.limit), which

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
    _, other, first, vectors = neighbors.vectors(cutoff, places, atoms)
    if ids is not None:
        apart = ids[other] != ids[atoms[first]]
        first, other, vectors = first[apart], other[apart], vectors[apart]
    return Pairs(first, vectors, kinds[other] == kinds[atoms[first]], len(atoms))


def mean_square(
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
    which, residual, share = translations.matched(pairs, cell, n, scale, blind)
    if not blind:
        # In a solid solution atoms of other species are on its sites: most of it is no less of it.
        other = translations.matched(pairs, cell, n, scale, True)
        blind = bool((other[2] >= MEMBER).sum() > 1.01 * (share >= MEMBER).sum())
        which, residual, share = other if blind else (which, residual, share)
    start = Lattice(cell, n, scale, near, np.inf, blind)
    inside = share >= MEMBER
    if not inside.any():
        return start
    typical = float(np.median(mean_square(pairs, which, residual)[inside]))
    return Lattice(cell, n, scale, near, max(_WORSE * typical, (0.03 * scale) ** 2), blind)


def fitted(sums: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the lattice ``(3, 3)`` of sums over translations ``(t, 4)`` by least squares [Å]."""
    count = sums[:, 0]
    some = count > 0
    if some.sum() < 3 or np.linalg.matrix_rank(n[some]) < 3:
        return None
    weight = np.sqrt(count[some])[:, None]
    mean = sums[some, 1:] / count[some][:, None]
    return np.asarray(np.linalg.lstsq(n[some] * weight, mean * weight, rcond=None)[0], np.float64)
