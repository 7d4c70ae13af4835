# SPDX-License-Identifier: BSD-3-Clause
"""Neighbour search over a frame on a device: the counterpart of :mod:`insitu.frame.neighbors.search`.

Points are sorted by the number of their cell; a cell's neighbours are found by bisection, so that
cells without atoms cost nothing: vacuum, or an atom far away, needs no special case.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.neighbors.images import FAR
from insitu.gpu.device import Device, blocks_of

_THREADS = 256
#: Cells along an axis: 21 bits of a key, and one to spare on each side.
_MOST_CELLS = 2.0**21 - 4


class DeviceSearch:
    """Cell list over one frame, in device memory.

    The host waits twice: for the box of the positions, which gives the grid, and for whoever reads
    results. About 90 bytes an atom (owned and ghost).

    Parameters
    ----------
    frame
        The frame. Positions and ids that lie in device memory are used in place.
    cutoff
        Largest distance that will be asked for [Å].
    device
        Where.

    Raises
    ------
    InsituError
        A position is not finite.
    """

    def __init__(self, frame: Frame, cutoff: float, device: Device) -> None:
        self.frame, self.cutoff, self.device = frame, cutoff, device
        xp = device.xp
        r = device.array(frame.positions, np.float64)
        ids = device.array(frame.ids, np.int64)
        #: Number of points, owned and ghost.
        self.points = n = len(r)
        #: Squared radius within which a neighbour lies [Å²].
        radius = compiled().search_radius(cutoff)
        self.r2 = float(radius * radius)
        low, extent = self._box(r)
        side = radius * (1.0 + 1e-9)  # rounding must not put a neighbour two cells away
        while (extent / side).max(initial=0.0) > _MOST_CELLS:
            side *= 2.0
        keys = xp.empty(n, dtype=np.int64)
        corner = [np.float64(x) for x in low]
        self._over(n, "cell_keys", [r, np.int32(n), *corner, np.float64(1.0 / side), keys])
        #: ``(points,)`` index into the frame's arrays of each place of the cell order.
        self.index = xp.argsort(keys)
        keys = keys[self.index]
        #: ``(points, 3)`` and ``(points,)`` in cell order.
        self.r, self.id = r[self.index], ids[self.index]
        begins = xp.ones(n, dtype=np.int32)
        begins[1:] = keys[1:] != keys[:-1]
        #: ``(points,)`` number of each place's cell, and ``(cells, 9, 2)`` runs of places around it.
        self.cell = xp.cumsum(begins, dtype=np.int32) - np.int32(1)
        cells = min(float(n), float(np.prod(np.floor(extent / side) + 2.0)))  # and one for rounding
        self.runs = xp.empty((int(cells), 9, 2), dtype=np.int32)
        self._over(9 * n, "cell_runs", [keys, np.int32(n), self.cell, self.runs])
        owned = self.index < frame.n_local
        before = xp.cumsum(owned, dtype=np.int32)
        #: ``(n_local,)`` places of the owned atoms; ``(points,)`` row of each place, -1 for ghosts.
        self.places = xp.empty(frame.n_local, dtype=np.int32)
        self.row_of_place = xp.empty(n, dtype=np.int32)
        self._over(
            n, "owned_places",
            [self.index, before, np.int32(n), np.int32(frame.n_local), self.places, self.row_of_place],
        )  # fmt: skip

    def _box(self, r: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return corner and extent of the positions."""
        if not len(r):
            return np.zeros(3), np.zeros(3)
        xp = self.device.xp
        # Column by column: along the first of two axes CuPy's reductions use few threads.
        columns = [xp.ascontiguousarray(r[:, k]) for k in range(3)]
        ends = xp.stack([*(c.min() for c in columns), *(c.max() for c in columns)])
        low, high = self.device.read(ends).reshape(2, 3)
        if not (np.abs([low, high]) < FAR).all():
            everything = self.device.read(r)
            i = int(np.flatnonzero(~(np.abs(everything) < FAR).all(axis=1))[0])
            who = int(self.device.read(self.device.array(self.frame.ids, np.int64))[i])
            raise InsituError(
                f"the position of atom {who} is {everything[i].tolist()} at step "
                f"{self.frame.step}: the simulation has become unstable; check the time step and the "
                "potential"
            )
        return low, high - low

    def _over(self, work: int, kernel: str, args: list[Any]) -> None:
        if work:
            self.device.launch(kernel, blocks_of(work, _THREADS), _THREADS, args)

    @property
    def arrays(self) -> list[Any]:
        """What a kernel takes of the search: points, ids, cells and runs."""
        return [self.r, self.id, self.cell, self.runs]

    @property
    def atoms(self) -> Any:
        """``(n_local,)`` index into the frame's owned atoms of each row."""
        return self.index[self.places]
