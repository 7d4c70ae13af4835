# SPDX-License-Identifier: BSD-3-Clause
"""Networks of energy barriers that SymGNN is compared with: simpler ones, and an equivariant one.

All have the width, the number of layers and the decoder of
:class:`~insitu.models.networks.symgnn.SymGNN`, and are called as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insitu.models.networks.symgnn import SymGNN, Symmetrisation


class Rival(nn.Module):
    """What the rivals share; without neighbours, of the species alone, it is the multilayer perceptron.

    Parameters
    ----------
    centre, scale
        Mean and standard deviation of the barriers in training [eV].
    width, layers
        Features, and number of message-passing layers.
    """

    def __init__(
        self, centre: float = 0.0, scale: float = 1.0, width: int = 32, layers: int = 4
    ) -> None:
        super().__init__()
        like = SymGNN(heads=(), width=width)
        self.centre, self.scale = centre, scale
        self.encode, self.decode = like.encode, like.decode
        self.layers = nn.ModuleList([self.layer(width) for _ in range(layers)])

    def layer(self, width: int) -> nn.Module:
        """Return a layer."""
        return nn.Identity()

    def messages(self, nodes: Tensor, source: Tensor, target: Tensor, vectors: Tensor) -> Tensor:
        """Return the nodes' features after all layers, ``(n, width)``."""
        return nodes

    def forward(self, source: Tensor, target: Tensor, vectors: Tensor, species: Tensor) -> Tensor:
        """Return the barriers ``(n,)`` [eV]; arguments as :meth:`SymGNN.forward` has them."""
        nodes = self.messages(self.encode(species), source, target, vectors)
        barriers: Tensor = self.centre + self.scale * self.decode(nodes).squeeze(1)
        return barriers


class GCN(Rival):
    """Graph convolution: means over neighbours, of the species alone.

    References
    ----------
    Kipf & Welling, arXiv:1609.02907.
    """

    def layer(self, width: int) -> nn.Module:
        """Return a layer."""
        return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())

    def messages(self, nodes: Tensor, source: Tensor, target: Tensor, vectors: Tensor) -> Tensor:
        """Return the nodes' features after all layers, ``(n, width)``."""
        for layer in self.layers:
            nodes = nodes + layer(_mean(nodes[source], target, nodes))
        return nodes


class EdgeGCN(Rival):
    """Graph convolution with features of the edges, of their displacements as they are."""

    def __init__(
        self, centre: float = 0.0, scale: float = 1.0, width: int = 32, layers: int = 4
    ) -> None:
        super().__init__(centre, scale, width, layers)
        self.edges = Symmetrisation("none", width)

    def layer(self, width: int) -> nn.Module:
        """Return a layer."""
        return nn.ModuleList(
            [
                nn.Linear(width, width), nn.Linear(width, width),
                nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, width), nn.ReLU()),
            ]
        )  # fmt: skip

    def messages(self, nodes: Tensor, source: Tensor, target: Tensor, vectors: Tensor) -> Tensor:
        """Return the nodes' features after all layers, ``(n, width)``."""
        edges = self.edges(vectors)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            own, edge, out = layer
            sent = torch.relu(own(nodes)[source] + edge(edges))
            nodes = nodes + out(_mean(sent, target, nodes))
        return nodes


class EGNN(Rival):
    """Equivariant graph network: messages of distances, and positions that follow them.

    References
    ----------
    Satorras, Hoogeboom & Welling, arXiv:2102.09844.
    """

    def layer(self, width: int) -> nn.Module:
        """Return a layer."""
        return nn.ModuleList(
            [
                nn.Linear(width, width), nn.Linear(width, width), nn.Linear(1, width),
                nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
                nn.Linear(width, 1),
                nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width)),
            ]
        )  # fmt: skip

    def messages(self, nodes: Tensor, source: Tensor, target: Tensor, vectors: Tensor) -> Tensor:
        """Return the nodes' features after all layers, ``(n, width)``."""
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            one, other, distance, message, move, update = layer
            square = (vectors**2).sum(1, keepdim=True)
            sent = message(one(nodes)[source] + other(nodes)[target] + distance(square))
            step = _mean(-vectors * torch.tanh(move(sent)), target, nodes[:, :3])
            vectors = vectors + step[source] - step[target]
            nodes = nodes + update(torch.cat([nodes, _mean(sent, target, nodes)], dim=1))
        return nodes


def _mean(sent: Tensor, target: Tensor, nodes: Tensor) -> Tensor:
    """Return means over an atom's neighbours, of the shape of the nodes."""
    count = torch.bincount(target, minlength=len(nodes)).clamp(min=1).unsqueeze(1)
    return torch.zeros_like(nodes).index_add(0, target, sent) / count
