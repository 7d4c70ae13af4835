# SPDX-License-Identifier: BSD-3-Clause
"""The weights of a network with graph layers in NumPy: what it makes of atoms, and wider networks.

The engines run the network; here it is taken apart, for classes that are added to it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.engines.graph import GraphSettings
from insitu.models.weights import padded, wide

Array = NDArray[np.float64]


def describe(
    positions: Array, cell: Array | None, settings: NeighborsMap, graph: GraphSettings,
    pbc: ArrayLike | bool = True,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:  # fmt: skip
    """Return the maps ``(n, size²)`` of a configuration and its neighbours ``(n, k)``, −1 for none.

    Parameters
    ----------
    positions, cell
        ``(n, 3)`` and ``(3, 3)`` [Å].
    settings
        Scale-free descriptor; its cutoff is set from the density.
    graph
        Extent of the graph, with k neighbours.
    pbc
        One flag or three.
    """
    bare = Frame.from_arrays(positions, cell, pbc, reach=0.0)
    length = spacing(bare)
    radius = graph.reach * length
    frame = Frame.from_arrays(positions, cell, pbc, reach=radius * 1.0001)
    search = Neighbors(frame, radius)
    n = frame.n_local
    images = np.zeros((n, settings.size**2), dtype=np.float32)
    for atoms, batch, _ in settings.searching(radius).batches(search):
        images[atoms] = batch.reshape(len(atoms), -1)
    ball = (radius, settings.ball, settings.local)
    places = search.nearest(search.places, ball, graph.neighbors, graph.near * length)
    table = np.empty((n, graph.neighbors), dtype=np.int32)
    table[search.atoms] = np.where(places >= 0, frame.ids[search.index[places]] - 1, -1)
    return images, table


def _relu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    rectified: NDArray[np.float32] = np.maximum(x, np.float32(0.0))
    return rectified


@dataclass(frozen=True)
class GraphWeights:
    """Matrices ``(inputs, outputs)`` and biases of a network with graph layers, padded as in the kernels.

    Parameters
    ----------
    first, second, last
        Matrix and bias of the perceptron's layers and of the head.
    layers
        Of each graph layer: B, A, S, M, a, s of kernels/core/graph.hpp.
    outputs
        Of the head, without padding.
    """

    first: tuple[Array, Array]
    second: tuple[Array, Array]
    layers: tuple[tuple[Array, Array, Array, Array, Array, Array], ...]
    last: tuple[Array, Array]
    outputs: int

    @classmethod
    def unpack(cls, widths: list[int], flat: NDArray[np.floating], classes: int) -> GraphWeights:
        """Return the weights that :func:`insitu.models.engines.graph.pack` wrote, of so many classes."""
        inputs, hidden, f, m, c, layers = widths[:6]
        outputs = widths[6] if len(widths) > 6 else classes
        at = 0

        def take(rows: int, columns: int) -> Array:
            nonlocal at
            part = flat[at : at + rows * columns].reshape(rows, columns).astype(np.float64)
            at += rows * columns
            return part

        first = take(inputs, hidden), take(1, hidden)[0]
        second = take(hidden, f), take(1, f)[0]
        found = []
        for _ in range(layers):
            b, a, s = np.split(take(f, m + m + f), [m, 2 * m], axis=1)
            _, bias, more = np.split(take(1, m + m + f)[0], [m, 2 * m])
            found.append((b, a, s, take(m, f), bias, more))
        return cls(first, second, tuple(found), (take(f, c), take(1, c)[0]), outputs)

    def pack(self, *, foreign: bool) -> bytes:
        """Return what :func:`insitu.models.engines.graph.pack` would write of the network."""
        parts = [*self.first, *self.second]
        for b, a, s, gather, bias, more in self.layers:
            zero = np.zeros(b.shape[1])
            parts += [np.hstack([b, a, s]), np.concatenate([zero, bias, more]), gather]
        parts += self.last
        widths = [
            *self.first[0].shape, self.second[0].shape[1], self.layers[0][0].shape[1],
            self.last[0].shape[1], len(self.layers), *([self.outputs] if foreign else []),
        ]  # fmt: skip
        flat = np.concatenate([p.ravel() for p in parts]).astype(np.float32)
        file = io.BytesIO()
        np.savez(file, widths=np.array(widths, dtype=np.int32), weights=flat)
        return file.getvalue()

    def features(
        self, images: NDArray[np.float32], rows: NDArray[np.int32]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Yield the features ``(n, f)`` and the mean message ``(n, m)`` that goes into the next layer.

        Those of the perceptron come first, those after the last layer have no message.
        """
        single: list[list[NDArray[np.float32]]]
        single = [[x.astype(np.float32) for x in layer] for layer in self.layers]
        (w1, b1), (w2, b2) = self.first, self.second
        h = _relu(images @ w1.astype(np.float32) + b1.astype(np.float32))
        h = _relu(h @ w2.astype(np.float32) + b2.astype(np.float32))
        there = rows >= 0
        part = 1.0 / np.maximum(there.sum(axis=1), 1).astype(np.float32)
        for b, a, s, gather, bias, more in single:
            shared, own = h @ b, h @ a + bias
            each = _relu(own[:, None] + shared[rows]) * there[:, :, None]
            message: NDArray[np.float32] = each.sum(axis=1) * part[:, None]
            yield h, message
            h = _relu(h @ s + more + message @ gather)
        yield h, None

    def scores(self, last: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unnormalised scores ``(n, outputs)`` of features after the last layer."""
        w, b = self.last
        z: NDArray[np.float32] = (last @ w + b)[:, : self.outputs].astype(np.float32)
        return z

    def widened(
        self, own: list[Array], messages: list[Array], bias: Array, rows: Array, row_bias: Array,
        offset: Array, *, at: int,
    ) -> GraphWeights:  # fmt: skip
        r"""Return the network with further features and outputs; what it had is not changed.

        The further features are carried from layer to layer as they are, raised by an offset so that no
        ReLU cuts them, until the last layer lowers them again: together they are the hidden layer
        :math:`e = ReLU(c + \sum_l (O_l^T h_l + N_l^T m_l))` of a second head on all layers.

        Parameters
        ----------
        own, messages
            O_l ``(f, E)`` and N_l ``(m, E)`` of each layer; E is a multiple of 16.
        bias
            c ``(E,)``.
        rows, row_bias
            ``(f + E, K)`` and ``(K,)`` of the further outputs.
        offset
            ``(E,)``, larger than minus any partial sum of each.
        at
            Number of outputs that stay before the further ones; the others come after them.
        """
        f, e = self.second[0].shape[1], len(bias)
        w2, b2 = self.second
        second = np.hstack([w2, np.zeros((len(w2), e))]), np.concatenate([b2, offset])
        found = []
        for k, (b, a, s, gather, a_bias, s_bias) in enumerate(self.layers):
            none = np.zeros((e, b.shape[1]))
            carried = np.block([[s, own[k]], [np.zeros((e, f)), np.eye(e)]])
            final = bias - offset if k + 1 == len(self.layers) else np.zeros(e)
            found.append(
                (np.vstack([b, none]), np.vstack([a, none]), carried,
                 np.hstack([gather, messages[k]]), a_bias, np.concatenate([s_bias, final]))
            )  # fmt: skip
        w, c = self.last
        n, more = self.outputs, rows.shape[1]
        width = wide(n + more)
        w = np.insert(np.vstack([w[:, :n], np.zeros((e, n))]), [at] * more, rows, axis=1)
        c = np.insert(c[:n], [at] * more, row_bias)
        last = padded(w, None, width), padded(c[None], 1, width)[0]
        return replace(self, second=second, layers=tuple(found), last=last, outputs=n + more)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return the ``state_dict`` of a NeighborsMapGraph of the padded widths."""
        (w1, b1), (w2, b2), (w3, b3) = self.first, self.second, self.last
        n = self.outputs
        found = {
            "mean": np.zeros(len(w1)), "scale": np.ones(len(w1)), "first.weight": w1.T, "first.bias": b1,
            "second.weight": w2.T, "second.bias": b2, "last.weight": w3[:, :n].T, "last.bias": b3[:n],
        }  # fmt: skip
        for k, (b, a, s, gather, bias, more) in enumerate(self.layers):
            found |= {
                f"own.{k}.weight": a.T, f"own.{k}.bias": bias, f"other.{k}.weight": b.T,
                f"mix.{k}.weight": np.hstack([s.T, gather.T]), f"mix.{k}.bias": more,
            }  # fmt: skip
        return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in found.items()}
