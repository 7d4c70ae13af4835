# SPDX-License-Identifier: BSD-3-Clause
"""The lattice frame of a crystal: three lattice vectors by which directions are told, with all its ties.

The frame is the Niggli-reduced basis of the primitive cell. A lattice with symmetry has several such
bases, as many as it has operations; those that the crystal's own operations carry into each other show
the same crystal, so one of each such set is enough.

References
----------
K. Yan, C. Fu, X. Qian, X. Qian, S. Ji, ICLR 2024, arXiv:2403.11857 (lattice frames).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
