# SPDX-License-Identifier: BSD-3-Clause
"""Training of dynamic graph networks: the rotation-consistent loss, both networks, their scores."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insitu.errors import SettingError
from insitu.models.networks.local_dgcnn import LocalDGCNN
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.progress import bar
from insitu.training.data.environments import Clouds, Environments, Samples, Whole
from insitu.training.fit.normalisation import Normalised

log = logging.getLogger(__name__)
_TINY = 1e-8
#: What is trained here.
Network = WholeSampleGraph | LocalDGCNN


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Parameters
    ----------
    epochs, batch
        Passes over the environments, environments a step.
    rate
        Largest learning rate: Adam, warm-up over a twentieth of the steps, then cosine decay to 0.
    rotations
        Random orientations in which each environment is seen at a step.
    phi, alpha
        Weight φ of the cross-entropy, 0 < φ ≤ 1, and factor α ≥ 0 of the rotation term, whose
        weight is (1 − φ)·α.
    strain
        Each environment is seen with its distances times a factor, uniform in 1 ± `strain`: a network
        that knows lengths then does not tell classes by their densities in training alone.
    """

    epochs: int = 10
    batch: int = 16
    rate: float = 1e-2
    rotations: int = 1
    phi: float = 1.0
    alpha: float = 1.0
    strain: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.phi <= 1.0:
            raise SettingError(f"phi={self.phi} of the training is not usable; give 0 < phi <= 1")
        if self.alpha < 0.0:
            raise SettingError(f"alpha={self.alpha} of the training is not usable; give 0 or more")
        if not 0.0 <= self.strain <= 0.2:
            raise SettingError(
                f"strain={self.strain} of the training is not usable; give 0 … 0.2, a part of lengths"
            )
        if self.phi < 1.0 and self.rotations < 2:
            raise SettingError(
                f"phi={self.phi} compares orientations, and rotations={self.rotations}; give "
                "rotations of 2 or more, or phi=1"
            )


def random_rotations(n: int, generator: torch.Generator) -> Tensor:
    """Return rotations ``(n, 3, 3)``, uniform over all orientations (unit quaternions)."""
    q = nn.functional.normalize(torch.randn(n, 4, generator=generator), dim=1)
    w, x, y, z = q.unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, 1).view(n, 3, 3)


def spread(probabilities: Tensor) -> Tensor:
    """Return the standard deviation over rotations, averaged over classes and points.

    Parameters
    ----------
    probabilities
        ``(r, n, C)`` of the same points in r orientations.
    """
    variance = probabilities.var(dim=0, unbiased=False)
    return torch.sqrt(variance + _TINY).mean()


def combined_loss(logits: Tensor, labels: Tensor, phi: float, alpha: float) -> Tensor:
    r"""Return :math:`\phi` · cross-entropy + (1 − φ) α · spread over rotations.

    The source's text has the standard deviation of the predictions *over rotations*; its formula's
    index runs over the C classes, :math:`\sqrt{\frac1C \sum_j (F_{ij} - \mu_i)^2}`, which for one
    prediction would be least when all classes are equally likely, against the cross-entropy beside
    it. So the text is what is implemented: for every class the standard deviation over rotations,
    averaged over classes.

    Parameters
    ----------
    logits
        ``(r, n, C)`` of n points in r orientations.
    labels
        ``(n,)`` class indices, −1: do not use.
    phi, alpha
        Weight of the cross-entropy, and factor of the rotation term.

    References
    ----------
    Ryan & Zhang, "High Pressure Material Phase Classification with Spatially Weighted Dynamic Graph
    Convolutional Neural Networks", University of Rochester.
    """
    r, _, c = logits.shape
    entropy = nn.functional.cross_entropy(logits.reshape(-1, c), labels.repeat(r), ignore_index=-1)
    if phi == 1.0:
        return entropy
    return phi * entropy + (1.0 - phi) * alpha * spread(torch.softmax(logits, 2))


def _turned(
    network: Network, data: Clouds | Samples | Environments, pick: Tensor, rotations: int,
    generator: torch.Generator, strain: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return logits ``(r, n, C)`` of some environments in random orientations, and the labels."""
    found, labels = [], torch.empty(0)
    for _ in range(rotations):
        turn = random_rotations(len(pick), generator)
        if isinstance(data, Clouds | Samples):
            scales = 1.0 + strain * (2.0 * torch.rand(len(pick), generator=generator) - 1.0)
            arguments, labels = data.batch(pick, turn, scales if strain else None)
            found.append(network.logits(*arguments))  # type: ignore[call-arg]
        else:
            # The centre itself is no point of the local network.
            points = torch.from_numpy(data.vectors[pick.numpy(), 1:])
            labels = torch.from_numpy(data.labels[pick.numpy()])
            found.append(network.logits(points @ turn))  # type: ignore[call-arg]
    return torch.stack(found), labels


def fit(
    network: Network, train: Clouds | Samples | Environments, schedule: Schedule,
    seed: int,
) -> list[float]:  # fmt: skip
    """Train a network in place and return the mean loss of each epoch.

    Parameters
    ----------
    network
        Made by the caller, who seeds its weights.
    train
        Environments (local network) or their graphs (whole-sample network), each with one label an
        atom.
    schedule
        How.
    seed
        Of order and orientations.
    """
    if isinstance(network, Normalised) and network.described:
        assert not isinstance(train, Environments)
        every = [torch.arange(at, min(at + 64, len(train))) for at in range(0, len(train), 64)]
        still = torch.eye(3).expand(64, 3, 3)
        network.standardise(train.batch(pick, still[: len(pick)])[0] for pick in every)
    generator = torch.Generator().manual_seed(seed)
    steps = max(1, len(train) // schedule.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=schedule.rate)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.rate, total_steps=schedule.epochs * steps, pct_start=0.05
    )
    losses: list[float] = []
    for epoch in range(schedule.epochs):
        network.train()
        order = torch.randperm(len(train), generator=generator)
        started, total = time.perf_counter(), 0.0
        for k in bar(range(steps), f"epoch {epoch + 1}/{schedule.epochs}"):
            pick = order[k * schedule.batch : (k + 1) * schedule.batch]
            logits, labels = _turned(
                network, train, pick, schedule.rotations, generator, schedule.strain
            )
            loss = combined_loss(logits, labels, schedule.phi, schedule.alpha)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            plan.step()
            total += loss.item()
        losses.append(total / steps)
        log.info(
            "seed %d, epoch %d: loss %.4f (%.0f s)", seed, epoch + 1, losses[-1],
            time.perf_counter() - started,
        )  # fmt: skip
    network.eval()
    return losses


@torch.inference_mode()
def predict(
    network: Network, data: Clouds | Samples | Environments, seed: int = 0, rotations: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the probabilities ``(r, n, C)`` in random orientations, and the labels ``(n,)``."""
    network.eval()
    generator = torch.Generator().manual_seed(seed)
    parts, labels = [], []
    for at in range(0, len(data), 64):
        pick = torch.arange(at, min(at + 64, len(data)))
        logits, truth = _turned(network, data, pick, rotations, generator)
        parts.append(torch.softmax(logits, 2))
        labels.append(truth)
    return torch.cat(parts, 1).numpy(), torch.cat(labels).numpy()


@torch.inference_mode()
def predict_whole(
    network: WholeSampleGraph, samples: Sequence[Whole]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the probabilities ``(n, C)`` of all atoms of whole samples, and the labels ``(n,)``."""
    network.eval()
    parts = [torch.softmax(network.logits(*s.arguments()), 1).numpy() for s in samples]
    return np.concatenate(parts), torch.cat([s.labels for s in samples]).numpy()


def confusion(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often a true class (row; −1: left out) was labelled as a class (column)."""
    c, used = probabilities.shape[-1], labels >= 0
    guess, labels = probabilities.argmax(-1)[used], labels[used]
    return np.bincount(labels * c + guess, minlength=c * c).reshape(c, c)


def accuracy(table: NDArray[np.int64]) -> float:
    """Return the share of right labels, of a confusion table."""
    return float(np.trace(table) / table.sum())


def macro_f1(table: NDArray[np.int64]) -> float:
    """Return the mean over the true classes that occur of F1 = 2·precision·recall/(their sum)."""
    right = np.diag(table).astype(float)
    total = table.sum(axis=0) + table.sum(axis=1)
    there = table.sum(axis=1) > 0
    return float((2 * right[there] / total[there]).mean())
