# SPDX-License-Identifier: BSD-3-Clause
"""A model with a graph layer on a frame: nodes of the atoms, then classes from neighbours' nodes.

Runs in the native kernels (kernels/graph.hpp) from the artefact's own weights, without torch, or as
TorchScript, which is the reference.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError
from insitu.neighbors import Neighbors, compiled

if TYPE_CHECKING:
    from insitu.models.store import Card

#: Layers' outputs are padded to this many.
_LANES = 16


@dataclass(frozen=True)
class GraphSettings:
    """Extent of the graph, in units of the sample's spacing (volume an atom)^(1/3).

    Parameters
    ----------
    neighbors
        Nearest neighbours whose nodes an atom's class is made of.
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

    def ghost_cutoff(self, spacing: float) -> float:
        """Return the distance around a rank's atoms that has to be complete [Å]."""
        return (self.reach + self.layers * self.near) * spacing


def pack(state: dict[str, NDArray[np.float32]], path: io.BytesIO) -> None:
    """Write the weights of a NeighborsMapGraph as the native kernels take them.

    Parameters
    ----------
    state
        Arrays of its ``state_dict()``.
    path
        File object that receives ``widths`` and ``weights`` (npz).
    """

    def padded(a: NDArray[Any], rows: int | None, columns: int) -> NDArray[np.float32]:
        out = np.zeros((rows or a.shape[0], columns), dtype=np.float32)
        out[: a.shape[0], : a.shape[1]] = a
        return out

    def wide(n: int) -> int:
        return -(-n // _LANES) * _LANES

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
    widths = np.array([len(w1), hidden, f, m, c, layers], dtype=np.int32)
    np.savez(path, widths=widths, weights=flat)


class GraphModel:
    """A loaded model with a graph layer.

    Parameters
    ----------
    card
        Its metadata; `card.graph` is not None.
    weights
        Content of :func:`pack`, or None to run as TorchScript.
    sha256, path
        Of the artefact.
    isa
        Instruction set of the kernels, "" is the best one.
    """

    def __init__(
        self, card: Card, weights: bytes | None, sha256: str, path: Path, isa: str = ""
    ) -> None:
        assert card.graph is not None
        self.card, self.graph, self.sha256, self.path = card, card.graph, sha256, path
        self.timing: dict[str, float] = {}
        self._module: Any = None
        if weights is None:
            import torch

            self._module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
            return
        with np.load(io.BytesIO(weights)) as z:
            widths = z["widths"].tolist()
            try:
                self._engine = compiled().GraphEngine(z["weights"], widths, isa)
            except ValueError as error:
                raise ModelError(f"model {path}: {error}; copy or train it again") from None
        size, classes = card.descriptor.size, len(card.classes)
        fits = widths[0] == size**2 and classes <= widths[4] < classes + _LANES
        if not fits or widths[5] != self.graph.layers:
            raise ModelError(
                f"model {path}: the network's widths are {widths}, its metadata say images of "
                f"{size}×{size}, {classes} classes and {self.graph.layers} layers; export it "
                "with the right settings"
            )

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return self._module is None

    def classify(
        self, search: Neighbors, spacing: float
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """Return owned atoms ``(n,)``, class probabilities ``(n, C)`` and ball sizes ``(n,)``.

        Parameters
        ----------
        search
            Neighbour search whose radius is `reach` spacings; the frame's ghosts have to be complete
            up to :meth:`GraphSettings.ghost_cutoff`, but for images of the rank's own atoms: their
            nodes are those of the atoms themselves.
        spacing
            Of the sample [Å].
        """
        started = time.perf_counter()
        points, n = len(search.frame.positions), len(search.places)
        row = np.full(points, -1, dtype=np.int32)
        stands_for = _owners(search)
        # Pages that are never written cost nothing: room for every point of the frame. Rows are in the
        # order of their distance in the graph from the analysed atoms, whose rows are the first.
        nodes = np.empty((points, self._width), dtype=np.float32)
        neighbors = np.empty((points, self.graph.neighbors), dtype=np.int32)
        found = np.empty(points, dtype=np.int32)
        ends, places = [0], search.places
        for _ in range(self.graph.layers + 1):
            first, end = ends[-1], ends[-1] + len(places)
            row[places] = np.arange(first, end, dtype=np.int32)
            self._embed(
                search, places, nodes[first:end], found[first:end], neighbors[first:end], spacing
            )
            ends.append(end)
            # Images of the rank's own atoms stand for them; other ranks' atoms, and those of another
            # group, get nodes of their own here: their balls are complete.
            near = neighbors[first:end]
            there = near >= 0
            near[there] = stands_for[near[there]]
            places = np.unique(near[there & (row[near] < 0)])
        embedded = time.perf_counter()
        inner = neighbors[: ends[-2]]
        inner[:] = np.where(inner >= 0, row[inner], np.int32(-1))
        probabilities = self._classify(nodes[: ends[-1]], inner, ends)
        self.timing = {
            "descriptor": embedded - started,
            "model": time.perf_counter() - embedded,
        }
        return search.atoms, probabilities, found[:n]

    @property
    def _width(self) -> int:
        native: int = 0 if self._module else self._engine.node_width
        return native or self.card.descriptor.size**2

    def _embed(
        self, search: Neighbors, places: NDArray[np.int32], nodes: NDArray[np.float32],
        found: NDArray[np.int32], nearest: NDArray[np.int32], spacing: float,
    ) -> None:  # fmt: skip
        d, radius, near = (
            self.card.descriptor, self.graph.reach * spacing, self.graph.near * spacing
        )  # fmt: skip
        if self._module is None:
            self._engine.embed(
                search.cells, places, nodes, found, nearest, near, radius, d.size, d.gamma, d.beta,
                d.ball, d.local,
            )  # fmt: skip
            return
        for at, images, count in replace(d, cutoff=radius).batches(search, places=places):
            nodes[at], found[at] = images.reshape(len(at), -1), count
        nearest[:] = search.nearest(places, (radius, d.ball, d.local), nearest.shape[1], near)

    def _classify(
        self, nodes: NDArray[np.float32], neighbors: NDArray[np.int32], ends: list[int]
    ) -> NDArray[np.float32]:
        out = np.empty((ends[1], len(self.card.classes)), dtype=np.float32)
        if self._module is None:
            for layer in range(self.graph.layers):
                rows = ends[self.graph.layers - layer]
                last = layer + 1 == self.graph.layers
                after = out if last else np.empty((rows, self._width), dtype=np.float32)
                self._engine.convolve(layer, nodes, neighbors[:rows], after)
                nodes = after
            return out
        import torch

        size = self.card.descriptor.size
        with torch.inference_mode():
            images = torch.from_numpy(nodes.reshape(-1, 1, size, size))
            everything = self._module(images, torch.from_numpy(neighbors.astype(np.int64)))
            out[:] = everything[: ends[1]].numpy()
        return out


def _owners(search: Neighbors) -> NDArray[np.int32]:
    """Return for each place the place of the owned atom with its id, or itself."""
    frame = search.frame
    point_of, points = search.index, len(frame.positions)
    place_of = np.empty(points, dtype=np.int32)
    place_of[point_of] = np.arange(points, dtype=np.int32)
    own = frame.ids[: frame.n_local]
    stands_for = np.arange(points, dtype=np.int32)
    if frame.n_ghost and len(own):
        order = np.argsort(own)
        ghosts = frame.ids[frame.n_local :]
        at = order[np.minimum(np.searchsorted(own, ghosts, sorter=order), len(own) - 1)]
        mine = own[at] == ghosts
        stands_for[place_of[frame.n_local :][mine]] = place_of[at[mine]]
    return stands_for
