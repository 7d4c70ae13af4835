# SPDX-License-Identifier: BSD-3-Clause
"""A network on the whole sample's graph on a device: counterpart of `insitu.models.spatial`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.device import Device, blocks_of, room_for
from insitu.device_search import DeviceSearch
from insitu.errors import InsituError
from insitu.halo import NOBODYS, Halo
from insitu.models.device_graph import ENTRY, THREADS, WARP, Sender

if TYPE_CHECKING:
    from insitu.models.spatial import SpatialModel


class DeviceSpatial:
    """The network's weights in device memory.

    Parameters
    ----------
    model
        Its settings, and the elements of the atom types.
    widths, weights
        As :func:`insitu.models.spatial.pack` writes them.
    device
        Where.
    """

    def __init__(
        self, model: SpatialModel, widths: list[int], weights: NDArray[np.float32], device: Device
    ) -> None:
        self.card, self.graph, self.device = model.card, model.graph, device
        self._model = model
        self._widths = [np.int32(w) for w in widths]
        zeros = np.zeros(widths[1], dtype=np.float32)
        self._weights = device.array(np.concatenate([weights, zeros]), np.float32)
        #: Atoms within reach that a warp has room for; grows when a frame needs more.
        self._room = 64
        #: Wall times of the last call [s]; the device may still be at work behind it.
        self.timing: dict[str, float] = {}
        self.waited = 0.0

    def classify(
        self, search: DeviceSearch, spacing: float, halo: Halo | None = None
    ) -> tuple[Any, Any]:
        """Return class probabilities ``(n, C)`` and neighbours found ``(n,)`` of the rows, on the device.

        Arguments as of :meth:`insitu.models.spatial.SpatialModel.classify`; so are the errors.
        """
        started = time.perf_counter()
        xp, n = self.device.xp, search.frame.n_local
        width, layers = int(self._widths[1]), int(self._widths[2])
        received = np.zeros(0, np.int64) if halo is None else halo.ids
        waited = 0.0 if halo is None else halo.waited
        tile = self._tile()
        whole = blocks_of(n, tile) * tile  # rows of whole tiles; those of other ranks' atoms follow
        row_of_place = search.rows_with(received, whole)
        kinds = self._kinds(search, halo, whole)
        edges, found, rows = self._edges(search, spacing, row_of_place, kinds)
        sender = None
        if halo is not None and layers > 1:
            sender = Sender(search, halo, rows, whole)
        h = xp.empty((whole, layers * width), dtype=np.float32)
        shared = xp.empty((whole + len(received), width), dtype=np.float32)
        following = xp.empty_like(shared)
        result = xp.empty((n, len(self.card.classes)), dtype=np.float32)
        begun = time.perf_counter()
        for layer in range(layers):
            if sender is not None and layer:
                shared[whole:] = sender.features(shared[:n])
            if n:
                self.device.launch(
                    "spatial_layer", blocks_of(n, tile), THREADS,
                    [self._weights, *self._widths, np.int32(layer), np.int32(n), shared, rows, edges,
                     kinds, np.int32(tile), h, following, result, np.int32(len(self.card.classes))],
                    tile * self._bytes,
                )  # fmt: skip
            shared, following = following, shared
        self.waited = 0.0 if halo is None else halo.waited - waited
        self.timing = {
            "descriptor": begun - started,
            "model": time.perf_counter() - begun - self.waited,
        }
        return result, found

    def _kinds(self, search: DeviceSearch, halo: Halo | None, whole: int) -> Any:
        """Return the species ``(rows,)`` of the owned atoms, padded, and of other ranks' atoms."""
        xp, n = self.device.xp, search.frame.n_local
        received = 0 if halo is None else halo.received
        kinds = xp.zeros(whole + received, dtype=np.int32)
        if self.graph.species:
            here = self._model.kinds_of(search.frame)
            kinds[:n] = self.device.array(here, np.int32)[search.atoms]
            if halo is not None and received:
                kinds[whole:] = self.device.array(here[halo.ghosts_received], np.int32)
        return kinds

    def _edges(
        self, search: DeviceSearch, spacing: float, row_of_place: Any, kinds: Any
    ) -> tuple[Any, Any, Any]:
        """Return edges ``(n, words)``, neighbours found ``(n,)`` and their rows ``(n, padded)``."""
        xp, n, graph = self.device.xp, search.frame.n_local, self.graph
        length = graph.length(spacing)
        edges = xp.empty((n, (1 + graph.features) * self._padded), dtype=np.float32)
        found = xp.empty(n, dtype=np.int32)
        rows = xp.empty((n, self._padded), dtype=np.int32)
        self._room = max(self._room, -(-(graph.neighbors + 1) // WARP) * WARP)
        while n:
            trouble = xp.zeros(2, dtype=np.int32)
            warps = room_for(self.device, ENTRY * self._room)
            self.device.launch(
                "spatial_edges", blocks_of(n, warps), WARP * warps,
                [*search.arrays, search.places, np.int32(n), row_of_place, kinds,
                 np.float64(graph.reach * length), np.float64(search.r2), np.int32(graph.local),
                 np.float64(length), np.int32(graph.neighbors), np.int32(graph.radial),
                 np.int32(graph.kinds), np.float32(graph.range), np.int32(self._room), edges, found,
                 rows, trouble],
                ENTRY * self._room * warps,
            )  # fmt: skip
            most, nobodys = self.device.read(trouble)
            if nobodys:
                raise InsituError(NOBODYS)
            if most <= self._room:
                break
            self._room = -(-int(most) // WARP) * WARP
        return edges, found, rows

    @property
    def _padded(self) -> int:
        return -(-self.graph.neighbors // 16) * 16

    @property
    def _bytes(self) -> int:
        """Shared memory of an atom in a layer."""
        _, width, _, hidden, classes, *_ = (int(w) for w in self._widths)
        return 4 * (width + self._padded + hidden + classes)

    def _tile(self) -> int:
        """Return how many atoms a block takes."""
        return next((t for t in (32, 16, 8) if t * self._bytes <= self.device.shared_limit), 4)
