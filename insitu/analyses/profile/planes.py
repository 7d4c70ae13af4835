# SPDX-License-Identifier: BSD-3-Clause
"""Bins between planes of a periodic box that cross several of its vectors, as a front lies in it.

A plane that meets itself in the next period of the box is one of its lattice planes, (hkl): along its
normal everything repeats after their distance. Others have no end: they come to lie everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import System
from insitu.analyses.profile.bins import HAIR, Bins
from insitu.errors import SettingError
from insitu.frame.frame import Frame

#: Largest index of a plane.
_MOST = 6
#: How far the normal of a plane may be from the direction that is asked for [degrees].
_NEAR = 1.0


def planes_across(system: System, direction: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices ``(3,)`` of the planes of the box whose normal a direction is, within a degree.

    Parameters
    ----------
    system
        The simulation.
    direction
        ``(3,)`` of any length.

    Raises
    ------
    SettingError
        There are none with small indices.
    """
    i = np.arange(-_MOST, _MOST + 1)
    hkl = np.stack(np.meshgrid(i, i, i, indexing="ij"), -1).reshape(-1, 3)
    hkl = hkl[np.gcd.reduce(hkl, axis=1) == 1]
    # Where the box ends, a plane that crosses other vectors as well does not go on.
    alone = np.count_nonzero(hkl, axis=1) == 1
    hkl = hkl[alone | (hkl[:, ~system.pbc] == 0).all(axis=1)]
    normals = hkl @ np.linalg.inv(system.cell).T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    sine = np.linalg.norm(np.cross(normals, direction / np.linalg.norm(direction)), axis=1)
    off = np.degrees(np.arctan2(sine, normals @ direction / np.linalg.norm(direction)))
    near = np.flatnonzero(off < _NEAR)
    if not len(near):
        given = ",".join(f"{v:g}" for v in direction)
        best = int((off + 2.0 * np.abs(hkl).sum(axis=1)).argmin())
        other = ",".join(f"{v:.4g}" for v in normals[best])
        raise SettingError(
            f"direction={given}: a front across it does not meet itself in the next period of the box; "
            f"give the normal of a plane of the periodic box, as axis is, for example direction={other}"
        )
    size = (hkl[near] ** 2).sum(axis=1)
    found: NDArray[np.int64] = hkl[near[np.lexsort((off[near], size))[0]]]
    return found


class BoxPlanes(Bins):
    """Bins between planes (hkl) of the present box, which repeat after a period.

    Parameters
    ----------
    system
        The simulation.
    hkl
        ``(3,)`` indices of the planes.
    bins, low, high
        As in :class:`Bins`; without limits a period.
    moving
        Positions are relative to an origin that is told at each frame.
    """

    #: They are parts of the present box.
    follows = True

    def __init__(
        self, system: System, hkl: NDArray[np.int64], bins: int, low: float | None = None,
        high: float | None = None, moving: bool = False,
    ) -> None:  # fmt: skip
        self._hkl = hkl.astype(np.float64)
        self._span = self._period(system.cell)
        # As of other slabs: the height of the box' lowest corner.
        u, w = self._weights(system.cell)
        self._begin = float(system.origin @ u) + float(np.minimum(w, 0.0).sum())
        begin = -0.5 * self._span if moving else self._begin
        given = low is not None and high is not None
        super().__init__(
            bins, low if low is not None else begin, high if high is not None else begin + self._span,
            not given and not moving,
        )  # fmt: skip

    def _weights(
        self, cell: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the normal ``(3,)``, and how far each vector of a cell goes along it ``(3,)`` [Å]."""
        normal = np.linalg.inv(cell) @ self._hkl
        length = float(np.linalg.norm(normal))
        return normal / length, self._hkl / length

    def _period(self, cell: NDArray[np.float64]) -> float:
        """Return the distance of the planes [Å]."""
        return float(1.0 / np.linalg.norm(np.linalg.inv(cell) @ self._hkl))

    def coordinates(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return where the owned atoms ``(n_local,)`` are along the normal, within a period [Å]."""
        start = frame.origin if origin is None else origin
        r = frame.positions[: frame.n_local] - start
        phase = r @ (np.linalg.inv(frame.cell) @ self._hkl)
        found: NDArray[np.float64]
        if origin is not None:
            found = (phase - np.floor(phase + 0.5)) * self._period(frame.cell) + HAIR
            return found
        phase -= np.floor(phase)
        phase[phase >= 1.0] = 0.0  # just below 0, and rounded
        found = self._begin + phase * self._span
        return found

    def volumes(self, frame: Frame, origin: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Return the volume of each bin ``(bins,)`` within a period [Å³]."""
        whole = float(abs(np.linalg.det(frame.cell)))
        if origin is None:
            return np.full(self.bins, whole * self.width / self._span)
        half = 0.5 * self._period(frame.cell)
        parts: NDArray[np.float64] = np.diff(np.clip(self.edges, -half, half)) * (
            0.5 * whole / half
        )
        return parts

    def point(self, frame: Frame, coordinate: float) -> NDArray[np.float64]:
        """Return a point ``(3,)`` [Å] at a height [Å] of bins that do not move."""
        middle = 0.5 * self._hkl.sum()
        away = (coordinate - self._begin) / self._span - middle
        s: NDArray[Any] = 0.5 + (away - np.rint(away)) * self._hkl / (self._hkl @ self._hkl)
        found: NDArray[np.float64] = frame.origin + s @ frame.cell
        return found
