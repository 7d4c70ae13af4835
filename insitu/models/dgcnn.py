# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic graph convolutional networks of atoms' positions, as torch modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insitu.models.spatial import SpatialSettings


class WholeSampleGraph(nn.Module):
    r"""EdgeConv layers with distance-weighted messages on the graph of a whole sample.

    :math:`h_i' = \mathrm{ReLU}(A h_i + a + \max(0, \max_j s_{ij} (B h_j + C g_{ij})))`, over the K
    nearest neighbours *j* of atom *i*; :math:`g_{ij}` are the displacement in units of a local length
    and Chebyshev polynomials of the distance, :math:`s_{ij} = (1 - (d_{ij}/c_i)^2)^2` goes to 0 at the
    (K+1)-th neighbour. The outputs of all layers together give the class of every atom.

    Parameters
    ----------
    n_classes
        Number of classes C.
    settings
        The graph and its edges' features.
    width, hidden
        Widths of the layers and of the head.

    References
    ----------
    Wang et al., ACM Trans. Graph. 38, 146 (2019), arXiv:1801.07829.
    """

    def __init__(
        self, n_classes: int, settings: SpatialSettings, width: int = 64, hidden: int = 64
    ) -> None:
        super().__init__()
        self.layers, self.width = settings.layers, width
        #: Atoms of which the messages are in memory at a time, when it does not learn.
        self.chunk = 256
        self.radial, self.extent = settings.radial, float(settings.range)
        self.species, self.kinds = settings.n_species, settings.kinds
        inputs = [self.species] + [width] * (settings.layers - 1)
        features = settings.features
        self.own = nn.ModuleList([nn.Linear(k, width) for k in inputs])
        self.other = nn.ModuleList([nn.Linear(k, width, bias=False) for k in inputs])
        self.edge = nn.ModuleList([nn.Linear(features, width, bias=False) for _ in inputs])
        self.head = nn.Linear(settings.layers * width, hidden)
        self.last = nn.Linear(hidden, n_classes)

    @torch.jit.export
    def edges(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features ``(n, k, E)`` and weights ``(n, k)`` of the edges.

        Parameters
        ----------
        vectors
            ``(n, k, 3)`` displacements of the neighbours.
        cut, unit
            ``(n,)`` cut-off and unit of length, in the vectors' unit.
        rows
            ``(n, k)`` int64 rows of the neighbours, −1 where there is none.
        species
            ``(m,)`` int64 of all rows.
        """
        distance = torch.linalg.vector_norm(vectors, dim=2)
        there = rows >= 0
        x = distance / cut.unsqueeze(1)
        weight = torch.relu(1.0 - x * x) ** 2 * there
        u = unit.unsqueeze(1)
        t = torch.clamp(2.0 * distance / (self.extent * u) - 1.0, max=1.0)
        parts = [vectors / u.unsqueeze(2)]
        before, now = torch.ones_like(t), t
        for _ in range(self.radial):
            parts.append(now.unsqueeze(2))
            before, now = now, 2.0 * t * now - before
        g = torch.cat(parts, 2)
        if self.kinds > 1:
            kind = torch.nn.functional.one_hot(species[rows.clamp(min=0)], self.kinds)
            g = (kind.to(g.dtype).unsqueeze(3) * g.unsqueeze(2)).flatten(2)
        return g, weight

    @torch.jit.export
    def begin(self, species: Tensor) -> Tensor:
        """Return the first features ``(m, S)`` of atoms of some species ``(m,)``: one-hot."""
        return torch.nn.functional.one_hot(species, self.species).to(self.head.weight.dtype)

    @torch.jit.export
    def convolve(
        self, layer: int, h: Tensor, rows: Tensor, features: Tensor, weights: Tensor
    ) -> Tensor:
        """Return the features ``(n, width)`` of the first n atoms behind a layer.

        Parameters
        ----------
        layer
            Its number, from 0.
        h
            ``(m, w)`` of n atoms and, behind them, of further neighbours.
        rows
            ``(n, k)`` int64 rows of the neighbours, −1 where there is none.
        features, weights
            Of the edges, from :meth:`edges`.
        """
        n, k_max = rows.shape[0], rows.shape[1]
        index = rows.clamp(min=0)
        # One matrix at a time of the messages of all atoms would not fit the processor's cache.
        step = n if self.training else self.chunk
        after = h
        # TorchScript takes a module out of a list by a constant only.
        for k, (own, other, edge) in enumerate(zip(self.own, self.other, self.edge)):  # noqa: B905
            if k == layer:
                mine, theirs = own(h[:n]), other(h)
                parts: list[Tensor] = []
                for at in range(0, n, max(step, 1)):
                    near = index[at : at + step]
                    far = theirs.index_select(0, near.flatten()).view(near.shape[0], k_max, -1)
                    far = far + edge(features[at : at + step])
                    pooled = torch.relu((weights[at : at + step].unsqueeze(2) * far).amax(1))
                    parts.append(torch.relu(mine[at : at + step] + pooled))
                after = torch.cat(parts) if len(parts) > 0 else mine
        return after

    def logits(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        """Return unnormalised class scores ``(n, C)`` of a whole sample; see :meth:`forward`."""
        g, s = self.edges(vectors, cut, unit, rows, species)
        h = self.begin(species)
        kept: list[Tensor] = []
        for layer in range(self.layers):
            h = self.convolve(layer, h, rows, g, s)
            kept.append(h)
        scores: Tensor = self.last(torch.relu(self.head(torch.cat(kept, 1))))
        return scores

    @torch.jit.export
    def probabilities(self, h: Tensor) -> Tensor:
        """Return the class probabilities ``(n, C)`` from all layers' features, side by side."""
        return torch.softmax(self.last(torch.relu(self.head(h))), dim=1)

    def forward(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        """Return the class probabilities ``(n, C)`` of a whole sample; parameters of :meth:`edges`."""
        return torch.softmax(self.logits(vectors, cut, unit, rows, species), dim=1)
