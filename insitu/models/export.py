# SPDX-License-Identifier: BSD-3-Clause
"""Write a trained network as an artefact: TorchScript with its card inside."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from insitu.models.card import Card
from insitu.models.engines import cnn, graph, spatial
from insitu.models.networks.neighbors_map import NeighborsMapCNN, NeighborsMapGraph
from insitu.models.networks.whole_sample import WholeSampleGraph


def save(network: torch.nn.Module, card: Card, path: Path | str) -> None:
    """Export a network with its metadata.

    Parameters
    ----------
    network
        Module from images ``(n, channels, size, size)`` to probabilities ``(n, C)``, or a
        :class:`~insitu.models.networks.neighbors_map.NeighborsMapGraph` or
        :class:`~insitu.models.networks.whole_sample.WholeSampleGraph`; it is put into evaluation mode. Of
        these, and of :class:`~insitu.models.networks.neighbors_map.NeighborsMapCNN`, the weights are
        written for the native kernels too.
    card
        Its metadata.
    path
        File to write (``model.pt``).
    """
    scripted = torch.jit.script(network.eval().to("cpu"))
    extra: dict[str, str | bytes] = {"insitu.json": card.to_json()}
    weights = io.BytesIO()
    state = {k: v.numpy() for k, v in network.state_dict().items()}
    if isinstance(network, NeighborsMapGraph):
        graph.pack(state, weights, foreign=network.foreign > 0)
    elif isinstance(network, WholeSampleGraph):
        assert card.spatial is not None
        spatial.pack(state, card.spatial, weights)
    elif type(network) is NeighborsMapCNN and card.graph is None:  # no class derived from it
        cnn.pack(state, network.scale, weights)
    if weights.tell():
        extra["insitu.npz"] = weights.getvalue()
    torch.jit.save(scripted, str(path), _extra_files=extra)
