# SPDX-License-Identifier: BSD-3-Clause
"""A model that takes one image at a time: Neighbors Maps of the atoms, then a network on each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.models.engines.cnn import NativeCNN
from insitu.models.engines.loaded import Batch, LoadedModel
from insitu.models.engines.torchscript import TorchScript

if TYPE_CHECKING:
    from insitu.frame.ghosts.halo import Halo
    from insitu.frame.neighbors.search import Neighbors
    from insitu.gpu.device import Device
    from insitu.models.card import Card
    from insitu.models.engines.gpu_maps import DeviceMaps


class Model(LoadedModel):
    """A loaded classifier of single images: images in, class probabilities out.

    Parameters
    ----------
    card
        Its metadata.
    network
        The engine that runs it.
    sha256, path
        Of the artefact.
    """

    #: Images a call of the network: larger batches leave the processor's cache.
    batch = 64
    #: ``(channels - 1, highest type + 1)`` weights of the species channels, once types are named.
    colors: NDArray[np.float32] | None = None
    #: The same on a GPU, if that is where it runs.
    on_device: DeviceMaps | None = None

    def __init__(
        self, card: Card, network: TorchScript | NativeCNN, sha256: str, path: Path
    ) -> None:
        super().__init__(card, sha256, path)
        self.network = network

    def move(self, device: Device) -> None:
        """Let the model run on a device, in torch; its errors are those of :class:`DeviceMaps`."""
        from insitu.models.engines.gpu_maps import DeviceMaps

        self.on_device = DeviceMaps(self.card, self.path, device)

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return isinstance(self.network, NativeCNN) and self.on_device is None

    @property
    def ball_range(self) -> tuple[int, int] | None:
        """Fewest and most neighbours of the training data's balls; None for a scale-free model."""
        return None if self.card.scale_free else self.card.ball_range

    def radius(self, spacing: float) -> float:
        """Return the radius of the balls [Å]."""
        return self.card.descriptor.cutoff

    def name_types(self, elements: Mapping[int, str]) -> None:
        """Say which element each atom type is: symbols among those of the card, by type."""
        known = self.card.elements
        self.colors = np.zeros((self.card.channels - 1, max(elements, default=0) + 1), "f4")
        for kind, symbol in elements.items():
            self.colors[:, kind] = known[symbol]["weights"]
        if self.on_device is not None:
            self.on_device.colors = self.colors

    def check_species(self) -> None:
        """Raise SettingError if the images have species channels and the species are not known."""
        if self.card.channels > 1 and self.colors is None:
            raise SettingError(
                f"model '{self.card.name}' has {self.card.channels} channels and the species of the atoms "
                "are not known here; use it in a run, or with insitu.classify(species=…)"
            )

    def batches(
        self, search: Neighbors, spacing: float = 0.0, halo: Halo | None = None
    ) -> Iterator[Batch]:
        """Yield the class probabilities of the analysed atoms; memory does not grow with their number.

        Arguments as of :meth:`LoadedModel.batches`.
        """
        inference = 0.0
        started = time.perf_counter()
        weights = None if self.colors is None else self.colors[:, search.frame.types]
        for atoms, images, found in self.card.descriptor.batches(
            search, weights=weights, batch=self.batch, threads=self.threads
        ):
            before = time.perf_counter()
            result = self.probabilities(images)
            inference += time.perf_counter() - before
            yield atoms, result, found
        self.timing = {
            "descriptor": time.perf_counter() - started - inference,
            "model": inference,
        }

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, size, size)``."""
        if isinstance(self.network, NativeCNN):
            return self.network.probabilities(images, self.threads)
        return self.network.probabilities(images, self.batch)
