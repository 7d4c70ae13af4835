# SPDX-License-Identifier: BSD-3-Clause
"""Lattices that explain the lines of a powder pattern, monoclinic and higher, by trial of small indices.

The lowest lines get small indices in all ways that matter; each choice gives a lattice. A lattice is
scored by
how improbable it is that as dense a set of lines as its own explains as many of the observed ones by chance
(the idea of de Wolff's figure of merit). The best are refined together with the zero of the angle.
"""

from dataclasses import dataclass

import numpy as np

from insitu.diffraction.lattices import monoclinic, monoclinic_search, small_indices
from insitu.diffraction.lattices.lattice_fit import (
    CHANCE,
    DENSITY,
    FREE,
    HELD,
    UNEXPLAINED,
    volume,
)
from insitu.diffraction.lattices.small_indices import different
from insitu.diffraction.patterns.grid import REFERENCE, Array
from insitu.diffraction.patterns.lines import Lines

#: Kinds of lattices, in the order of the search.
KINDS = ("orthorhombic", "tetragonal", "hexagonal", "cubic", "monoclinic")
#: Score for each line above which a lattice is clear, and no monoclinic one is looked for.
CLEAR = 2.8
LINES = 20  # lowest lines that a lattice is judged by
TOLERANCE = 0.07  # of a line in the search [degrees]
SHORTEST, LONGEST = 2.3, 36.0  # axes [Å]


@dataclass(frozen=True)
class Lattice:
    """A lattice that explains lines.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    abc : array, shape (3,)
        A, B, C of 1/d^2 = A h^2 + B k^2 + C l^2 (hexagonal: A (h^2 + hk + k^2)) [1/Å^2]; monoclinic, shape
        (4,): also D, of D h l.
    zero : float
        Error of the angles [degrees].
    score : float
        Larger is better.
    """

    kind: str
    abc: Array
    zero: float
    score: float


def to_q(angles: Array) -> Array:
    """1/d^2 [1/Å^2] of 2theta [degrees]."""
    return (2 * np.sin(np.radians(angles) / 2) / REFERENCE) ** 2


def to_angle(q: Array) -> Array:
    """2theta [degrees] of 1/d^2 [1/Å^2]."""
    return 2 * np.degrees(np.arcsin(np.minimum(np.sqrt(q) * REFERENCE / 2, 1.0)))


def _slope(angles: Array) -> Array:
    """d(1/d^2) / d(2theta) [1/Å^2 a degree]."""
    return np.radians(2 * np.sin(np.radians(angles)) / REFERENCE**2)


def _weights(heights: Array) -> Array:
    """How much lines count: weak ones may be of something else."""
    return np.clip(0.4 + heights / 0.08, 0, 1)


def _strong(heights: Array) -> Array:
    """Which lines candidates are made of: not faint ones, if there are enough others."""
    strong = heights > 0.03
    return strong if strong.sum() >= 6 else np.ones(len(heights), dtype=bool)


def predicted(kind: str, abc: Array, q_max: float) -> tuple[Array, Array]:
    """Return indices, shape (n, 3), and 1/d^2 of the lines of a primitive lattice.

    They are not negative, but for l of monoclinic ones.
    """
    if kind == "monoclinic":
        return monoclinic.lines_of(abc, q_max)
    scale = 4 / 3 if kind == "hexagonal" else 1.0
    top = np.floor(np.sqrt(q_max / abc * scale)).astype(int)
    top = np.minimum(top, 40)
    h, k, l = (v.ravel() for v in np.meshgrid(*(np.arange(t + 1) for t in top), indexing="ij"))  # noqa: E741
    cross = h * k * abc[0] if kind == "hexagonal" else 0
    q = h * h * abc[0] + k * k * abc[1] + l * l * abc[2] + cross
    fine = (q > 0) & (q <= q_max)
    if kind in ("tetragonal", "hexagonal"):
        fine &= h >= k
    if kind == "cubic":
        fine &= (h >= k) & (k >= l)
    hkl = np.stack([h, k, l], 1)[fine]
    order = np.argsort(q[fine])
    return hkl[order], q[fine][order]


def _design(kind: str, hkl: Array) -> Array:
    """Return derivatives of 1/d^2 by the free constants, shape (n, m)."""
    h, k, l = hkl.T.astype(float)  # noqa: E741
    if kind == "cubic":
        return np.asarray((h * h + k * k + l * l)[:, None])
    if kind == "orthorhombic":
        return np.stack([h * h, k * k, l * l], 1)
    if kind == "monoclinic":
        return np.stack([h * h, k * k, l * l, h * l], 1)
    return np.stack([h * h + k * k + (h * k if kind == "hexagonal" else 0), l * l], 1)


def refine(
    kind: str, abc: Array, angles: Array, heights: Array, zero: float = 0.0
) -> tuple[Array, float, float]:
    """Least squares of constants and zero; returns constants, zero [degrees], score."""
    q, slope = to_q(angles), _slope(angles)
    for tolerance in (0.07, 0.045):
        hkl, lines = predicted(kind, abc, q[-1] * 1.02)
        if not len(lines):
            return abc, 0.0, -np.inf
        at = np.clip(np.searchsorted(lines, q - zero * slope), 1, max(len(lines) - 1, 1))
        at = np.minimum(at, len(lines) - 1)
        before = np.maximum(at - 1, 0)
        nearest = np.where(
            np.abs(lines[before] - (q - zero * slope)) < np.abs(lines[at] - (q - zero * slope)),
            before,
            at,
        )
        miss = q - zero * slope - lines[nearest]
        good = np.abs(miss) < tolerance * slope
        design = _design(kind, hkl[nearest[good]])
        size = design.shape[1]
        if good.sum() < size + 2:
            break
        weight = 1 / slope[good]
        # The zero is held near 0, else few lines would decide it.
        full = np.vstack(
            [np.column_stack([design, slope[good]]) * weight[:, None], [0.0] * size + [HELD]]
        )
        solution = np.linalg.lstsq(full, np.append(q[good] * weight, 0.0), rcond=None)[0]
        if (solution[: min(size, 3)] <= 0).any():
            break
        if kind == "monoclinic" and monoclinic.squared_volume(solution[None, :4])[0] <= 0:
            break
        abc = solution[:size][FREE[size]]
        zero = float(solution[size])
    return abc, zero, _score(kind, abc, q - zero * slope, slope, _weights(heights))


def _score(kind: str, abc: Array, q: Array, slope: Array, weight: Array) -> float:
    """How much better than by chance a lattice explains lines, with the centring that does so best."""
    hkl, lines = predicted(kind, abc, float(q[-1]) * 1.02)
    if not len(lines):
        return -np.inf
    near = 0.04 * slope
    usual = DENSITY[kind] * np.sqrt(np.maximum(q, 0)) / volume(kind, abc[None])[0] * 2 * near
    best = -np.inf
    for allowed in _centrings(kind, hkl):
        if allowed.any():
            own = np.concatenate([[-np.inf], lines[allowed], [np.inf]])
            after = np.searchsorted(own, q)
            miss = np.minimum(q - own[after - 1], own[after] - q)
            chance = np.clip(usual * allowed.mean(), *CHANCE)
            best = max(best, float(np.where(miss < near, -np.log(chance), -UNEXPLAINED) @ weight))
    return best


def _centrings(kind: str, hkl: Array) -> list[Array]:
    """Which lines each centring of a lattice allows, the primitive one first."""
    h, k, l = hkl.T  # noqa: E741
    every = np.ones(len(hkl), dtype=bool)
    body = (h + k + l) % 2 == 0
    sides = [(k + l) % 2 == 0, (h + l) % 2 == 0, (h + k) % 2 == 0]
    if kind == "hexagonal":  # obverse and reverse
        return [every, ((k - h + l) % 3 == 0) | ((h - k + l) % 3 == 0)]
    if kind == "tetragonal":
        return [every, body]
    if kind == "monoclinic":
        return [every, body, sides[0], sides[2]]
    face = sides[0] & sides[1]
    return [every, body, face] if kind == "cubic" else [every, body, face, *sides]


def index(lines: Lines, kind: str, keep: int = 6, thorough: bool = True) -> list[Lattice]:
    """Best lattices of a kind for the lines of a pattern.

    Parameters
    ----------
    lines : Lines
    kind : str
        One of `KINDS`.
    keep : int
        How many at most.
    thorough : bool
        An orthorhombic lattice is looked for more thoroughly where none is clear.

    Returns
    -------
    list of Lattice
        Best first; empty where there are fewer than three lines.
    """
    angles, heights = lines.angles[:LINES], lines.heights[:LINES]
    if len(angles) < 3:
        return []
    # One constant cannot take up an error of the zero in the search.
    found: list[Lattice] = []
    for zero in (0.0, -0.1, 0.1) if kind == "cubic" else (0.0,):
        found += _refined(kind, _search(kind, angles - zero, heights, keep), angles, heights, zero)
    best = max((lattice.score for lattice in found), default=-np.inf)
    if thorough and kind == "orthorhombic" and best < CLEAR * len(angles):
        found += _refined(kind, _search(kind, angles, heights, keep, True), angles, heights)
    # Of lattices with the same score, which differ by rounding only, the one with the smallest cell.
    found.sort(key=lambda lattice: (-round(lattice.score, 6), -volume(kind, lattice.abc[None])[0]))
    chosen = different(np.array([lattice.abc for lattice in found]), keep) if found else []
    return [found[i] for i in chosen]


def _refined(
    kind: str, rows: Array, angles: Array, heights: Array, zero: float = 0.0
) -> list[Lattice]:
    found = []
    for row in rows:
        constants, shift, score = refine(kind, row, angles, heights, zero)
        if kind == "monoclinic":  # indices are those on the cell that is shown
            constants = monoclinic.reduced(constants[None])[0]
        if np.isfinite(score):
            found.append(Lattice(kind, constants, shift, score))
    return found


def _search(kind: str, angles: Array, heights: Array, keep: int, thorough: bool = False) -> Array:
    """Constants of the most promising lattices, more than are kept."""
    q, slope, weight = to_q(angles), _slope(angles), _weights(heights)
    strong = _strong(heights)
    if kind == "monoclinic":
        most = 12 * len(q)
        return monoclinic_search.search(
            q, slope, weight, strong, TOLERANCE, SHORTEST, LONGEST, most, 3 * keep
        )
    return small_indices.search(
        kind, q, slope, weight, strong, TOLERANCE, SHORTEST, LONGEST, keep, thorough
    )
