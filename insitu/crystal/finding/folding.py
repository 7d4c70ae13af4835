# SPDX-License-Identifier: BSD-3-Clause
"""A crystal's basis: all atoms folded into one cell, and the mean of those that fall on one site."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Radius within which atoms belong to a site, in units of the nearest distance of the crystal's atoms.
_SITE = 0.5
#: Part of the cells that have to have an atom on a site.
_OCCUPIED = 0.5
#: Most sites of a cell.
MOST_SITES = 200


@dataclass(frozen=True)
class Basis:
    """The sites of a cell.

    Parameters
    ----------
    sites
        ``(s, 3)`` fractional coordinates.
    kinds
        ``(s,)`` species of most of its atoms.
    purity, occupancy
        ``(s,)`` part of its atoms that are of this species, and part of the cells that have one there.
    species, shares
        ``(t,)`` all species, and ``(s, t)`` what part of each site's atoms they are.
    counts
        ``(s,)`` atoms on the site.
    deviation
        Root mean square distance of the atoms from their sites [Å].
    left
        Part of the atoms that is on no site.
    nearest
        Shortest distance of two sites [Å].
    """

    sites: NDArray[np.float64]
    kinds: NDArray[np.int64]
    purity: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    species: NDArray[np.int64]
    shares: NDArray[np.float64]
    counts: NDArray[np.int64]
    deviation: float
    left: float
    nearest: float

    @property
    def error(self) -> float:
        """Standard error of a site's position in any direction, of the site with fewest atoms [Å]."""
        return self.deviation / float(np.sqrt(3.0 * max(int(self.counts.min()), 1)))


def fold(
    vectors: NDArray[np.float64], kinds: NDArray[np.int64], cell: NDArray[np.float64], near: float
) -> Basis | None:
    """Return the basis of a crystal.

    Parameters
    ----------
    vectors
        ``(n, 3)`` positions of its atoms, from any point [Å].
    kinds
        ``(n,)`` their species.
    cell
        ``(3, 3)`` its lattice [Å].
    near
        Mean distance of an atom to its nearest neighbour [Å].

    Returns
    -------
    basis
        None: the atoms do not fall on sites.
    """
    s = vectors @ np.linalg.inv(cell)
    s -= np.floor(s)
    free = np.ones(len(s), dtype=bool)
    order = np.argsort((vectors**2).sum(axis=1), kind="stable")
    radius = _SITE * near
    means: list[NDArray[np.float64]] = []
    for first in order:
        if not free[first]:
            continue
        # What is left is of no site: too few atoms for one, next to those that were found.
        few = min(0.02, _OCCUPIED / (len(means) + 1)) * len(s)
        if len(means) >= MOST_SITES or free.sum() < few:
            break
        mean = s[first]
        for _ in range(12):
            away = s[free] - mean
            away -= np.rint(away)
            close = ((away @ cell) ** 2).sum(axis=1) < radius * radius
            shift = away[close].mean(axis=0) if close.any() else np.zeros(3)
            mean = mean + shift
            if np.linalg.norm(shift @ cell) < 1e-6 * near:
                break
        inside = np.flatnonzero(free)[close]
        free[inside] = False
        free[first] = False
        means.append(mean % 1.0)
    if not means:
        return None
    sites = np.array(means)
    # Each atom to its nearest site: those near two belonged to the one that was found first.
    away, site = _nearest(s, sites, cell)
    on = (away**2).sum(axis=1) < radius * radius
    counts = np.bincount(site[on], minlength=len(sites))
    full = float(np.median(np.sort(counts)[::-1][: max(1, int(np.ceil(len(sites) / 2)))]))
    kept = counts >= _OCCUPIED * full
    if not kept.any():
        return None
    number = np.cumsum(kept) - 1
    on &= kept[site]
    site, away, of = number[site[on]], away[on], kinds[on]
    sites, counts = sites[kept], counts[kept]
    for axis in range(3):
        shift = np.bincount(
            site, weights=(away @ np.linalg.inv(cell))[:, axis], minlength=len(sites)
        )
        sites[:, axis] += shift / counts
    spread = away - np.stack(
        [np.bincount(site, weights=away[:, k], minlength=len(sites)) / counts for k in range(3)], axis=1
    )[site]  # fmt: skip
    species, of = np.unique(of, return_inverse=True)
    table = np.bincount(site * len(species) + of, minlength=len(sites) * len(species))
    table = table.reshape(len(sites), len(species))
    most = _majorities(table)
    return Basis(
        sites % 1.0, species[most].astype(np.int64), table[np.arange(len(sites)), most] / counts,
        counts / full, species.astype(np.int64), table / counts[:, None], counts,
        float(np.sqrt((spread**2).sum(axis=1).mean())), float(1.0 - on.mean()), _shortest(sites, cell),
    )  # fmt: skip


def _majorities(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which species each site is named by: that of most atoms on all sites that hold the same.

    Sites hold the same if their shares ``(s, t)`` differ by no more than chance (four standard errors): in
    a solution of equal parts each site alone would have a majority of its own.
    """
    groups: list[NDArray[np.int64]] = []
    member = []
    for row in table:
        for g, whole in enumerate(groups):
            p, n, m = whole / whole.sum(), row.sum(), whole.sum()
            error = np.sqrt(p * (1.0 - p) * (1.0 / n + 1.0 / m))
            if (np.abs(row / n - p) <= 4.0 * error).all():
                groups[g] = whole + row
                break
        else:
            g = len(groups)
            groups.append(row)
        member.append(g)
    return np.array([int(groups[g].argmax()) for g in member], dtype=np.int64)


def _nearest(
    s: NDArray[np.float64], sites: NDArray[np.float64], cell: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the vector from the nearest site to each atom ``(n, 3)`` [Å], and which it is ``(n,)``."""
    best = np.full(len(s), np.inf)
    away = np.zeros((len(s), 3))
    which = np.zeros(len(s), dtype=np.int64)
    for k, site in enumerate(sites):
        d = s - site
        d = (d - np.rint(d)) @ cell
        square = (d * d).sum(axis=1)
        nearer = square < best
        best[nearer], away[nearer], which[nearer] = square[nearer], d[nearer], k
    return away, which


def _shortest(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> float:
    """Return the shortest distance of two sites, images among them [Å]."""
    shortest = float(np.linalg.norm(cell, axis=1).min())
    for k in range(1, len(sites)):
        d = sites[k:] - sites[:-k]
        d = (d - np.rint(d)) @ cell
        shortest = min(shortest, float(np.linalg.norm(d, axis=1).min()))
    return shortest
