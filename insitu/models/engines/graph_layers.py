# SPDX-License-Identifier: BSD-3-Clause
"""What models with graph layers have in common: stages between which ranks exchange features."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.halo import Halo, Rows
from insitu.frame.neighbors import Neighbors
from insitu.models.engines.loaded import Batch, LoadedModel

#: Neighbours found; what neighbours read of a layer, or the probabilities; which rows they read.
Stage = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]


class LayeredModel(LoadedModel):
    """A loaded model with graph layers, on the kernels or as TorchScript."""

    #: The network as TorchScript; None where the kernels run it.
    _module: Any = None

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return self._module is None

    def _stages(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        """Yield what neighbours read of each layer, at last the probabilities.

        The caller fills in the rows of other ranks' atoms before it goes on.
        """
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
