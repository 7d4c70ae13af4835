# SPDX-License-Identifier: BSD-3-Clause
"""Layers of the networks on lattice frames: attention along bonds, angles to the frame, moments of bonds.

References
----------
K. Yan, C. Fu, X. Qian, X. Qian, S. Ji, ICLR 2024, arXiv:2403.11857.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insitu.crystal.tensors.basis import traceless
from insitu.training.data.lattice_frames import COSINES, LATTICE

silu = nn.functional.silu


def spread(values: Tensor, centers: NDArray[np.float64]) -> Tensor:
    """Return values on Gaussians ``(…, g)``; the width is the distance of the centers."""
    width = float(centers[1] - centers[0])
    middle = torch.tensor(centers, dtype=torch.float32)
    return torch.exp(-(((values[..., None] - middle) / width) ** 2))


class NodeLayer(nn.Module):
    """Attention of an atom to those it has bonds with, without a softmax."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.own = nn.Linear(width, 2 * width)
        self.other = nn.Linear(width, 2 * width, bias=False)
        self.bond = nn.Linear(width, 2 * width, bias=False)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.gate = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, e: Tensor, i: Tensor, j: Tensor, weight: Tensor) -> Tensor:
        """Return the features of the atoms ``(n, width)``."""
        inner = silu(self.own(h)[i] + self.other(h)[j] + self.bond(e))
        k, v = inner.chunk(2, 1)
        gate = torch.sigmoid(self.gate(self.query(h)[i] * self.key(k)))
        message = gate * self.value(v) * weight
        total = torch.zeros_like(h).index_add_(0, i, message)
        update: Tensor = h + silu(self.norm(self.out(total)))
        return update


class EdgeLayer(nn.Module):
    """What a bond learns of its angles to the three vectors of the lattice frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.bond = nn.Linear(width, 2 * width)
        self.vector = nn.ModuleList(
            nn.Linear(len(LATTICE), 2 * width, bias=False) for _ in range(3)
        )
        self.angle = nn.ModuleList(nn.Linear(len(COSINES), 2 * width, bias=False) for _ in range(3))
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.gate = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, e: Tensor, vectors: Tensor, cosines: Tensor, of: Tensor) -> Tensor:
        """Return the features of the bonds ``(e, width)``."""
        query, own = self.query(e), self.bond(e)
        total = torch.zeros_like(e)
        for k, (vector, angle) in enumerate(zip(self.vector, self.angle, strict=True)):
            long = vector(spread(vectors[:, k], LATTICE))[of]
            inner = silu(own + long + angle(spread(cosines[:, k], COSINES)))
            a, v = inner.chunk(2, 1)
            total = total + torch.sigmoid(self.gate(query * self.key(a))) * self.value(v)
        update: Tensor = e + silu(self.norm(self.out(total)))
        return update


class EquivariantLayer(nn.Module):
    """What an atom learns of the directions of bonds (eComFormer): their moments, seen along bonds.

    First the moments of an atom's bonds are made, of rank 0, 1 and 2, weighted by the other atom and the
    bond. Then each atom sees those of its neighbours along its bonds: products with the bond's own
    directions, which are scalars. A turned or mirrored crystal has the same.

    Parameters
    ----------
    width
        Features of an atom or bond.
    channels
        Moments of each rank.
    """

    def __init__(self, width: int, channels: tuple[int, int, int] = (16, 8, 8)) -> None:
        super().__init__()
        self.channels = list(channels)
        n = sum(channels)
        self.source = nn.Linear(width, n)
        self.gate = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, n))
        self.mixed = nn.Linear(channels[0], channels[0])
        self.second = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, n))
        self.out = nn.Linear(n, width)
        self.norm = nn.LayerNorm(width)
        self.quadratic: Tensor
        self.register_buffer("quadratic", torch.tensor(traceless(2), dtype=torch.float32).T)

    def forward(
        self, h: Tensor, e: Tensor, i: Tensor, j: Tensor, weight: Tensor, direction: Tensor,
        odd: Tensor,
    ) -> Tensor:  # fmt: skip
        """Return the features of the atoms ``(n, width)``.

        `direction` ``(e, 3)`` are unit vectors; `odd` ``(e, 1)`` is 0 for bonds that stand for a vector and
        its opposite, 1 for all others.
        """
        first = np.sqrt(3.0) * direction * odd
        twice = (direction[:, :, None] * direction[:, None, :]).flatten(1) @ self.quadratic
        second = np.sqrt(7.5) * twice
        count = torch.zeros_like(h[:, :1]).index_add_(0, i, weight)

        def mean(values: Tensor) -> Tensor:
            total = values.new_zeros((len(h), *values.shape[1:])).index_add_(0, i, values)
            return total / count.view(-1, *[1] * (values.dim() - 1))

        m0, m1, m2 = (self.source(h)[j] * self.gate(e) * weight).split(self.channels, 1)
        t0 = self.mixed(mean(m0))
        t1, t2 = mean(m1[:, :, None] * first[:, None]), mean(m2[:, :, None] * second[:, None])
        seen = torch.cat(
            [t0[j], (t1[j] * first[:, None]).sum(2), (t2[j] * second[:, None]).sum(2)], 1
        )
        update: Tensor = h + silu(self.norm(self.out(mean(seen * self.second(e) * weight))))
        return update
