# SPDX-License-Identifier: BSD-3-Clause
"""Write a trained network as an artefact: TorchScript with its card inside."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from insitu.models.graph import pack
from insitu.models.networks import NeighborsMapGraph
from insitu.models.store import Card


def save(network: torch.nn.Module, card: Card, path: Path | str) -> None:
    """Export a network with its metadata.

    Parameters
    ----------
    network
        Module from images ``(n, channels, size, size)`` to probabilities ``(n, C)``, or a
        :class:`~insitu.models.networks.NeighborsMapGraph`, whose weights are written for the native
        kernels too; it is put into evaluation mode.
    card
        Its metadata.
    path
        File to write (``model.pt``).
    """
    scripted = torch.jit.script(network.eval().to("cpu"))
    extra: dict[str, str | bytes] = {"insitu.json": card.to_json()}
    if isinstance(network, NeighborsMapGraph):
        weights = io.BytesIO()
        pack({k: v.numpy() for k, v in network.state_dict().items()}, weights)
        extra["insitu.npz"] = weights.getvalue()
    torch.jit.save(scripted, str(path), _extra_files=extra)
