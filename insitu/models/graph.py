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
    """

    neighbors: int = 12
    reach: float = 2.1
    near: float = 1.75

    def ghost_cutoff(self, spacing: float) -> float:
        """Return the distance around a rank's atoms that has to be complete [Å]."""
        return (self.reach + self.near) * spacing


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
    w1 = s["first.weight"].T * s["scale"][:, None]
    b1 = s["first.bias"] - s["mean"] @ w1
    features = s["second.weight"].shape[0]
    message, head = s["own.weight"].shape[0], s["third.weight"].shape[0]
    widths = [len(w1), *map(wide, (w1.shape[1], features, message, head, len(s["last.bias"])))]
    _, hidden, f, m, h, c = widths
    node = np.concatenate([
        padded(s["other.weight"].T, f, m), padded(s["own.weight"].T, f, m),
        padded(s["third.weight"][:, :features].T, f, h),
    ], axis=1)  # fmt: skip
    bias = np.concatenate([
        np.zeros((1, m)), padded(s["own.bias"][None], 1, m), padded(s["third.bias"][None], 1, h),
    ], axis=1)  # fmt: skip
    parts = [
        padded(w1, None, hidden), padded(b1[None], 1, hidden),
        padded(s["second.weight"].T, hidden, f), padded(s["second.bias"][None], 1, f),
        node, bias, padded(s["third.weight"][:, features:].T, m, h),
        padded(s["last.weight"].T, h, c), padded(s["last.bias"][None], 1, c),
    ]  # fmt: skip
    flat = np.concatenate([p.ravel() for p in parts]).astype(np.float32)
    np.savez(path, widths=np.array(widths, dtype=np.int32), weights=flat)


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
        if widths[0] != size**2 or not classes <= widths[5] < classes + _LANES:
            raise ModelError(
                f"model {path}: the network takes {widths[0]} pixels, its metadata say "
                f"{size}×{size} and {classes} classes; export it with the right settings"
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
        frame, places = search.frame, search.places
        n, points = len(places), len(frame.positions)
        started = time.perf_counter()
        radius = self.graph.reach * spacing
        nearest = np.empty((n, self.graph.neighbors), dtype=np.int32)
        found = np.empty(n, dtype=np.int32)
        row = np.full(points, -1, dtype=np.int32)
        row[places] = np.arange(n, dtype=np.int32)
        nodes = self._nodes(points)
        self._embed(search, places, row[places], nodes, found, nearest, spacing, radius)
        # Images of the rank's own atoms stand for them; what is left is other ranks' (or another
        # group's), and their nodes are made here: their balls are complete.
        stands_for = _owners(search)
        there = nearest >= 0
        nearest[there] = stands_for[nearest[there]]
        further = np.unique(nearest[there & (row[nearest] < 0)])
        row[further] = np.arange(n, n + len(further), dtype=np.int32)
        nothing = np.empty((len(further), 0), dtype=np.int32)
        self._embed(
            search, further, row[further], nodes, np.empty(len(further), dtype=np.int32), nothing,
            spacing, radius,
        )  # fmt: skip
        neighbors = np.where(there, row[nearest], np.int32(-1))
        embedded = time.perf_counter()
        probabilities = self._classify(nodes, row[places], neighbors)
        self.timing = {
            "descriptor": embedded - started,
            "model": time.perf_counter() - embedded,
        }
        return search.atoms, probabilities, found

    def _nodes(self, points: int) -> NDArray[np.float32]:
        # Pages that are never written cost nothing: room for every point of the frame.
        width = self.card.descriptor.size**2 if self._module else self._engine.node_width
        return np.empty((points, width), dtype=np.float32)

    def _embed(
        self, search: Neighbors, places: NDArray[np.int32], rows: NDArray[np.int32],
        nodes: NDArray[np.float32], found: NDArray[np.int32], nearest: NDArray[np.int32],
        spacing: float, radius: float,
    ) -> None:  # fmt: skip
        d = self.card.descriptor
        if self._module is None:
            self._engine.embed(
                search.cells, places, rows, nodes, found, nearest, self.graph.near * spacing,
                radius, d.size, d.gamma, d.beta, d.ball, d.local,
            )  # fmt: skip
            return
        settings = replace(d, cutoff=radius)
        for at, images, count in settings.batches(search, places=places):
            nodes[rows[at]] = images.reshape(len(at), -1)
            found[at] = count
        ball = (radius, d.ball, d.local)
        nearest[:] = search.nearest(places, ball, nearest.shape[1], self.graph.near * spacing)

    def _classify(
        self, nodes: NDArray[np.float32], rows: NDArray[np.int32], neighbors: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        n = len(rows)
        out = np.empty((n, len(self.card.classes)), dtype=np.float32)
        if self._module is None:
            self._engine.classify(nodes, rows, neighbors, out)
            return out
        import torch

        size = self.card.descriptor.size
        with torch.inference_mode():
            for first in range(0, n, 1024):
                own, other = rows[first : first + 1024], neighbors[first : first + 1024]
                used = np.concatenate([own, np.setdiff1d(other[other >= 0], own)])
                at = np.full(len(nodes), -1, dtype=np.int64)
                at[used] = np.arange(len(used))
                local = np.where(other >= 0, at[other], -1)
                images = torch.from_numpy(nodes[used].reshape(-1, 1, size, size))
                out[first : first + len(own)] = self._module(
                    images, torch.from_numpy(local)
                ).numpy()
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
