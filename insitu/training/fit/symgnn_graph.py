# SPDX-License-Identifier: BSD-3-Clause
"""A glass as the graph of SymGNN, and slabs of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.training.fit.barriers import Glass

#: Of the published graphs [Å].
CUTOFF = 5.0


@dataclass(frozen=True)
class Graph:
    """A glass as a graph; edges are sorted by target.

    Parameters
    ----------
    source, target, offsets
        ``(e,)``, ``(e,)``, ``(n + 1,)`` int64: edges ``offsets[i] : offsets[i + 1]`` go to atom i.
    back
        ``(e,)`` int64, each edge's opposite one.
    vectors
        ``(e, 3)`` float32, from target to source [Å].
    species
        ``(n,)`` int64, from 0.
    barriers
        ``(n,)`` float32 [eV].
    places, box
        ``(n, 3)`` relative positions from 0 to 1, and ``(3,)`` [Å].
    """

    source: Tensor
    target: Tensor
    offsets: Tensor
    back: Tensor
    vectors: Tensor
    species: Tensor
    barriers: Tensor
    places: Tensor
    box: Tensor

    @classmethod
    def of(cls, glass: Glass) -> Graph:
        """Return the graph of a glass.

        Raises
        ------
        SettingError
            The box is so small that two atoms are neighbours twice.
        """
        if glass.box.min() <= 2 * CUTOFF:
            raise SettingError(
                f"a box of {glass.box.min():.3g} Å is too small for this training; give more than "
                f"{2 * CUTOFF:g} Å"
            )
        frame = Frame.from_arrays(glass.positions, glass.box, True, reach=CUTOFF * (1 + 1e-4))
        search = Neighbors(frame, CUTOFF)
        counts, others = search.lists(CUTOFF)
        target = np.repeat(search.atoms, np.diff(counts)).astype(np.int64)
        source = frame.ids[others].astype(np.int64) - 1
        vectors = frame.positions[others] - frame.positions[target]
        n = len(glass.positions)
        order = np.argsort(target * n + source)
        source, target = source[order], target[order]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=n))])
        with warnings.catch_warnings():  # torch says once a process that these matrices are in beta
            warnings.simplefilter("ignore")
            torch.eye(1).to_sparse_csr()
        return cls(
            torch.from_numpy(source), torch.from_numpy(target), torch.from_numpy(offsets),
            torch.from_numpy(np.argsort(source * n + target)),
            torch.from_numpy(vectors[order].astype(np.float32)), torch.from_numpy(glass.species),
            torch.from_numpy(glass.barriers.astype(np.float32)),
            torch.from_numpy(np.mod(glass.positions / glass.box, 1.0)), torch.tensor(glass.box),
        )  # fmt: skip

    def slab(self, axis: int, begin: float, thickness: float) -> tuple[Graph, Tensor]:
        """Return the atoms of a slab and those within the cutoff around it, and which are in the slab.

        Parameters
        ----------
        axis
            Across which it lies.
        begin
            Relative position of its lower face.
        thickness
            [Å]
        """
        halo, length = CUTOFF / float(self.box[axis]), thickness / float(self.box[axis])
        at = torch.remainder(self.places[:, axis] - begin + halo, 1.0)
        have = at < min(length + 2 * halo, 1.0)
        inner = (at >= halo) & (at < halo + length)
        keep = have[self.source] & have[self.target]
        number = torch.cumsum(have, 0) - 1
        source, target = number[self.source[keep]], number[self.target[keep]]
        n = int(have.sum())
        offsets = torch.zeros(n + 1, dtype=torch.int64)
        offsets[1:] = torch.cumsum(torch.bincount(target, minlength=n), 0)
        part = Graph(
            source, target, offsets, torch.argsort(source * n + target), self.vectors[keep],
            self.species[have], self.barriers[have], self.places[have], self.box,
        )  # fmt: skip
        return part, inner[have]

    def matrix(self, values: Tensor) -> Tensor:
        """Return the sparse matrix ``(n, n)`` with values ``(e,)`` in rows of targets."""
        n = len(self.species)
        return torch.sparse_csr_tensor(
            self.offsets, self.source, values, (n, n), check_invariants=False
        )
