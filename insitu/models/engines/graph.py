# SPDX-License-Identifier: BSD-3-Clause
"""A model with a graph layer on a frame: nodes of the atoms, then classes from neighbours' nodes.

Runs in the native kernels (kernels/core/graph.hpp) from the artefact's own weights, without torch, or as
TorchScript, which is the reference.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, SettingError
from insitu.frame.compiled import compiled
from insitu.frame.ghosts.halo import NOBODYS, Halo, Rows
from insitu.frame.neighbors.search import Neighbors
from insitu.models.engines.graph_layers import Convolve, LayeredModel, Stage
from insitu.models.engines.loaded import DeviceModel
from insitu.models.weights import padded, wide

if TYPE_CHECKING:
    from insitu.gpu.device import Device


@dataclass(frozen=True)
class GraphSettings:
    """Extent of the graph, in units of the sample's spacing (volume an atom)^(1/3).

    Parameters
    ----------
    neighbors
        Nearest neighbours whose nodes an atom's class is made of: of equally far ones all or none.
    reach
        Radius within which the atoms of a ball are searched.
    near
        Radius within which the graph's neighbours lie.
    layers
        Graph layers, 1 … 4.
    """

    neighbors: int = 12
    reach: float = 2.1
    near: float = 1.75
    layers: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= 4:
            raise SettingError(f"layers={self.layers} of the graph is not usable; give 1 … 4")
        if not 1 <= self.neighbors <= 64:
            raise SettingError(
                f"neighbors={self.neighbors} of the graph is not usable; give 1 … 64"
            )
        if not 0.0 < self.near <= self.reach:
            raise SettingError(
                f"near={self.near} and reach={self.reach} of the graph are not usable; give "
                "0 < near <= reach"
            )


def pack(state: dict[str, NDArray[np.float32]], path: io.BytesIO, *, foreign: bool = False) -> None:
    """Write the weights of a NeighborsMapGraph as the native kernels take them.

    Parameters
    ----------
    state
        Arrays of its ``state_dict()``.
    path
        File object that receives ``widths`` and ``weights`` (npz).
    foreign
        Whether there are outputs beyond the classes: their number in all is then the seventh width.
    """
    s = {k: v.astype(np.float64) for k, v in state.items()}
    layers = sum(k.startswith("own.") and k.endswith("weight") for k in s)
    w1 = s["first.weight"].T * s["scale"][:, None]
    b1 = s["first.bias"] - s["mean"] @ w1
    features, message = s["second.weight"].shape[0], s["own.0.weight"].shape[0]
    padded_widths = map(wide, (w1.shape[1], features, message, len(s["last.bias"])))
    hidden, f, m, c = padded_widths
    parts = [
        padded(w1, None, hidden), padded(b1[None], 1, hidden),
        padded(s["second.weight"].T, hidden, f), padded(s["second.bias"][None], 1, f),
    ]  # fmt: skip
    for k in range(layers):
        own, other, mix = (s[f"{name}.{k}.weight"].T for name in ("own", "other", "mix"))
        bias = [np.zeros((1, m)), *(s[f"{name}.{k}.bias"][None] for name in ("own", "mix"))]
        parts.append(
            np.hstack([padded(other, f, m), padded(own, f, m), padded(mix[:features], f, f)])
        )
        parts.append(np.hstack([bias[0], padded(bias[1], 1, m), padded(bias[2], 1, f)]))
        parts.append(padded(mix[features:], m, f))
    parts += [padded(s["last.weight"].T, f, c), padded(s["last.bias"][None], 1, c)]
    flat = np.concatenate([p.ravel() for p in parts]).astype(np.float32)
    outputs = [len(s["last.bias"])] if foreign else []
    widths = np.array([len(w1), hidden, f, m, c, layers, *outputs], dtype=np.int32)
    np.savez(path, widths=widths, weights=flat)


class GraphModel(LayeredModel):
    """A loaded model with a graph layer; `card.graph` is not None."""

    graph: GraphSettings
    _cpu_only = (
        "engine='torchscript' with a model that has graph layers runs on the CPU only; leave "
        "`engine` out, or give device=cpu"
    )

    def _settings(self) -> GraphSettings:
        assert self.card.graph is not None
        return self.card.graph

    def _engine_of(self, weights: NDArray[np.float32], widths: list[int], isa: str) -> Any:
        return compiled().GraphEngine(weights, widths, isa)

    def _misfit(self, widths: list[int]) -> str:
        size, classes = self.card.descriptor.size, len(self.card.classes)
        outputs = widths[6] if len(widths) > 6 else classes
        fits = widths[0] == size**2 and widths[4] == wide(outputs)
        if fits and widths[5] == self.graph.layers and (outputs > classes) == self.card.foreign:
            return ""
        return f"images of {size}×{size}, {classes} classes and {self.graph.layers} layers"

    def _on(self, device: Device) -> DeviceModel:

        from insitu.models.engines.gpu_graph import DeviceGraph

        return DeviceGraph(self.card, self._widths, self._weights, self._kernels, device)

    @property
    def relative(self) -> bool:
        """Whether the radii follow from the density of the sample."""
        return True

    @property
    def rounds(self) -> int:
        """How often a frame's features are exchanged between ranks."""
        return self.graph.layers

    @property
    def exchanged(self) -> int:
        """Width of the features that ranks exchange."""
        return int(self._kernels.shared_width if self.native else self._module.width)

    def radius(self, spacing: float) -> float:
        """Return the radius of the search [Å]."""
        return self.graph.reach * spacing

    def _begin(
        self, search: Neighbors, rows: Rows, spacing: float, halo: Halo,
        shared: NDArray[np.float32], found: NDArray[np.int32], result: NDArray[np.float32],
    ) -> tuple[NDArray[np.int32], Convolve]:  # fmt: skip
        d, engine, (places, _) = self.card.descriptor, self._kernels, search.owned
        h = self.rooms("h", len(places), engine.features)
        read = self.rooms("rows", len(places), self.graph.neighbors, np.int32)
        whole = engine.embed(
            search.cells, places, rows.row_of_place, h, shared, found, read,
            self.graph.near * spacing, self.graph.reach * spacing, d.size, d.gamma, d.beta, d.ball,
            d.local, self.threads,
        )  # fmt: skip
        if not whole:
            raise InsituError(NOBODYS)

        def convolve(
            layer: int, shared: NDArray[np.float32], following: NDArray[np.float32]
        ) -> None:
            engine.convolve(layer, shared, read, h, following, result, self.threads)

        return read, convolve

    def _torch(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        import torch

        radius, (places, _) = self.graph.reach * spacing, search.owned
        n = len(places)
        d = self.card.descriptor.searching(radius)
        found = np.empty(n, dtype=np.int32)
        shared = np.empty((n + halo.received, int(self._module.width)), dtype=np.float32)
        with torch.inference_mode():
            for at, images, count in d.batches(search, places=places):
                shared[at] = self._module.embed(torch.from_numpy(images)).numpy()
                found[at] = count
        ball = (radius, d.ball, d.local)
        nearest = search.nearest(places, ball, self.graph.neighbors, self.graph.near * spacing)
        read = np.where(nearest >= 0, rows.row_of_place[nearest], np.int32(-1))
        if (read[nearest >= 0] < 0).any():
            raise InsituError(NOBODYS)
        yield found, shared, read
        index = torch.from_numpy(read.astype(np.int64))
        for layer in range(self.graph.layers):
            with torch.inference_mode():
                h = self._module.convolve(layer, torch.from_numpy(shared), index)
                if layer + 1 == self.graph.layers:
                    yield found, self._module.probabilities(h).numpy(), read
                    return
                shared = np.empty_like(shared)
                shared[:n] = h.numpy()
            yield found, shared, read
