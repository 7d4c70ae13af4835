# SPDX-License-Identifier: BSD-3-Clause
"""Search for monoclinic lattices by zones and votes.

The nets hk0 and 0kl of a monoclinic lattice are rectangular and share B. Pairs of them are made of the
lowest lines, those that explain the most lines first. What is left, the angle, is voted for: each line
that is in neither net says which D would put it at each small index, and the D that most lines agree on
is taken. (The idea of zones is Ito's; that of votes Hough's.)

References
----------
T. Ito, Nature 164, 755 (1949), doi:10.1038/164755a0
"""

import numpy as np

from insitu.diffraction.lattices import lattice_fit, monoclinic
from insitu.diffraction.patterns.grid import Array

_LOWEST = 10  # lines that zones are made of, from small angles on
_PAIRS = 3000  # of zones for which D is voted
_VOTED = 3000  # lattices whose D is fitted
_FITTED = 600  # that are refined
_BINS = 600  # of D, at most
#: Largest D over the root of AC: nets need not be reduced, since glide planes are along any axis.
_WIDEST = 1.4
#: Indices h and l of lines that vote.
_OBLIQUE = [(h, l) for h in range(1, 5) for l in range(1, 5) if h * l <= 6]  # noqa: E741
_ORDERS = np.array([1.0, 4.0])  # squares of the indices of lines that zones are made of


def _apart(values: Array, low: float, high: float) -> Array:
    """Return values between limits in order, no two the same within half a percent."""
    values = np.sort(values[(values > low) & (values < high)])
    return values[np.diff(np.log(values), prepend=-np.inf) > 0.004] if len(values) else values


def _zone_gain(a: Array, b: Array, q: Array, tolerance: Array, weight: Array) -> Array:
    """How much better than by chance lines are explained by nets a h^2 + b k^2, shape of a."""
    squares = np.arange(6, dtype=np.float32) ** 2
    a, b = a.astype(np.float32), b.astype(np.float32)
    gain = np.zeros(a.shape, dtype=np.float32)
    density = np.pi / 4 / np.sqrt(a * b)
    for line, near, counts in zip(q, tolerance, weight, strict=True):
        chance = np.clip(density * 2 * near, *lattice_fit.CHANCE)
        gain += np.where(_in_zone(a, b, line, near, squares), -np.log(chance) * counts, 0)
    return gain


def _in_zone(a: Array, b: Array, line: float, near: float, squares: Array) -> Array:
    square = (np.float32(line) - a[..., None] * squares) / b[..., None]
    third = np.rint(np.sqrt(np.maximum(square, 0)))
    return np.asarray((np.abs(square - third * third).min(-1) * b) < near)


def _pairs_of_zones(
    lowest: Array, q: Array, tolerance: Array, weight: Array, low: float, high: float
) -> tuple[Array, Array]:
    """Return A, B, C of pairs of zones, shape (n, 3), A < C, and how much better than chance they are."""
    rows, gains = [], []
    base = _apart(np.concatenate([lowest, lowest / 4]), low, high)

    if len(base) < 2:
        return np.zeros((0, 3)), np.zeros(0)

    def of_lines(first: Array) -> list[Array]:
        """Return what lines leave for the other constant, for each value of one."""
        left = (
            lowest[None, :, None, None] - first[:, None, None, None] * _ORDERS[:, None]
        ) / _ORDERS
        return [_apart(v, low, high) for v in left.reshape(len(first), -1)]

    # B is a line, A and C are lines or what lines leave.
    others = [_apart(np.concatenate([base, left]), low, high) for left in of_lines(base)]
    gain = _zone_gain(
        np.concatenate(others), np.repeat(base, [len(v) for v in others]), q, tolerance, weight
    )
    start = 0
    for b, other in zip(base, others, strict=True):
        own = gain[start : start + len(other)]
        start += len(other)
        i, j = np.triu_indices(len(other), 1)
        rows.append(np.stack([other[i], np.full(len(i), b), other[j]], 1))
        gains.append(own[i] + own[j])
    # A and C are lines, B is what a line leaves to A.
    left = of_lines(base)
    a, b = np.repeat(base, [len(v) for v in left]), np.concatenate(left)
    of_b = np.repeat(b[:, None], len(base), axis=1)
    every = _zone_gain(np.broadcast_to(base, of_b.shape), of_b, q, tolerance, weight)
    place = np.searchsorted(base, a)
    a, b, c = np.broadcast_arrays(a[:, None], b[:, None], base[None])
    fine = (a != c).ravel()
    rows.append(np.stack([np.minimum(a, c), b, np.maximum(a, c)], -1).reshape(-1, 3)[fine])
    gains.append((every + every[np.arange(len(every)), place][:, None]).ravel()[fine])
    return np.concatenate(rows), np.concatenate(gains)


def _voted(abc: Array, q: Array, tolerance: Array, weight: Array) -> Array:
    """Return the lattices, shape (n, 4), for whose D the most lines vote."""
    a, b, c = abc.T.astype(np.float32)
    root = np.sqrt(a * c)
    width = np.float32(np.median(tolerance) * 0.7)
    bins = int(min(np.ceil(_WIDEST * root.max() / width) + 3, _BINS))
    width = np.maximum(width, _WIDEST * root / (bins - 3)).astype(np.float32)
    h, l = np.array(_OBLIQUE, dtype=np.float32).T  # noqa: E741
    squares = np.arange(6, dtype=np.float32) ** 2
    straight = (
        a[:, None, None] * (h * h)[:, None]
        + c[:, None, None] * (l * l)[:, None]
        + b[:, None, None] * squares[:5]
    ).reshape(len(a), -1)
    scale = 1 / (np.repeat(h * l, 5)[None] * width[:, None])
    votes = np.zeros((len(a), bins), dtype=np.uint8)
    own = np.zeros((len(a), bins), dtype=np.uint8)
    row = (np.arange(len(a)) * bins)[:, None]
    for line, near, counts in zip(q, tolerance, np.rint(weight * 4).astype(np.uint8), strict=True):
        at = (np.abs(np.float32(line) - straight) * scale + np.float32(0.5)).astype(np.int32)
        np.minimum(at, bins - 1, out=at)
        at = at + row
        own[:] = 0
        own.ravel()[at] = counts
        own.ravel()[np.maximum(at - 1, row)] = counts
        # A line of the zones is explained whatever D is.
        own[_in_zone(a, b, line, near, squares) | _in_zone(c, b, line, near, squares)] = counts
        votes += own
    d = np.arange(bins, dtype=np.float32) * width[:, None]
    square = np.maximum(b[:, None] * ((a * c)[:, None] - d * d / 4), 1e-9)
    usual = -np.log(lattice_fit.DENSITY["monoclinic"] * np.sqrt(q) * 2 * tolerance)
    each = np.maximum(0.5 * np.log(square) + np.float32((usual * weight).sum() / weight.sum()), 0.1)
    each += np.float32(lattice_fit.UNEXPLAINED)
    each *= votes
    each[(d > _WIDEST * root[:, None]) | (d < 0.01 * root[:, None])] = -1
    best = np.argpartition(-each.ravel(), min(_VOTED, each.size - 1))[:_VOTED]
    i = best // bins
    return np.column_stack([abc[i], d.ravel()[best].astype(float)])


def _with_fitted_angle(
    abcd: Array, q: Array, tolerance: Array, slope: Array, weight: Array
) -> Array:
    """Return lattices with D by the lines that they explain, A, B and C as they are."""
    factors, last, miss = lattice_fit.nearest("monoclinic", abcd, q, 4)
    a, b, c, _ = abcd.T[:, :, None]
    rest = q[None] - a * factors[..., 0] - c * factors[..., 1] - b * last
    counts = (miss < 1.5 * tolerance) * (weight / slope**2)
    product = factors[..., 2]
    below = (counts * product**2).sum(1)
    d = (counts * product * rest).sum(1) / np.maximum(below, 1e-30)
    out = abcd.copy()
    fine = (below > 0) & (np.abs(d) < 2 * np.sqrt(abcd[:, 0] * abcd[:, 2]))
    out[fine, 3] = d[fine]
    return out


def search(
    q: Array,
    slope: Array,
    weight: Array,
    strong: Array,
    tolerance: float,
    shortest: float,
    longest: float,
    most: float,
    keep: int,
) -> Array:
    """Return the most promising lattices for lines.

    Parameters
    ----------
    q, slope, weight : array, shape (n,)
        1/d^2 of lines [1/Å^2], its change with the angle [1/Å^2 a degree], how much each counts.
    strong : array of bool, shape (n,)
        Of which lines zones are made.
    tolerance : float
        Farthest that a line is from its place [degrees].
    shortest, longest : float
        Axes [Å].
    most : float
        Most lines that a lattice may have up to the last one.
    keep : int

    Returns
    -------
    array, shape (m, 4)
        A, B, C, D of reduced cells, best first.
    """  # fmt: skip
    near = tolerance * slope
    lowest = q[strong][:_LOWEST]
    if len(lowest) < 3:
        return np.zeros((0, 4))
    abc, gain = _pairs_of_zones(lowest, q, near, weight, 1 / longest**2, 1 / shortest**2)
    small = np.pi / 3 * q[-1] ** 1.5 / np.sqrt(abc.prod(1)) < most
    abc, gain = abc[small], gain[small]
    abc = abc[lattice_fit.distinct(abc, np.argsort(-gain)[: 4 * _PAIRS])[:_PAIRS]]
    if not len(abc):
        return np.zeros((0, 4))
    abcd = _with_fitted_angle(_voted(abc, q, near, weight), q, near, slope, weight)
    score = lattice_fit.scores("monoclinic", abcd, q, near, weight, 4)
    abcd = abcd[lattice_fit.distinct(abcd, np.argsort(-score))[:_FITTED]]
    abcd, zeros = lattice_fit.refined("monoclinic", abcd, q, near, slope, weight, 5)
    abcd = monoclinic.reduced(abcd)
    moved = q[None] - zeros[:, None] * slope[None]
    score = lattice_fit.scores("monoclinic", abcd, moved, 0.7 * near, weight, 7)
    return np.asarray(abcd[lattice_fit.distinct(abcd, np.argsort(-score), 150.0)[:keep]])
