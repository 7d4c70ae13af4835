# SPDX-License-Identifier: BSD-3-Clause
"""Other ways to weight messages by position, compared with what :class:`WholeSampleGraph` does.

The source draws its mechanism in a figure that is not in its text, so these are designs of ours. Each
is a subclass that changes the edges' features or the messages; what is shipped is the base class.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from insitu.models.dgcnn import WholeSampleGraph
from insitu.models.spatial import SpatialSettings


class Unweighted(WholeSampleGraph):
    """Relative positions only: every neighbour's message counts the same, whatever its distance."""

    def edges(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the features of the base class and 1 for each neighbour that is there."""
        g, _ = super().edges(vectors, cut, unit, rows, species)
        return g, (rows >= 0).to(g.dtype)


class Gated(WholeSampleGraph):
    """Neighbours' features are multiplied by a learned function of the distance, channel by channel."""

    def __init__(
        self, n_classes: int, settings: SpatialSettings, width: int = 64, hidden: int = 64
    ) -> None:
        super().__init__(n_classes, settings, width, hidden)
        self.gate = nn.ModuleList(
            [nn.Linear(settings.radial, width) for _ in range(settings.layers)]
        )
        for gate in self.gate:
            nn.init.ones_(gate.bias)  # type: ignore[arg-type]

    def convolve(
        self, layer: int, h: Tensor, rows: Tensor, features: Tensor, weights: Tensor
    ) -> Tensor:
        """Return the features of the first atoms behind a layer; parameters of the base class."""
        n, k = rows.shape
        far = self.other[layer](h).index_select(0, rows.clamp(min=0).flatten()).view(n, k, -1)
        gate = self.gate[layer](features[:, :, 3:])
        messages = weights.unsqueeze(2) * (gate * far + self.edge[layer](features))
        return torch.relu(self.own[layer](h[:n]) + torch.relu(messages.amax(1)))


class Dynamic(WholeSampleGraph):
    """Neighbours chosen in feature space behind the first layer: half of the spatial candidates."""

    def convolve(
        self, layer: int, h: Tensor, rows: Tensor, features: Tensor, weights: Tensor
    ) -> Tensor:
        """Return the features of the first atoms behind a layer; parameters of the base class."""
        if layer:
            n, k = rows.shape
            others = h.detach().index_select(0, rows.clamp(min=0).flatten()).view(n, k, -1)
            distance = (others - h[:n].detach().unsqueeze(1)).square().sum(2)
            distance = distance.masked_fill(rows < 0, torch.inf)
            chosen = torch.zeros_like(weights).scatter(
                1, distance.topk(k // 2, largest=False)[1], 1.0
            )
            weights = weights * chosen
        return super().convolve(layer, h, rows, features, weights)


class Directional(WholeSampleGraph):
    """Radial functions times the unit vector beside the radial functions: filters with a direction."""

    def __init__(
        self, n_classes: int, settings: SpatialSettings, width: int = 64, hidden: int = 64
    ) -> None:
        super().__init__(n_classes, settings, width, hidden)
        self.edge = nn.ModuleList(
            [nn.Linear(3 + 4 * settings.radial, width, bias=False) for _ in range(settings.layers)]
        )

    def edges(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the features of the base class with the directed ones behind them, and weights."""
        g, s = super().edges(vectors, cut, unit, rows, species)
        unit_vector = nn.functional.normalize(vectors, dim=2)
        directed = (g[:, :, 3:].unsqueeze(3) * unit_vector.unsqueeze(2)).flatten(2)
        return torch.cat([g, directed], 2), s


#: Name of a variant → its class and what it changes in the settings of the graph.
VARIANTS: dict[str, tuple[type[WholeSampleGraph], dict[str, float]]] = {
    "relative positions only, unweighted": (Unweighted, {"radial": 0}),
    "radial functions, unweighted": (Unweighted, {}),
    "smooth weight": (WholeSampleGraph, {}),
    "smooth weight, no radial functions": (WholeSampleGraph, {"radial": 0}),
    "smooth weight, 12 neighbours": (WholeSampleGraph, {"neighbors": 12}),
    "smooth weight, 24 neighbours": (WholeSampleGraph, {"neighbors": 24}),
    "smooth weight and learned gate": (Gated, {}),
    "smooth weight, 12 of 24 chosen in feature space": (Dynamic, {"neighbors": 24}),
    "smooth weight, directional radial functions": (Directional, {}),
}


def variant(
    name: str, n_classes: int, settings: SpatialSettings
) -> tuple[WholeSampleGraph, SpatialSettings]:
    """Return a network of a variant and the settings of its graph."""
    kind, change = VARIANTS[name]
    own = replace(settings, **{k: int(v) for k, v in change.items()})
    return kind(n_classes, own), own
