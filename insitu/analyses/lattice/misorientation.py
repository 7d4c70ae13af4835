# SPDX-License-Identifier: BSD-3-Clause
"""Orientations of lattices as quaternions ``(w, x, y, z)``.

Those that a lattice's rotations make equal are one. Cubic lattices have 24 rotations, hexagonal ones 12,
about z and a two-fold axis along x.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

#: Atoms that are turned at once.
_BATCH = 20_000


def angles(
    one: NDArray[np.floating], other: NDArray[np.floating], hexagonal: bool
) -> NDArray[np.float32]:
    """Return the smallest angles ``(n,)`` [rad] between orientations ``(n, 4)`` of a lattice.

    Parameters
    ----------
    one, other
        Unit quaternions.
    hexagonal
        Whether the lattice is; else it is cubic.

    References
    ----------
    H. Grimmer, Acta Cryst. A 30, 685 (1974), doi:10.1107/S0567739474001719.
    """
    a, b = one.astype(np.float32).T, other.astype(np.float32).T
    # The components of conj(one) * other.
    w = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    x = a[0] * b[1] - a[1] * b[0] - a[2] * b[3] + a[3] * b[2]
    y = a[0] * b[2] - a[2] * b[0] - a[3] * b[1] + a[1] * b[3]
    z = a[0] * b[3] - a[3] * b[0] - a[1] * b[2] + a[2] * b[1]
    if hexagonal:
        half = np.maximum(_turned(w, z), _turned(x, y))
    else:
        w, x, y, z = np.abs(w), np.abs(x), np.abs(y), np.abs(z)
        one_of, other_of = np.maximum(w, x), np.maximum(y, z)
        most = np.maximum(one_of, other_of)
        second = np.maximum(
            np.minimum(one_of, other_of), np.maximum(np.minimum(w, x), np.minimum(y, z))
        )
        half = np.maximum(
            most,
            np.maximum(
                (most + second) * np.float32(np.sqrt(0.5)), np.float32(0.5) * (w + x + y + z)
            ),
        )
    return np.float32(2.0) * np.arccos(np.minimum(half, np.float32(1.0)))


def _turned(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest component of a vector in the plane along directions 30 degrees apart."""
    sixth = np.float32(np.pi / 6.0)
    phi = np.arctan2(v, u)
    found: NDArray[np.float32] = np.hypot(u, v) * np.cos(phi - sixth * np.rint(phi / sixth))
    return found


@functools.cache
def _rotations(hexagonal: bool) -> NDArray[np.float64]:
    """Return the matrices ``(g, 4, 4)`` by which a quaternion is multiplied from the right by rotations."""
    if hexagonal:
        k = np.arange(6) * np.pi / 6.0
        zero = np.zeros(6)
        q = np.concatenate(
            [np.column_stack([np.cos(k), zero, zero, np.sin(k)]),
             np.column_stack([zero, np.cos(k), np.sin(k), zero])]
        )  # fmt: skip
    else:
        r, found = np.sqrt(0.5), [*np.eye(4)]
        for i in range(4):
            for j in range(i):
                found += [r * (np.eye(4)[j] + s * np.eye(4)[i]) for s in (1.0, -1.0)]
        signs = np.array(np.meshgrid([1], [1, -1], [1, -1], [1, -1])).reshape(4, -1).T
        q = np.concatenate([found, 0.5 * signs])
    w, x, y, z = q.T
    rows = [[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]]
    return np.moveaxis(np.array(rows), 2, 0)


def nearest(
    q: NDArray[np.float64], to: NDArray[np.float64], hexagonal: bool
) -> NDArray[np.float64]:
    """Return of orientations ``(n, 4)`` the equal quaternions that are nearest to others ``(n, 4)``."""
    group = _rotations(hexagonal)
    dot = (q * to).sum(axis=1)
    found: NDArray[np.float64] = q * np.where(dot < 0.0, -1.0, 1.0)[:, None]
    # Equal ones are 90 (60) degrees or more from each other: within half of that none is nearer.
    (far,) = np.nonzero(np.abs(dot) < np.cos(np.radians(14.9 if hexagonal else 22.4)))
    for k in range(0, len(far), _BATCH):
        part = far[k : k + _BATCH]
        equal = np.einsum("gij,nj->ngi", group, q[part])
        dots = np.einsum("ngi,ni->ng", equal, to[part])
        best = np.abs(dots).argmax(axis=1)
        row = np.arange(len(best))
        found[part] = equal[row, best] * np.where(dots[row, best] < 0.0, -1.0, 1.0)[:, None]
    return found


def reduced(q: NDArray[np.float64], hexagonal: bool) -> NDArray[np.float64]:
    """Return orientations ``(n, 4)`` as the equal quaternions of the smallest angle."""
    return nearest(q, np.tile([1.0, 0.0, 0.0, 0.0], (len(q), 1)), hexagonal)
