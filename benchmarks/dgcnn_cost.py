# SPDX-License-Identifier: BSD-3-Clause
"""What an atom costs with the local and the whole-sample network: torch against torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from insitu.models.engines.spatial import SpatialSettings
from insitu.models.networks.local_dgcnn import EdgeConv, LocalDGCNN
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.training.data.environments import surroundings, whole
from insitu.training.dynamics.phase_dynamics import Snapshot
from insitu.training.fit.variants import DISPLACEMENTS, POSITIONS, SHIPPED, variant
from insitu.training.structures.polymorphs import supercell, unit_cell

ATOMS = 12_000
LOCAL_ATOMS = 512
BATCH = 64
ROUNDS = 5
#: Whole-sample networks, by their name in the table.
DESIGNS = {
    "whole sample": DISPLACEMENTS, "whole sample, power spectra": POSITIONS,
    "whole sample, power spectra of species": SHIPPED,
}  # fmt: skip


class PublishedEdgeConv(nn.Module):
    """The same layer with its product for every edge, as published: k times the multiply-adds."""

    def __init__(self, layer: EdgeConv) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        """Return ``(b, n, outputs)``."""
        b, n, k = near.shape
        shift = torch.arange(b).view(b, 1, 1) * n
        other = x.flatten(0, 1).index_select(0, (near + shift).flatten()).view(b, n, k, -1)
        own = x.unsqueeze(2).expand_as(other)
        edges = torch.cat([own, other - own], 3) @ self.layer.weight.t()
        normal = self.layer.norm(edges.flatten(0, 2)).view(b, n, k, -1)
        best: torch.Tensor = self.layer.activation(normal).amax(2)
        return best


def published(network: LocalDGCNN) -> LocalDGCNN:
    """Return the network with the layers' products as published; its numbers are the same."""
    layers = [PublishedEdgeConv(c) for c in network.convolutions]  # type: ignore[arg-type]
    network.convolutions = nn.ModuleList(layers)
    return network


def sample(recipe: dict[str, Any]) -> Snapshot:
    """Return thermal alpha quartz."""
    p = recipe["phase"][0]
    r, types, cell = supercell(*unit_cell(p["cell"], p["symmetry"], p["sites"]), ATOMS)
    shaken = r + np.random.default_rng(0).normal(scale=0.1, size=r.shape)
    return Snapshot(p["class"], "cost", 300.0, 0.0, shaken, cell, types)


def best(function: Callable[[], Any], atoms: int) -> float:
    """Return the least processor time of some rounds [µs an atom]: others use this machine too."""
    times = []
    with torch.inference_mode():
        function()
        for _ in range(ROUNDS):
            started = time.process_time()
            function()
            times.append(time.process_time() - started)
    return 1e6 * min(times) / atoms


def cost(recipe: dict[str, Any], n_classes: int) -> Iterator[tuple[dict[str, Any], Callable]]:
    """Yield a key for each network, and the function that measures it."""
    torch.manual_seed(0)
    s = sample(recipe)

    def local(points: int, as_published: bool) -> dict[str, float]:
        network = LocalDGCNN(n_classes).eval()
        if as_published:
            network = published(network)
        centres = np.arange(LOCAL_ATOMS)
        vectors = torch.from_numpy(surroundings(s.positions, s.cell, centres, points + 1)[:, 1:])

        def run() -> None:
            for part in vectors.split(BATCH):
                network(part)

        return {"us": best(run, LOCAL_ATOMS)}

    for points in (32, 64, 128):
        for name, flag in (("local, as published", True), ("local, linear before max", False)):
            key = {"name": name, "points": str(points)}
            yield key, lambda p=points, f=flag: local(p, f)
    shipped = SpatialSettings(**recipe["spatial"])
    for title, name in DESIGNS.items():
        graph = variant(name, n_classes, shipped)[1]

        def everything(graph: SpatialSettings = graph) -> dict[str, float]:
            network = torch.jit.script(WholeSampleGraph(n_classes, graph).eval())
            w = whole(s, [s.label], graph)
            return {"us": best(lambda: network(*w.arguments()), len(s.positions))}

        def with_graph(graph: SpatialSettings = graph) -> dict[str, float]:
            network = torch.jit.script(WholeSampleGraph(n_classes, graph).eval())
            return {
                "us": best(
                    lambda: network(*whole(s, [s.label], graph).arguments()), len(s.positions)
                )
            }

        yield {"name": title, "points": f"{ATOMS:,}"}, everything
        yield {"name": f"{title}, graph included", "points": f"{ATOMS:,}"}, with_graph
