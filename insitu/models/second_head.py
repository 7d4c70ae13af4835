# SPDX-License-Identifier: BSD-3-Clause
"""A second head on the features of all layers of a frozen network: it is fitted here, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.models.embedding import GraphWeights

Floats = NDArray[np.float32]
_BATCH, _RATE, _DECAY = 256, 4e-3, 2e-4
#: Room of the carried features above their smallest sum in training, in units of that.
_ROOM = 2.0


@dataclass(frozen=True)
class Seen:
    """What the frozen network makes of some atoms.

    Parameters
    ----------
    layers
        ``(n, L (f + m))`` features and messages that go into each layer, side by side.
    last
        ``(n, f)`` features after the last layer.
    scores
        ``(n, outputs)`` of the network.
    """

    layers: Floats
    last: Floats
    scores: Floats

    @classmethod
    def of(
        cls, weights: GraphWeights, images: Floats, rows: NDArray[np.int32],
        some: NDArray[np.intp] | slice = slice(None),
    ) -> Seen:  # fmt: skip
        """Return what a network makes of described atoms, of some of them."""
        parts: list[Floats] = []
        last = images
        for h, message in weights.features(images, rows):
            parts += [] if message is None else [h[some], message[some]]
            last = h[some]
        return cls(np.hstack(parts), last, weights.scores(last))

    @classmethod
    def together(cls, parts: list[Seen]) -> Seen:
        """Return the atoms of several."""
        return cls(
            np.concatenate([p.layers for p in parts]),
            np.concatenate([p.last for p in parts]),
            np.concatenate([p.scores for p in parts]),
        )

    def towards(
        self, others: Seen, many: int, share: tuple[float, float], rng: np.random.Generator
    ) -> Seen:
        """Return so many points between pairs of these atoms and others: mixtures of all that is seen.

        Parameters
        ----------
        others
            At the other ends.
        many
            How many.
        share
            Least and largest part of the way.
        rng
            Of pairs and parts.

        References
        ----------
        Verma et al., "Manifold mixup", ICML 2019, arXiv:1806.05236, whose points here are of no class.
        """
        i, j = rng.integers(len(self.last), size=many), rng.integers(len(others.last), size=many)
        t = rng.uniform(*share, (many, 1)).astype(np.float32)
        mixed = (
            mine[i] * (1 - t) + other[j] * t
            for mine, other in (
                (self.layers, others.layers), (self.last, others.last), (self.scores, others.scores)
            )
        )  # fmt: skip
        return Seen(*mixed)

    def merged(self, classes: int) -> Floats:
        """Return the scores ``(n, C)`` of so many classes, and one of none where the network has such."""
        own, others = self.scores[:, :classes], self.scores[:, classes:]
        if not others.shape[1]:
            return own
        merged: Floats = np.column_stack([own, _log_sum_exp(others)])
        return merged

    @property
    def rest(self) -> Floats:
        """Logarithm of the sum of the exponentials of the network's scores ``(n,)``."""
        return _log_sum_exp(self.scores)


def _log_sum_exp(scores: Floats) -> Floats:
    """Return the logarithm of the sum of exponentials of each row ``(n,)``."""
    top = scores.max(axis=1)
    found: Floats = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return found


class SecondHead:
    """Scores of added classes: linear in the last features and in hidden ones of all layers.

    Parameters
    ----------
    seen
        Atoms to fit to.
    labels
        ``(n,)`` number of the added class, −1: none of them.
    classes
        How many there are, K.
    hidden
        Hidden features E.
    epochs, seed
        Passes over the atoms; of weights and order.
    """

    def __init__(
        self, seen: Seen, labels: NDArray[np.int64], classes: int, *, hidden: int = 16,
        epochs: int = 24, seed: int = 0,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        x = seen.layers
        self._mean, self._scale = x.mean(axis=0), 1.0 / np.maximum(x.std(axis=0), 0.02)
        count = np.bincount(labels + 1, minlength=classes + 1)
        weight = np.sqrt(count.sum() / np.maximum(count, 1)).astype(np.float32)
        weight /= (weight * count).sum() / count.sum()
        old = np.exp(seen.scores - seen.rest[:, None])
        start = np.zeros((seen.last.shape[1], classes))
        # Of the outputs that win now: from there on the added class only has to be better.
        heads = np.linalg.lstsq(
            np.hstack([seen.last, np.ones((len(x), 1), np.float32)]), seen.scores, rcond=None
        )[0]
        bias = np.zeros(classes)
        for k in range(classes):
            share = old[labels == k].mean(axis=0)
            start[:, k], bias[k] = heads[:-1] @ share, heads[-1] @ share
        d = x.shape[1]
        self.parameters: list[Floats] = [
            (rng.normal(size=(d, hidden)) * np.sqrt(2.0 / d)).astype(np.float32),
            np.zeros(hidden, np.float32),
            start.astype(np.float32),
            (rng.normal(size=(hidden, classes)) * np.sqrt(1.0 / hidden)).astype(np.float32),
            bias.astype(np.float32),
        ]
        self._fit(seen, labels, weight[labels + 1], epochs, rng)

    def _fit(
        self, seen: Seen, labels: NDArray[np.int64], weight: Floats, epochs: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Minimise the cross-entropy by Adam; the network's own scores are constants in it."""
        x, rest = (seen.layers - self._mean) * self._scale, seen.rest
        p = self.parameters
        m, v = [np.zeros_like(q) for q in p], [np.zeros_like(q) for q in p]
        n, step = len(x), 0
        total = epochs * (n // _BATCH)
        for _ in range(epochs):
            order = rng.permutation(n)
            for at in range(0, n - _BATCH + 1, _BATCH):
                i = order[at : at + _BATCH]
                before = x[i] @ p[0] + p[1]
                e = np.maximum(before, 0.0)
                z = np.hstack([rest[i, None], seen.last[i] @ p[2] + e @ p[3] + p[4]])
                z -= z.max(axis=1, keepdims=True)
                g = np.exp(z)
                g /= g.sum(axis=1, keepdims=True)
                g[np.arange(len(i)), labels[i] + 1] -= 1.0
                g = g[:, 1:] * (weight[i, None] / np.float32(len(i)))
                back = (g @ p[3].T) * (before > 0)
                gradients = (
                    x[i].T @ back, back.sum(axis=0), seen.last[i].T @ g, e.T @ g, g.sum(axis=0)
                )  # fmt: skip
                step += 1
                rate = _RATE * min(1.0, step / 40) * (0.5 + 0.5 * np.cos(np.pi * step / total))
                for q, d, a, b in zip(p, gradients, m, v, strict=True):
                    a += 0.1 * (d - a)
                    b += 0.001 * (d * d - b)
                    ahead = a / (1 - 0.9**step) / (np.sqrt(b / (1 - 0.999**step)) + 1e-8)
                    q -= np.float32(rate) * (ahead + _DECAY * q)

    def __call__(self, seen: Seen) -> Floats:
        """Return the scores ``(n, K)`` of the added classes."""
        w, c, own, hidden, bias = self.parameters
        e = np.maximum((seen.layers - self._mean) * self._scale @ w + c, 0.0)
        found: Floats = seen.last @ own + e @ hidden + bias
        return found

    def inside(self, weights: GraphWeights, seen: Seen, *, at: int) -> GraphWeights:
        """Return the network with this head in it, its outputs after so many of the network's.

        `seen` are atoms that show how large its sums are.
        """
        w, c, own, hidden, bias = (p.astype(np.float64) for p in self.parameters)
        w = w * self._scale[:, None]
        c = c - self._mean @ w
        f, m = weights.second[0].shape[1], weights.layers[0][0].shape[1]
        layers = len(weights.layers)
        parts = np.split(w, np.cumsum([f, m] * layers)[:-1])
        sums, least = np.zeros((len(seen.last), w.shape[1])), np.zeros(w.shape[1])
        for k, part in enumerate(
            np.split(seen.layers, layers, axis=1)[:-1]
        ):  # those that are carried
            sums = sums + part @ np.vstack(parts[2 * k : 2 * k + 2])
            least = np.minimum(least, sums.min(axis=0))
        offset = _ROOM * np.maximum(1.0, -least)
        return weights.widened(
            parts[0::2], parts[1::2], c, np.vstack([own, hidden]), bias, offset, at=at
        )
