# SPDX-License-Identifier: BSD-3-Clause
"""Fingerprints of atoms' surroundings, alike in one crystal, and the kinds that they fall into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.bond_order import Bonds, bonds, lengths
from insitu.frame.neighbors.search import Neighbors

#: Neighbours that make up an atom's surroundings, the harmonics of their directions, and the parts of
#: them whose mean distance is compared with that of all.
_NUMBER, DEGREES, PARTS = 14, (4, 6, 8, 10, 12), (4, 8, 12)
#: Length of a fingerprint.
WIDTH = len(DEGREES) + len(PARTS)
#: Distance of fingerprints up to which atoms are of one kind when kinds are looked for, and up to which
#: an atom is counted to the nearest kind. Within a crystal displaced by 5 % of the nearest distance 99 %
#: of the fingerprints are within 0.05 of their mean, sites of all kinds together; the means of different
#: crystals lie 0.05 to 0.25 apart.
_ALIKE, _NEAREST = 0.05, 0.08
#: Fingerprints that move a kind's centre.
_FEW = 5
#: Atoms whose bonds are in memory at a time.
_BLOCK = 4096


def fingerprints(
    neighbors: Neighbors, places: NDArray[np.int32], atoms: NDArray[np.int32],
    unknown: NDArray[np.bool_], with_ghosts: Callable[[NDArray[Any]], NDArray[Any]],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the fingerprints ``(n, 8)`` of some atoms; NaN where they have too few neighbours; collective.

    Parameters
    ----------
    neighbors
        The search over the frame.
    places, atoms
        ``(n,)`` where the atoms are in the cell order, and their indices.
    unknown
        ``(n_local + n_ghost,)`` over which of all atoms means are taken.
    with_ghosts
        Gives the values of the owned atoms to their ghosts; it is called twice.

    References
    ----------
    W. Lechner and C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970, for the q_l that
    they are made of.
    """
    everyone = neighbors.frame.n_local
    own = np.zeros((everyone, sum(2 * d + 1 for d in DEGREES)), dtype=np.float32)
    parts, kept = np.full((len(atoms), len(PARTS)), np.nan), []
    for at in range(0, len(atoms), _BLOCK):
        some = slice(at, at + _BLOCK)
        b = bonds(neighbors, neighbors.cutoff, places[some], atoms[some], _NUMBER)
        own[atoms[some]] = b.moments(DEGREES)
        parts[some] = _distances(b)
        kept.append((some, Bonds(b.counts, b.others, b.weights * unknown[b.others], b.vectors)))
    everywhere = with_ghosts(own)
    found = np.zeros((everyone, WIDTH), dtype=np.float32)
    for some, b in kept:
        moments = b.averaged(own[atoms[some]], everywhere)
        found[atoms[some]] = np.hstack([lengths(moments, DEGREES), np.nan_to_num(parts[some])])
    everywhere = with_ghosts(found)
    mean = np.zeros((len(atoms), WIDTH))
    for some, b in kept:
        mean[some] = b.averaged(found[atoms[some]], everywhere)
    mean[np.isnan(parts[:, 0])] = np.nan
    return mean


def nearest(prints: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which centre ``(n,)`` of kinds ``(k, 8)`` fingerprints ``(n, 8)`` are near, −1: none."""
    with np.errstate(invalid="ignore"):
        away = np.linalg.norm(prints[:, None] - centers[None], axis=2)
    away[np.isnan(away)] = np.inf
    found: NDArray[np.int64] = away.argmin(axis=1)
    found[away.min(axis=1) > _NEAREST] = -1
    return found


def _distances(b: Bonds) -> NDArray[np.float64]:
    """Return mean distances ``(n, 3)`` of the nearest 4, 8 and 12 in units of the mean of 14."""
    distance = np.linalg.norm(b.vectors, axis=1)
    found = np.full((len(b.counts), len(PARTS)), np.nan)
    enough = b.counts >= _NUMBER
    begin = (np.cumsum(b.counts) - b.counts)[enough]
    nearest = distance[begin[:, None] + np.arange(_NUMBER)]
    found[enough] = np.stack([nearest[:, :p].mean(axis=1) for p in PARTS], axis=1)
    found[enough] /= nearest.mean(axis=1, keepdims=True)
    return found


def moved(
    before: NDArray[np.float64], table: NDArray[np.float64], least: float
) -> NDArray[np.float64]:
    """Return the centres ``(k, 8)`` of the kinds in a sample of fingerprints ``(n, 8)``.

    Those that are known move to the mean of what is near them; then, as long as there is a free one, the
    fingerprint with the most others near it, `least` at least, begins a new one.
    """
    centers, left = before.copy(), np.ones(len(table), dtype=bool)
    known = np.flatnonzero(np.isfinite(centers[:, 0]))
    if len(known) and len(table):
        away = np.linalg.norm(table[:, None] - centers[None, known], axis=2)
        mine = known[away.argmin(axis=1)]
        left = away.min(axis=1) > _NEAREST
        for k in known:
            own = (mine == k) & (away.min(axis=1) <= _ALIKE)
            if own.sum() >= _FEW:
                centers[k] = table[own].mean(axis=0)
    for k in np.flatnonzero(np.isnan(centers[:, 0])):
        some = table[left]
        if len(some) < max(least, _FEW):
            break
        near = np.linalg.norm(some[:, None] - some[None], axis=2) <= _ALIKE
        first = int(near.sum(axis=1).argmax())
        if near[first].sum() < max(least, _FEW):
            break
        center = some[near[first]].mean(axis=0)
        members = np.linalg.norm(some - center, axis=1) <= _ALIKE
        centers[k] = some[members].mean(axis=0) if members.sum() >= _FEW else center
        left[left] = np.linalg.norm(some - centers[k], axis=1) > _NEAREST
    return centers
