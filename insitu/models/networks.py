# SPDX-License-Identifier: BSD-3-Clause
"""Networks as torch modules. Each maps descriptors to class probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NeighborsMapCNN(nn.Module):
    """The convolutional network of the Neighbors Map paper, for 32 × 32 images.

    26,440 + 25·C trainable parameters with one channel and C classes.

    Parameters
    ----------
    n_classes
        Number of classes C.
    channels
        Channels of the image.
    scale
        Constant factor on the pixels, which are about 0.1 with lengths in Å.

    References
    ----------
    Allera et al., arXiv:2307.00978, appendix A.
    """

    def __init__(self, n_classes: int, channels: int = 1, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = scale
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 2, stride=2), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 24), nn.ReLU(), nn.BatchNorm1d(24),
            nn.Linear(24, n_classes),
        )  # fmt: skip

    def logits(self, images: Tensor) -> Tensor:
        """Return unnormalised class scores ``(n, C)`` of images ``(n, channels, 32, 32)``."""
        scores: Tensor = self.head(self.features(images * self.scale))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Return class probabilities ``(n, C)`` of images ``(n, channels, 32, 32)``."""
        return torch.softmax(self.logits(images), dim=1)


class NeighborsMapGraph(nn.Module):
    r"""A small perceptron on each atom's map, then one EdgeConv layer over the nearest neighbours.

    With features :math:`h_i` of the map of atom *i*, and its neighbours *j*, messages
    :math:`m_{ij} = \mathrm{ReLU}(A h_i + B h_j)` are averaged over *j*; a second perceptron takes
    :math:`h_i` and the average. A message is linear before its ReLU, so A and B cost one product an
    atom and not one an edge. The centre has its own way to the output: averaging classes over
    neighbours would wipe out single layers.

    Parameters
    ----------
    n_classes
        Number of classes C.
    size
        Rows and columns of the map.
    hidden, features, message, head
        Widths.

    References
    ----------
    Wang et al., ACM Trans. Graph. 38, 146 (2019), arXiv:1801.07829.
    """

    def __init__(
        self, n_classes: int, size: int, hidden: int = 64, features: int = 32, message: int = 32,
        head: int = 32,
    ) -> None:  # fmt: skip
        super().__init__()
        #: Mean and inverse standard deviation of the pixels, set before training.
        self.mean = nn.Buffer(torch.zeros(size * size))
        self.scale = nn.Buffer(torch.ones(size * size))
        self.first = nn.Linear(size * size, hidden)
        self.second = nn.Linear(hidden, features)
        self.own = nn.Linear(features, message)
        self.other = nn.Linear(features, message, bias=False)
        self.third = nn.Linear(features + message, head)
        self.last = nn.Linear(head, n_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return the features ``(n, features)`` of maps ``(n, 1, size, size)``."""
        x = (images.flatten(1) - self.mean) * self.scale
        return torch.relu(self.second(torch.relu(self.first(x))))

    def logits(self, images: Tensor, neighbors: Tensor) -> Tensor:
        """Return unnormalised class scores ``(m, C)``; see :meth:`forward`."""
        h = self.embed(images)
        m = neighbors.shape[0]
        there = (neighbors >= 0).unsqueeze(2)
        other = self.other(h)[neighbors.clamp(min=0)]
        messages = torch.relu(self.own(h[:m]).unsqueeze(1) + other) * there
        mean = messages.sum(1) / there.sum(1).clamp(min=1)
        scores: Tensor = self.last(torch.relu(self.third(torch.cat([h[:m], mean], 1))))
        return scores

    def forward(self, images: Tensor, neighbors: Tensor) -> Tensor:
        """Return the class probabilities ``(m, C)`` of the first m atoms.

        Parameters
        ----------
        images
            ``(n, 1, size, size)`` maps of m atoms and, behind them, of further neighbours.
        neighbors
            ``(m, k)`` int64 rows of the neighbours, −1 where there is none.
        """
        return torch.softmax(self.logits(images, neighbors), dim=1)


#: Networks of one image at a time, by their name in recipes.
NETWORKS = {"neighbors_map_cnn": NeighborsMapCNN}
