# SPDX-License-Identifier: BSD-3-Clause
"""A model that takes one image at a time: Neighbors Maps of the atoms, then a network on each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insitu.models.engines.cnn import NativeCNN
from insitu.models.engines.torchscript import TorchScript

if TYPE_CHECKING:
    from insitu.gpu.device import Device
    from insitu.models.card import Card
    from insitu.models.engines.gpu_maps import DeviceMaps


class Model:
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
    #: Threads of the kernels; torch has its own setting.
    threads = 1

    def __init__(
        self, card: Card, network: TorchScript | NativeCNN, sha256: str, path: Path
    ) -> None:
        self.card = card
        self.sha256 = sha256
        self.path = path
        self.network = network
        #: The same on a GPU, if that is where it runs.
        self.on_device: DeviceMaps | None = None

    def move(self, device: Device) -> None:
        """Let the model run on a device, in torch; its errors are those of :class:`DeviceMaps`."""
        from insitu.models.engines.gpu_maps import DeviceMaps

        self.on_device = DeviceMaps(self.card, self.path, device)

    @property
    def engine(self) -> str:
        """Name of what runs the network."""
        return "native" if self.native else "torchscript"

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return isinstance(self.network, NativeCNN) and self.on_device is None

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, size, size)``."""
        if isinstance(self.network, NativeCNN):
            return self.network.probabilities(images, self.threads)
        return self.network.probabilities(images, self.batch)
