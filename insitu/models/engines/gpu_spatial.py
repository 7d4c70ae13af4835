# SPDX-License-Identifier: BSD-3-Clause
"""A network on the whole sample's graph, on a device (:mod:`insitu.models.engines.spatial`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError
from insitu.frame.halo import NOBODYS
from insitu.gpu.balls import WarpBalls
from insitu.gpu.device import Device, blocks_of
from insitu.gpu.rows import DeviceRows
from insitu.gpu.search import DeviceSearch
from insitu.models.engines.gpu_tiles import TILES, tile_for
from insitu.models.weights import wide

if TYPE_CHECKING:
    from insitu.frame.halo import Halo
    from insitu.models.card import Card
    from insitu.models.engines.spatial_graph import SpatialSettings

#: Threads of a block.
_THREADS = 128
#: Fields of an edge's direction and edges whose harmonics are there at a time (kernels/power_spectra.hpp).
_FIELDS, _TOGETHER = 6, 4


class DeviceSpatial:
    """The network's weights in device memory.

    Parameters
    ----------
    card
        Metadata of the model.
    widths, weights
        As :func:`insitu.models.engines.spatial.pack` writes them.
    device
        Where.

    Raises
    ------
    SettingError
        A layer is wider than the device's shared memory.
    """

    def __init__(
        self, card: Card, widths: list[int], weights: NDArray[np.float32], device: Device
    ) -> None:
        assert card.spatial is not None
        self.card, self.graph, self.device = card, card.spatial, device
        self._widths = [*(np.int32(w) for w in widths), np.float32(card.spatial.range)]
        self._width, self._hidden, self._padded = widths[1], widths[3], widths[4]
        #: Floats of shared memory that an atom needs in a layer and for its spectra, and atoms of a block.
        self._words = (self._hidden + self._padded, _spectra_words(card.spatial))
        self._tiles = [tile_for(device, w, f"model '{card.name}'") for w in self._words]
        zeros = np.zeros(self._width, dtype=np.float32)
        self._weights = device.array(np.concatenate([zeros, weights]), np.float32)
        #: ``(highest type + 1,)`` species of the atom types.
        self.kind_of_type: NDArray[np.int32] = np.zeros(1, dtype=np.int32)
        self._warps = WarpBalls(device, 64)
        self.timing: dict[str, float] = {}
        self.waited = 0.0

    def classify(
        self, search: DeviceSearch, spacing: float, halo: Halo | None = None
    ) -> tuple[Any, Any]:
        """Return class probabilities ``(n, C)`` and neighbours ``(n,)`` of the rows, on the device.

        Arguments as of :meth:`insitu.models.engines.spatial.SpatialModel.classify`; so are the errors.
        """
        started = time.perf_counter()
        xp, n, g = self.device.xp, search.frame.n_local, self.graph
        whole = blocks_of(n, TILES[0]) * TILES[0]
        of = DeviceRows(search, halo, whole)
        kind = self._kinds(search, halo, whole)
        rows, near, edges, directions, found = self._balls(search, spacing, of.of_place, kind)
        begun = time.perf_counter()
        h = xp.empty((whole, g.layers * self._width), dtype=np.float32)
        shared = xp.empty((whole + of.received, self._width), dtype=np.float32)
        following = xp.empty_like(shared)
        classes = len(self.card.classes)
        result = xp.empty((n, classes), dtype=np.float32)
        if g.layers > 1:
            of.choose(rows)
        tile, tile_of_spectra = self._tiles
        if n and g.degree:
            self.device.launch(
                "edge_spectra", blocks_of(n, tile_of_spectra), _THREADS,
                [self._weights, *self._widths, np.int32(n), directions, np.int32(tile_of_spectra), h],
                4 * tile_of_spectra * self._words[1],
            )  # fmt: skip
        for layer in range(g.layers):
            if layer:
                of.fill(shared)
            if n:
                self.device.launch(
                    "edge_convolve", blocks_of(n, tile), _THREADS,
                    [self._weights, *self._widths, np.int32(layer), np.int32(n), shared,
                     rows if layer else near, edges, kind, np.int32(tile), h, following, result,
                     np.int32(classes)],
                    4 * tile * self._words[0],
                )  # fmt: skip
            shared, following = following, shared
        self.waited = of.waited
        self.timing = {
            "descriptor": begun - started,
            "model": time.perf_counter() - begun - self.waited,
        }
        return result, found

    def _kinds(self, search: DeviceSearch, halo: Halo | None, whole: int) -> Any:
        """Return the species of the rows, other ranks' atoms included."""
        received = 0 if halo is None else halo.received
        kinds = np.zeros(whole + received, dtype=np.int32)
        if self.graph.species:
            types = search.frame.types
            kinds[: search.frame.n_local] = self.kind_of_type[types[: search.frame.n_local]]
            if halo is not None:
                kinds[whole:] = self.kind_of_type[types[halo.ghosts_received]]
        there = self.device.array(kinds, np.int32)
        n = search.frame.n_local
        there[:n] = there[:n][search.atoms]
        return there

    def _balls(
        self, search: DeviceSearch, spacing: float, row_of_place: Any, kind: Any
    ) -> tuple[Any, Any, Any, Any, Any]:
        """Return the neighbours of the atoms.

        Returns
        -------
        rows, near
            ``(n, padded)`` int32 rows and species.
        edges
            ``(n, words)`` weights, weighted features and how many neighbours are of each species.
        directions
            ``(n, fields, padded)`` what the power spectra are made of; None if there are none.
        found
            ``(n,)`` their number.
        """
        xp, n, g = self.device.xp, search.frame.n_local, self.graph
        pad, length = wide(g.neighbors), g.length(spacing)
        rows, near = (xp.empty((n, pad), dtype=np.int32) for _ in range(2))
        words = (1 + g.features // g.kinds) * pad + (wide(g.kinds) if g.kinds > 1 else 0)
        edges = xp.empty((n, words), dtype=np.float32)
        directions = xp.empty((n, _FIELDS, pad), dtype=np.float32) if g.degree else None
        found = xp.empty(n, dtype=np.int32)
        nobodys = self._warps.launch(
            "edge_balls", search, search.places,
            [row_of_place, kind, np.float64(g.reach * length), np.float64(search.r2),
             np.float64(length), np.int32(g.local), np.int32(g.neighbors), np.int32(g.radial),
             np.int32(g.kinds), np.int32(g.degree), np.int32(g.moments), np.float32(g.range)],
            [rows, near, edges, directions, found],
        )  # fmt: skip
        if nobodys:
            raise InsituError(NOBODYS)
        return rows, near, edges, directions, found


def _spectra_words(g: SpatialSettings) -> int:
    """Return the floats of shared memory that an atom's power spectra and their making need."""
    terms = (g.degree + 1) ** 2 if g.degree else 0
    return g.spectra + (g.kinds * g.moments + _TOGETHER) * terms
