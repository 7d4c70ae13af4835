# SPDX-License-Identifier: BSD-3-Clause
"""Crystals of a training set as arrays of one after another, and batches of them as one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from insitu.crystal.prediction.graph import Graph


@dataclass
class Crystals:
    """Atoms and bonds of crystals, what of them goes into a network, and what is to be predicted.

    Parameters
    ----------
    numbers
        ``(a,)`` atomic numbers.
    bonds
        ``(e, 2)`` the two atoms of each bond, numbers within its crystal.
    of_bonds
        ``(e, …)`` each: length, weight, and whatever else a network takes of bonds, by their names.
    unit, target
        ``(c,)`` unit of length [Å], ``(c, t)``.
    at, of
        ``(c + 1,)`` each: where the bonds and the atoms of each crystal begin and end.
    """

    numbers: Tensor
    bonds: Tensor
    of_bonds: Mapping[str, Tensor]
    unit: Tensor
    target: Tensor
    at: NDArray[np.int64]
    of: NDArray[np.int64]

    @classmethod
    def joined(
        cls, graphs: Sequence[Graph], target: NDArray[np.float64],
        more: Mapping[str, Sequence[NDArray[np.float64]]],
    ) -> Crystals:  # fmt: skip
        """Return graphs as one.

        Parameters
        ----------
        graphs, target
            Of the crystals, and ``(c, t)``.
        more
            Further quantities of the bonds of each graph.
        """
        of_bonds = {
            "length": [g.length for g in graphs],
            "weight": [g.weight for g in graphs],
            **more,
        }
        return cls(
            torch.tensor(np.concatenate([g.numbers for g in graphs]), dtype=torch.long),
            torch.tensor(
                np.concatenate([np.stack([g.first, g.second], 1) for g in graphs]), dtype=torch.long
            ),
            {n: torch.tensor(np.concatenate(v), dtype=torch.float32) for n, v in of_bonds.items()},
            torch.tensor([g.unit for g in graphs], dtype=torch.float32),
            torch.tensor(target, dtype=torch.float32),
            np.cumsum([0, *(len(g.length) for g in graphs)]),
            np.cumsum([0, *(len(g.numbers) for g in graphs)]),
        )

    def batch(self, which: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return some of the crystals as one graph."""
        bonds = np.concatenate([np.arange(self.at[k], self.at[k + 1]) for k in which])
        atoms = np.concatenate([np.arange(self.of[k], self.of[k + 1]) for k in which])
        sizes, n_bonds = np.diff(self.of)[which], np.diff(self.at)[which]
        start = np.cumsum([0, *sizes[:-1]])
        edge = self.bonds[bonds] + torch.tensor(np.repeat(start, n_bonds))[:, None]
        crystals = np.arange(len(which))
        return {
            "numbers": self.numbers[atoms], "first": edge[:, 0], "second": edge[:, 1],
            **{name: values[bonds] for name, values in self.of_bonds.items()},
            "unit": self.unit[which], "target": self.target[which],
            "crystal": torch.tensor(np.repeat(crystals, sizes)),
            "bond_crystal": torch.tensor(np.repeat(crystals, n_bonds)),
        }  # fmt: skip


def mean_by(values: Tensor, where: Tensor, n: int) -> Tensor:
    """Return the means ``(n, …)`` of values ``(e, …)`` by their places ``(e,)``; 0 where there is none."""
    total = torch.zeros((n, *values.shape[1:])).index_add_(0, where, values)
    count = torch.bincount(where, minlength=n).clamp(min=1).to(values)
    return total / count.view(-1, *[1] * (values.dim() - 1))
