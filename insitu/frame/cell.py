# SPDX-License-Identifier: BSD-3-Clause
"""Geometry of a cell: inverse, heights, and vectors for directions that have none."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError
from insitu.frame.given import real


def completed(
    cell: ArrayLike | None, periodic: NDArray[np.bool_], r: NDArray[np.float64],
    origin: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return cell and origin; a direction that has no vector spans the atoms."""
    if cell is None:
        if periodic.any():
            raise SettingError("cell is None with pbc=True; give the cell, or pbc=False")
        cell = np.zeros((3, 3))
    box = real("numbers of the cell", cell)
    if box.shape == (3,):
        box = np.diag(box)
    if box.shape != (3, 3):
        raise SettingError(f"cell has shape {box.shape}; give (3, 3), rows are vectors, or (3,)")
    missing: NDArray[np.bool_] = ~np.any(box, axis=1)
    if (missing & periodic).any():
        axis = int((missing & periodic).argmax())
        raise SettingError(
            f"cell vector {axis} is zero but pbc[{axis}] is True; give the vector, or set "
            "that direction non-periodic"
        )
    if missing.any():
        box = normals(box, ~missing)
        if abs(np.linalg.det(box)) > 0.0 and len(r):
            s = (r - origin) @ np.linalg.inv(box)
            low, size = s.min(axis=0), np.maximum(np.ptp(s, axis=0), 1.0)
            origin = origin + np.where(missing, low, 0.0) @ box
            box = np.where(missing, size, 1.0)[:, None] * box
    if not abs(np.linalg.det(box)) >= 1e-12 * np.prod(np.linalg.norm(box, axis=1)):
        raise SettingError(f"cell {box.tolist()} has no volume; give three independent vectors")
    return box, origin


def normals(cell: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a cell whose vectors of some directions are of 1 Å, normal to those that are kept.

    The cell itself, where all are.

    Parameters
    ----------
    cell
        ``(3, 3)`` cell vectors as rows [Å]; those that are not kept do not matter.
    kept
        ``(3,)`` which directions keep theirs.
    """
    if kept.all():
        return cell
    box = np.where(kept[:, None], cell, 0.0)
    which = np.flatnonzero(~kept)
    if len(which) == 3:
        return np.eye(3)
    if len(which) == 2:
        (axis,) = np.flatnonzero(kept)
        along = box[axis] / max(float(np.linalg.norm(box[axis])), 1e-300)
        side = np.eye(3)[int(np.abs(along).argmin())]
        box[which[0]] = np.cross(along, side)
        box[which[1]] = np.cross(along, box[which[0]])
    elif len(which):
        (axis,) = which
        box[axis] = np.cross(box[(axis + 1) % 3], box[(axis + 2) % 3])
    length = np.linalg.norm(box[which], axis=1, keepdims=True)
    box[which] /= np.maximum(length, 1e-300)
    return box


def inverse(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse ``(3, 3)`` of a cell ``(3, 3)`` [1/Å], read-only."""
    return _geometry(np.asarray(cell, dtype=np.float64).tobytes())[0]


def volume(cell: NDArray[np.float64]) -> float:
    """Return the volume of a cell ``(3, 3)`` [Å³]."""
    return _geometry(np.asarray(cell, dtype=np.float64).tobytes())[2]


def heights(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances ``(3,)`` between opposite faces of a cell ``(3, 3)`` [Å], read-only."""
    return _geometry(np.asarray(cell, dtype=np.float64).tobytes())[1]


@functools.lru_cache(maxsize=8)
def _geometry(raw: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return inverse, heights and volume of a cell, which a frame asks for a dozen times."""
    cell = np.frombuffer(raw).reshape(3, 3)
    turned: NDArray[Any] = np.linalg.inv(cell)
    height: NDArray[np.float64] = 1.0 / np.linalg.norm(turned, axis=0)
    for array in (turned, height):
        array.flags.writeable = False
    return turned, height, float(abs(np.linalg.det(cell)))
