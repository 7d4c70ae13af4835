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


NETWORKS = {"neighbors_map_cnn": NeighborsMapCNN}
