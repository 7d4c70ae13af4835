# SPDX-License-Identifier: BSD-3-Clause
"""Networks of the literature that read a whole powder pattern, to be compared; none of them is shipped.

They take the square root of the intensity on a grid of 2theta, shape (k, 1, points), and return scores,
shape (k, classes). Their kernels are those of the papers in points, or half of them: the grid here is
eight times as coarse.
"""

import torch
from torch import Tensor, nn


class ParkCNN(nn.Module):
    """Three wide convolutions with mean pooling and two dense layers, no normalisation.

    Kernels and strides are half of the paper's, for the coarser grid.

    Parameters
    ----------
    points : int
        Length of a pattern.
    classes : int

    References
    ----------
    .. [1] W. B. Park et al., IUCrJ 4, 486 (2017), doi:10.1107/S205225251700714X
    """

    def __init__(self, points: int, classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv1d(1, 80, 50, 2, 25), nn.ReLU(), nn.AvgPool1d(3, 2, 1),
            nn.Conv1d(80, 80, 25, 5, 12), nn.ReLU(), nn.AvgPool1d(3, 3, 1),
            nn.Conv1d(80, 80, 13, 2, 6), nn.ReLU(), nn.AvgPool1d(3, 3, 1), nn.Flatten(),
        )  # fmt: skip
        units = _length(self.stages, points)
        # The paper has other dense layers for space groups than for extinction groups.
        first, second = (2300, 1150) if classes > 101 else (4040, 202)
        self.head = nn.Sequential(
            nn.Linear(units, first), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(first, second), nn.ReLU(), nn.Dropout(0.3), nn.Linear(second, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Shape (k, 1, points) to scores, shape (k, classes)."""
        scores: Tensor = self.head(self.stages(x))
        return scores


class _Stage(nn.Module):
    """Two convolutions and a way around them, shape (k, inputs, n) to (k, outputs, n / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.through = nn.Sequential(
            nn.Conv1d(inputs, outputs, 9, stride, 4, bias=False), nn.GroupNorm(8, outputs), nn.ReLU(),
            nn.Conv1d(outputs, outputs, 9, 1, 4, bias=False), nn.GroupNorm(8, outputs),
        )  # fmt: skip
        self.around = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(
                nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(8, outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.through(x) + self.around(x))


class ResNet10(nn.Module):
    """The residual network with ten layers and group normalisation, with narrower stages.

    Parameters
    ----------
    points : int
        Length of a pattern.
    classes : int
    width : int
        Channels of the first of four stages, a multiple of 8; 64 in the paper.

    References
    ----------
    .. [1] H. Schopmans et al., Digital Discovery 2, 1414 (2023), doi:10.1039/D3DD00071K
    """

    def __init__(self, points: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv1d(1, width, 7, 2, 3, bias=False), nn.GroupNorm(8, width), nn.ReLU(),
            nn.MaxPool1d(3, 2, 1), _Stage(width, width, 1), _Stage(width, 2 * width, 4),
            _Stage(2 * width, 4 * width, 4), _Stage(4 * width, 8 * width, 4), nn.Flatten(),
        )  # fmt: skip
        units = _length(self.stages, points)
        self.head = nn.Sequential(nn.Linear(units, 256), nn.ReLU(), nn.Linear(256, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (k, 1, points) to scores, shape (k, classes)."""
        scores: Tensor = self.head(self.stages(x))
        return scores


class PatternTransformer(nn.Module):
    """Pieces of 2 degrees as words, each with a learned place; all of them are read at the end.

    Parameters
    ----------
    points : int
        Length of a pattern; what does not fill a piece at its end is not read.
    classes : int
    piece : int
        Points of a piece.
    width, layers, heads : int
        Length of a word, and what attends to the words.

    References
    ----------
    .. [1] A. Vaswani et al., Attention Is All You Need, NeurIPS 30 (2017), arXiv:1706.03762
    """

    def __init__(
        self, points: int, classes: int, piece: int = 25, width: int = 64, layers: int = 2,
        heads: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.words = nn.Conv1d(1, width, piece, piece)
        count = points // piece
        self.places = nn.Parameter(0.02 * torch.randn(count, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.1, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Flatten(), nn.Dropout(0.3), nn.Linear(count * width, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (k, 1, points) to scores, shape (k, classes)."""
        words = self.words(x).transpose(1, 2) + self.places
        for layer in self.layers:
            words = layer(words)
        scores: Tensor = self.head(words)
        return scores


def _length(stages: nn.Module, points: int) -> int:
    with torch.no_grad():
        return int(stages(torch.zeros(1, 1, points)).shape[1])
