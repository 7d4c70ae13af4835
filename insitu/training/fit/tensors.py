# SPDX-License-Identifier: BSD-3-Clause
"""Training of the networks that predict a crystal's elastic and dielectric tensors."""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insitu.crystal.prediction.graph import CENTERS, graph
from insitu.crystal.tensors.basis import elastic, harmonics, traceless
from insitu.crystal.tensors.voigt import to_voigt
from insitu.training.fit.crystal_batches import Crystals, mean_by
from insitu.training.structures.tensor_tables import Record

log = logging.getLogger(__name__)


def graphs(records: Sequence[Record], kind: str) -> Crystals:
    """Return the graphs of some crystals, and their tensors as ``(c, 36)`` or ``(c, 9)``."""
    found = [graph(r.cell, r.sites, r.numbers) for r in records]
    targets = [
        to_voigt(r.tensor).ravel() if kind == "elastic" else r.tensor.ravel() for r in records
    ]
    more = {f"y{k}": [harmonics(g.direction, k) for g in found] for k in (2, 4)}
    return Crystals.joined(found, np.array(targets), more)


class TensorNetwork(nn.Module):
    """Messages along bonds, tensors of bonds, and a scalar part that says how much of each.

    Parameters
    ----------
    kind
        ``elastic`` or ``dielectric``.
    elements
        ``(95, p)`` properties, the radius [Å] first.
    width, channels, hidden, layers, dropout
        Features of an atom, tensors of bonds, features of the scalar part, rounds of messages, and how
        many of the scalar part's features are left out in training.
    """

    def __init__(
        self, kind: str, elements: NDArray[np.float64], width: int = 40, channels: int = 12,
        hidden: int = 96, layers: int = 2, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.channels, self.layers = kind, channels, layers
        self.radius: Tensor
        self.properties: Tensor
        self.register_buffer("radius", torch.tensor(elements[:, 0], dtype=torch.float32))
        self.register_buffer("properties", torch.tensor(elements[:, 1:], dtype=torch.float32))
        p, r = elements.shape[1] - 1, len(CENTERS[0]) + len(CENTERS[1])
        self.embed = nn.Linear(p, width)
        self.own = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.other = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(layers))
        self.bond = nn.ModuleList(nn.Linear(r, 2 * width, bias=False) for _ in range(layers))
        self.own_t = nn.Linear(width, 48)
        self.other_t = nn.Linear(width, 48, bias=False)
        self.bond_t = nn.Linear(r, 48, bias=False)
        self.to_channels = nn.Linear(48, 2 * channels)
        self.outputs = 2 + 3 * channels if kind == "elastic" else 1 + channels
        self.inner = nn.Linear(2 * width + 4 * p + 2, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outer = nn.Linear(hidden, self.outputs)
        self.drop = nn.Dropout(dropout)
        self.parts: list[Tensor] = [
            torch.tensor(v, dtype=torch.float32) for v in elastic().values()
        ]
        self.q = torch.tensor(traceless(2), dtype=torch.float32)

    def forward(self, b: dict[str, Tensor]) -> Tensor:
        """Return tensors ``(c, 36)`` or ``(c, 9)``."""
        c = len(b["unit"])
        i, j = b["first"], b["second"]
        z = self.properties[b["numbers"]]
        d = b["length"] * b["unit"][b["bond_crystal"]]
        relative = d / (self.radius[b["numbers"][i]] + self.radius[b["numbers"][j]])
        basis = [
            torch.exp(-(((x[:, None] - torch.tensor(m, dtype=torch.float32)) / (m[1] - m[0])) ** 2))
            for x, m in zip((b["length"], relative), CENTERS, strict=True)
        ]
        rbf, weight = torch.cat(basis, 1), b["weight"][:, None]
        h = nn.functional.silu(self.embed(z))
        for own, other, bond in zip(self.own, self.other, self.bond, strict=True):
            m = own(h)[i] + other(h)[j] + bond(rbf)
            gate, value = m.chunk(2, 1)
            message = torch.sigmoid(gate) * nn.functional.silu(value) * weight
            total = torch.zeros_like(h).index_add_(0, i, message)
            h = h + 0.2 * total
        t = nn.functional.silu(self.own_t(h)[i] + self.other_t(h)[j] + self.bond_t(rbf))
        w = (self.to_channels(t) * weight)[:, :, None]
        k = self.channels
        atoms = torch.bincount(b["crystal"], minlength=c).to(w)[:, None, None]
        q = (
            torch.zeros(c, k, 5).index_add_(0, b["bond_crystal"], w[:, :k] * b["y2"][:, None])
            / atoms
        )
        f = (
            torch.zeros(c, k, 9).index_add_(0, b["bond_crystal"], w[:, k:] * b["y4"][:, None])
            / atoms
        )
        mean_h, mean_z = mean_by(h, b["crystal"], c), mean_by(z, b["crystal"], c)
        spread_h = mean_by((h - mean_h[b["crystal"]]).abs(), b["crystal"], c)
        spread_z = mean_by((z - mean_z[b["crystal"]]).abs(), b["crystal"], c)
        where = b["crystal"][:, None].expand(-1, z.shape[1])
        most, least = (
            torch.zeros(c, z.shape[1]).scatter_reduce(0, where, z, way, include_self=False)
            for way in ("amax", "amin")
        )
        unit = torch.log(b["unit"])[:, None]
        radius = mean_by(self.radius[b["numbers"]][:, None], b["crystal"], c)
        g = torch.cat(
            [mean_h, spread_h, mean_z, spread_z, most, least, unit, torch.log(radius) - unit], 1
        )
        g = self.drop(nn.functional.silu(self.inner(g)))
        g = self.drop(nn.functional.silu(self.middle(g)))
        out = self.outer(g)
        if self.kind == "dielectric":
            size = torch.exp(out[:, :1])
            shape = torch.einsum("ck,ckm->cm", 0.1 * out[:, 1:], q) @ self.q
            one = torch.eye(3).ravel()[None]
            return one + size * (one + shape)
        bulk, shear = torch.exp(out[:, :1] + 4.5), torch.exp(out[:, 1:2] + 3.8)
        first, second, fourth = (0.1 * out[:, 2:]).view(c, 3, k).unbind(1)
        ek, eg, e1, e2, e4 = self.parts
        shape = (
            torch.einsum("ck,ckm->cm", first, q) @ e1
            + torch.einsum("ck,ckm->cm", second, q) @ e2
            + torch.einsum("ck,ckm->cm", fourth, f) @ e4
        )
        return bulk * ek + shear * (eg + shape)


def scores(found: NDArray[np.float64], target: NDArray[np.float64]) -> dict[str, float]:
    """Return Fnorm and the parts of the tensors with an error within 25, 10 and 5 %."""
    away = np.linalg.norm(found - target, axis=1)
    relative = away / np.linalg.norm(target, axis=1)
    return {
        "fnorm": float(away.mean()),
        **{f"ewt{x}": float((relative < x / 100).mean()) for x in (25, 10, 5)},
    }


def predict(net: TensorNetwork, data: Crystals) -> NDArray[np.float64]:
    """Return the tensors of all crystals."""
    net.eval()
    n = len(data.unit)
    with torch.no_grad():
        parts = [net(data.batch(np.arange(k, min(k + 64, n)))) for k in range(0, n, 64)]
    return torch.cat(parts).numpy().astype(np.float64)


def fit(
    train: Crystals, validation: Crystals, kind: str, seed: int, epochs: int, minutes: float,
    elements: NDArray[np.float64], *, start: Mapping[str, Tensor] | None = None, rate: float = 3e-3,
    **shape: Any,
) -> tuple[TensorNetwork, list[dict[str, float]]]:  # fmt: skip
    """Return the network of the best validation epoch, and the scores of all epochs.

    Parameters
    ----------
    train, validation
        The crystals.
    kind
        ``elastic`` or ``dielectric``.
    seed
        Of weights and order.
    epochs, minutes
        The rate of learning falls over `epochs`; training ends after `minutes` at the latest.
    elements
        ``(95, p)``.
    start
        Weights to begin with; None: random ones.
    rate
        Of learning, the largest.
    **shape
        Of :class:`TensorNetwork`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = TensorNetwork(kind, elements, **shape)
    if kind == "dielectric":
        nn.init.constant_(net.outer.bias[:1], 2.0)
    if start is not None:
        net.load_state_dict(start)
    batch = 32
    steps = -(-len(train.unit) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    typical = float(torch.linalg.norm(train.target, dim=1).mean())
    best, kept, history = np.inf, copy.deepcopy(net.state_dict()), []
    mean: dict[str, Tensor] = {}
    started = time.time()
    for epoch in range(epochs):
        net.train()
        for which in np.array_split(rng.permutation(len(train.unit)), steps):
            b = train.batch(which)
            away = torch.linalg.norm(net(b) - b["target"] + 1e-6, dim=1)
            norm = torch.linalg.norm(b["target"], dim=1)
            loss = (away / norm).mean() + (0.5 * away / typical).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            state = {k: v.detach() for k, v in net.state_dict().items()}
            if not mean:
                mean = {k: v.clone() for k, v in state.items()}
            for k, v in state.items():
                mean[k].mul_(0.99).add_(v, alpha=0.01)
        if epoch % 3 and epoch != epochs - 1:
            continue
        averaged = copy.deepcopy(net)
        averaged.load_state_dict(mean)
        found, target = predict(averaged, validation), validation.target.numpy()
        s = scores(found, target)
        relative = np.linalg.norm(found - target, axis=1) / np.linalg.norm(target, axis=1)
        s["loss"] = float(relative.mean()) + 0.5 * s["fnorm"] / typical
        history.append({"epoch": epoch, **s})
        log.info("%s seed %d %s", kind, seed, json.dumps(history[-1]))
        if s["loss"] < best:
            best, kept = s["loss"], copy.deepcopy(mean)
        if time.time() - started > 60 * minutes:
            break
    net.load_state_dict(kept)
    return net, history


def save(nets: Sequence[TensorNetwork], path: Path, notes: dict[str, Any]) -> None:
    """Write networks into one file that :mod:`insitu.crystal.prediction.tensors` reads without torch."""
    arrays = {
        f"{k}/{name}": value.numpy().astype(np.float32 if name == "radius" else np.float16)
        for k, net in enumerate(nets)
        for name, value in net.state_dict().items()
        if not (k and name in ("radius", "properties"))
    }
    text = json.dumps({"kind": nets[0].kind, "networks": len(nets), **notes})
    np.savez_compressed(path, notes=np.array(text), **arrays)
