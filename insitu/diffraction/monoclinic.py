# SPDX-License-Identifier: BSD-3-Clause
"""Monoclinic lattices for the lines of a powder pattern: 1/d^2 = A h^2 + B k^2 + C l^2 + D h l.

The net of the reflections h0l is spanned by two of the lowest lines, a third one gives its angle, a fourth
one the unique axis; lines may be second orders, since screw axes and glide planes take away first ones.
"""

from functools import cache

import numpy as np

from insitu.diffraction.pattern_grid import Array

#: Lines that candidates are made of, from small angles on.
_LOWEST = 10
#: Indices (h, l) of the line that gives the angle, and (h, k, l) of that which gives the axis.
_ANGLE = ((1, 1), (1, 2), (2, 1), (2, 2))
_AXIS = (
    (0, 1, 0), (0, 2, 0), (1, 1, 0), (0, 1, 1), (1, 1, -1), (1, 1, 1), (1, 2, 0), (0, 2, 1), (2, 1, 0),
    (0, 1, 2), (1, 1, -2), (2, 1, -1),
)  # fmt: skip
#: Largest D over the root of AC: nets need not be reduced, since glide planes are along any axis.
_WIDEST = 1.4
_PAIRS = ((1, 1, 1), (1, 1, 2), (2, 1, 1), (1, 2, 1))


def squared_volume(abcd: Array) -> Array:
    """Return the squared volumes of reciprocal cells, shape (n,) [1/Å^6]."""
    a, b, c, d = abcd.T
    return np.asarray(b * (a * c - d * d / 4))


def reduced(abcd: Array) -> Array:
    """Return the same lattices, shape (n, 4), with 0 <= D <= A <= C."""
    a, b, c, d = abcd.T.copy()
    d = np.abs(d)
    for _ in range(6):
        a, c = np.minimum(a, c), np.maximum(a, c)
        n = np.rint(d / (2 * a))  # l takes n h less
        c, d = c - n * d + n * n * a, np.abs(d - 2 * n * a)
    a, c = np.minimum(a, c), np.maximum(a, c)
    return np.stack([a, b, c, d], 1)


def axes(abcd: Array) -> tuple[float, float, float, float]:
    """Return a, b, c [Å] and beta [degrees], 90 or more, of the reduced cell of a lattice, shape (4,)."""
    a, b, c, d = reduced(abcd[None])[0]
    cosine = d / (2 * np.sqrt(a * c))  # of beta*
    sine = np.sqrt(1 - cosine * cosine)
    lengths = 1 / (np.sqrt(a) * sine), 1 / np.sqrt(b), 1 / (np.sqrt(c) * sine)
    return (
        float(lengths[0]),
        float(lengths[1]),
        float(lengths[2]),
        float(180 - np.degrees(np.arccos(cosine))),
    )


def candidates(q: Array, last: float, most: float, shortest: float, longest: float) -> Array:
    """Return lattices from the lowest lines.

    Parameters
    ----------
    q : array, shape (n,)
        1/d^2 of lines [1/Å^2].
    last : float
        That of the last line that lattices are judged by.
    most : float
        Most lines that a lattice may have up to there.
    shortest, longest : float
        Axes [Å].

    Returns
    -------
    array, shape (m, 4)
        A, B, C, D.
    """
    q = q[:_LOWEST]
    low, high = 1 / longest**2, 1 / shortest**2
    squares = np.concatenate([q, q / 4])
    a, c = (v.ravel() for v in np.meshgrid(squares, squares, indexing="ij"))
    pairs = a < c * 0.9999
    a, c = a[pairs], c[pairs]
    base = np.stack([a, c], 1)[(a > low) & (c < high)]
    a, c = base.T
    nets = []
    for h, l in _ANGLE:  # noqa: E741
        d = np.abs((q[None] - (a * h * h + c * l * l)[:, None]) / (h * l))
        nets.append(_rows(a[:, None], c[:, None], d))
    net = np.concatenate(nets)
    net = _distinct(net[_skew(*net.T)])
    found = []
    a, c, d = net.T
    for h, k, l in _AXIS:  # noqa: E741
        b = (q[None] - (a * h * h + c * l * l + d * h * l)[:, None]) / (k * k)
        found.append(_rows(a[:, None], b, c[:, None], d[:, None]))
    # Lines (h, k, l) and (h, k, -l) together give the angle and the axis.
    higher, lower = np.triu_indices(len(q), 1)[::-1]
    for h, k, l in _PAIRS:  # noqa: E741
        d = (q[higher] - q[lower]) / (2 * h * l)
        b = ((q[higher] + q[lower])[None] / 2 - (base[:, :1] * h * h + base[:, 1:] * l * l)) / (
            k * k
        )
        found.append(_rows(base[:, :1], b, base[:, 1:], d[None]))
    abcd = np.concatenate(found)
    abcd = abcd[_skew(abcd[:, 0], abcd[:, 2], abcd[:, 3])]
    abcd = abcd[(abcd[:, 1] > low) & (abcd[:, 1] < high)]
    square = squared_volume(abcd)
    fine = square > 0
    expected = np.pi / 3 * last**1.5 / np.sqrt(np.where(fine, square, 1.0))
    return _distinct(abcd[fine & (expected < most)])


def _rows(*columns: Array) -> Array:
    """Return columns that go together as rows, shape (n, number of columns)."""
    return np.stack(np.broadcast_arrays(*columns), -1).reshape(-1, len(columns))


def _skew(a: Array, c: Array, d: Array) -> Array:
    """Return which nets are monoclinic ones: orthogonal nets are those of orthorhombic lattices."""
    scale = np.sqrt(a * c)
    return np.asarray((d <= _WIDEST * scale) & (d > 0.01 * scale))


def _distinct(rows: Array) -> Array:
    """Return rows that are not the same within a third of a percent."""
    if not len(rows):
        return rows
    rounded = np.rint(np.log(np.maximum(rows, 1e-6)) * 300).astype(np.int64) + 8192
    _, first = np.unique(rounded @ (1 << 15) ** np.arange(rows.shape[1]), return_index=True)
    return rows[first]


@cache
def net(reach: int) -> Array:
    """Return factors of A, C and D of indices (h, l) below `reach`, shape (n, 3)."""
    pairs = [(h, k) for h in range(reach) for k in range(1 - reach, reach) if h or k >= 0]
    h, l = np.array(pairs).T  # noqa: E741
    return np.stack([h * h, l * l, h * l], 1).astype(np.float32)


def lines_of(abcd: Array, q_max: float) -> tuple[Array, Array]:
    """Return indices, shape (n, 3), h and k not negative, and 1/d^2 of the lines of a lattice."""
    a, b, c, d = abcd
    flat = 1 - d * d / (4 * a * c)
    tops = [min(int(np.sqrt(q_max / v)), 40) for v in (a * flat, b, c * flat)]
    h, k, l = (  # noqa: E741
        v.ravel()
        for v in np.meshgrid(
            np.arange(tops[0] + 1),
            np.arange(tops[1] + 1),
            np.arange(-tops[2], tops[2] + 1),
            indexing="ij",
        )
    )
    q = a * h * h + b * k * k + c * l * l + d * h * l
    fine = (q > 0) & (q <= q_max) & ((h > 0) | (l >= 0))
    order = np.argsort(q[fine], kind="stable")
    return np.stack([h, k, l], 1)[fine][order], q[fine][order]
