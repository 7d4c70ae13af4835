# SPDX-License-Identifier: BSD-3-Clause
"""Search for lattices that are orthorhombic or higher: the lowest lines get small indices in all ways."""

from functools import cache
from itertools import combinations

import numpy as np

from insitu.diffraction.lattices.lattice_fit import DENSITY, refined, scores
from insitu.diffraction.patterns.grid import Array

#: First and last line that lattices are scored by, indices that are tried, how many are kept; in two steps.
_STAGES = ((2, 7, 4, 4000), (0, 10, 5, 400))
#: The same of the thorough search: the lattices of centred cells and of long axes have fewer of the lowest
#: lines with indices that small, and many others seem better by few lines.
_THOROUGH = ((1, 9, 5, 12000), (0, 14, 6, 1500))
#: Lattices that the thorough search gives: where the cell is centred, small ones seem better until the
#: centring is taken into account.
_GIVEN = 60


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


def _candidates(
    kind: str, q: Array, strong: Array, shortest: float, longest: float, thorough: bool
) -> Array:
    """Constants A, B, C of lattices from the lowest lines, shape (n, 3)."""
    last = q[-1]
    q = q[strong]
    inverse = _assignments(kind)
    if kind == "cubic":
        a = (q[: min(8, len(q)), None] * inverse[:, 0, 0][None]).ravel()
        found = np.repeat(a[:, None], 3, axis=1)
    else:
        size = inverse.shape[1]
        reach = 6 if size == 3 else 8
        chosen: list[tuple[int, ...]] = list(combinations(range(min(reach, len(q))), size))
        if thorough:  # with a long axis the lowest lines are of one net: the third is a later one
            pairs = combinations(range(min(3, len(q))), 2)
            chosen += [(*pair, k) for pair in pairs for k in range(reach, min(12, len(q)))]
        sets = np.array(chosen)
        if not len(sets):
            return np.zeros((0, 3))
        found = np.einsum("nij,sj->sni", inverse, q[sets]).reshape(-1, size)
        if size == 2:
            found = found[:, [0, 0, 1]]
    low, high = 1 / longest**2, 1 / shortest**2
    scale = 4 / 3 if kind == "hexagonal" else 1.0
    fine = (found > low).all(1) & (found < high * scale).all(1)
    found = found[fine]
    # No lattice with far more lines than were seen.
    expected = DENSITY[kind] / 1.5 * last**1.5 / np.sqrt(found.prod(1))
    found = found[expected < 12 * len(q)]
    if len(found):
        rounded = np.rint(np.log(found) * 300).astype(np.int64) + 4096
        _, first = np.unique(rounded @ np.array([1, 1 << 14, 1 << 28]), return_index=True)
        found = found[first]
    return np.asarray(found)


def different(rows: Array, most: int) -> list[int]:
    """Which of lattices, best first, are not an earlier one with its axes in another order."""
    chosen: list[int] = []
    ordered = np.sort(rows, axis=1)
    for i, row in enumerate(ordered):
        if len(chosen) == most:
            break
        if not (np.abs(ordered[chosen] - row) < 4e-3 * row + 1e-8).all(1).any():
            chosen.append(i)
    return chosen


def search(
    kind: str,
    q: Array,
    slope: Array,
    weight: Array,
    strong: Array,
    tolerance: float,
    shortest: float,
    longest: float,
    keep: int,
    thorough: bool = False,
) -> Array:
    """Return the most promising lattices for lines, more than are kept.

    Parameters
    ----------
    kind : str
        "orthorhombic", "tetragonal", "hexagonal" or "cubic".
    q, slope, weight : array, shape (n,)
        1/d^2 of lines [1/Å^2], its change with the angle [1/Å^2 a degree], how much each counts.
    strong : array of bool, shape (n,)
        Of which lines lattices are made.
    tolerance : float
        Farthest that a line is from its place [degrees].
    shortest, longest : float
        Axes [Å].
    keep : int
    thorough : bool
        Orthorhombic: also of later lines, and more lattices are looked at closely.

    Returns
    -------
    array, shape (m, 3)
        A, B, C, best first.
    """  # fmt: skip
    near = tolerance * slope
    abc = _candidates(kind, q, strong, shortest, longest, thorough)
    if not len(abc):
        return abc
    for first, last, reach, best in _THOROUGH if thorough else _STAGES:
        if len(abc) > best:
            part = slice(first, last)
            score = scores(kind, abc, q[part], near[part], weight[part], reach)
            abc = abc[np.argsort(-score)[:best]]
    abc, zeros = refined(kind, abc, q, near, slope, weight, 7)
    moved = q[None] - zeros[:, None] * slope[None]
    order = np.argsort(-scores(kind, abc, moved, 0.7 * near, weight, 7))
    if thorough:
        return np.asarray(abc[order][different(abc[order], _GIVEN)])
    abc = abc[order[: 8 * keep]]
    return np.asarray(abc[different(abc, keep if kind == "cubic" else 2 * keep)])
