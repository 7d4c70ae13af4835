# SPDX-License-Identifier: BSD-3-Clause
"""Which sites of a crystal are those of a class: comparison of their surroundings as point sets.

A site belongs to a class if the vectors to its neighbours are those of the class's lattice after an
affine map: a strained lattice is still its class, a lattice whose atoms are shuffled is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.copies import Crystal, nearest, neighbors_of, of_class

#: Neighbours that make up a class's surroundings: whole shells.
_SHELLS = {
    "fcc": 18, "bcc": 14, "hcp": 18, "cubic_diamond": 16, "hexagonal_diamond": 17, "sc": 18,
}  # fmt: skip
#: Neighbours of a site among which they are sought.
_SOUGHT = 34
#: Starting rotations that are followed; of those that map two neighbours on two of the class's.
_STARTS = 40
#: Determinant below which a map is flat, and residuals that count as equal.
_FLAT, _EQUAL = 0.2, 0.01
#: Strain of the fit of fcc or bcc beyond which it does not count: they lie 0.283 apart (Bain), and the
#: other one fits better there.
_BAIN = 0.24
#: No further atom may lie within the outermost shell, widened by this.
_FREE = 1.06
#: Root mean square difference of sorted distances, in units of their mean, beyond which no strain of up
#: to 15 % along two axes makes a class of a site.
_FAR = 0.16
#: Residual and strain up to which a site is a class's, and from which on it is surely none.
_SAME, _OTHER = (0.025, 0.22), (0.11, 0.34)
#: Distances that tell crystals apart, and how far the same ones' may differ [(volume an atom)^(1/3)].
_DISTANCES, _AGREE = 24, 0.05
#: Greatest relative difference of two lengths that a starting rotation maps on one another.
_APART = 0.32


@cache
def _template(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return a class's neighbours ``(k, 3)``, the pseudo-inverse ``(3, k)`` and the nearest distance."""
    v = neighbors_of(*of_class(name), 0, _SHELLS[name])
    inverse = np.linalg.pinv(v).astype(np.float64)
    return v, inverse, float(np.linalg.norm(v, axis=1).min())


def _triads(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return right-handed orthonormal axes ``(n, 3, 3)`` from two vectors ``(n, 3)`` each."""
    e = a / np.linalg.norm(a, axis=1, keepdims=True)
    g = np.cross(e, b)
    g /= np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-9)
    return np.stack([e, np.cross(g, e), g], axis=1)


def affine_fit(vectors: NDArray[np.float64], name: str) -> tuple[float, float]:
    """Fit a class's surroundings to a site's neighbours by an affine map.

    Parameters
    ----------
    vectors
        ``(m, 3)`` to the nearest neighbours of the site, as
        :func:`~insitu.frame.lattices.copies.neighbors_of` returns.
    name
        Key of ``LATTICES``.

    Returns
    -------
    residual, strain
        Root mean square distance of neighbours from where the map puts them, in units of the
        class's nearest distance, and the norm of the map's deviatoric logarithmic strain; both
        infinite where no map gives each of them a neighbour of its own.
    """
    t, inverse, width = _template(name)
    k, length = len(t), np.linalg.norm(t, axis=1)
    size = np.linalg.norm(vectors, axis=1)
    p = vectors * (length.mean() / size[:k].mean())
    size = np.linalg.norm(p, axis=1)
    # Two of the class's nearest at an angle, and the pairs of neighbours that look like them.
    second = int(
        np.argmax((np.abs(t[:k] @ t[0]) < 0.8 * length[0] * length) & (length < 1.3 * width))
    )
    i, j = (g.ravel() for g in np.meshgrid(np.arange(k), np.arange(k), indexing="ij"))
    wrong = np.maximum(
        np.maximum(np.abs(size[i] / length[0] - 1), np.abs(size[j] / length[second] - 1)),
        np.abs(np.linalg.norm(p[i] - p[j], axis=1) / np.linalg.norm(t[0] - t[second]) - 1),
    )
    wrong[i == j] = np.inf
    chosen = np.argsort(wrong, kind="stable")[:_STARTS]
    chosen = chosen[wrong[chosen] < _APART]
    if not len(chosen):
        return np.inf, np.inf
    own = _triads(t[None, 0], t[None, second])[0]
    maps = own.T @ _triads(p[i[chosen]], p[j[chosen]])  # rows of t times it
    for _ in range(4):
        at = t @ maps
        d = (at**2).sum(-1)[:, :, None] + (p**2).sum(-1) - 2 * at @ p.T
        mine = d.argmin(axis=2)
        maps = inverse @ p[mine]
    away = t @ maps - p[mine]
    residual = np.sqrt((away**2).sum(-1).mean(axis=1)) / width
    ordered = np.sort(mine, axis=1)
    residual[(np.diff(ordered, axis=1) == 0).any(axis=1)] = np.inf
    residual[np.abs(np.linalg.det(maps)) < _FLAT] = np.inf
    if not np.isfinite(residual).any():
        return np.inf, np.inf
    # A lattice is mapped on itself by large strains too: of equally good maps the smallest counts.
    good = np.flatnonzero(residual <= residual.min() + _EQUAL)
    stretch = np.log(np.linalg.svd(maps[good], compute_uv=False))
    strain = np.linalg.norm(stretch - stretch.mean(axis=1, keepdims=True), axis=1)
    first = int(strain.argmin())
    best = int(good[first])
    other = np.ones(len(p), dtype=bool)
    other[mine[best]] = False
    back = np.linalg.norm(p[other] @ np.linalg.inv(maps[best]), axis=1)
    if len(back) and back.min() < _FREE * length.max():
        return np.inf, np.inf
    return float(residual[best]), float(strain[first])


def nearest_class(vectors: NDArray[np.float64], most: float) -> tuple[str, float, float]:
    """Return the class whose surroundings fit a site best, the residual, and the strain of the fit.

    Parameters
    ----------
    vectors
        To the site's neighbours, as of :func:`~insitu.frame.lattices.copies.neighbors_of`.
    most
        Strain beyond which a fit does not count.
    """
    length, found = np.linalg.norm(vectors, axis=1), []
    for name, k in _SHELLS.items():
        own = np.linalg.norm(_template(name)[0], axis=1)
        d = length[:k] / length[:k].mean() - own / own.mean()
        if np.sqrt((d**2).mean()) < _FAR:
            found.append((name, *affine_fit(vectors, name)))
    usable = [f for f in found if f[2] <= (min(most, _BAIN) if f[0] in ("fcc", "bcc") else most)]
    return min(usable, key=lambda f: f[1] + 0.1 * f[2]) if usable else ("", np.inf, np.inf)


def labels_of(
    sites: NDArray[np.float64], cell: NDArray[np.float64], other: str
) -> NDArray[np.str_]:
    """Return a label for each site ``(n,)``: `other`, or ``""`` where it may be a site of a class.

    A crystal all of whose sites are of one class is that class, strained.
    """
    vectors = [neighbors_of(sites, cell, k, _SOUGHT) for k in range(len(sites))]
    known: dict[tuple[float, ...], tuple[str, bool]] = {}
    found = []
    for v in vectors:
        key = tuple(np.round(np.linalg.norm(v, axis=1), 3).tolist())
        if key not in known:  # sites that symmetry maps on one another
            name, residual, strain = nearest_class(v, _OTHER[1])
            sure = residual <= _SAME[0] and strain <= _SAME[1]
            known[key] = (name if residual < _OTHER[0] else other, sure)
        found.append(known[key])
    names = {name for name, _ in found}
    if len(names) == 1 and other not in names and all(sure for _, sure in found):
        return np.full(len(sites), names.pop(), dtype="<U17")
    return np.array([other if name == other else "" for name, _ in found], dtype="<U17")


class Prints:
    """The sites of some crystals, to tell whether another crystal is one of them.

    Two crystals are the same if each site of one has a site of the other whose 24 nearest distances
    agree within `_AGREE`.

    Parameters
    ----------
    crystals
        That must not be found again.
    """

    def __init__(self, crystals: Iterable[Crystal]) -> None:
        parts = [self._of(c) for c in crystals]
        self._rows = np.concatenate(parts) if parts else np.empty((0, _DISTANCES))
        self._owner = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
        self._count = np.array([len(p) for p in parts])

    @staticmethod
    def _of(crystal: Crystal) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = np.unique(np.round(nearest(*crystal, _DISTANCES), 3), axis=0)
        return rows

    def __contains__(self, crystal: Crystal) -> bool:
        alike = np.array(
            [np.abs(self._rows - own).max(axis=1) < _AGREE for own in self._of(crystal)]
        )
        found = np.bincount(self._owner, alike.any(axis=0), len(self._count)) == self._count
        return any(
            bool(alike[:, self._owner == k].any(axis=1).all()) for k in np.flatnonzero(found)
        )
