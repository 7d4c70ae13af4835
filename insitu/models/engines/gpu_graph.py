# SPDX-License-Identifier: BSD-3-Clause
"""A model with a graph layer on a device: the counterpart of :mod:`insitu.models.engines.graph`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, ModelError
from insitu.frame.halo import NOBODYS
from insitu.gpu.balls import WARP, WarpBalls
from insitu.gpu.device import Device, blocks_of
from insitu.gpu.rows import DeviceRows
from insitu.gpu.search import DeviceSearch
from insitu.models.engines.gpu_tiles import tile_for

if TYPE_CHECKING:
    from insitu.frame.halo import Halo
    from insitu.models.card import Card

#: Threads of a block.
_THREADS = 128


class DeviceGraph:
    """The network's weights in device memory.

    Parameters
    ----------
    card
        Metadata of the model.
    widths, weights
        As :func:`insitu.models.engines.graph.pack` writes them.
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
        self, card: Card, widths: list[int], weights: NDArray[np.float32], device: Device
    ) -> None:
        assert card.graph is not None
        self.card, self.graph, self.device = card, card.graph, device
        if card.descriptor.ball > WARP or card.descriptor.size > card.descriptor.ball:
            raise ModelError(
                f"model '{card.name}' has images of {card.descriptor.size} pixels and balls of "
                f"{card.descriptor.ball} atoms; on a GPU both may have up to {WARP}, the image no more "
                "than the ball: use device=cpu"
            )
        *widths, outputs = widths if len(widths) > 6 else [*widths, 0]
        self._widths, self._outputs = [np.int32(w) for w in widths], np.int32(outputs)
        inputs, hidden, features, message, padded, _ = widths
        #: Floats of shared memory that an atom needs in the first layer and in a graph layer.
        self._words = (
            (inputs | 1) + max(hidden, 3 * (card.descriptor.ball + 1)),
            2 * message + features + padded,
        )
        #: Atoms of a block.
        self._tile = tile_for(device, max(self._words), f"model '{card.name}'")
        self._weights = device.array(_split(widths, weights), np.float32)
        self._warps = WarpBalls(device, 64)
        #: Wall times of the last call [s]; the device may still be at work after it.
        self.timing: dict[str, float] = {}
        self.waited = 0.0

    def classify(
        self, search: DeviceSearch, spacing: float, halo: Halo | None = None
    ) -> tuple[Any, Any]:
        """Return class probabilities ``(n, C)`` and ball sizes ``(n,)`` of the rows, on the device.

        Arguments as of :meth:`insitu.models.engines.graph.GraphModel.classify`; so are the errors.
        """
        started = time.perf_counter()
        xp, n, graph = self.device.xp, search.frame.n_local, self.graph
        _, _, features, message, _, layers = (int(w) for w in self._widths)
        tile = self._tile
        whole = blocks_of(n, tile) * tile  # rows of whole tiles; those of other ranks' atoms follow
        of = DeviceRows(search, halo, whole)
        points, found, rows = self._balls(search, spacing, of.of_place)
        h = xp.empty((whole, features), dtype=np.float32)
        shared = xp.empty((whole + of.received, message), dtype=np.float32)
        following = xp.empty_like(shared)
        d = self.card.descriptor
        if n:
            self.device.launch(
                "graph_embed", blocks_of(n, tile), _THREADS,
                [points, found, np.int32(n), np.int32(d.size), np.int32(d.ball), np.float32(d.gamma),
                 np.float32(d.beta), self._weights, *self._widths[1:], np.int32(tile), h, shared],
                4 * tile * self._words[0],
            )  # fmt: skip
        embedded = time.perf_counter()
        classes = len(self.card.classes)
        result = xp.empty((n, classes), dtype=np.float32)
        of.choose(rows)
        for layer in range(layers):
            of.fill(shared)
            if n:
                self.device.launch(
                    "graph_convolve", blocks_of(n, tile), _THREADS,
                    [self._weights, *self._widths, np.int32(layer), np.int32(n), shared, rows,
                     np.int32(graph.neighbors), np.int32(tile), h, following, result,
                     np.int32(classes), max(self._outputs, np.int32(classes))],
                    4 * tile * self._words[1],
                )  # fmt: skip
            shared, following = following, shared
        self.waited = of.waited
        self.timing = {
            "descriptor": embedded - started,
            "model": time.perf_counter() - embedded - self.waited,
        }
        return result, found

    def _balls(
        self, search: DeviceSearch, spacing: float, row_of_place: Any
    ) -> tuple[Any, Any, Any]:
        """Return points ``(n, ball, 3)``, ball sizes ``(n,)`` and neighbours' rows ``(n, most)``."""
        xp, n, d, graph = self.device.xp, search.frame.n_local, self.card.descriptor, self.graph
        points = xp.empty((n, d.ball, 3), dtype=np.float32)
        found = xp.empty(n, dtype=np.int32)
        rows = xp.empty((n, graph.neighbors), dtype=np.int32)
        nobodys = self._warps.launch(
            "graph_balls", search, search.places,
            [row_of_place, np.float64(graph.reach * spacing), np.float64(search.r2),
             np.float64(graph.near * spacing), np.int32(d.ball), np.int32(d.local),
             np.int32(graph.neighbors)],
            [points, found, rows],
        )  # fmt: skip
        if nobodys:
            raise InsituError(NOBODYS)
        return points, found, rows


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
