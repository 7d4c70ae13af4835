# SPDX-License-Identifier: BSD-3-Clause
"""Which edges a trained SymGNN looks at: a mask that keeps what it predicts with as few as possible."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from insitu.errors import SettingError
from insitu.models.networks.symgnn import SymGNN
from insitu.training.fit.ridge import Floats
from insitu.training.fit.symgnn_graph import Graph
from insitu.training.fit.symgnn_step import passed

log = logging.getLogger(__name__)


def importance(
    network: SymGNN, graph: Graph, *, atoms: Tensor | None = None, steps: int = 40, size: float = 1.0,
    entropy: float = 0.05, rate: float = 0.2, samples: int = 2,
) -> tuple[Floats, float]:  # fmt: skip
    """Return the importance ``(e,)`` of the edges, from 0 to 1, and r of masked and whole predictions.

    The mask σ(m) of the edges' messages, one number an edge for all layers, is fitted to all atoms at once,
    so that the predictions keep the most information on those of the whole graph: of normal variables the
    mutual information is −½ log(1 − r²), the largest where 1 − r² is the smallest. Terms of size and
    entropy make the mask small, and its values nearly 0 or 1.

    Parameters
    ----------
    network
        Trained; its weights are not changed.
    graph
        A glass.
    atoms
        ``(n,)`` bool, whose predictions count; None: all.
    steps, rate
        Of the fit, with Adam.
    size, entropy
        Factors of the mean of the mask and of its mean entropy, beside 1 − r².
    samples
        Transformations of a pass, for networks with random ones: the same in each.

    Raises
    ------
    SettingError
        All predictions are equal.

    References
    ----------
    Ying, Bourgeois, You, Zitnik & Leskovec, "GNNExplainer", arXiv:1903.03894.
    """
    network.eval()
    given = {p: p.requires_grad for p in network.parameters()}
    for p in given:
        p.requires_grad_(False)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            counted = slice(None) if atoms is None else atoms
            whole = passed(network, graph, samples)[counted]
            if float(whole.std()) == 0.0:
                raise SettingError("all predictions are equal; train the network first")
            whole = (whole - whole.mean()) / whole.std(correction=0)
            logit = torch.full((len(graph.source),), 2.0, requires_grad=True)
            optimizer = torch.optim.Adam([logit], lr=rate)
            r = torch.ones(())
            for step in range(steps):
                torch.manual_seed(0)
                mask = torch.sigmoid(logit)
                found = passed(network, graph, samples, mask=mask)[counted]
                r = (found * whole).mean() / found.std(correction=0)
                lost = 1 - r**2
                unsure = -(mask * torch.log(mask + 1e-9) + (1 - mask) * torch.log(1 - mask + 1e-9))
                loss = lost + size * mask.mean() + entropy * unsure.mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                log.info(
                    "mask: step %d, mean %.3f, r %.3f", step + 1, float(mask.mean().detach()), r.item()
                )  # fmt: skip
            kept: Floats = torch.sigmoid(logit).detach().double().numpy()
    finally:
        for p, asked in given.items():
            p.requires_grad_(asked)
    return kept, float(r.detach())


def by_distance(
    kept: Floats, graph: Graph, species: Sequence[str], edges: Floats, atoms: Tensor | None = None
) -> dict[str, tuple[Floats, NDArray[np.int64]]]:
    """Return the mean importance and the number of edges in bins of distance, by pair of species.

    Parameters
    ----------
    kept
        ``(e,)`` importance.
    graph
        Its glass.
    species
        Names; a pair "Cu-Zr" is of a Cu atom whose barrier the message of a Zr atom changes.
    edges
        ``(b + 1,)`` of the bins [Å].
    atoms
        ``(n,)`` bool, whose edges count; None: of all.
    """
    distance = np.linalg.norm(graph.vectors.double().numpy(), axis=1)
    kinds = graph.species.numpy()
    own, other = kinds[graph.target.numpy()], kinds[graph.source.numpy()]
    counted = np.ones(len(kept), dtype=bool) if atoms is None else atoms[graph.target].numpy()
    found = {}
    for a, first in enumerate(species):
        for b, second in enumerate(species):
            mine = counted & (own == a) & (other == b)
            many = np.histogram(distance[mine], edges)[0]
            total = np.histogram(distance[mine], edges, weights=kept[mine])[0]
            with np.errstate(invalid="ignore"):
                found[f"{first}-{second}"] = (total / many, many)
    return found
