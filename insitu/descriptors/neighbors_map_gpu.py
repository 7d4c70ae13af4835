# SPDX-License-Identifier: BSD-3-Clause
"""Neighbors Maps on a device (kernels/cuda/warp_map.hpp)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.compiled import compiled
from insitu.gpu.balls import WARP, WarpBalls
from insitu.gpu.device import Device
from insitu.gpu.search import DeviceSearch

if TYPE_CHECKING:
    from insitu.descriptors.neighbors_map import NeighborsMap


class DeviceDescriber:
    """Neighbors Maps on a device.

    Parameters
    ----------
    descriptor
        Settings.
    device
        Where.

    Raises
    ------
    SettingError
        The images are larger than the kernels make.
    """

    def __init__(self, descriptor: NeighborsMap, device: Device) -> None:
        if descriptor.size > WARP:
            raise SettingError(
                f"size={descriptor.size} is too large for a GPU, whose warps make images of up to "
                f"{WARP} pixels; give device=cpu, or a smaller size"
            )
        self.descriptor, self.device = descriptor, device
        shared = compiled().MAP_BYTES, compiled().MAP_TILE_BYTES
        self._warps = WarpBalls(device, 96, *shared, centre=True)

    def colors(self, search: DeviceSearch, weights: NDArray[np.float32]) -> Any:
        """Return the weights ``(channels, points)`` of all channels by place, on the device.

        Parameters
        ----------
        search
            Search over the frame.
        weights
            ``(channels - 1, points)`` of the further channels, by index into the frame's arrays.
        """
        plain = np.ones((1, search.points), dtype=np.float32)
        there = self.device.array(np.concatenate([plain, weights]), np.float32)
        return self.device.xp.ascontiguousarray(there[:, search.index])

    def images(self, search: DeviceSearch, places: Any, colors: Any = None) -> tuple[Any, Any]:
        """Return images ``(b, channels, size, size)`` and ball sizes ``(b,)`` of some places.

        Parameters
        ----------
        search
            Search with a cutoff of at least the descriptor's.
        places
            ``(b,)`` int32 on the device.
        colors
            What :meth:`colors` returns; None: one channel.
        """
        d, xp, n = self.descriptor, self.device.xp, len(places)
        if d.cutoff > search.cutoff:
            raise SettingError(
                f"cutoff={d.cutoff} of the descriptor exceeds the {search.cutoff} of this neighbour "
                "search; make the search with the largest cutoff"
            )
        channels, weight = (1, None) if colors is None else (len(colors), colors)
        images = xp.empty((n, channels, d.size, d.size), dtype=np.float32)
        found = xp.empty(n, dtype=np.int32)
        r2 = search.r2 * (d.cutoff / search.cutoff) ** 2
        limit = None
        if channels > 1:
            limit = (
                1024,
                "a ball of more than 1024 atoms is too large for more than one channel: reduce the "
                "cutoff",
            )
        self._warps.launch(
            "neighbors_maps", search, places,
            [np.float64(d.cutoff), np.float64(r2), np.int32(d.scale_free), np.int32(d.ball),
             np.int32(d.local), np.int32(d.size), np.int32(channels), np.float32(d.gamma),
             np.float32(d.beta), weight, np.int64(search.points)],
            [images, found], limit,
        )  # fmt: skip
        return images, found
