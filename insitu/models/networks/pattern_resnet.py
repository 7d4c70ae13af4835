# SPDX-License-Identifier: BSD-3-Clause
"""A small one-dimensional residual network with group normalisation, for powder patterns."""

import torch
from torch import Tensor, nn


def _layer(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.GroupNorm(8, outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.first = _layer(channels, channels, kernel, 1)
        self.second = nn.Sequential(
            nn.Conv1d(channels, channels, kernel, 1, kernel // 2, bias=False),
            nn.GroupNorm(8, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (k, channels, n) to the same."""
        return torch.relu(x + self.second(self.first(x)))


class PatternResNet(nn.Module):
    """Patterns in bins of ln Q to scores of classes.

    Parameters
    ----------
    classes : int
        How many extinction groups.
    bins : int
        Length of a pattern, a multiple of 64.
    width : int
        Channels of the last stage.
    hidden : int
        Units between the stages and the scores.
    """

    def __init__(self, classes: int, bins: int = 2560, width: int = 128, hidden: int = 384) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _layer(2, 32, 17, 8),
            _layer(32, 64, 9, 2),
            _layer(64, width, 5, 2),
            _layer(width, width, 5, 2),
            Residual(width, 3),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width * (bins // 64), hidden),
            nn.ReLU(),
            nn.Dropout(0.05),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (k, 2, bins) to scores, shape (k, classes)."""
        scores: Tensor = self.head(self.stages(x))
        return scores
