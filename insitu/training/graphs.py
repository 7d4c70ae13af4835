# SPDX-License-Identifier: BSD-3-Clause
"""From labelled configurations to maps with their neighbours, and copies that are harder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame import Frame
from insitu.models.graph import GraphSettings
from insitu.neighbors import Neighbors, spacing, survey


@dataclass(frozen=True)
class Graph:
    """Maps ``(n, size²)`` float16, neighbours ``(n, k)`` (−1: none) and class indices ``(n,)``.

    Class −1 is not used for training.
    """

    images: NDArray[np.float16]
    neighbors: NDArray[np.int32]
    labels: NDArray[np.int64]


def removed(
    n: int, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which of n atoms stay when a fraction of them is taken away at random."""
    keep: NDArray[np.bool_] = rng.random(n) >= fraction
    return keep


def random_strain(amplitude: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a deformation ``(3, 3)``: uniaxial and shear components within ± amplitude."""
    e = rng.uniform(-amplitude, amplitude, (3, 3))
    return np.eye(3) + np.triu(e)


def describe(
    positions: NDArray[np.float64], cell: NDArray[np.float64], settings: NeighborsMap,
    graph: GraphSettings,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
    """Return the maps ``(n, size²)`` of a periodic configuration and its neighbours ``(n, k)``.

    Parameters
    ----------
    positions, cell
        ``(n, 3)`` and ``(3, 3)`` [Å].
    settings
        Scale-free descriptor; its cutoff is set from the density.
    graph
        Extent of the graph, with k neighbours.
    """
    bare = Frame.from_arrays(positions, cell, True, reach=0.0)
    length = spacing(survey(bare), bare.cell)
    radius = graph.reach * length
    frame = Frame.from_arrays(positions, cell, True, reach=radius * 1.0001)
    search = Neighbors(frame, radius)
    n = frame.n_local
    images = np.zeros((n, settings.size**2), dtype=np.float32)
    for atoms, batch, _ in replace(settings, cutoff=radius).batches(search):
        images[atoms] = batch.reshape(len(atoms), -1)
    ball = (radius, settings.ball, settings.local)
    places = search.nearest(search.places, ball, graph.neighbors, graph.near * length)
    table = np.empty((n, graph.neighbors), dtype=np.int32)
    table[search.atoms] = np.where(places >= 0, frame.ids[search.index[places]] - 1, -1)
    return images, table
