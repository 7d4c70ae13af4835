# SPDX-License-Identifier: BSD-3-Clause
"""The README's figure of a rank's memory while a frame is analysed."""

import tracemalloc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.analysis import Phases
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.ghosts import check as ghosts
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.models.card import Card
from insitu.models.engines.images import Model
from insitu.testing import lattice


class _Constant(Model):
    """A network that costs nothing: what is measured is the way to it."""

    def __init__(self) -> None:
        self.card = Card("constant", ["fcc", "bcc"], NeighborsMap(cutoff=3.5, size=4))

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((len(images), 2), 0.5, dtype=np.float32)


def _peak(cells: int) -> tuple[int, int]:
    """Return points of a frame and the largest memory of its analysis [bytes]."""
    positions, cell = lattice("fcc", 4.05, (cells, cells, cells))
    frame = Frame.from_arrays(positions, cell, True, reach=8.0)
    analyzer: Any = Phases(_Constant())
    tracemalloc.start()
    assert ghosts.check(frame, analyzer.classifier.cutoff, Ranks()) == (0, 0.0)
    neighbors = Neighbors(frame, analyzer.classifier.cutoff)
    sums = analyzer(frame, neighbors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sums["count"].sum() == len(positions)
    # The cell list is C++ memory, which Python's count does not see.
    return len(frame.positions), peak + int(neighbors.cells.memory)


def test_memory_an_atom_is_what_the_readme_says() -> None:
    few, small = _peak(12)
    many, large = _peak(24)
    assert (large - small) / (many - few) < 150
