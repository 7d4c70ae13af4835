# SPDX-License-Identifier: BSD-3-Clause
"""Lattices that explain the lines of a powder pattern, monoclinic and higher, by trial of small indices.

The lowest lines get small indices in all ways that matter; each choice gives a lattice. A lattice is
scored by
how improbable it is that as dense a set of lines as its own explains as many of the observed ones by chance
(the idea of de Wolff's figure of merit). The best are refined together with the zero of the angle.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from insitu.diffraction.lattices import monoclinic, monoclinic_search
from insitu.diffraction.lattices.lattice_fit import (
    CHANCE,
    DENSITY,
    FREE,
    HELD,
    UNEXPLAINED,
    refined,
    scores,
    volume,
)
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


@cache
def _assignments(kind: str) -> Array:
    """Inverse matrices that take the q of some lines to the constants, shape (n, m, m)."""
    if kind == "cubic":
        sums = np.array(
            [*range(1, 7), *range(8, 15), *range(16, 23), 24, 26, 27, 30, 32], dtype=float
        )
        return (1 / sums)[:, None, None]
    if kind == "orthorhombic":
        small = [v for v in np.ndindex(3, 3, 3) if any(v) and v != (2, 2, 2)]
        small += [(3, 1, 0), (3, 0, 1), (0, 3, 1), (1, 3, 0), (0, 1, 3), (1, 0, 3)]
        small += [(4, 0, 0), (0, 4, 0), (0, 0, 4)]
        rows = np.array(small) ** 2.0
        triples = np.array([t for t in np.ndindex(*(len(rows),) * 3) if len(set(t)) == 3])
        matrices = rows[triples]
        # The axes have no order: of six permutations one is enough.
        code = matrices.transpose(0, 2, 1) @ np.array([1.0, 20.0, 400.0])
        ordered = (code[:, 0] <= code[:, 1]) & (code[:, 1] <= code[:, 2])
        matrices = matrices[ordered]
    else:
        of_plane = {
            "tetragonal": (0, 1, 2, 4, 5, 8, 9, 10), "hexagonal": (0, 1, 3, 4, 7, 9, 12),
        }[kind]  # fmt: skip
        squares = [n * n for n in range(7)]
        lines = np.array([(n, m) for n in of_plane for m in squares if 0 < n + m < 40])
        first, second = np.meshgrid(np.arange(len(lines)), np.arange(len(lines)), indexing="ij")
        matrices = np.stack([lines[first.ravel()], lines[second.ravel()]], 1).astype(float)
    regular = np.abs(np.linalg.det(matrices)) > 0.5
    return np.linalg.inv(matrices[regular])


def _weights(heights: Array) -> Array:
    """How much lines count: weak ones may be of something else."""
    return np.clip(0.4 + heights / 0.08, 0, 1)


def _strong(heights: Array) -> Array:
    """Which lines candidates are made of: not faint ones, if there are enough others."""
    strong = heights > 0.03
    return strong if strong.sum() >= 6 else np.ones(len(heights), dtype=bool)


def _candidates(kind: str, q: Array, heights: Array) -> Array:
    """Constants A, B, C of lattices from the lowest lines, shape (n, 3)."""
    last = q[min(LINES, len(q)) - 1]
    q = q[_strong(heights)]
    inverse = _assignments(kind)
    if kind == "cubic":
        a = (q[: min(8, len(q)), None] * inverse[:, 0, 0][None]).ravel()
        found = np.repeat(a[:, None], 3, axis=1)
    else:
        size = inverse.shape[1]
        reach = 6 if size == 3 else 8
        sets = np.array(list(combinations(range(min(reach, len(q))), size)))
        if not len(sets):
            return np.zeros((0, 3))
        found = np.einsum("nij,sj->sni", inverse, q[sets]).reshape(-1, size)
        if size == 2:
            found = found[:, [0, 0, 1]]
    low, high = 1 / LONGEST**2, 1 / SHORTEST**2
    scale = 4 / 3 if kind == "hexagonal" else 1.0
    fine = (found > low).all(1) & (found < high * scale).all(1)
    found = found[fine]
    # No lattice with far more lines than were seen.
    expected = DENSITY[kind] / 1.5 * last**1.5 / np.sqrt(found.prod(1))
    found = found[expected < 12 * min(LINES, len(q))]
    if len(found):
        rounded = np.rint(np.log(found) * 300).astype(np.int64) + 4096
        _, first = np.unique(rounded @ np.array([1, 1 << 14, 1 << 28]), return_index=True)
        found = found[first]
    return np.asarray(found)


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


def index(lines: Lines, kind: str, keep: int = 6) -> list[Lattice]:
    """Best lattices of a kind for the lines of a pattern.

    Parameters
    ----------
    lines : Lines
    kind : str
        One of `KINDS`.
    keep : int
        How many at most.

    Returns
    -------
    list of Lattice
        Best first; empty where there are fewer than three lines.
    """
    angles, heights = lines.angles[:LINES], lines.heights[:LINES]
    if len(angles) < 3:
        return []
    found: list[Lattice] = []
    # One constant cannot take up an error of the zero in the search.
    for zero in (0.0, -0.1, 0.1) if kind == "cubic" else (0.0,):
        for row in _search(kind, angles - zero, heights, keep):
            constants, shift, score = refine(kind, row, angles, heights, zero)
            if kind == "monoclinic":  # indices are those on the cell that is shown
                constants = monoclinic.reduced(constants[None])[0]
            if np.isfinite(score):
                found.append(Lattice(kind, constants, shift, score))
    # Of lattices with the same score, which differ by rounding only, the one with the smallest cell.
    found.sort(key=lambda lattice: (-round(lattice.score, 6), -volume(kind, lattice.abc[None])[0]))
    chosen = _different(np.array([lattice.abc for lattice in found]), keep) if found else []
    return [found[i] for i in chosen]


def _different(rows: Array, most: int) -> list[int]:
    """Which of lattices, best first, are not an earlier one with its axes in another order."""
    chosen: list[int] = []
    ordered = np.sort(rows, axis=1)
    for i, row in enumerate(ordered):
        if len(chosen) == most:
            break
        if not (np.abs(ordered[chosen] - row) < 4e-3 * row + 1e-8).all(1).any():
            chosen.append(i)
    return chosen


def _search(kind: str, angles: Array, heights: Array, keep: int) -> list[Array]:
    """Constants of the most promising lattices, more than are kept."""
    q, slope, weight = to_q(angles), _slope(angles), _weights(heights)
    tolerance = TOLERANCE * slope
    if kind == "monoclinic":
        strong = _strong(heights)
        most = 12 * len(q)
        return list(monoclinic_search.search(
            q, slope, weight, strong, TOLERANCE, SHORTEST, LONGEST, most, 3 * keep
        ))  # fmt: skip
    abc = _candidates(kind, q, heights)
    if not len(abc):
        return []
    for first, last, reach, best in ((2, 7, 4, 4000), (0, 10, 5, 400)):
        if len(abc) > best:
            part = slice(first, last)
            score = scores(kind, abc, q[part], tolerance[part], weight[part], reach)
            abc = abc[np.argsort(-score)[:best]]
    abc, zeros = refined(kind, abc, q, tolerance, slope, weight, 7)
    moved = q[None] - zeros[:, None] * slope[None]
    abc = abc[np.argsort(-scores(kind, abc, moved, 0.7 * tolerance, weight, 7))[: 8 * keep]]
    return [abc[i] for i in _different(abc, keep if kind == "cubic" else 2 * keep)]
