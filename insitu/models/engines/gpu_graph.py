# SPDX-License-Identifier: BSD-3-Clause
"""A model with a graph layer on a device: the counterpart of :mod:`insitu.models.engines.graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError
from insitu.gpu.balls import WARP
from insitu.gpu.device import Device
from insitu.gpu.rows import DeviceRows
from insitu.gpu.search import DeviceSearch
from insitu.models.engines.gpu_layers import Convolve, DeviceLayers
from insitu.models.engines.gpu_tiles import tile_for

if TYPE_CHECKING:
    from insitu.models.card import Card


class DeviceGraph(DeviceLayers):
    """The network's weights in device memory.

    Parameters
    ----------
    card
        Metadata of the model.
    widths, weights
        As :func:`insitu.models.engines.graph.pack` writes them.
    kernels
        The CPU's, which know how much memory an atom takes.
    device
        Where.

    Raises
    ------
    ModelError
        An image or a ball is larger than the kernels take.
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
        assert card.graph is not None
        if card.descriptor.ball > WARP or card.descriptor.size > card.descriptor.ball:
            raise ModelError(
                f"model '{card.name}' has images of {card.descriptor.size} pixels and balls of "
                f"{card.descriptor.ball} atoms; on a GPU both may have up to {WARP}, the image no more "
                "than the ball: use device=cpu"
            )
        *widths, outputs = widths if len(widths) > 6 else [*widths, 0]
        self.graph = card.graph
        self._widths, self._outputs = [np.int32(w) for w in widths], np.int32(outputs)
        self._features, message, layers = widths[2], widths[3], widths[5]
        #: Floats of shared memory that an atom needs in the first layer and in a graph layer.
        self._words: tuple[int, int] = kernels.tile_words(card.descriptor.ball)
        #: Atoms of a block.
        self._tile = tile_for(device, max(self._words), f"model '{card.name}'")
        super().__init__(card, device, layers, layers, message, self._tile)
        self._weights = device.array(_split(widths, weights), np.float32)

    def _begin(
        self, search: DeviceSearch, spacing: float, of: DeviceRows, whole: int, shared: Any, found: Any,
        result: Any,
    ) -> tuple[Any, Convolve]:  # fmt: skip
        xp, n, d, graph = self.device.xp, search.frame.n_local, self.card.descriptor, self.graph
        tile, classes = np.int32(self._tile), np.int32(len(self.card.classes))
        points = xp.empty((n, d.ball, 3), dtype=np.float32)
        rows = xp.empty((n, graph.neighbors), dtype=np.int32)
        self._neighbors(
            "graph_balls", search,
            [of.of_place, np.float64(graph.reach * spacing), np.float64(search.r2),
             np.float64(graph.near * spacing), np.int32(d.ball), np.int32(d.local),
             np.int32(graph.neighbors)],
            [points, found, rows],
        )  # fmt: skip
        h = xp.empty((whole, self._features), dtype=np.float32)
        if n:
            self._tiles(
                "graph_embed", n, self._tile, self._words[0],
                [points, found, np.int32(n), np.int32(d.size), np.int32(d.ball), np.float32(d.gamma),
                 np.float32(d.beta), self._weights, *self._widths[1:], tile, h, shared],
            )  # fmt: skip

        def convolve(layer: int, shared: Any, following: Any) -> None:
            self._tiles(
                "graph_convolve", n, self._tile, self._words[1],
                [self._weights, *self._widths, np.int32(layer), np.int32(n), shared, rows,
                 np.int32(graph.neighbors), tile, h, following, result, classes,
                 max(self._outputs, classes)],
            )  # fmt: skip

        return rows, convolve


def _split(widths: list[int], flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weights with the two parts of each layer, side by side on the CPU, one by one."""
    inputs, hidden, features, message, classes, layers = widths
    wide, at, parts = message + features, 0, []

    def take(rows: int, columns: int) -> NDArray[np.float32]:
        nonlocal at
        part = flat[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        return part

    parts = [take(inputs, hidden), take(1, hidden), take(hidden, features), take(1, features)]
    for _ in range(layers):
        both, bias = take(features, message + wide), take(1, message + wide)
        parts += [both[:, :message], both[:, message:], bias[:, :message], bias[:, message:]]
        parts.append(take(message, features))
    parts += [take(features, classes), take(1, classes)]
    return np.concatenate([np.ascontiguousarray(p).ravel() for p in parts])
