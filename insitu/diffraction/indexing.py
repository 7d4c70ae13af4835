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

from insitu.diffraction import monoclinic
from insitu.diffraction.lines import Lines
from insitu.diffraction.pattern_grid import REFERENCE, Array

#: Kinds that the network was fitted with; "monoclinic" is indexed, too.
KINDS = ("orthorhombic", "tetragonal", "hexagonal", "cubic")
#: Density of lines in q of a primitive lattice: this times sqrt(q) over the volume of the reciprocal cell.
_DENSITY = {
    "orthorhombic": np.pi / 4,
    "tetragonal": np.pi / 8,
    "hexagonal": np.pi / 12,
    "cubic": np.pi / 24,
    "monoclinic": np.pi / 2,
}
LINES = 20  # lowest lines that a lattice is judged by
TOLERANCE = 0.07  # of a line in the search [degrees]
UNEXPLAINED = 2.5  # what a line without indices costs
SHORTEST, LONGEST = 2.3, 36.0  # axes [Å]


@dataclass(frozen=True)
class Lattice:
    """A lattice that explains lines.

    Attributes
    ----------
    kind : str
        One of `KINDS`, or "monoclinic".
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


def _candidates(kind: str, q: Array, heights: Array) -> Array:
    """Constants A, B, C (monoclinic: and D) of lattices from the lowest lines, shape (n, 3 or 4)."""
    last = q[min(LINES, len(q)) - 1]
    strong = heights > 0.03
    if strong.sum() >= 6:
        q = q[strong]
    if kind == "monoclinic":
        return monoclinic.candidates(q, last, 12 * min(LINES, len(q)), SHORTEST, LONGEST)
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
    expected = _DENSITY[kind] / 1.5 * last**1.5 / np.sqrt(found.prod(1))
    found = found[expected < 12 * min(LINES, len(q))]
    if len(found):
        rounded = np.rint(np.log(found) * 300).astype(np.int64) + 4096
        _, first = np.unique(rounded @ np.array([1, 1 << 14, 1 << 28]), return_index=True)
        found = found[first]
    return np.asarray(found)


def _plane(kind: str, reach: int) -> Array:
    """Factors of A and B of the first two indices, shape (n, 2)."""
    h, k = (v.ravel() for v in np.meshgrid(np.arange(reach), np.arange(reach), indexing="ij"))
    if kind == "orthorhombic":
        return np.stack([h * h, k * k], 1).astype(np.float32)
    n = h * h + k * k if kind in ("tetragonal", "cubic") else h * h + h * k + k * k
    n = np.unique(n[h >= k])
    return np.stack([n, 0 * n], 1).astype(np.float32)


def _scores(kind: str, abc: Array, q: Array, tolerance: Array, weight: Array, reach: int) -> Array:
    """How much better than by chance lattices explain lines, shape (n,)."""
    abc32, q32 = abc.astype(np.float32), q.astype(np.float32)
    third_constant = abc32[:, 2]
    if kind == "monoclinic":
        plane = abc32[:, [0, 2, 3]] @ monoclinic.net(reach).T
        third_constant = abc32[:, 1]
        volume = np.sqrt(monoclinic.squared_volume(abc))
    else:
        plane = abc32[:, :2] @ _plane(kind, reach).T
        volume = np.sqrt(abc.prod(1))
    square = (q32[None, :, None] - plane[:, None, :]) / third_constant[:, None, None]
    third = np.maximum(square, 0)  # the index l, then its square
    np.sqrt(third, out=third)
    np.rint(third, out=third)
    third *= third
    square -= third
    np.abs(square, out=square)
    miss = square.min(-1) * third_constant[:, None]
    density = _DENSITY[kind] * np.sqrt(q)[None] / volume[:, None]
    chance = np.clip(density * 2 * tolerance[None], 1e-3, 0.9)
    return np.where(miss < tolerance[None], -np.log(chance), -UNEXPLAINED) @ weight


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
            [np.column_stack([design, slope[good]]) * weight[:, None], [0.0] * size + [0.3]]
        )
        solution = np.linalg.lstsq(full, np.append(q[good] * weight, 0.0), rcond=None)[0]
        if (solution[: min(size, 3)] <= 0).any():
            break
        if kind == "monoclinic" and monoclinic.squared_volume(solution[None, :4])[0] <= 0:
            break
        abc = solution[:size][{1: [0, 0, 0], 2: [0, 0, 1], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[size]]
        zero = float(solution[size])
    score = _scores(kind, abc[None], q - zero * slope, 0.04 * slope, _weights(heights), 9)[0]
    return abc, zero, float(score)


def index(lines: Lines, kind: str, keep: int = 6) -> list[Lattice]:
    """Best lattices of a kind for the lines of a pattern.

    Parameters
    ----------
    lines : Lines
    kind : str
        One of `KINDS`, or "monoclinic".
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
            if np.isfinite(score):
                found.append(Lattice(kind, constants, shift, score))
    best: list[Lattice] = []
    for lattice in sorted(found, key=lambda f: -f.score):
        if not any(_same(lattice.abc, other.abc) for other in best) and len(best) < keep:
            best.append(lattice)
    return best


def _same(first: Array, second: Array) -> bool:
    return np.allclose(np.sort(first), np.sort(second), rtol=4e-3)


def _search(kind: str, angles: Array, heights: Array, keep: int) -> list[Array]:
    """Constants of the most promising lattices, more than are kept."""
    q, slope, weight = to_q(angles), _slope(angles), _weights(heights)
    tolerance = TOLERANCE * slope
    abc = _candidates(kind, q, heights)
    if not len(abc):
        return []
    steps = ((2, 7, 4, 4000), (0, 10, 5, 400), (0, LINES, 7, 3 * keep))
    if kind == "monoclinic":
        steps = ((0, 10, 4, 12000), (0, 16, 5, 3000), (0, LINES, 7, 300))
    for first, last, reach, best in steps:
        if len(abc) > best or last == LINES:
            part = slice(first, last)
            score = _scores(kind, abc, q[part], tolerance[part], weight[part], reach)
            abc = abc[np.argsort(-score)[:best]]
    tried: list[Array] = []
    most = 60 if kind == "monoclinic" else 2 * keep
    for row in abc:
        if len(tried) < most and not any(_same(row, other) for other in tried):
            tried.append(row)
    return tried
