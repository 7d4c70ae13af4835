# SPDX-License-Identifier: BSD-3-Clause
"""What models with graph layers have in common: stages between which ranks exchange features."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError, SettingError
from insitu.frame.ghosts.halo import Halo, Rows
from insitu.frame.neighbors.search import Neighbors
from insitu.models.engines.loaded import Batch, DeviceModel, LoadedModel
from insitu.models.weights import read_weights, torch_module

if TYPE_CHECKING:
    from insitu.gpu.device import Device
    from insitu.models.card import Card
    from insitu.models.engines.graph import GraphSettings
    from insitu.models.engines.spatial_graph import SpatialSettings

#: Neighbours found; what neighbours read of a layer, or the probabilities; which rows they read.
Stage = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]
#: Carries out a layer by its number: from what neighbours read to what they read of the next one.
Convolve = Callable[[int, NDArray[np.float32], NDArray[np.float32]], None]


@lru_cache(maxsize=2)
def _weights(content: bytes, path: Path) -> dict[str, NDArray[np.float64]]:
    """Return what :func:`read_weights` does, once for the same artefact; not to be changed."""
    arrays = read_weights(content, path)
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


class LayeredModel(LoadedModel):
    """A loaded model with graph layers, on the kernels or as TorchScript.

    Parameters
    ----------
    card
        Its metadata.
    weights
        What the network's ``pack()`` wrote, or None to run as TorchScript.
    sha256, path
        Of the artefact.
    isa
        Instruction set of the kernels, "" is the best one.
    module
        TorchScript in place of the artefact's, without `weights`.

    Raises
    ------
    ModelError
        The weights are not those of such a network, or do not fit the metadata.
    """

    #: The card's settings of the graph.
    graph: GraphSettings | SpatialSettings
    #: What is said of such a model with TorchScript on a device.
    _cpu_only: str

    def __init__(
        self, card: Card, weights: bytes | None, sha256: str, path: Path, isa: str = "",
        module: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(card, sha256, path)
        self.graph = self._settings()
        #: The network as TorchScript; None where the kernels run it.
        self._module: Any = None
        if weights is None:
            self._module = torch_module(path) if module is None else module
            self._check_module()
            return
        arrays = _weights(weights, path)
        try:
            self._widths = self._completed([int(w) for w in arrays["widths"]])
            self._weights = arrays["weights"].astype(np.float32)
            self._kernels = self._engine_of(self._weights, self._widths, isa)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"model {path}: {error}; copy or train it again") from None
        if expected := self._misfit(self._widths):
            raise ModelError(
                f"model {path}: the network's widths are {self._widths}, its metadata say {expected}; "
                "export it with the right settings"
            )

    def _settings(self) -> Any:
        """Return the card's settings of the graph."""
        raise NotImplementedError

    def _check_module(self) -> None:
        """Raise ModelError if the TorchScript does not fit the metadata."""

    def _completed(self, widths: list[int]) -> list[int]:
        """Return the widths of an artefact, with those that older ones do not have."""
        return widths

    def _engine_of(self, weights: NDArray[np.float32], widths: list[int], isa: str) -> Any:
        """Return the kernels with the network's weights."""
        raise NotImplementedError

    def _misfit(self, widths: list[int]) -> str:
        """Return what the metadata say, if it does not fit the widths, else ``""``."""
        raise NotImplementedError

    def _on(self, device: Device) -> DeviceModel:
        """Return the network in device memory."""
        raise NotImplementedError

    def move(self, device: Device) -> None:
        """Let the model run on a device; its errors are those of the network there."""
        if not self.native:
            raise SettingError(self._cpu_only)
        self.on_device = self._on(device)

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return self._module is None

    def _stages(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        """Yield what neighbours read of each layer, at last the probabilities.

        The caller fills in the rows of other ranks' atoms before it goes on.
        """
        return (self._native if self.native else self._torch)(search, rows, spacing, halo)

    def _native(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        """Yield the stages by the kernels."""
        n, room = len(search.owned[0]), self.rooms
        shared, following = (
            room(name, n + halo.received, self.exchanged) for name in ("shared", "following")
        )
        found = np.empty(n, dtype=np.int32)
        result = np.empty((n, len(self.card.classes)), dtype=np.float32)
        read, convolve = self._begin(search, rows, spacing, halo, shared, found, result)
        for left in range(self.rounds, 0, -1):
            yield found, shared, read
            convolve(self.graph.layers - left, shared, following)
            shared, following = following, shared
        yield found, result, read

    def _begin(
        self, search: Neighbors, rows: Rows, spacing: float, halo: Halo,
        shared: NDArray[np.float32], found: NDArray[np.int32], result: NDArray[np.float32],
    ) -> tuple[NDArray[np.int32], Convolve]:  # fmt: skip
        """Do what needs no other rank's features, on the kernels.

        Parameters
        ----------
        search, rows, spacing, halo
            As of :meth:`_stages`.
        shared
            ``(n + received, exchanged)`` receives what neighbours read.
        found
            ``(n,)`` receives the number of neighbours found.
        result
            ``(n, C)`` receives the probabilities, here or in the last layer.

        Returns
        -------
        read, convolve
            ``(n, k)`` rows that each atom reads, −1 where there is none; carries out a further layer.

        Raises
        ------
        InsituError
            A neighbour belongs to nobody.
        """
        raise NotImplementedError

    def _torch(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        """Yield the same by TorchScript, the reference: neighbours read all features there."""
        raise NotImplementedError

    def batches(
        self, search: Neighbors, spacing: float, halo: Halo | None = None
    ) -> Iterator[Batch]:
        """Yield what :meth:`classify` returns: all atoms at once."""
        yield self.classify(search, spacing, halo)

    def classify(self, search: Neighbors, spacing: float, halo: Halo | None = None) -> Batch:
        """Return owned atoms ``(n,)``, class probabilities ``(n, C)`` and neighbours found ``(n,)``.

        Collective if there is a `halo`; whoever made it calls :meth:`Halo.finish` if this raises.

        Parameters
        ----------
        search
            Neighbour search of the model's radius, up to which the frame's ghosts have to be
            complete.
        spacing
            Of the sample [Å].
        halo
            Where features of other ranks' atoms come from; None: all atoms are this rank's.
        """
        started = time.perf_counter()
        halo = halo or Halo.alone(search.frame)
        before, rows = halo.waited, halo.rows(search)
        work = self._stages(search, rows, spacing, halo)
        found, shared, read = next(work)
        begun = time.perf_counter()
        if self.rounds:
            halo.choose(read)
        for _ in range(self.rounds):
            halo.fill(shared, rows)
            shared = next(work)[1]
        self.waited = halo.waited - before
        self.timing = {
            "descriptor": begun - started,
            "model": time.perf_counter() - begun - self.waited,
        }
        if search.frame.selected is None:
            return search.atoms, shared, found
        chosen = rows.row_of[search.atoms]
        return search.atoms, shared[chosen], found[chosen]
