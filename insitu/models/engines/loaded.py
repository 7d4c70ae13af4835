# SPDX-License-Identifier: BSD-3-Clause
"""What every loaded model answers, whatever its network: radii, species, exchange, probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from insitu.models.engines.buffers import Rooms

if TYPE_CHECKING:
    from insitu.frame.ghosts.halo import Halo
    from insitu.frame.neighbors.search import Neighbors
    from insitu.gpu.device import Device
    from insitu.gpu.search import DeviceSearch
    from insitu.models.card import Card

#: Owned atoms ``(b,)``, their class probabilities ``(b, C)`` and neighbours found ``(b,)``.
Batch = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]


class DeviceModel(Protocol):
    """A model in device memory."""

    device: Device
    #: Wall times of the last call [s], without that spent waiting for other ranks.
    timing: dict[str, float]
    waited: float

    def classify(
        self, search: DeviceSearch, spacing: float, halo: Halo | None = None
    ) -> tuple[Any, Any]:
        """Return class probabilities ``(n, C)`` and neighbours ``(n,)`` of the rows, on the device."""


class LoadedModel:
    """A loaded model.

    Parameters
    ----------
    card
        Its metadata.
    sha256, path
        Of the artefact.
    """

    card: Card
    #: Threads of the kernels; torch has its own setting.
    threads = 1
    #: The same on a GPU, if that is where it runs.
    on_device: DeviceModel | None = None
    #: Time of the last call spent waiting for other ranks [s].
    waited = 0.0

    def __init__(self, card: Card, sha256: str, path: Path) -> None:
        self.card, self.sha256, self.path = card, sha256, path
        #: Arrays that are kept from frame to frame.
        self.rooms = Rooms()
        #: Wall times of the last call [s], without that spent waiting for other ranks.
        self.timing: dict[str, float] = {}

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """Name of what runs the network."""
        return "native" if self.native else "torchscript"

    @property
    def relative(self) -> bool:
        """Whether the search radius follows from the density of the sample."""
        return False

    @property
    def rounds(self) -> int:
        """How often a frame's features are exchanged between ranks."""
        return 0

    @property
    def exchanged(self) -> int:
        """Width of the features that ranks exchange; 0: they exchange none."""
        return 0

    @property
    def nearest(self) -> int | None:
        """Number of neighbours that an atom's class is made of; None: all within the radius."""
        return self.card.descriptor.ball if self.card.scale_free else None

    @property
    def ball_range(self) -> tuple[int, int] | None:
        """Fewest and most neighbours of the training data's balls; None where these tell nothing."""
        return None

    def move(self, device: Device) -> None:
        """Let the model run on a device."""
        raise NotImplementedError

    def radius(self, spacing: float) -> float:
        """Return the radius of the neighbour search [Å] at the spacing of a sample [Å]."""
        raise NotImplementedError

    def name_types(self, elements: Mapping[int, str]) -> None:
        """Say which element each atom type is: symbols among those of the card, by type."""

    def check_species(self) -> None:
        """Raise SettingError if the network needs species and they are not known."""

    def batches(
        self, search: Neighbors, spacing: float, halo: Halo | None = None
    ) -> Iterator[Batch]:
        """Yield the class probabilities of the analysed atoms, so many at a time as the model likes.

        Parameters
        ----------
        search
            Neighbour search of the model's radius.
        spacing
            Of the sample [Å].
        halo
            Where features of other ranks' atoms come from; None: all atoms are this rank's.
        """
        raise NotImplementedError
