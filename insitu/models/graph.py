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

from insitu.errors import InsituError, ModelError
from insitu.neighbors import Neighbors, compiled

if TYPE_CHECKING:
    from insitu.halo import Halo
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
        return self.reach * spacing


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
        self, search: Neighbors, spacing: float, halo: Halo | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """Return owned atoms ``(n,)``, class probabilities ``(n, C)`` and ball sizes ``(n,)``.

        Collective if there is a `halo`; whoever made it calls :meth:`Halo.finish` if this raises.

        Parameters
        ----------
        search
            Neighbour search whose radius is `reach` spacings, up to which the frame's ghosts have to
            be complete.
        spacing
            Of the sample [Å].
        halo
            Where features of other ranks' atoms come from; None: all atoms are this rank's.
        """
        started = time.perf_counter()
        waited = 0.0
        n = search.frame.n_local
        # Rows are the owned atoms in cell order, then other ranks' atoms.
        places, points = compiled().owned(search.cells, n)
        row_of = np.empty(n, dtype=np.int32)
        row_of[points] = np.arange(n, dtype=np.int32)
        found = np.empty(n, dtype=np.int32)
        nearest = np.empty((n, self.graph.neighbors), dtype=np.int32)
        features = self._first(search, places, found, nearest, spacing)
        received = np.zeros(0, np.int64) if halo is None else halo.ids
        rows = _rows(search, nearest, row_of, received)
        embedded = time.perf_counter()
        for layer in range(self.graph.layers):
            other = np.zeros((0, 0), dtype=np.float32)
            if halo is not None:
                before = time.perf_counter()
                other = halo.features(features[:, : self._shared], row_of)
                waited += time.perf_counter() - before
            features = self._next(layer, features, other, rows)
        self.timing = {
            "descriptor": embedded - started,
            "model": time.perf_counter() - embedded - waited,
        }
        chosen = row_of[search.atoms]
        return search.atoms, features[chosen], found[chosen]

    @property
    def _shared(self) -> int:
        """Columns of an atom's features that its neighbours need."""
        if self._module is not None:
            return int(self._module.width)
        shared: int = self._engine.shared_width
        return shared

    def _first(
        self, search: Neighbors, places: NDArray[np.int32], found: NDArray[np.int32],
        nearest: NDArray[np.int32], spacing: float,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return the features of the atoms at some places from their maps alone."""
        d, radius = self.card.descriptor, self.graph.reach * spacing
        near = self.graph.near * spacing
        if self._module is None:
            nodes = np.empty((len(places), self._engine.node_width), dtype=np.float32)
            self._engine.embed(
                search.cells, places, nodes, found, nearest, near, radius, d.size, d.gamma, d.beta,
                d.ball, d.local,
            )  # fmt: skip
            return nodes
        import torch

        nodes = np.empty((len(places), self._shared), dtype=np.float32)
        with torch.inference_mode():
            for at, images, count in replace(d, cutoff=radius).batches(search, places=places):
                nodes[at] = self._module.embed(torch.from_numpy(images)).numpy()
                found[at] = count
        nearest[:] = search.nearest(places, (radius, d.ball, d.local), nearest.shape[1], near)
        return nodes

    def _next(
        self, layer: int, own: NDArray[np.float32], other: NDArray[np.float32],
        rows: NDArray[np.int32],
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return the features behind a layer, or the class probabilities behind the last one.

        `rows` are neighbours: of the owned atoms, then of the others; −1: none.
        """
        last = layer + 1 == self.graph.layers
        if self._module is None:
            if len(other):
                wide = np.zeros((len(other), own.shape[1]), dtype=np.float32)
                wide[:, : other.shape[1]] = other
                own = np.concatenate([own, wide])
            width = len(self.card.classes) if last else self._engine.node_width
            out = np.empty((len(rows), width), dtype=np.float32)
            self._engine.convolve(layer, own, rows, out)
            return out
        import torch

        with torch.inference_mode():
            h = torch.from_numpy(np.concatenate([own, other]) if len(other) else own)
            h = self._module.convolve(layer, h, torch.from_numpy(rows.astype(np.int64)))
            result: NDArray[np.float32] = (self._module.probabilities(h) if last else h).numpy()
            return result


def _rows(
    search: Neighbors,
    nearest: NDArray[np.int32],
    row_of: NDArray[np.int32],
    received: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Return neighbours as rows: `row_of` each owned atom, behind these the received ids."""
    frame = search.frame
    n = frame.n_local
    row = np.full(len(frame.positions), -1, dtype=np.int32)
    row[:n] = row_of
    if frame.n_ghost:
        known = np.concatenate([frame.ids[:n], received])
        order = np.argsort(known, kind="stable")  # an own atom comes before a copy of it
        ghosts = frame.ids[n:]
        at = order[np.minimum(np.searchsorted(known, ghosts, sorter=order), len(known) - 1)]
        row_known = np.concatenate([row_of, np.arange(n, len(known), dtype=np.int32)])
        row[n:] = np.where(known[at] == ghosts, row_known[at], -1)
    there = nearest >= 0
    found = np.where(there, row[search.index[nearest]], np.int32(-1))
    if (found[there] < 0).any():
        raise InsituError(
            "a neighbour belongs to no rank: the ghost atoms do not fit the atoms that the ranks own; "
            "define the insitu fix before fixes that change the box or delete atoms"
        )
    return found
