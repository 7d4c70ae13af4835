# SPDX-License-Identifier: BSD-3-Clause
"""A network on the whole sample's graph, on a device (:mod:`insitu.models.engines.spatial`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.gpu.device import Device
from insitu.gpu.rows import DeviceRows
from insitu.gpu.search import DeviceSearch
from insitu.models.engines.gpu_layers import Convolve, DeviceLayers
from insitu.models.engines.gpu_tiles import TILES, tile_for

if TYPE_CHECKING:
    from insitu.models.card import Card


class DeviceSpatial(DeviceLayers):
    """The network's weights in device memory.

    Parameters
    ----------
    card
        Metadata of the model.
    widths, weights
        As :func:`insitu.models.engines.spatial.pack` writes them.
    kernels
        The CPU's, which know how much memory an atom takes.
    device
        Where.

    Raises
    ------
    SettingError
        A layer is wider than the device's shared memory.
    """

    def __init__(
        self,
        card: Card,
        widths: list[int],
        weights: NDArray[np.float32],
        kernels: Any,
        device: Device,
    ) -> None:
        assert card.spatial is not None
        self.graph, self._kernels, width = card.spatial, kernels, widths[1]
        super().__init__(card, device, self.graph.layers, self.graph.layers - 1, width, TILES[0])
        self._widths = [*(np.int32(w) for w in widths), np.float32(self.graph.range)]
        #: Floats of shared memory that an atom needs in a layer and for its spectra, and atoms of a block.
        self._words: tuple[int, int] = kernels.tile_words
        self._tile = [tile_for(device, w, f"model '{card.name}'") for w in self._words]
        zeros = np.zeros(width, dtype=np.float32)
        self._weights = device.array(np.concatenate([zeros, weights]), np.float32)
        #: ``(highest type + 1,)`` species of the atom types.
        self.kind_of_type: NDArray[np.int32] = np.zeros(1, dtype=np.int32)

    def _begin(
        self, search: DeviceSearch, spacing: float, of: DeviceRows, whole: int, shared: Any, found: Any,
        result: Any,
    ) -> tuple[Any, Convolve]:  # fmt: skip
        xp, n, g, engine = self.device.xp, search.frame.n_local, self.graph, self._kernels
        length, classes = g.length(spacing), np.int32(len(self.card.classes))
        kind = self._kinds(search, of, whole)
        # Rows and species of the neighbours; what edges carry; what the power spectra are made of.
        rows, near = (xp.empty((n, engine.padded), dtype=np.int32) for _ in range(2))
        edges = xp.empty((n, engine.edge_words), dtype=np.float32)
        directions = xp.empty((n, engine.direction_words), dtype=np.float32) if g.degree else None
        self._neighbors(
            "edge_balls", search,
            [of.of_place, kind, np.float64(g.reach * length), np.float64(search.r2),
             np.float64(length), np.int32(g.local), np.int32(g.neighbors), np.int32(g.radial),
             np.int32(g.kinds), np.int32(g.degree), np.int32(g.moments), np.float32(g.range)],
            [rows, near, edges, directions, found],
        )  # fmt: skip
        h = xp.empty((whole, g.layers * self._width), dtype=np.float32)
        tile, tile_of_spectra = self._tile
        if n and g.degree:
            self._tiles(
                "edge_spectra", n, tile_of_spectra, self._words[1],
                [self._weights, *self._widths, np.int32(n), directions, np.int32(tile_of_spectra), h],
            )  # fmt: skip

        def convolve(layer: int, shared: Any, following: Any) -> None:
            self._tiles(
                "edge_convolve", n, tile, self._words[0],
                [self._weights, *self._widths, np.int32(layer), np.int32(n), shared,
                 rows if layer else near, edges, kind, np.int32(tile), h, following, result, classes],
            )  # fmt: skip

        return rows, convolve

    def _kinds(self, search: DeviceSearch, of: DeviceRows, whole: int) -> Any:
        """Return the species of the rows, other ranks' atoms included."""
        kinds = np.zeros(whole + of.received, dtype=np.int32)
        if self.graph.species:
            types = search.frame.types
            kinds[: search.frame.n_local] = self.kind_of_type[types[: search.frame.n_local]]
            kinds[whole:] = self.kind_of_type[types[of.ghosts_received]]
        there = self.device.array(kinds, np.int32)
        n = search.frame.n_local
        there[:n] = there[:n][search.atoms]
        return there
