# SPDX-License-Identifier: BSD-3-Clause
"""How far an elastic tensor is from cubic or hexagonal symmetry, in whatever orientation is nearest.

References
----------
M. Moakher and A. N. Norris, J. Elasticity 85, 215 (2006), doi:10.1007/s10659-006-9082-0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.crystal.tensors.projection import symmetrized
from insitu.errors import SettingError, one_of

#: Crystal systems whose distance is known; hexagonal elasticity is that of an axis of any order above 4.
SYSTEMS = ("cubic", "hexagonal")
#: Orientations that are tried, those that are improved, and the step at which that ends [radians].
_TRIED, _KEPT, _LAST = 800, 4, 1e-8
#: A step is worth it if it gains so much of its square: else the next is half as long.
_GAIN = 1e-3
_R = np.sqrt(0.5)
#: Symmetric unit tensors ``(6, 3, 3)`` xx, yy, zz, yz, xz, xy: in them a rotation is an orthogonal matrix.
_UNITS = np.zeros((6, 3, 3))
for _k, (_a, _b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
    _UNITS[_k, _a, _b] = _UNITS[_k, _b, _a] = 1.0 if _a == _b else _R


def closest_symmetry(tensor: ArrayLike, system: str = "cubic") -> tuple[float, NDArray[np.float64]]:
    """Return ``||C - P C|| / ||C||`` in the orientation of the symmetry in which it is least.

    P projects onto the elastic tensors of the crystal system (:func:`~insitu.crystal.tensors.project`).
    It is 0 if and only if the tensor has that symmetry in some orientation, whatever the axes are in which
    it is given. An isotropic tensor has all symmetries.

    Parameters
    ----------
    tensor
        ``(3, 3, 3, 3)`` elastic tensor.
    system
        ``cubic`` or ``hexagonal``.

    Returns
    -------
    distance
        0 … 1.
    axes
        ``(3, 3)`` rotation, whose rows are the symmetry's axes: those of the cube, or the last the
        hexagonal axis.

    Raises
    ------
    SettingError
        The system is another one, the shape is wrong, or the tensor is 0 or not finite.
    """
    one_of("system", system, SYSTEMS)
    whole = symmetrized(tensor, "elastic")
    c = np.einsum("aij,ijkl,bkl->ab", _UNITS, whole, _UNITS)
    norm = float(np.linalg.norm(c))
    if not 0.0 < norm < np.inf:
        raise SettingError("the elastic tensor is 0 or not finite; no symmetry can be told")
    c = c / norm
    rng = np.random.default_rng(0)
    start = _rotations(rng.normal(size=(_TRIED, 4)))
    start[0] = np.eye(3)
    kept = _kept(c, start, system)
    best = np.argsort(-kept, kind="stable")[:_KEPT]
    axes, size = start[best], kept[best]
    step = 0.15
    while step > _LAST:
        turns = _rotations(np.concatenate([np.ones((6, 1)), _SIGNS * step / 2], axis=1))
        near = turns[None] @ axes[:, None]
        found = _kept(c, near.reshape(-1, 3, 3), system).reshape(len(axes), 6)
        which = found.argmax(axis=1)
        rows = np.arange(len(axes))
        better = found[rows, which] > size + _GAIN * step**2
        axes = np.where(better[:, None, None], near[rows, which], axes)
        size = np.where(better, found[rows, which], size)
        if not better.any():
            step /= 2
    k = int(size.argmax())
    return _left(c, axes[k], system), axes[k]


_SIGNS = np.concatenate([np.eye(3), -np.eye(3)])


def _rotations(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrices ``(n, 3, 3)`` of quaternions ``(n, 4)``."""
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)


def _turned(c: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tensor in each of some axes, ``(n, 6, 6)``."""
    turned = axes[:, None] @ _UNITS @ axes.transpose(0, 2, 1)[:, None]
    q = turned.reshape(len(axes), 6, 9) @ _UNITS.reshape(6, 9).T
    return np.asarray(q.transpose(0, 2, 1) @ c @ q)


def _parts(t: NDArray[np.float64], system: str) -> list[tuple[NDArray[np.float64], float]]:
    """Return the constants of the projection, each with the square of its unit tensor's norm."""
    diagonal = np.diagonal(t, axis1=1, axis2=2)
    if system == "cubic":
        off = (t[:, 0, 1] + t[:, 0, 2] + t[:, 1, 2]) / 3
        return [(diagonal[:, :3].mean(1), 3.0), (off, 6.0), (diagonal[:, 3:].mean(1), 3.0)]
    plane = 0.5 * (t[:, 0, 0] + t[:, 1, 1])
    deviator = 0.5 * (plane - t[:, 0, 1] + t[:, 5, 5])
    return [
        (t[:, 2, 2], 1.0), (plane + t[:, 0, 1], 1.0), (_R * (t[:, 0, 2] + t[:, 1, 2]), 2.0),
        (deviator, 2.0), (0.5 * (t[:, 3, 3] + t[:, 4, 4]), 2.0),
    ]  # fmt: skip


def _kept(c: NDArray[np.float64], axes: NDArray[np.float64], system: str) -> NDArray[np.float64]:
    """Return ``||P C||²`` in each of some axes, ``(n,)``."""
    total = np.zeros(len(axes))
    for value, weight in _parts(_turned(c, axes), system):
        total += weight * value**2
    return total


def _left(c: NDArray[np.float64], axes: NDArray[np.float64], system: str) -> float:
    """Return ``||C - P C||``, without the loss of digits of ``1 - ||P C||²``."""
    t = _turned(c, axes[None])
    values = [float(v[0]) for v, _ in _parts(t, system)]
    p = np.zeros((6, 6))
    if system == "cubic":
        p[:3, :3] = values[1]
        p[range(6), range(6)] = [values[0]] * 3 + [values[2]] * 3
    else:
        axis, both, mixed, deviator, shear = values
        p[2, 2] = axis
        p[0, 0] = p[1, 1] = 0.5 * (both + deviator)
        p[0, 1] = p[1, 0] = 0.5 * (both - deviator)
        p[0, 2] = p[2, 0] = p[1, 2] = p[2, 1] = _R * mixed
        p[5, 5], p[3, 3], p[4, 4] = deviator, shear, shear
    return float(np.linalg.norm(t[0] - p))
