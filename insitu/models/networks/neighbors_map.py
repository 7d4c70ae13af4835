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
    r"""A small perceptron on each atom's map, then EdgeConv layers over the nearest neighbours.

    With features :math:`h_i` of atom *i*, and its neighbours *j*, messages
    :math:`m_{ij} = \mathrm{ReLU}(A h_i + B h_j)` are averaged over *j*, and
    :math:`h_i' = \mathrm{ReLU}(S h_i + M m_i)`. A message is linear before its ReLU, so A and B cost
    one product an atom and not one an edge. The centre has its own way to the output: averaging
    classes over neighbours would wipe out single layers.

    Parameters
    ----------
    n_classes
        Number of classes C.
    size
        Rows and columns of the map.
    layers
        EdgeConv layers.
    hidden, features, message
        Widths.
    foreign
        Number of further outputs that stand for structures that are none of the classes. Their
        probability is what the classes' leave of 1.

    References
    ----------
    Wang et al., ACM Trans. Graph. 38, 146 (2019), arXiv:1801.07829.
    """

    def __init__(
        self, n_classes: int, size: int, layers: int = 2, hidden: int = 64, features: int = 32,
        message: int = 32, foreign: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        #: Mean and inverse standard deviation of the pixels, set before training.
        self.mean = nn.Buffer(torch.zeros(size * size))
        self.scale = nn.Buffer(torch.ones(size * size))
        self.width = features
        self.classes = n_classes
        self.foreign = int(foreign)
        self.first = nn.Linear(size * size, hidden)
        self.second = nn.Linear(hidden, features)
        self.own = nn.ModuleList([nn.Linear(features, message) for _ in range(layers)])
        self.other = nn.ModuleList(
            [nn.Linear(features, message, bias=False) for _ in range(layers)]
        )
        self.mix = nn.ModuleList([nn.Linear(features + message, features) for _ in range(layers)])
        self.last = nn.Linear(features, n_classes + self.foreign)

    @torch.jit.export
    def embed(self, images: Tensor) -> Tensor:
        """Return the features ``(n, features)`` of maps ``(n, 1, size, size)``."""
        x = (images.flatten(1) - self.mean) * self.scale
        return torch.relu(self.second(torch.relu(self.first(x))))

    @torch.jit.export
    def convolve(self, layer: int, h: Tensor, neighbors: Tensor) -> Tensor:
        """Return the features ``(m, features)`` of the first m atoms after a layer.

        Parameters
        ----------
        layer
            Its number, from 0.
        h
            ``(n, features)`` of m atoms and, after them, of further neighbours.
        neighbors
            ``(m, k)`` int64 rows of the neighbours, −1 where there is none.
        """
        m = neighbors.shape[0]
        there = neighbors >= 0
        count = there.sum(1).clamp(min=1).unsqueeze(1)
        all_there = bool(there.all())
        index = neighbors.clamp(min=0)
        after = h
        # TorchScript takes a module out of a list by a constant only.
        for k, (own, other, mix) in enumerate(zip(self.own, self.other, self.mix)):  # noqa: B905
            if k == layer:
                messages = torch.relu(own(h[:m]).unsqueeze(1) + other(h)[index])
                if not all_there:
                    messages = messages * there.unsqueeze(2)
                after = torch.relu(mix(torch.cat([h[:m], messages.sum(1) / count], 1)))
        return after

    @torch.jit.export
    def probabilities(self, h: Tensor) -> Tensor:
        """Return the class probabilities ``(m, C)`` from the features after the last layer."""
        return torch.softmax(self.last(h), dim=1)[:, : self.classes]

    def logits(self, images: Tensor, neighbors: Tensor) -> Tensor:
        """Return unnormalised scores ``(n, outputs)`` of a whole sample; see :meth:`forward`."""
        h = self.embed(images)
        for layer in range(len(self.own)):
            h = self.convolve(layer, h, neighbors)
        scores: Tensor = self.last(h)
        return scores

    def forward(self, images: Tensor, neighbors: Tensor) -> Tensor:
        """Return the class probabilities ``(n, C)`` of a whole sample.

        Parameters
        ----------
        images
            ``(n, 1, size, size)`` maps.
        neighbors
            ``(n, k)`` int64 rows of the neighbours, −1 where there is none.
        """
        return torch.softmax(self.logits(images, neighbors), dim=1)[:, : self.classes]


def multiply_adds(network: nn.Module) -> int:
    """Return the multiply-adds an atom of a network of linear layers."""
    return sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear))


#: Networks of one image at a time, by their name in recipes.
NETWORKS = {"neighbors_map_cnn": NeighborsMapCNN}
