# SPDX-License-Identifier: BSD-3-Clause
"""Lattice frames of crystals: three lattice vectors by which directions are told, with all their ties.

The frame is the Niggli-reduced basis of the primitive cell. A lattice with symmetry has several such
bases, as many as it has operations; those that the crystal's own operations carry into each other show
the same crystal, so one of each such set is enough.

References
----------
K. Yan, C. Fu, X. Qian, X. Qian, S. Ji, ICLR 2024, arXiv:2403.11857 (lattice frames).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.crystal import spacegroup
from insitu.crystal.prediction.graph import Graph, graph
from insitu.crystal.prediction.kernel import REACH
from insitu.errors import SettingError

#: Gaussians: of a bond's length [Å], of its length in units of the sum of both radii, of its cosine to a
#: lattice vector, and of the logarithm of that vector's length in units of (volume an atom)^(1/3).
LENGTHS = np.linspace(1.0, 6.5, 20)
RELATIVE = np.linspace(0.5, 2.5, 14)
COSINES = np.linspace(-1.0, 1.0, 14)
LATTICE = np.linspace(-0.3, 2.3, 10)
#: Lengths that differ by less than this part are tied, and so are cosines that differ by it.
TIED = 0.01
#: Combinations by which reduced bases of one lattice can differ.
_STEPS = np.array([v for v in product((-1, 0, 1), repeat=3) if any(v)], dtype=np.float64)


def frames(cell: ArrayLike, rotations: ArrayLike, *, hands: int = 2) -> NDArray[np.float64]:
    """Return the lattice frames of a crystal that differ for it.

    Parameters
    ----------
    cell
        ``(3, 3)`` primitive, Niggli-reduced cell, rows are vectors [Å].
    rotations
        ``(g, 3, 3)`` Cartesian point group of the crystal, in the axes of the cell.
    hands
        2: left-handed frames as well, so that what is averaged over them is the same for mirror images;
        1: right-handed ones alone, which tell mirror images apart.

    Returns
    -------
    frames
        ``(f, 3, 3)`` [Å]: the holohedry of the lattice has f times as many operations as the crystal's
        point group.
    """
    basis = np.asarray(cell, dtype=np.float64)
    group = np.asarray(rotations, dtype=np.float64)
    every = _bases(basis)
    if hands == 1:
        every = every[np.linalg.det(every) > 0]
        group = group[np.linalg.det(group) > 0]
    near = 3 * TIED * float(np.linalg.norm(basis, axis=1).max())
    kept: list[NDArray[np.float64]] = []
    images: list[NDArray[np.float64]] = []
    for candidate in every:
        if any(bool((np.abs(i - candidate).max(axis=(1, 2)) < near).any()) for i in images):
            continue
        kept.append(candidate)
        images.append(candidate @ group.transpose(0, 2, 1))
    return np.array(kept)


def _bases(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all bases of the lattice with the metric of this one, itself first."""
    length = np.linalg.norm(basis, axis=1)
    vectors = _STEPS @ basis
    long = np.linalg.norm(vectors, axis=1)
    cosine = (basis @ basis.T) / np.outer(length, length)
    unit = vectors / long[:, None]
    between = unit @ unit.T
    rows = [np.flatnonzero(np.abs(long - length[k]) < TIED * length[k]) for k in range(3)]
    found = [
        vectors[[a, b, c]]
        for a in rows[0]
        for b in rows[1]
        if abs(between[a, b] - cosine[0, 1]) < TIED
        for c in rows[2]
        if abs(between[a, c] - cosine[0, 2]) < TIED and abs(between[b, c] - cosine[1, 2]) < TIED
    ]
    return np.array([basis, *(f for f in found if np.abs(f - basis).max() > 1e-9)])


@dataclass(frozen=True)
class FramedGraph:
    """A crystal's bonds and lattice frames.

    Parameters
    ----------
    graph
        Bonds of the primitive cell.
    frames
        ``(f, 3, 3)`` the lattice frames that differ for the crystal [Å], rows are vectors.
    """

    graph: Graph
    frames: NDArray[np.float64]


def framed_graph(
    cell: ArrayLike,
    sites: ArrayLike,
    numbers: ArrayLike,
    tolerance: float = 0.01,
    *,
    hands: int = 2,
) -> FramedGraph:
    """Return the bonds and lattice frames of a crystal's primitive cell.

    Parameters
    ----------
    cell, sites, numbers
        ``(3, 3)`` [Å], ``(n, 3)`` fractional coordinates, ``(n,)`` atomic numbers, of any cell.
    tolerance
        Of the space group, which tells the primitive cell and which frames are alike [Å].
    hands
        Of :func:`frames`.

    Raises
    ------
    SettingError
        spglib is not installed, or finds no space group.
    """
    group = spacegroup.find(cell, sites, numbers, tolerance)
    if group is None:
        raise SettingError(
            f"spglib finds no space group within tolerance={tolerance:g} Å; give another tolerance"
        )
    found = graph(group.primitive, group.primitive_sites, group.primitive_numbers, REACH)
    return FramedGraph(found, frames(group.primitive, group.rotations, hands=hands))
