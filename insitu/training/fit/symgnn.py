# SPDX-License-Identifier: BSD-3-Clause
"""Training of SymGNN, and of the networks it is compared with, on glasses with sampled barriers.

``python benchmarks/barriers_networks.py FOLDER --train KIND --out RUNS`` is the command.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from insitu.errors import one_of
from insitu.models.networks.symgnn import MODES, SymGNN, Symmetrisation
from insitu.training.fit.barriers import Score
from insitu.training.fit.ridge import Floats
from insitu.training.fit.symgnn_graph import Graph
from insitu.training.fit.symgnn_rivals import EGNN, GCN, EdgeGCN, Rival
from insitu.training.fit.symgnn_step import passed

log = logging.getLogger(__name__)

_RIVALS: dict[str, type[Rival]] = {"mlp": Rival, "gcn": GCN, "gcn-edges": EdgeGCN, "egnn": EGNN}
KINDS = (*MODES, *_RIVALS)
#: Transformations in the measurements that choose.
_SAMPLES = 48


@dataclass(frozen=True)
class Training:
    """Settings of a training.

    Parameters
    ----------
    steps
        Each is one pass over a slab of a glass.
    thickness
        Of the slab whose atoms count, between two faces of a depth of the cutoff [Å]. Atoms beyond are not
        seen: of an atom's surroundings of four shells the first is whole.
    rate
        Largest rate of learning of the one-cycle schedule.
    samples
        Transformations of a pass in training, of ``haar`` and ``octahedral``.
    dropout
        Of SymGNN.
    frozen
        Part of the steps after which normalisations keep the statistics that they get from slabs of all
        glasses then: the means of the glasses differ, and statistics of a single glass hide that.
    every
        Steps between measurements of the glass that chooses.
    seed
        Of weights and order.
    """

    steps: int = 160
    thickness: float = 10.0
    rate: float = 1e-2
    samples: int = 12
    dropout: float = 0.1
    frozen: float = 0.95
    every: int = 40
    seed: int = 1


def network_of(kind: str, centre: float, scale: float, dropout: float = 0.1) -> SymGNN | Rival:
    """Return a new network.

    Parameters
    ----------
    kind
        A mode of SymGNN, or ``mlp``, ``gcn``, ``gcn-edges``, ``egnn``.
    centre, scale
        Mean and standard deviation of the barriers in training [eV].
    dropout
        Of SymGNN.

    Raises
    ------
    SettingError
        No such kind.
    """
    one_of("kind", kind, KINDS)
    if kind in _RIVALS:
        rival = _RIVALS[kind](centre, scale)
        if isinstance(rival, EdgeGCN):
            _spread(rival.edges)
        return rival
    network = SymGNN(mode=kind, dropout=dropout, centre=centre, scale=scale)
    _spread(network.symmetrise)
    return network


def _spread(module: Symmetrisation) -> None:
    """Spread the kinks of the edges' features: after a normalisation all are at the mean otherwise."""
    with torch.no_grad():
        for at, width in ((1, 2.0), (4, 1.0)):
            norm = module.phi[at]
            assert isinstance(norm, nn.BatchNorm1d)
            norm.bias.uniform_(-width, width)


def _settle(network: nn.Module, graphs: Sequence[Graph], samples: int) -> None:
    """Give the normalisations the statistics of several graphs, for good."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d)]
    with torch.no_grad():
        for count, graph in enumerate(graphs):
            for norm in norms:
                norm.momentum = 1 / (1 + count)
            barriers_of(network, graph, samples)
    for norm in norms:
        norm.momentum = 0.1


def barriers_of(network: nn.Module, graph: Graph, samples: int = 0) -> Tensor:
    """Return the barriers ``(n,)`` [eV] of a graph.

    Parameters
    ----------
    network
        Of :func:`network_of`.
    graph
        A glass.
    samples
        Transformations; 0: as many as the network has.
    """
    if isinstance(network, SymGNN):
        return passed(network, graph, samples)
    found: Tensor = network(graph.source, graph.target, graph.vectors, graph.species)
    return found


def predicted(network: nn.Module, graph: Graph, samples: int = 0) -> Floats:
    """Return the barriers ``(n,)`` [eV] of a trained network, random transformations always the same."""
    network.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        found: Floats = barriers_of(network, graph, samples).double().numpy()
    return found


def train(
    kind: str, graphs: Mapping[int, Graph], together: tuple[tuple[int, ...], ...], choice: int,
    settings: Training, checkpoint: Path,
) -> SymGNN | Rival:  # fmt: skip
    """Train a network; the weights that predict the glass `choice` best are kept.

    The same call goes on with a training that was ended before its last step.

    Parameters
    ----------
    kind
        Of :func:`network_of`.
    graphs
        By the number of the glass.
    together
        Numbers of the glasses that are trained on; those that are one sample take turns.
    choice
        Number of a glass that is not trained on.
    settings
        Of the training.
    checkpoint
        File, written at every measurement.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    y = torch.cat([graphs[k].barriers for group in together for k in group])
    centre, scale = float(y.mean()), float(y.std())
    network = network_of(kind, centre, scale, settings.dropout)
    order = _order(together, settings.steps, rng)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.2
    )
    state: dict[str, Any] = {"best": -1.0, "kept": {}, "history": [], "step": 0, "seconds": 0.0}
    about = {"kind": kind, "centre": centre, "scale": scale, "choice": choice} | asdict(settings)
    if checkpoint.is_file():
        before = torch.load(checkpoint, weights_only=True)
        if before["about"] == about:
            state = before
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
    begun, losses = time.process_time(), []
    for step in range(state["step"], settings.steps):
        network.train()
        draw = np.random.default_rng([settings.seed, step])
        torch.manual_seed(settings.seed * 100_003 + step)
        if step >= settings.frozen * settings.steps:
            if step - 1 < settings.frozen * settings.steps:
                several = [
                    graphs[group[0]].slab(axis, draw.random(), settings.thickness)[0]
                    for group in together
                    for axis in range(3)
                ]
                _settle(network, several, settings.samples)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()
        graph, inner = graphs[order[step]].slab(
            int(draw.integers(3)), draw.random(), settings.thickness
        )
        off = (barriers_of(network, graph, settings.samples) - graph.barriers) / scale
        loss = (off[inner] ** 2).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        done = step + 1
        if done % settings.every and done != settings.steps:
            continue
        found = predicted(network, graphs[choice], _SAMPLES)
        s = Score.of(found, graphs[choice].barriers.double().numpy())
        now = time.process_time()
        state["seconds"] += now - begun
        state["history"].append([done, float(np.mean(losses)), s.r, s.bias])
        log.info(
            "%s: step %d, loss %.3f, glass %d: r %.3f, difference of the means %+.3f eV, %.0f s", kind,
            done, np.mean(losses), choice, s.r, s.bias, state["seconds"],
        )  # fmt: skip
        begun, losses = now, []
        if not math.isnan(s.r) and s.r > state["best"]:
            state |= {"best": s.r, "best_step": done}
            state["kept"] = {k: v.clone() for k, v in network.state_dict().items()}
        state |= {
            "about": about, "step": done, "network": network.state_dict(),
            "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
        }  # fmt: skip
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
    return trained(checkpoint)


def trained(checkpoint: Path) -> SymGNN | Rival:
    """Return the network with the weights that a training kept."""
    state = torch.load(checkpoint, weights_only=True)
    about = state["about"]
    network = network_of(about["kind"], about["centre"], about["scale"], about["dropout"])
    network.load_state_dict(state["kept"] or state["network"])
    return network.eval()


def _order(
    together: tuple[tuple[int, ...], ...], steps: int, rng: np.random.Generator
) -> list[int]:
    """Return the glass of each step: each sample once in a round, its copies in turn."""
    order: list[int] = []
    for turn in range(-(-steps // len(together))):
        groups = [together[k] for k in rng.permutation(len(together))]
        order += [group[turn % len(group)] for group in groups]
    return order[:steps]
