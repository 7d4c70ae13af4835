# SPDX-License-Identifier: BSD-3-Clause
"""From labelled configurations to maps with their neighbours, and copies that are harder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame import Frame
from insitu.models.graph import GraphSettings
from insitu.neighbors import Neighbors, spacing, survey
from insitu.training.dynamics import Sample


@dataclass(frozen=True)
class Graph:
    """A described configuration.

    Parameters
    ----------
    sample
        What it was made of.
    removed, strain
        Fraction of atoms taken away, largest component of the deformation.
    images
        ``(n, size²)`` float16 maps.
    neighbors
        ``(n, k)`` int32 nearest neighbours, −1: none.
    labels
        ``(n,)`` int64 class indices, −1: do not use.
    """

    sample: Sample
    removed: float
    strain: float
    images: NDArray[np.float16]
    neighbors: NDArray[np.int32]
    labels: NDArray[np.int64]


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


def _deformation(amplitude: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a deformation ``(3, 3)``: uniaxial and shear components within ± amplitude."""
    return np.eye(3) + np.triu(rng.uniform(-amplitude, amplitude, (3, 3)))


def graphs(
    recipe: dict[str, Any], samples: Iterable[Sample], seed: int, *, copies: str
) -> list[Graph]:
    """Describe configurations and their harder copies.

    Parameters
    ----------
    recipe
        Its ``[descriptor]``, ``[graph]``, ``[training]`` and ``classes``.
    samples
        Labelled configurations; those without a label are left out.
    seed
        Of the atoms that are removed and of the deformations.
    copies
        "training": copies with a random fraction removed (`copies` of them, one without), and a
        randomly deformed one of crystals. "fixed": a quarter and a half removed. "none".
    """
    settings = NeighborsMap(**recipe["descriptor"])
    graph = GraphSettings(**recipe["graph"])
    numbers = {c: k for k, c in enumerate(recipe["classes"])}
    rng = np.random.default_rng(seed)
    low, high = recipe["training"]["removed"]
    found = []
    for s in samples:
        labels = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
        if not (labels >= 0).any():
            continue
        variants = [(0.0, 0.0)]
        if copies == "training":
            number = recipe["training"].get("copies", 1)
            variants += [(rng.uniform(low, high), 0.0) for _ in range(number)]
            if s.kind != "melt":
                variants.append((0.0, recipe["training"]["strain"]))
        elif copies == "fixed":
            variants += [(0.25, 0.0), (0.5, 0.0)]
        for part, strain in variants:
            keep = rng.random(len(labels)) >= part
            f = _deformation(strain, rng)
            images, neighbors = describe(s.positions[keep] @ f, s.cell @ f, settings, graph)
            found.append(Graph(s, part, strain, images.astype(np.float16), neighbors, labels[keep]))
    return found
