# SPDX-License-Identifier: BSD-3-Clause
"""What networks with graph layers have in common on a device (on a CPU: `graph_layers`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.errors import InsituError
from insitu.frame.ghosts.halo import NOBODYS
from insitu.gpu.balls import WarpBalls
from insitu.gpu.device import Device, blocks_of
from insitu.gpu.rows import DeviceRows
from insitu.gpu.search import DeviceSearch

if TYPE_CHECKING:
    from insitu.frame.ghosts.halo import Halo
    from insitu.models.card import Card

#: Threads of a block.
THREADS = 128
#: Carries out a layer by its number: from what neighbours read to what they read of the next one.
Convolve = Callable[[int, Any, Any], None]


class DeviceLayers:
    """A network with graph layers, its weights in device memory.

    Parameters
    ----------
    card
        Metadata of the model.
    device
        Where.
    layers
        Graph layers.
    rounds
        Before how many of them, the last ones, features are exchanged between ranks.
    width
        Features of an atom that neighbours read.
    most
        The most atoms of a block.
    """

    def __init__(
        self, card: Card, device: Device, layers: int, rounds: int, width: int, most: int
    ) -> None:
        self.card, self.device = card, device
        self._layers, self._rounds, self._width, self._most = layers, rounds, width, most
        self._warps = WarpBalls(device, 64)
        #: Wall times of the last call [s]; the device may still be at work after it.
        self.timing: dict[str, float] = {}
        self.waited = 0.0

    def classify(
        self, search: DeviceSearch, spacing: float, halo: Halo | None = None
    ) -> tuple[Any, Any]:
        """Return class probabilities ``(n, C)`` and neighbours ``(n,)`` of the rows, on the device.

        Arguments as of :meth:`insitu.models.engines.graph_layers.LayeredModel.classify`; so are the
        errors.
        """
        started = time.perf_counter()
        xp, n = self.device.xp, search.frame.n_local
        whole = (
            blocks_of(n, self._most) * self._most
        )  # rows of whole tiles, then other ranks' atoms
        of = DeviceRows(search, halo, whole)
        shared = xp.empty((whole + of.received, self._width), dtype=np.float32)
        following = xp.empty_like(shared)
        result = xp.empty((n, len(self.card.classes)), dtype=np.float32)
        found = xp.empty(n, dtype=np.int32)
        rows, convolve = self._begin(search, spacing, of, whole, shared, found, result)
        begun = time.perf_counter()
        if self._rounds:
            of.choose(rows)
        for layer in range(self._layers):
            if layer >= self._layers - self._rounds:
                of.fill(shared)
            if n:
                convolve(layer, shared, following)
            shared, following = following, shared
        self.waited = of.waited
        self.timing = {
            "descriptor": begun - started,
            "model": time.perf_counter() - begun - self.waited,
        }
        return result, found

    def _begin(
        self, search: DeviceSearch, spacing: float, of: DeviceRows, whole: int, shared: Any, found: Any,
        result: Any,
    ) -> tuple[Any, Convolve]:  # fmt: skip
        """Do what comes before the first layer.

        Parameters
        ----------
        search, spacing
            As of :meth:`classify`.
        of
            Whose features are in which row.
        whole
            Rows of whole tiles.
        shared
            ``(whole + received, width)`` receives what neighbours read.
        found
            ``(n,)`` receives the number of neighbours found.
        result
            ``(n, C)`` receives the probabilities, in the last layer.

        Returns
        -------
        rows, convolve
            ``(n, k)`` rows that each atom reads, −1 where there is none; carries out a layer.

        Raises
        ------
        InsituError
            A neighbour belongs to nobody.
        """
        raise NotImplementedError

    def _neighbors(
        self, kernel: str, search: DeviceSearch, given: list[Any], results: list[Any]
    ) -> None:
        """Run a kernel that looks for the neighbours of all owned atoms, a warp an atom."""
        if self._warps.launch(kernel, search, search.places, given, results):
            raise InsituError(NOBODYS)

    def _tiles(self, kernel: str, n: int, tile: int, words: int, args: list[Any]) -> None:
        """Start a kernel with blocks of `tile` atoms that take so many floats of shared memory each."""
        self.device.launch(kernel, blocks_of(n, tile), THREADS, args, 4 * tile * words)
