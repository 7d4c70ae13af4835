# SPDX-License-Identifier: BSD-3-Clause
"""Bragg reflections of a sample: the nodes of its box that outshine all others.

The peaks of a powder pattern are as broad as the box is small, so that those of some thousand atoms
overlap. But a crystal that fits a periodic box scatters into few nodes, about as many times brighter than
the others as there are atoms. Their places are known exactly, whatever the size of the box: sharp lines,
without the thermal diffuse scattering, and none of a melt.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from insitu.diffraction.scattering.form_factors import scattering_factors
from insitu.diffraction.scattering.mesh import MOST_NODES, Slab, amplitudes

#: Reflections are looked for up to this Q times (V/N)^(1/3): of fcc and bcc twelve lines or more.
_REACH = 26.0
#: |F|²/N of a node of a disordered sample is that of an atom, times S(Q), with the exponential
#: distribution: so many times that of an atom it is on one node in 10^5 at most, in the first ring of a
#: melt.
_BRIGHTEST = 30.0
#: Nodes beside a reflection have less than this part of N <f²>, by thermal diffuse scattering.
_LEAST = 0.003
#: A lattice is spanned by three of so many shortest reflections that have this part of the brightest's
#: intensity; what is so near to it (in indices) is on it.
_TRIED, _STRONG, _NEAR = 24, 0.02, 0.12
_INDEX = 1 << 14  # beyond all indices


def reach(volume: float, atoms: float) -> float:
    """Return up to which Q reflections are looked for [1/Å].

    Parameters
    ----------
    volume
        Of the periodic box [Å³].
    atoms
        Number of atoms.
    """
    most = 2.0 * np.pi * (0.99 * MOST_NODES / (4.0 * volume)) ** (1 / 3)
    return float(min(_REACH * (max(atoms, 1.0) / volume) ** (1 / 3), most))


def bright_nodes(
    fractional: NDArray[np.float64], kinds: NDArray[np.int64], elements: Sequence[str],
    cell: NDArray[np.float64], slabs: Sequence[Slab], radiation: str, q_max: float, threads: int = 1,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the nodes of some slabs that are brighter than any of a disordered sample.

    Parameters
    ----------
    fractional
        ``(n, 3)`` fractional coordinates of all atoms.
    kinds
        ``(n,)`` index into `elements`.
    elements
        Symbols.
    cell
        ``(3, 3)`` vectors of the periodic box as rows [Å].
    slabs
        Of h ≥ 0.
    radiation
        ``xray``, ``neutron`` or ``electron``.
    q_max
        Largest Q [1/Å].
    threads
        OpenMP threads of the transform.

    Returns
    -------
    nodes
        ``(k, 4)``: h, k, l, and intensity |F|²/N; also that of Q = 0.
    """
    parts = [fractional[kinds == k] for k in range(len(elements))]
    atoms = max(len(fractional), 1)
    table = np.linspace(0.0, q_max, 1024)
    factors = scattering_factors(elements, table, radiation)
    mean = np.array([len(p) for p in parts]) @ factors**2 / atoms
    least = max(_BRIGHTEST, _LEAST * atoms)
    found = [np.zeros((0, 4))]
    for slab in slabs:
        f_of = [amplitudes(part, slab, threads) for part in parts]
        for row, (h, square) in enumerate(slab.squares(cell)):
            q = 2.0 * np.pi * np.sqrt(np.maximum(square, 0.0))
            # No node is brighter than if all atoms of each element scattered as one.
            most = sum(np.abs(a[row]) * f.max() for a, f in zip(f_of, np.abs(factors), strict=True))
            those = (most**2 > least * atoms * mean.min()) & (q <= q_max)
            if not those.any():
                continue
            q = q[those]
            total = sum(
                np.interp(q, table, f) * a[row][those] for a, f in zip(f_of, factors, strict=True)
            )
            intensity = np.abs(total) ** 2 / atoms
            bright = intensity > least * np.interp(q, table, mean)
            kl = np.argwhere(those)[bright] + np.array(slab.low[1:])
            found.append(np.column_stack([np.full(len(kl), h), kl, intensity[bright]]))
        del f_of
    return np.concatenate(found)


def reflections(nodes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Bragg reflections of the whole reciprocal space: h, k, l ``(m, 3)``, intensities ``(m,)``.

    Of a particle, a film or a grain a reflection is spread over some nodes. Each node belongs to the
    brightest one that is reached uphill from neighbour to neighbour; h, k, l are those of the centroid.

    Parameters
    ----------
    nodes
        ``(k, 4)`` of :func:`bright_nodes`, h ≥ 0.
    """
    half = nodes[:, 0] > 0
    every = np.concatenate([nodes, nodes[half] * np.array([-1.0, -1.0, -1.0, 1.0])])
    if not len(every):
        return np.zeros((0, 3)), np.zeros(0)
    weights = np.array([1 << 30, 1 << 15, 1])
    code = (every[:, :3].astype(np.int64) + _INDEX) @ weights
    order = np.argsort(code)
    every, code = every[order], code[order]
    intensity = every[:, 3]
    uphill, best = np.arange(len(code)), intensity.copy()
    for step in product((-1, 0, 1), repeat=3):
        there = code + np.array(step) @ weights
        at = np.minimum(np.searchsorted(code, there), len(code) - 1)
        higher = (code[at] == there) & (intensity[at] > best)
        uphill[higher], best[higher] = at[higher], intensity[at[higher]]
    while (uphill != uphill[uphill]).any():
        uphill = uphill[uphill]
    total = np.bincount(uphill, intensity, minlength=len(code))
    moment = [np.bincount(uphill, intensity * every[:, a], minlength=len(code)) for a in range(3)]
    # But for the one around Q = 0, which is of the outline.
    tops = np.flatnonzero((total > 0) & every[:, :3].any(axis=1))
    return np.stack(moment, axis=1)[tops] / total[tops, None], total[tops].astype(np.float64)


def vectors(hkl: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scattering vectors Q ``(m, 3)`` of reflections [1/Å].

    Parameters
    ----------
    hkl
        ``(m, 3)``.
    cell
        ``(3, 3)`` vectors of the periodic box as rows [Å].
    """
    found: NDArray[np.float64] = 2.0 * np.pi * hkl @ np.linalg.inv(cell).T
    return found


def one_lattice(q: NDArray[np.float64], intensity: NDArray[np.float64]) -> float:
    """Return which part of the intensity is on one lattice: 1 of a single crystal, less of several.

    Three of the shortest reflections span the lattice; of all such choices the one that explains most
    counts.

    Parameters
    ----------
    q
        ``(m, 3)`` scattering vectors [1/Å].
    intensity
        ``(m,)``.
    """
    if not len(q):
        return 0.0
    length = np.linalg.norm(q, axis=1)
    strong = np.flatnonzero(intensity > _STRONG * intensity.max())
    short: list[NDArray[np.float64]] = []
    for one in q[strong[np.argsort(length[strong], kind="stable")]]:
        apart = [min(np.linalg.norm(one - b), np.linalg.norm(one + b)) for b in short]
        if min(apart, default=np.inf) > 0.1 * np.linalg.norm(one):
            short.append(one)
        if len(short) == _TRIED:
            break
    if len(short) < 3:
        return 0.0
    spans = np.array(short)[np.array(list(combinations(range(len(short)), 3)))]
    flat = np.abs(np.linalg.det(spans)) < 0.15 * np.linalg.norm(spans, axis=2).prod(axis=1)
    best = 0.0
    for inverse in np.array_split(np.linalg.inv(spans[~flat]), 8):
        h = np.einsum("mi,nij->nmj", q, inverse)
        on_it = (np.abs(h - np.rint(h)) < _NEAR).all(axis=2)
        best = max(best, float((on_it @ intensity).max(initial=0.0)))
    return best / float(intensity.sum())
