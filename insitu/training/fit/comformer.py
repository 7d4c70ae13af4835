# SPDX-License-Identifier: BSD-3-Clause
"""Training of the networks that predict scalars of a crystal: a small iComFormer, a small eComFormer.

Messages between atoms go along bonds. In between, in the one, each bond learns of its angles to the three
vectors of a lattice frame, which makes the graph complete: crystals that differ have graphs that differ. In
the other the vectors of the frame are bonds of an atom with itself, and atoms learn of the directions of
bonds by moments of rank 1 and 2.

References
----------
K. Yan, C. Fu, X. Qian, X. Qian, S. Ji, ICLR 2024, arXiv:2403.11857.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insitu.training.data.lattice_frames import (
    LATTICE,
    LENGTHS,
    RELATIVE,
    FramedGraph,
    framed_graph,
)
from insitu.training.fit.comformer_layers import (
    EdgeLayer,
    EquivariantLayer,
    NodeLayer,
    silu,
    spread,
)
from insitu.training.fit.crystal_batches import Crystals, mean_by
from insitu.training.structures.tensor_tables import Record

log = logging.getLogger(__name__)


@dataclass
class FramedGraphs:
    """Crystals, and the lattice frames of each ``(f, 3, 3)`` [Å]."""

    crystals: Crystals
    frames: list[NDArray[np.float32]]

    @classmethod
    def make(cls, records: Sequence[Record]) -> FramedGraphs:
        """Return the graphs of some crystals, and what is to be predicted as ``(c, t)``."""
        return cls.joined(
            [framed_graph(r.cell, r.sites, r.numbers) for r in records],
            np.array([r.tensor for r in records]),
        )

    @classmethod
    def joined(cls, found: Sequence[FramedGraph], targets: NDArray[np.float64]) -> FramedGraphs:
        """Return graphs as one."""
        graphs = [f.graph for f in found]
        more = {"direction": [g.direction for g in graphs]}
        frames = [f.frames.astype(np.float32) for f in found]
        return cls(Crystals.joined(graphs, targets, more), frames)

    def __len__(self) -> int:
        return len(self.frames)

    def batch(
        self, which: NDArray[np.int64], rng: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return some of the crystals as one graph, each with its first frame, or one at random."""
        frame = [
            self.frames[k][0 if rng is None else rng.integers(len(self.frames[k]))] for k in which
        ]
        return {**self.crystals.batch(which), "frame": torch.tensor(np.array(frame))}


class ComFormer(nn.Module):
    """Node layer, a layer that knows directions, two node layers; then the means of the atoms' features.

    Parameters
    ----------
    elements
        ``(95, p)`` properties, the radius [Å] first.
    mean, deviation
        ``(t,)`` of what is predicted, in the training part.
    width, hidden, dropout
        Features of an atom or bond, of the last layers, and how many of the latter are left out in
        training.
    frame
        Without it the network knows no lattice vectors, so distances alone if it is not `equivariant`.
    equivariant
        eComFormer: directions by moments of bonds, and the lattice vectors, with their opposites, as bonds
        of each atom with itself; else iComFormer: bonds by their angles to the lattice vectors.
    """

    def __init__(
        self, elements: NDArray[np.float64], mean: Sequence[float], deviation: Sequence[float],
        width: int = 32, hidden: int = 96, dropout: float = 0.1, frame: bool = True,
        equivariant: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.frame, self.equivariant = frame, equivariant
        self.radius: Tensor
        self.properties: Tensor
        self.mean: Tensor
        self.deviation: Tensor
        for name, value in (
            ("radius", elements[:, 0]), ("properties", elements[:, 1:]), ("mean", mean),
            ("deviation", deviation),
        ):  # fmt: skip
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32))
        p = elements.shape[1] - 1
        self.embed = nn.Linear(p, width)
        self.element = nn.Embedding(len(elements), width)
        nn.init.normal_(self.element.weight, std=0.1)
        self.bonds = nn.Linear(len(LENGTHS) + len(RELATIVE), width)
        self.nodes = nn.ModuleList(NodeLayer(width) for _ in range(3))
        self.edge = EdgeLayer(width) if frame and not equivariant else nn.Identity()
        self.moments = EquivariantLayer(width) if equivariant else nn.Identity()
        self.lattice = nn.Linear(len(LATTICE), width) if frame and equivariant else nn.Identity()
        self.inner = nn.Linear(2 * width + 4 * p + 2, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outer = nn.Linear(hidden, len(mean))
        self.drop = nn.Dropout(dropout)

    def forward(self, b: dict[str, Tensor]) -> Tensor:
        """Return the scalars ``(c, t)``."""
        c = len(b["unit"])
        i, j, of = b["first"], b["second"], b["bond_crystal"]
        z, radius = self.properties[b["numbers"]], self.radius[b["numbers"]]
        d = b["length"] * b["unit"][of]
        basis = [spread(d, LENGTHS), spread(d / (radius[i] + radius[j]), RELATIVE)]
        e = silu(self.bonds(torch.cat(basis, 1)))
        h = silu(self.embed(z) + self.element(b["numbers"]))
        weight, direction = b["weight"][:, None], b["direction"]
        odd = torch.ones_like(weight)
        long = torch.linalg.norm(b["frame"], dim=2)
        unit, long = b["frame"] / long[..., None], torch.log(long / b["unit"][:, None])
        if self.frame and self.equivariant:
            own = torch.arange(len(h)).repeat_interleave(3)
            i, j = torch.cat([i, own]), torch.cat([j, own])
            vectors = silu(self.lattice(spread(long, LATTICE)))[b["crystal"]]
            e = torch.cat([e, vectors.flatten(0, 1)])
            direction = torch.cat([direction, unit[b["crystal"]].flatten(0, 1)])
            # A lattice vector and its opposite are one bond that counts twice.
            weight = torch.cat([weight, torch.full((len(own), 1), 2.0)])
            odd = torch.cat([odd, torch.zeros(len(own), 1)])
        first, *others = self.nodes
        h = first(h, e, i, j, weight)
        if self.equivariant:
            h = self.moments(h, e, i, j, weight, direction, odd)
        elif self.frame:
            cosines = (unit[of] @ direction[:, :, None])[:, :, 0]
            e = self.edge(e, long, cosines, of)
        for layer in others:
            h = layer(h, e, i, j, weight)
        mean_h, mean_z = mean_by(h, b["crystal"], c), mean_by(z, b["crystal"], c)
        spread_h = mean_by((h - mean_h[b["crystal"]]).abs(), b["crystal"], c)
        spread_z = mean_by((z - mean_z[b["crystal"]]).abs(), b["crystal"], c)
        where = b["crystal"][:, None].expand(-1, z.shape[1])
        most, least = (
            torch.zeros(c, z.shape[1]).scatter_reduce(0, where, z, way, include_self=False)
            for way in ("amax", "amin")
        )
        size = torch.log(b["unit"])[:, None]
        radii = torch.log(mean_by(radius[:, None], b["crystal"], c))
        g = torch.cat([mean_h, spread_h, mean_z, spread_z, most, least, size, radii - size], 1)
        g = self.drop(silu(self.inner(g)))
        g = self.drop(silu(self.middle(g)))
        found: Tensor = self.mean + self.deviation * self.outer(g)
        return found


def predict(net: ComFormer, data: FramedGraphs, *, ties: bool = False) -> NDArray[np.float64]:
    """Return the scalars of all crystals ``(c, t)``, of the first frame, or the mean over all."""
    net.eval()
    found = []
    with torch.no_grad():
        for which in np.array_split(np.arange(len(data)), max(1, len(data) // 32)):
            found.append(net(data.batch(which)).numpy())
        whole = np.concatenate(found).astype(np.float64)
        if ties and net.frame:
            kept = data.frames
            for k, every in enumerate(kept):
                more = [whole[k]]
                for frame in every[1:]:
                    data.frames = [*kept[:k], frame[None], *kept[k + 1 :]]
                    more.append(net(data.batch(np.array([k]))).numpy()[0])
                whole[k] = np.mean(more, axis=0)
            data.frames = kept
    return whole


def fit(
    train: FramedGraphs,
    validation: FramedGraphs,
    seed: int,
    epochs: int,
    elements: NDArray[np.float64],
    checkpoint: Path,
    **shape: Any,
) -> tuple[ComFormer, list[dict[str, float]]]:
    """Return the network that was best on the validation part, and the scores of the epochs.

    Parameters
    ----------
    train, validation
        The crystals.
    seed
        Of weights, order and frames.
    epochs
        The rate of learning falls over them.
    elements
        ``(95, p)``.
    checkpoint
        File to which the best network so far is written.
    **shape
        Of :class:`ComFormer`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean, deviation = train.crystals.target.mean(0), train.crystals.target.std(0)
    net = ComFormer(elements, mean.tolist(), deviation.tolist(), **shape)
    steps = -(-len(train) // 24)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=epochs * steps, pct_start=0.2
    )
    best, kept, history = np.inf, copy.deepcopy(net.state_dict()), []
    averaged = {k: v.clone() for k, v in net.state_dict().items()}
    started = time.process_time()
    for epoch in range(epochs):
        net.train()
        losses = []
        for which in np.array_split(rng.permutation(len(train)), steps):
            b = train.batch(which, rng)
            away = (net(b) - b["target"]) / deviation
            loss = nn.functional.smooth_l1_loss(away, torch.zeros_like(away), beta=0.2)
            losses.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            for k, v in net.state_dict().items():
                averaged[k].mul_(0.99).add_(v.detach(), alpha=0.01)
        if epoch % 2 and epoch != epochs - 1:
            continue
        smooth = copy.deepcopy(net)
        smooth.load_state_dict(averaged)
        error = np.abs(predict(smooth, validation) - validation.crystals.target.numpy()).mean(
            axis=0
        )
        score = float((error / deviation.numpy()).mean())
        history.append(
            {"epoch": epoch, "score": score, "loss": float(np.mean(losses)),
             **{f"mae{k}": float(v) for k, v in enumerate(error)},
             "processor_s": time.process_time() - started}
        )  # fmt: skip
        log.info("%s", json.dumps(history[-1]))
        if score < best:
            best, kept = score, copy.deepcopy(averaged)
            torch.save({"state": kept, "shape": shape, "history": history}, checkpoint)
    net.load_state_dict(kept)
    torch.save({"state": kept, "shape": shape, "history": history}, checkpoint)
    return net, history
