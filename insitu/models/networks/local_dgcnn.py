# SPDX-License-Identifier: BSD-3-Clause
"""Erhard's dynamic graph network of one atom's surroundings, as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Widths of the EdgeConv layers, of their common embedding and of the perceptron after the pooling.
_WIDTHS = (64, 64, 128, 256)
_EMBEDDING = 16
_HEAD = (512, 256)
_SLOPE = 0.2


class EdgeConv(nn.Module):
    r""":math:`x_i' = \max_j \mathrm{LeakyReLU}(\mathrm{BN}(W [x_i, x_j - x_i]))` over dynamic neighbours.

    W is applied before the neighbours are gathered: with W = (U, V), W·[x_i, x_j − x_i] = (U − V) x_i +
    V x_j is two products a point instead of one an edge, and the same numbers.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, 2 * inputs))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.norm = nn.BatchNorm1d(outputs)
        self.activation = nn.LeakyReLU(_SLOPE)
        self.inputs = inputs

    def forward(self, x: Tensor, near: Tensor) -> Tensor:
        """Return ``(b, n, outputs)`` from ``(b, n, inputs)`` and neighbours ``(b, n, k)``."""
        b, n, k = near.shape
        centre, other = self.weight[:, : self.inputs], self.weight[:, self.inputs :]
        own = x @ (centre - other).t()
        far = (x @ other.t()).flatten(0, 1)
        shift = torch.arange(b, device=x.device).view(b, 1, 1) * n
        every = far.index_select(0, (near + shift).flatten()).view(b, n, k, -1)
        if self.training:
            edges = own.unsqueeze(2) + every
            normal = self.norm(edges.flatten(0, 2)).view(b, n, k, -1)
            largest: Tensor = self.activation(normal.amax(2))
            return largest
        # The statistics are fixed, so the normalisation is a line whose maximum lies at an end.
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        best = torch.where(scale >= 0, every.amax(2), every.amin(2))
        result: Tensor = self.activation((own + best - mean) * scale + self.norm.bias)
        return result


class LocalDGCNN(nn.Module):
    """The network of Erhard et al.: one environment an atom, neighbours recomputed in feature space.

    Four EdgeConv layers (64, 64, 128, 256), their outputs side by side (512) → 16, maximum and mean
    over the points (32) → 512 → 256 → C, dropout 0.2; 248,992 + 257·C trainable parameters. Points are
    the vectors to an atom's nearest neighbours in units of the first neighbour's distance; a place
    without a neighbour has the vector 0, and is no point.

    Parameters
    ----------
    n_classes
        Number of classes C.
    neighbors
        Dynamic neighbours of a point, itself among them as in Wang's network.

    References
    ----------
    Erhard et al., Modelling Simul. Mater. Sci. Eng. 32, 065029 (2024), doi:10.1088/1361-651X/ad64f3.
    Wang et al., ACM Trans. Graph. 38, 146 (2019), arXiv:1801.07829.
    """

    def __init__(self, n_classes: int, neighbors: int = 8) -> None:
        super().__init__()
        self.neighbors = neighbors
        inputs = (3, *_WIDTHS[:-1])
        self.convolutions = nn.ModuleList(
            [EdgeConv(i, o) for i, o in zip(inputs, _WIDTHS, strict=True)]
        )
        self.embedding = nn.Linear(sum(_WIDTHS), _EMBEDDING, bias=False)
        self.norm = nn.BatchNorm1d(_EMBEDDING)
        self.activation = nn.LeakyReLU(_SLOPE)
        self.head = nn.Sequential(
            nn.Linear(2 * _EMBEDDING, _HEAD[0], bias=False), nn.BatchNorm1d(_HEAD[0]),
            nn.LeakyReLU(_SLOPE), nn.Dropout(0.2),
            nn.Linear(_HEAD[0], _HEAD[1]), nn.BatchNorm1d(_HEAD[1]),
            nn.LeakyReLU(_SLOPE), nn.Dropout(0.2),
            nn.Linear(_HEAD[1], n_classes),
        )  # fmt: skip

    def nearest(self, x: Tensor, there: Tensor) -> Tensor:
        """Return the nearest points ``(b, n, k)`` of points ``(b, n, w)``, the present ones only."""
        square = (x * x).sum(2)
        distance = square.unsqueeze(2) + square.unsqueeze(1) - 2.0 * x @ x.transpose(1, 2)
        distance = distance + 1e9 * (~there).to(x.dtype).unsqueeze(1)
        return distance.topk(min(self.neighbors, x.shape[1]), largest=False)[1]

    def logits(self, vectors: Tensor) -> Tensor:
        """Return unnormalised class scores ``(b, C)``; see :meth:`forward`."""
        there = (vectors != 0).any(2)
        first = torch.linalg.vector_norm(vectors[:, 0], dim=1).clamp(min=1e-6)
        x = vectors / first.view(-1, 1, 1)
        kept: list[Tensor] = []
        for convolution in self.convolutions:
            x = convolution(x, self.nearest(x, there))
            kept.append(x)
        h = self.embedding(torch.cat(kept, 2))
        h = self.activation(self.norm(h.flatten(0, 1)).view(h.shape))
        mask = there.unsqueeze(2)
        largest = h.masked_fill(~mask, -1e9).amax(1)
        mean = (h * mask).sum(1) / mask.sum(1).clamp(min=1)
        scores: Tensor = self.head(torch.cat([largest, mean], 1))
        return scores

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the class probabilities ``(b, C)``.

        Parameters
        ----------
        vectors
            ``(b, n, 3)`` vectors to the nearest neighbours, nearest first, in any unit; 0 where there
            is none.
        """
        return torch.softmax(self.logits(vectors), dim=1)
