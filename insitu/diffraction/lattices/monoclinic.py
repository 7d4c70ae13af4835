# SPDX-License-Identifier: BSD-3-Clause
"""Geometry of monoclinic lattices: 1/d^2 = A h^2 + B k^2 + C l^2 + D h l."""

from functools import cache

import numpy as np

from insitu.diffraction.patterns.grid import Array


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
