# SPDX-License-Identifier: BSD-3-Clause
"""Write a trained network as an artefact: TorchScript with its card inside."""

from __future__ import annotations

from pathlib import Path

import torch

from insitu.models.store import Card


def save(network: torch.nn.Module, card: Card, path: Path | str) -> None:
    """Export a network with its metadata.

    Parameters
    ----------
    network
        Module from images ``(n, channels, size, size)`` to probabilities ``(n, C)``; it is put
        into evaluation mode.
    card
        Its metadata.
    path
        File to write (``model.pt``).
    """
    scripted = torch.jit.script(network.eval().to("cpu"))
    torch.jit.save(scripted, str(path), _extra_files={"insitu.json": card.to_json()})
