# SPDX-License-Identifier: BSD-3-Clause
"""Periodic images of a sample's points, and what its arrays have to be: in memory or on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, SettingError

#: A coordinate beyond this counts as not finite: its square would overflow [Å].
FAR = 1e100
#: What lies on the border but for rounding, in fractional coordinates, stays where it is.
_BORDER = 1e-12
#: Images of a small sample, at most; also 100 of each atom of a large one.
_MOST_IMAGES = 1e7


def check_positions(positions: Any) -> None:
    """Raise SettingError if positions are not of the shape ``(n, 3)``."""
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise SettingError(f"positions have shape {positions.shape}; give one of (n, 3)")


def check_finite(positions: NDArray[np.float64], ids: NDArray[np.int64] | None = None) -> None:
    """Raise InsituError if a position is not finite.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    ids
        ``(n,)``; None: 1 … n. If there are more or less of them, the message has the row.
    """
    if np.abs(positions).max(initial=0.0) < FAR:  # not true of one that is no number
        return
    (bad,) = np.nonzero(~(np.abs(positions) < FAR).all(axis=1))
    i = int(bad[0])
    who = f"atom {i + 1 if ids is None else int(ids[i])}"
    if ids is not None and len(ids) != len(positions):
        who = f"row {i}"
    raise InsituError(
        f"the position of {who} is {positions[i].tolist()}; only finite positions can be analysed"
    )


def check_length(name: str, values: NDArray[Any], n: int) -> None:
    """Raise SettingError if there is not one value an atom; `name` says of what."""
    if values.shape != (n,):
        raise SettingError(f"{name} have shape {values.shape}; give ({n},), one an atom")


def check_images(n: int, pbc: NDArray[np.bool_], part: NDArray[np.float64]) -> None:
    """Raise SettingError if a cell is so thin that its images could not be held.

    Parameters
    ----------
    n
        Number of atoms.
    pbc, part
        ``(3,)`` which directions are periodic, and how far images are looked for, as a part of the cell's
        heights.
    """
    most = n * float(np.prod(np.where(pbc, 1.0 + 2.0 * part, 1.0)))
    if not most < max(_MOST_IMAGES, 100.0 * n):
        k = int(np.argmax(np.where(pbc, part, 0.0)))
        raise SettingError(
            f"the cell is so thin (along vector {k}: 1/{part[k]:.3g} of the range of the analysis) that it "
            "would have too many images; correct the cell, or set a direction non-periodic"
        )


def periods_outside(s: Any, pbc: Any, xp: Any) -> Any:
    """Return by how many periods ``(n, 3)`` points lie outside of the cell; 0 where nothing is periodic.

    Parameters
    ----------
    s
        ``(n, 3)`` fractional coordinates.
    pbc
        ``(3,)`` 1 or 0, where `s` lies.
    xp
        Its module of arrays, NumPy or CuPy.
    """
    return xp.floor(s + _BORDER) * pbc


def images(s: Any, pbc: NDArray[np.bool_], part: NDArray[np.float64], xp: Any) -> tuple[Any, Any]:
    """Return owner ``(m,)`` and periods ``(m, 3)`` of the images near the cell.

    Parameters
    ----------
    s
        ``(n, 3)`` fractional coordinates, within the cell where it is periodic.
    pbc
        ``(3,)`` which directions are periodic.
    part
        ``(3,)`` how near, as a part of the cell's heights.
    xp
        Module of arrays of `s`, NumPy or CuPy.
    """
    owner, shift = xp.arange(len(s)), xp.zeros((len(s), 3), dtype=np.int16)
    # One direction after the other: the later ones are asked for the images that are left only.
    for axis in (int(a) for a in np.flatnonzero(pbc)):
        near = float(part[axis])
        most = int(np.ceil(near))
        along = s[owner, axis]
        owners, shifts = [owner], [shift]
        for k in (k for k in range(-most, most + 1) if k):
            which = xp.flatnonzero((along + k >= -near) & (along + k <= 1.0 + near))
            moved = shift[which]
            moved[:, axis] = k
            owners.append(owner[which])
            shifts.append(moved)
        owner, shift = xp.concatenate(owners), xp.concatenate(shifts)
    return owner[len(s) :], shift[len(s) :]
