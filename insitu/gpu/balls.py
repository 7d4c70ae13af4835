# SPDX-License-Identifier: BSD-3-Clause
"""Balls by warps on a device: the room in shared memory that each needs, found by trying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from insitu.errors import SettingError
from insitu.frame.compiled import compiled
from insitu.gpu.device import Device, blocks_of, room_for
from insitu.gpu.search import DeviceSearch

#: Threads of a warp.
WARP = 32


class WarpBalls:
    """Launches kernels that have a warp an atom, and gives the warps more room when a frame needs it.

    Parameters
    ----------
    device
        Where.
    room
        Entries of a ball that a warp has room for at first.
    entry, fixed
        Bytes of shared memory of an entry beyond the ball's own, and of what else a warp has there.
    centre
        Whether the centre takes an entry.
    """

    def __init__(
        self, device: Device, room: int, entry: int = 0, fixed: int = 0, centre: bool = False
    ) -> None:
        self._device, self._room = device, room
        self._entry, self._fixed, self._centre = compiled().BALL_BYTES + entry, fixed, int(centre)

    def launch(
        self, kernel: str, search: DeviceSearch, places: Any, given: Sequence[Any],
        results: Sequence[Any], limit: tuple[int, str] | None = None,
    ) -> bool:  # fmt: skip
        """Run a kernel over some places until every ball had room; the host waits for its word.

        Parameters
        ----------
        kernel
            Takes the search's arrays, places and their number, `given`, the room, `results`, and
            two integers: the largest number of neighbours that had none, and a mark.
        search, places
            Search over the frame and ``(b,)`` int32 places, on the device.
        given, results
            What the kernel reads and writes.
        limit
            The most entries that it can have, and what is said beyond.

        Returns
        -------
        mark
            Whether the kernel set it: a neighbour belongs to nobody.

        Raises
        ------
        SettingError
            The limit is reached.
        InsituError
            The device's shared memory is.
        """
        n = len(places)
        while n:
            if limit is not None and self._room > limit[0]:
                raise SettingError(limit[1])
            trouble = self._device.xp.zeros(2, dtype=np.int32)
            of_a_warp = self._entry * self._room + self._fixed
            warps = room_for(self._device, of_a_warp)
            self._device.launch(
                kernel, blocks_of(n, warps), WARP * warps,
                [*search.arrays, places, np.int32(n), *given, np.int32(self._room), *results, trouble],
                of_a_warp * warps,
            )  # fmt: skip
            most, mark = (int(v) for v in self._device.read(trouble))
            if most + self._centre <= self._room:
                return bool(mark)
            # What was found are not the nearest ones: again with more room.
            self._room = -(-(most + self._centre) // WARP) * WARP
        return False
