# SPDX-License-Identifier: BSD-3-Clause
"""Rows of features on a device, and their exchange between ranks, by way of the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.gpu.search import DeviceSearch

if TYPE_CHECKING:
    from insitu.frame.ghosts.halo import Halo


class DeviceRows:
    """Whose features are in which row: the owned atoms in cell order, after them other ranks' atoms.

    Parameters
    ----------
    search
        Search over the frame.
    halo
        Where features of other ranks' atoms come from; None: all atoms are this rank's.
    first
        Row of the first atom of another rank.
    """

    def __init__(self, search: DeviceSearch, halo: Halo | None, first: int) -> None:
        self._search, self._halo, self._first = search, halo, first
        self._before = 0.0 if halo is None else halo.waited
        #: Number of other ranks' atoms.
        self.received = 0 if halo is None else halo.received
        #: ``(points,)`` int32 row of each place of the cell order, −1 where nobody owns it.
        self.of_place = self._by_id() if halo is None else self._by_owner(halo)

    @property
    def ghosts_received(self) -> NDArray[np.intp]:
        """``(received,)`` a ghost of each of these atoms, as an index into the frame's arrays."""
        return np.zeros(0, dtype=np.intp) if self._halo is None else self._halo.ghosts_received

    @property
    def waited(self) -> float:
        """Seconds that this rank has waited for others since these rows were made."""
        return 0.0 if self._halo is None else self._halo.waited - self._before

    def _by_id(self) -> Any:
        """Find the owner of a ghost among the owned atoms, on the device."""
        s, xp = self._search, self._search.device.xp
        n = len(s.places)
        if s.points == n or n == 0:
            return s.row_of_place
        ids = s.id[s.places]
        order = xp.argsort(ids)
        ordered = ids[order]
        at = xp.minimum(xp.searchsorted(ordered, s.id), n - 1)
        rows = xp.where(ordered[at] == s.id, order[at], -1).astype(np.int32)
        return xp.where(s.row_of_place >= 0, s.row_of_place, rows)

    def _by_owner(self, halo: Halo) -> Any:
        """Take the owners that the ranks agreed on, as long as their atoms do not change."""
        s, device = self._search, self._search.device
        xp, n = device.xp, s.frame.n_local
        row_of = xp.empty(n, dtype=np.int32)
        row_of[s.index[s.places]] = xp.arange(n, dtype=np.int32)
        self._row_of = row_of
        owner = device.array(halo.owners.of_ghost, np.int32)
        # Row of each point: owned atoms, then ghosts.
        foreign = owner - np.int32(n) + np.int32(self._first)
        inside = xp.minimum(xp.maximum(owner, np.int32(0)), np.int32(max(n - 1, 0)))
        ghosts = row_of[inside] if n else foreign
        ghosts = xp.where(owner < n, ghosts, foreign)
        rows = xp.concatenate([row_of, xp.where(owner < 0, np.int32(-1), ghosts)])
        return rows[s.index].astype(np.int32)

    def choose(self, read: Any) -> None:
        """Tell the owners which of their atoms this rank reads, rows ``(n, k)``; collective."""
        if self._halo is None:
            return
        device = self._search.device
        used = device.xp.zeros(self.received + 1, dtype=np.uint8)
        # Own rows, and none, count as the atom after the last.
        number = device.xp.where(
            read < self._first, np.int32(self.received), read - np.int32(self._first)
        )
        used[number.ravel()] = np.uint8(1)
        self._halo.choose_used(device.read(used)[:-1].astype(bool))

    def fill(self, values: Any) -> None:
        """Fill in the features of other ranks' atoms; collective."""
        if self._halo is None:
            return
        device, first = self._search.device, self._first

        def gather(own: NDArray[np.int32]) -> NDArray[np.float32]:
            return device.read(values[self._row_of[device.array(own, np.int64)]])

        def put(places: NDArray[np.intp], came: NDArray[np.float32]) -> None:
            values[device.array(first + places, np.int64)] = device.array(came, np.float32)

        self._halo.fill_by(gather, put)
