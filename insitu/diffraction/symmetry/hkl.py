# SPDX-License-Identifier: BSD-3-Clause
"""Indices of lines on a lattice, those first that an extinction group allows."""

import numpy as np

from insitu.diffraction.lattices.indexing import Lattice, predicted, to_angle, to_q
from insitu.diffraction.patterns.grid import Array
from insitu.diffraction.symmetry.extinctions import allowed, equivalents, settings

#: Farthest that a line is from its place [degrees of Cu K-alpha1].
_FARTHEST = 0.1


def indices(angles: Array, lattice: Lattice, conditions: str) -> Array:
    """Return h, k, l of lines.

    Parameters
    ----------
    angles : array, shape (n,)
        2theta of Cu K-alpha1 [degrees].
    lattice : Lattice
    conditions : str
        Of an `ExtinctionGroup` of this lattice; "": all lines are allowed. Of the choices of axes
        (`settings`) that is taken which leaves the fewest lines without indices.

    Returns
    -------
    array of int, shape (n, 3)
        Of equivalent ones that with the largest h, then k; 0, 0, 0 where no allowed line is near. Where
        several lines are at one place (333 and 511), the one with the largest h.
    """
    found = np.zeros((len(angles), 3), dtype=np.int64)
    if not len(angles):
        return found
    hkl, q = predicted(lattice.kind, lattice.abc, float(to_q(np.array(angles.max() + 1.0))))
    if not len(hkl):
        return found
    where = to_angle(q) + lattice.zero
    images = np.array([hkl @ m for m in equivalents(lattice.kind)])
    rank = np.lexsort(hkl.T[::-1]).argsort()
    for setting in settings(lattice.kind):
        may = np.array([allowed(conditions, image @ setting) for image in images]).any(0)
        away = np.where(may, np.abs(angles[:, None] - where), np.inf)
        nearest = away.min(axis=1, keepdims=True)
        # Lines at one place: the last in the order of h, k, l.
        tied = (away < nearest + 1e-3) & (nearest < _FARTHEST)
        best = np.where(tied, rank, -1).argmax(axis=1)
        one = np.where(tied.any(axis=1)[:, None], hkl[best], 0)
        if one.any(axis=1).sum() > found.any(axis=1).sum():
            found = one
    return found
