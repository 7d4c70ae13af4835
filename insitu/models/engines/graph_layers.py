# SPDX-License-Identifier: BSD-3-Clause
"""What models with graph layers have in common: stages between which ranks exchange features."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.halo import Halo, Rows
from insitu.frame.neighbors import Neighbors

if TYPE_CHECKING:
    from insitu.models.card import Card

#: Neighbours found; what neighbours read of a layer, or the probabilities; which rows they read.
Stage = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]


class LayeredModel:
    """A loaded model with graph layers, on the kernels or as TorchScript.

    Parameters
    ----------
    card
        Its metadata.
    sha256, path
        Of the artefact.
    """

    def __init__(self, card: Card, sha256: str, path: Path) -> None:
        self.card, self.sha256, self.path = card, sha256, path
        #: Wall times of the last call [s], without that spent waiting for other ranks.
        self.timing: dict[str, float] = {}
        self.waited = 0.0
        #: Threads of the kernels.
        self.threads = 1
        self._module: Any = None

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return self._module is None

    @property
    def engine(self) -> str:
        """Name of what runs the network."""
        return "native" if self.native else "torchscript"

    @property
    def rounds(self) -> int:
        """How often a frame's features are exchanged between ranks."""
        raise NotImplementedError

    def _stages(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        """Yield what neighbours read of each layer, at last the probabilities.

        The caller fills in the rows of other ranks' atoms before it goes on.
        """
        raise NotImplementedError

    def classify(
        self, search: Neighbors, spacing: float, halo: Halo | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
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
