# SPDX-License-Identifier: BSD-3-Clause
"""Indices of the peaks of a pattern on a cell that is known, such as that of `analyze crystal`."""

import numpy as np
from numpy.typing import ArrayLike

from insitu.diffraction.patterns.grid import Array
from insitu.diffraction.symmetry.extinctions import allowed, settings
from insitu.diffraction.symmetry.found import KIND_OF
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, class_of
from insitu.errors import SettingError

#: Places are the same within this part: of them the largest h, then k, then l is taken.
_ALIKE = 1e-7


def indices_on_cell(
    q: ArrayLike, widths: ArrayLike, parameters: ArrayLike, space_group: int = 1
) -> Array:
    """Return h, k, l of the allowed line of a cell that is nearest to each peak, within half its width.

    Parameters
    ----------
    q, widths : array, shape (n,)
        Places of the peaks and their full widths [1/Å]; NaN: no peak.
    parameters : array, shape (6,)
        a, b, c [Å], alpha, beta, gamma [degrees] of the conventional cell.
    space_group : int
        1-230: its extinction group says which lines are allowed; 1: all are.

    Returns
    -------
    array of int, shape (n, 3)
        0, 0, 0 where no allowed line is that near. Which of several lines at one peak is meant the place
        alone does not say: overlapping ones have the indices of the nearest, and of equivalent ones those
        with the largest h, then k, then l.

    Raises
    ------
    SettingError
        These are no parameters of a cell, there is no such space group, or places and widths are no two
        lists of one length.

    Examples
    --------
    >>> indices_on_cell([3.006, 3.471], [0.05, 0.05], [3.62, 3.62, 3.62, 90, 90, 90], 225)
    array([[1, 1, 1],
           [2, 0, 0]])
    """
    places, full = np.asarray(q, dtype=float), np.asarray(widths, dtype=float)
    if places.ndim != 1 or places.shape != full.shape:
        raise SettingError(
            f"q and widths have shapes {places.shape} and {full.shape}; give (n,) and (n,), one a peak"
        )
    if not 1 <= space_group <= 230:
        raise SettingError(f"space_group={space_group}; give a number 1 … 230, 1 for all lines")
    found = np.zeros((len(places), 3), dtype=np.int64)
    metric = _metric(np.asarray(parameters, dtype=float))
    known = np.isfinite(places) & np.isfinite(full)
    if not known.any():
        return found
    far = float((places[known] + full[known]).max()) / (2 * np.pi)
    # |h| is at most d* a, whatever the angles.
    tops = np.floor(far * np.sqrt(np.diag(metric))).astype(int)
    hkl = np.stack(np.meshgrid(*(np.arange(-t, t + 1) for t in tops), indexing="ij"), -1)
    hkl = hkl.reshape(-1, 3)
    hkl = hkl[(hkl != 0).any(axis=1)]
    lines = 2 * np.pi * np.sqrt(np.einsum("ni,ij,nj->n", hkl, np.linalg.inv(metric), hkl))
    order = np.lexsort(hkl.T[::-1])
    hkl, lines = hkl[order], lines[order]
    group = EXTINCTION_GROUPS[class_of(space_group)]
    kind = KIND_OF.get(group.system)
    # The conditions of a group are in one choice of axes, which need not be that of the cell.
    for setting in settings(kind) if kind else (np.eye(3),):
        may = allowed(group.conditions, hkl @ setting)
        one = np.zeros_like(found)
        for k in np.flatnonzero(known):
            away = np.where(may, np.abs(lines - places[k]), np.inf)
            if away.min(initial=np.inf) <= 0.5 * full[k]:
                alike = away <= away.min() + _ALIKE * places[k]
                one[k] = hkl[np.flatnonzero(alike)[-1]]
        if one.any(axis=1).sum() > found.any(axis=1).sum():
            found = one
    return found


def _metric(parameters: Array) -> Array:
    """Return the products of the axes, shape (3, 3) [Å^2]."""
    fine = parameters.shape == (6,) and bool(
        np.isfinite(parameters).all() and (parameters > 0).all()
    )
    if fine:
        lengths = parameters[:3]
        ca, cb, cg = np.cos(np.radians(parameters[3:]))
        cosines = np.array([[1, cg, cb], [cg, 1, ca], [cb, ca, 1]])
        fine = bool(np.linalg.det(cosines) > 1e-6)
    if not fine:
        raise SettingError(
            f"parameters={parameters.tolist()} are no cell; give a, b, c in Å and alpha, beta, gamma in "
            "degrees, all of them positive, of a cell that has a volume"
        )
    return np.asarray(cosines * np.outer(lengths, lengths))
