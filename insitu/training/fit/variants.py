# SPDX-License-Identifier: BSD-3-Clause
"""Other ways to weight messages by position, compared with what :class:`WholeSampleGraph` does.

The source draws its mechanism in a figure that is not in its text, so these are designs of ours. Each
is a subclass that changes the edges' features or the messages; what is shipped is the base class.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from insitu.models.engines.spatial import SpatialSettings
from insitu.training.fit.normalisation import Normalised


class Unweighted(Normalised):
    """Every neighbour's message counts the same, whatever its distance."""

    def edges(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the features of the base class and 1 for each neighbour that is there."""
        g, _ = super().edges(vectors, cut, unit, rows, species)
        return g, (rows >= 0).to(g.dtype)


class Distances(Normalised):
    """Distances without directions: the same in every orientation by construction."""

    def edges(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the features of the base class with the displacement set to 0, and weights."""
        g, s = super().edges(vectors, cut, unit, rows, species)
        return torch.cat([torch.zeros_like(g[:, :, :3]), g[:, :, 3:]], 2), s


class Gated(Normalised):
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

    def messages(self, layer: int, h: Tensor, rows: Tensor, features: Tensor) -> Tensor:
        """Return the messages ``(n, k, width)`` of the neighbours, not yet weighted."""
        n, k = rows.shape
        far = self.other[layer](h).index_select(0, rows.clamp(min=0).flatten()).view(n, k, -1)
        message: Tensor = self.gate[layer](features[:, :, 3:]) * far + self.edge[layer](features)
        return message


class Dynamic(Normalised):
    """Neighbours chosen in feature space after the first layer: half of the spatial candidates."""

    def convolve(
        self, layer: int, h: Tensor, rows: Tensor, features: Tensor, weights: Tensor,
        spectra: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the features of the first atoms after a layer; parameters of the base class."""
        if layer:
            n, k = rows.shape
            others = h.detach().index_select(0, rows.clamp(min=0).flatten()).view(n, k, -1)
            distance = (others - h[:n].detach().unsqueeze(1)).square().sum(2)
            distance = distance.masked_fill(rows < 0, torch.inf)
            chosen = torch.zeros_like(weights).scatter(
                1, distance.topk(k // 2, largest=False)[1], 1.0
            )
            weights = weights * chosen
        return super().convolve(layer, h, rows, features, weights, spectra)


class Directional(Normalised):
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
        """Return the features of the base class with the directed ones after them, and weights."""
        g, s = super().edges(vectors, cut, unit, rows, species)
        unit_vector = nn.functional.normalize(vectors, dim=2)
        directed = (g[:, :, 3:].unsqueeze(3) * unit_vector.unsqueeze(2)).flatten(2)
        return torch.cat([g, directed], 2), s


#: Edges that carry displacements, 16 within 4 Å: what comes with spectra is compared with it.
_DISPLACEMENTS: dict[str, Any] = {
    "degree": 0, "neighbors": 16, "reach": 4.0, "radial": 8, "range": 4.5, "species": (),
    "by_species": False,
}  # fmt: skip
_RELATIVE = {"unit": "spacing", "reach": 2.1, "local": 4, "range": 2.5}
_BLIND: dict[str, Any] = {"species": (), "by_species": False}
DISPLACEMENTS = "smooth weight"
POSITIONS = "power spectra, positions"
SHIPPED = "power spectra of both species"
#: Name of a variant → its class and what it changes in the settings of the graph.
VARIANTS: dict[str, tuple[type[Normalised], dict[str, Any]]] = {
    "relative positions only, unweighted": (Unweighted, _DISPLACEMENTS | {"radial": 0}),
    "and radial functions, unweighted": (Unweighted, _DISPLACEMENTS),
    DISPLACEMENTS: (Normalised, _DISPLACEMENTS),
    "smooth weight, no radial functions": (Normalised, _DISPLACEMENTS | {"radial": 0}),
    "smooth weight, distances without directions": (Distances, _DISPLACEMENTS),
    "smooth weight, directional radial functions": (Directional, _DISPLACEMENTS),
    "smooth weight and learned gate": (Gated, _DISPLACEMENTS),
    "smooth weight, 12 of 24 chosen in feature space": (
        Dynamic, _DISPLACEMENTS | {"neighbors": 24},
    ),
    "smooth weight, 24 neighbours": (Normalised, _DISPLACEMENTS | {"neighbors": 24}),
    "smooth weight, lengths in units of the 4 nearest": (Normalised, _DISPLACEMENTS | _RELATIVE),
    "power spectra, 16 neighbours within 4 Å, positions": (
        Normalised, _BLIND | {"neighbors": 16, "reach": 4.0, "range": 4.5},
    ),
    POSITIONS: (Normalised, _BLIND),
    SHIPPED: (Normalised, {}),
}  # fmt: skip


def variant(
    name: str, n_classes: int, settings: SpatialSettings
) -> tuple[Normalised, SpatialSettings]:
    """Return a network of a variant and the settings of its graph."""
    kind, change = VARIANTS[name]
    own = replace(settings, **change)
    return kind(n_classes, own), own
