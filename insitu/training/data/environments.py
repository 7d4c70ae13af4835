# SPDX-License-Identifier: BSD-3-Clause
"""Pure-phase environments: the k nearest atoms of an atom, as points for both kinds of networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.engines.spatial import SpatialSettings, neighbors_of
from insitu.training.dynamics.phase_dynamics import Snapshot


@dataclass
class Environments:
    """Vectors ``(n, k, 3)`` [Å] from an atom to itself and its nearest others, class indices ``(n,)``.

    `run` ``(n,)`` is the number of the trajectory, `spacing` ``(n,)`` that of the sample,
    (volume an atom)^(1/3) [Å], `species` ``(n, k)`` the points' atom type less 1.
    """

    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    run: NDArray[np.int64]
    spacing: NDArray[np.float64]
    species: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def nearest(self, k: int) -> Environments:
        """Return the same environments of `k` points."""
        return Environments(
            self.vectors[:, :k], self.labels, self.run, self.spacing, self.species[:, :k]
        )


def surroundings(
    positions: NDArray[np.float64], cell: NDArray[np.float64], centres: NDArray[np.int64], k: int
) -> NDArray[np.float32]:
    """Return the vectors ``(m, k, 3)`` [Å] from some atoms to their k nearest, themselves first.

    All periodic images count, so k may exceed the number of atoms.
    """
    return nearest_images(positions, cell, centres, k)[0]


def nearest_images(
    positions: NDArray[np.float64], cell: NDArray[np.float64], centres: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors of :func:`surroundings` and the indices ``(m, k)`` of their atoms."""
    near = np.linalg.inv(cell)
    # Spheres of about 2k atoms: the lattice of images that they can reach.
    volume = abs(float(np.linalg.det(cell))) / len(positions)
    radius = (3.0 * 2.0 * (k + 8) * volume / (4.0 * np.pi)) ** (1 / 3)
    reach = np.ceil(radius * np.linalg.norm(near, axis=0) + 0.5).astype(int)
    steps = np.stack(
        np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    result = np.empty((len(centres), k, 3), dtype=np.float32)
    atoms = np.empty((len(centres), k), dtype=np.int64)
    for row, i in enumerate(centres):
        s = (positions - positions[i]) @ near
        s -= np.rint(s)
        d = ((s[None] + steps[:, None]) @ cell).reshape(-1, 3)
        length = (d**2).sum(axis=1)
        some = np.flatnonzero(length < radius**2)
        if len(some) < k:
            some = np.arange(len(d))
        first = some[np.argsort(length[some], kind="stable")[:k]]
        result[row], atoms[row] = d[first], first % len(positions)
    return result, atoms


def environments(
    snapshots: Iterable[Snapshot], classes: list[str], each: int, k: int, seed: int
) -> Environments:
    """Return `each` environments of every class, spread evenly over its trajectories and frames."""
    rng = np.random.default_rng(seed)
    of_class: dict[str, list[Snapshot]] = defaultdict(list)
    for s in snapshots:
        of_class[s.label].append(s)
    names = sorted({s.run for found in of_class.values() for s in found})
    parts: list[tuple[NDArray[np.float32], int, int, float, NDArray[np.int64]]] = []
    for number, name in enumerate(classes):
        found = of_class[name]
        share = np.full(len(found), each // max(len(found), 1))
        share[rng.permutation(len(found))[: each - share.sum()]] += 1
        for s, count in zip(found, share.tolist(), strict=True):
            some = rng.choice(len(s.positions), min(count, len(s.positions)), replace=False)
            length = float(np.cbrt(abs(np.linalg.det(s.cell)) / len(s.positions)))
            for v, atoms in zip(*nearest_images(s.positions, s.cell, some, k), strict=True):
                parts.append((v, number, names.index(s.run), length, s.types[atoms] - 1))
    parts = [parts[i] for i in rng.permutation(len(parts))]
    return Environments(
        np.array([p[0] for p in parts]), np.array([p[1] for p in parts]),
        np.array([p[2] for p in parts]), np.array([p[3] for p in parts]),
        np.array([p[4] for p in parts]),
    )  # fmt: skip


@dataclass
class Clouds:
    """Graphs of equally many atoms each, ready for a whole-sample network.

    Attributes
    ----------
    vectors, rows
        ``(n, p, K, 3)`` displacements [Å] and ``(n, p, K)`` neighbours within the graph, −1: none.
    cut, unit
        ``(n, p)`` cut-off and unit of length [Å].
    labels, species
        ``(n, p)`` class indices; which of the network's species.
    """

    vectors: Tensor
    rows: Tensor
    cut: Tensor
    unit: Tensor
    labels: Tensor
    species: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, pick: Tensor, rotations: Tensor | None = None, scales: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Return the arguments of a network's ``logits`` for some graphs, and the labels.

        Parameters
        ----------
        pick
            ``(b,)`` int64.
        rotations
            ``(b, 3, 3)``, one a graph.
        scales
            ``(b,)`` factors of all distances.
        """
        v, cut = self.vectors[pick], self.cut[pick]
        if rotations is not None:
            v = torch.einsum("bpki,bij->bpkj", v, rotations)
        b, p = v.shape[:2]
        if scales is not None:
            v, cut = v * scales.view(b, 1, 1, 1), cut * scales.view(b, 1)
        rows = self.rows[pick].long()
        rows = torch.where(rows >= 0, rows + p * torch.arange(b).view(b, 1, 1), -1)
        species, labels = self.species[pick].flatten(), self.labels[pick].flatten()
        flat = v.flatten(0, 1), cut.flatten(), self.unit[pick].flatten()
        return (*flat, rows.flatten(0, 1), species), labels


def clouds(found: Environments, settings: SpatialSettings) -> Clouds:
    """Return each environment as a graph of its own: nothing beyond its points is there.

    Atom types count in the order of the settings' species. The rules of neighbours, cut-off and unit
    are those of a whole sample.
    """
    points = torch.from_numpy(found.vectors)
    n, p, _ = points.shape
    k = min(settings.neighbors, p - 1)
    table = torch.full((n, p, settings.neighbors), -1, dtype=torch.int16)
    vectors = torch.zeros((n, p, settings.neighbors, 3))
    cut, unit = torch.empty(n, p), torch.empty(n, p)
    for i in range(n):
        x, length = points[i], settings.length(float(found.spacing[i]))
        distance = torch.cdist(x[None], x[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
        near, at = distance.topk(min(k + 2, p), largest=False)
        # The first is the point itself; after the last neighbour lies the cut-off.
        cut[i] = settings.reach * length
        if p > k + 1:
            cut[i] = torch.minimum(cut[i], near[:, k + 1])
        within = near[:, 1 : k + 1] < cut[i].unsqueeze(1)
        table[i, :, :k] = torch.where(within, at[:, 1 : k + 1], -1).to(torch.int16)
        vectors[i, :, :k] = (x[at[:, 1 : k + 1]] - x.unsqueeze(1)) * within.unsqueeze(2)
        unit[i] = near[:, 1 : settings.local + 1].mean(1) if settings.local else length
    labels = torch.from_numpy(found.labels).unsqueeze(1).expand(n, p).contiguous()
    species = torch.from_numpy(found.species if settings.species else 0 * found.species)
    return Clouds(vectors, table, cut, unit, labels, species)


@dataclass
class Whole:
    """A whole sample as a network takes it, and the classes ``(n,)`` of its atoms, −1: do not use."""

    vectors: Tensor
    cut: Tensor
    unit: Tensor
    rows: Tensor
    species: Tensor
    labels: Tensor

    def arguments(self, rotation: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the arguments of a network's ``logits``."""
        v = self.vectors if rotation is None else self.vectors @ rotation
        return v, self.cut, self.unit, self.rows, self.species


@dataclass
class Samples:
    """Graphs of any number of atoms each; batches mix them, so that a batch has several classes."""

    items: list[Whole]

    def __len__(self) -> int:
        return len(self.items)

    def batch(
        self, pick: Tensor, rotations: Tensor, scales: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Return what :meth:`Clouds.batch` does, of graphs that differ in their number of atoms."""
        some = [self.items[i] for i in pick.tolist()]
        factors = [1.0] * len(some) if scales is None else scales.tolist()
        rows, first = [], 0
        for w in some:
            rows.append(torch.where(w.rows >= 0, w.rows + first, -1))
            first += len(w.rows)
        flat = (
            torch.cat([
                w.vectors @ (f * turn)
                for w, turn, f in zip(some, rotations, factors, strict=True)
            ]),
            torch.cat([f * w.cut for w, f in zip(some, factors, strict=True)]),
            torch.cat([w.unit for w in some]), torch.cat(rows),
            torch.cat([w.species for w in some]),
        )  # fmt: skip
        return flat, torch.cat([w.labels for w in some])


def samples(found: Clouds) -> list[Whole]:
    """Return each environment as a sample of its own."""
    return [
        Whole(
            found.vectors[i], found.cut[i], found.unit[i], found.rows[i].long(),
            found.species[i], found.labels[i],
        )
        for i in range(len(found))
    ]  # fmt: skip


def whole(s: Snapshot, classes: list[str], settings: SpatialSettings) -> Whole:
    """Return a periodic configuration of one phase as a graph."""
    labels = np.full(len(s.positions), classes.index(s.label))
    species = s.types - 1 if settings.species else None
    return periodic(s.positions, s.cell, labels, settings, species)


def periodic(
    positions: NDArray[np.float64], cell: NDArray[np.float64], labels: NDArray[np.int64],
    settings: SpatialSettings, species: NDArray[np.int64] | None = None,
) -> Whole:  # fmt: skip
    """Return a periodic configuration as a graph, by the search that analyses use.

    Parameters
    ----------
    positions, cell
        ``(n, 3)`` and ``(3, 3)`` [Å].
    labels
        ``(n,)`` class indices, −1: do not use.
    settings
        Of the graph.
    species
        ``(n,)`` which of the settings' species, 0 … ; all the first, if not given.
    """
    bare = Frame.from_arrays(positions, cell, True, reach=0.0)
    length = settings.length(spacing(bare))
    radius = settings.reach * length
    frame = Frame.from_arrays(positions, cell, True, reach=radius * 1.0001)
    search = Neighbors(frame, radius)
    vectors, cut, unit, nearest, _ = neighbors_of(search, settings, length)
    order = search.owned[1]
    row_of = np.empty(frame.n_local, dtype=np.int64)
    row_of[order] = np.arange(frame.n_local)
    atom = frame.ids[search.index[nearest]] - 1
    rows = np.where(nearest >= 0, row_of[atom], -1)
    kinds = np.zeros_like(labels) if species is None else species
    return Whole(
        torch.from_numpy(vectors), torch.from_numpy(cut), torch.from_numpy(unit),
        torch.from_numpy(rows), torch.from_numpy(kinds[order].astype(np.int64)),
        torch.from_numpy(labels[order].astype(np.int64)),
    )  # fmt: skip
