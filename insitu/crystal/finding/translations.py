# SPDX-License-Identifier: BSD-3-Clause
"""The translations of a crystal from its atoms, hot as they are: no template, no label.

A vector is a translation if (nearly) every atom has another of its species there. Means over all such
pairs have little noise: along a row of atoms the displacements cancel but for those at its ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.copies import steps

#: Atoms have to be this near to where a translation has them, to count for it and for its mean; in units
#: of the nearest distance of like atoms.
SHARP, NEAR = 0.25, 0.4
#: Part of the atoms that a translation has to have, and relative to the best of all vectors.
_LEAST, _OF_BEST = 0.65, 0.85
#: Atoms that are asked first whether a vector may be a translation, and how many of them have to have it.
_ASKED, _PROMISING = 50, 0.4
#: How flat three vectors may be: part of the volume of a brick of the same edges.
_FLAT = 0.12
#: Translations whose means make the lattice: most of them.
_MOST = 60


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms.

    Parameters
    ----------
    first
        ``(m,)`` index of the first atom among those that were asked for.
    vectors
        ``(m, 3)`` from the first atom to the second [Å].
    like
        ``(m,)`` whether both are of one species.
    atoms
        How many atoms were asked for.
    """

    first: NDArray[np.intp]
    vectors: NDArray[np.float64]
    like: NDArray[np.bool_]
    atoms: int

    def only(self, which: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.first[which], self.vectors[which], self.like[which], self.atoms)


def like_distance(pairs: Pairs) -> float:
    """Return the mean distance to the nearest atom of the same species [Å]; NaN: there is none."""
    nearest = np.full(pairs.atoms, np.inf)
    length = np.linalg.norm(pairs.vectors[pairs.like], axis=1)
    np.minimum.at(nearest, pairs.first[pairs.like], length)
    known = nearest[np.isfinite(nearest)]
    return float(known.mean()) if len(known) else float("nan")


@dataclass(frozen=True)
class Candidates:
    """Vectors that may be translations ``(k, 3)`` [Å], the part of the atoms with each, the scale [Å]."""

    vectors: NDArray[np.float64]
    share: NDArray[np.float64]
    scale: float


def candidates(pairs: Pairs, seed: NDArray[np.float64], reach: float) -> Candidates | None:
    """Return the vectors that may be translations of the atoms between which pairs are.

    Parameters
    ----------
    pairs
        All pairs of the atoms within `reach`.
    seed
        ``(k, 3)`` vectors from one atom to others of its species within `reach`: the candidates.
    reach
        Longest translation that is looked for [Å].

    Returns
    -------
    candidates
        Their scale is the nearest distance of like atoms [Å]; None: there are none.
    """
    scale = like_distance(pairs)
    if not np.isfinite(scale):
        return None
    pairs = pairs.only(pairs.like)
    found: list[NDArray[np.float64]] = []
    shares: list[float] = []
    first = pairs.vectors[pairs.first < _ASKED]
    asked = min(_ASKED, pairs.atoms)
    # A translation and its inverse are one.
    for t in seed[np.lexsort(np.round(seed.T, 6))]:
        if t @ (1.0, 1e-3, 1e-6) < 0 or t @ t > reach * reach:
            continue
        some = first[((first - t) ** 2).sum(axis=1) < (0.9 * scale) ** 2]
        some = some[((some - t) ** 2).sum(axis=1) < (0.6 * scale) ** 2]
        middle = some[((some - t) ** 2).sum(axis=1) < (NEAR * scale) ** 2]
        if not len(middle):
            continue
        middle = middle.mean(axis=0)
        if (((some - middle) ** 2).sum(axis=1) < (SHARP * scale) ** 2).sum() < _PROMISING * asked:
            continue
        near = pairs.vectors[((pairs.vectors - t) ** 2).sum(axis=1) < (0.9 * scale) ** 2]
        for _ in range(6):
            close = near[((near - t) ** 2).sum(axis=1) < (NEAR * scale) ** 2]
            if not len(close):
                break
            moved = close.mean(axis=0)
            done = float(((moved - t) ** 2).sum()) < (1e-4 * scale) ** 2
            t = moved
            if done:
                break
        if t @ t < (0.5 * scale) ** 2:
            continue
        if any(((t - u) ** 2).sum() < (0.2 * scale) ** 2 for u in found):
            continue
        found.append(t)
        shares.append(float((((near - t) ** 2).sum(axis=1) < (SHARP * scale) ** 2).sum()))
    if not found:
        return None
    return Candidates(np.array(found), np.array(shares) / pairs.atoms, scale)


def lattice(found: Candidates, strict: bool) -> NDArray[np.float64] | None:
    """Return the primitive lattice that candidates make up ``(3, 3)`` [Å]; None: there are no three.

    Parameters
    ----------
    found
        The candidates.
    strict
        A translation has to have nearly as many atoms as the best one: ordered vacancies are seen. Else it
        may lack as many as a stacking fault takes from it.
    """
    best = float(found.share.max())
    limit = best - 0.04 - 0.8 * (1.0 - best) if strict else _OF_BEST * best
    vectors = found.vectors[found.share >= max(_LEAST, limit)]
    basis = shortest(vectors) if len(vectors) else None
    if basis is None:
        return None
    for _ in range(2):
        n = np.rint(vectors @ np.linalg.inv(basis))
        fits = np.linalg.norm(vectors - n @ basis, axis=1) < 0.2 * found.scale
        if fits.sum() < 3 or np.linalg.matrix_rank(n[fits]) < 3:
            return None
        basis = np.linalg.lstsq(n[fits], vectors[fits], rcond=None)[0]
    return reduced(basis)


def shortest(vectors: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the three shortest of some vectors that span space ``(3, 3)``; None: they do not."""
    chosen: list[NDArray[np.float64]] = []
    for v in vectors[np.argsort(np.round(np.linalg.norm(vectors, axis=1), 3), kind="stable")]:
        unit = v / np.linalg.norm(v)
        axes = [c / np.linalg.norm(c) for c in chosen]
        if len(axes) == 1 and np.linalg.norm(np.cross(axes[0], unit)) < _FLAT:
            continue
        if len(axes) == 2 and abs(np.linalg.det([*axes, unit])) < _FLAT:
            continue
        chosen.append(v)
        if len(chosen) == 3:
            return np.array(chosen)
    return None


def reduced(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the three shortest vectors of a lattice as a right-handed cell ``(3, 3)``."""
    v = steps(2) @ cell
    v = v[np.linalg.norm(v, axis=1) > 1e-9]
    found = shortest(v)
    found = cell if found is None else found
    return found if np.linalg.det(found) > 0 else -found


def to_be_measured(cell: NDArray[np.float64], longest: float = np.inf) -> NDArray[np.int64]:
    """Return steps ``(t, 3)`` of the translations whose means make the lattice, one of each ± pair.

    These are all that are not longer than the longest vector of the cell (but for 2 %), at most 60; none
    longer than `longest` [Å].
    """
    n = steps(2)
    length = np.linalg.norm(n @ cell, axis=1)
    half = (n @ (25, 5, 1)) > 0
    limit = min(1.02 * float(np.linalg.norm(cell, axis=1).max()), longest)
    n, length = n[half & (length <= limit)], length[half & (length <= limit)]
    return np.asarray(n[np.argsort(length, kind="stable")][:_MOST], dtype=np.int64)


def matched(
    pairs: Pairs, cell: NDArray[np.float64], n: NDArray[np.int64], scale: float, blind: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return which pairs are along which translation.

    Parameters
    ----------
    pairs
        Pairs of atoms.
    cell
        ``(3, 3)`` [Å].
    n
        ``(t, 3)`` of :func:`to_be_measured`.
    scale
        Nearest distance of like atoms [Å].
    blind
        Species do not matter.

    Returns
    -------
    which, residual, share
        ``(m,)`` 1 … t along it, −1 … −t against it, 0: neither; ``(m, 3)`` from where the translation has
        the second atom [Å]; ``(atoms,)`` part of the translations, to both sides, that an atom has.
    """
    step = np.rint(pairs.vectors @ np.linalg.inv(cell)).astype(np.int64)
    residual = pairs.vectors - step @ cell
    close = (residual**2).sum(axis=1) < (NEAR * scale) ** 2
    close &= (np.abs(step) <= 2).all(axis=1)
    if not blind:
        close &= pairs.like
    number = np.zeros((5, 5, 5), dtype=np.int64)
    for k, step_k in enumerate(n):
        number[tuple(step_k + 2)], number[tuple(2 - step_k)] = k + 1, -k - 1
    which = np.where(close, number[tuple(np.clip(step, -2, 2).T + 2)], 0)
    has = np.bincount(pairs.first[which != 0], minlength=pairs.atoms)
    return which, residual, has / (2.0 * max(len(n), 1))
