# SPDX-License-Identifier: BSD-3-Clause
"""Weights of an artefact as the start of a network that may be wider, or have more outputs."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from insitu.errors import SettingError
from insitu.models.networks.neighbors_map import NeighborsMapGraph
from insitu.models.weights import torch_module

#: What units of the artefact read of new ones at first, of the weights that these have by chance.
_NEW = 0.1


def started(start: Path, network: NeighborsMapGraph) -> dict[str, torch.Tensor]:
    """Return an artefact's weights for a network that is at least as wide and has the same layers.

    New units have the network's own weights, and the artefact's hardly read them. Several outputs for
    structures that are no class share the probability that the artefact's one has, if it has one.

    Parameters
    ----------
    start
        Artefact of a :class:`NeighborsMapGraph`.
    network
        Freshly made; it is not changed.

    Raises
    ------
    SettingError
        The artefact's maps or layers are others, or it is wider.
    """
    state: dict[str, torch.Tensor] = torch_module(start).state_dict()
    own = {k: v.clone() for k, v in network.state_dict().items()}
    wider = all(
        v.dim() == own[k].dim() and all(a <= b for a, b in zip(v.shape, own[k].shape, strict=True))
        for k, v in state.items()
        if k in own
    )
    maps = (
        "first.weight" in state and state["first.weight"].shape[1] == own["first.weight"].shape[1]
    )
    if set(state) != set(own) or not wider or not maps:
        raise SettingError(
            f"start='{start}' is a network of other maps or layers, or a wider one; give an artefact of "
            "the recipe's descriptor and layers, or leave it out"
        )
    before, now = state["second.bias"].numel(), network.width
    for name, value in state.items():
        to = own[name]
        if value.dim() == 1:
            to[: len(value)] = value
            continue
        rows, columns = value.shape
        at = torch.arange(columns)
        if name.startswith("mix."):  # an atom's features, then its messages
            at[before:] += now - before
        to[:rows] *= _NEW
        to[:rows, at] = value
    outputs, classes = state["last.bias"].numel(), network.classes
    if outputs == classes + 1 and network.foreign > 1:
        own["last.weight"][outputs:, :before] += state["last.weight"][classes]
        own["last.bias"][classes:] = state["last.bias"][classes] - math.log(network.foreign)
    return own
