# SPDX-License-Identifier: BSD-3-Clause
"""Training of a network on single images."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from insitu.models.networks.neighbors_map import NETWORKS
from insitu.progress import bar

log = logging.getLogger(__name__)


def predict(network: torch.nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities ``(n, C)`` of images, in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(images[i : i + 256])) for i in range(0, len(images), 256)]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


class LabelledImages(Protocol):
    """Images ``(n, channels, size, size)`` and class indices ``(n,)``."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int: ...


def fit(
    recipe: dict[str, Any], train: LabelledImages, validation: LabelledImages
) -> torch.nn.Module:
    """Train the recipe's network (Adam, cross-entropy, L2 on the weights) and return it.

    The epoch with the best validation accuracy is kept. Nothing of the test set is seen here.
    ``class_weights`` of the recipe are factors on the loss, one a class.
    """
    settings = recipe["training"]
    torch.manual_seed(settings["seed"])
    network = NETWORKS[recipe["network"]["kind"]](len(recipe["classes"]), train.images.shape[1])
    given = settings.get("class_weights")
    class_weights = None if given is None else torch.tensor(given)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = [p for n, p in network.named_parameters() if n.endswith("weight") and p.ndim > 1]
    rest = [p for p in network.parameters() if all(p is not w for w in weights)]
    optimizer = torch.optim.Adam(
        # Keras' L2 adds weight_decay·|w|² to the loss, whose gradient has the factor 2.
        [{"params": weights, "weight_decay": 2 * settings["weight_decay"]}, {"params": rest}],
        lr=settings["learning_rate"],
    )
    epochs, batch = settings["epochs"], settings["batch"]
    steps = len(train) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    rng = np.random.default_rng(settings["seed"])
    best, kept = -1.0, {}
    for epoch in range(epochs):
        network.train()
        order = rng.permutation(len(train))
        started, total = time.perf_counter(), 0.0
        for k in bar(range(steps), f"epoch {epoch + 1}/{epochs}"):
            pick = np.sort(order[k * batch : (k + 1) * batch])
            x = torch.from_numpy(train.images[pick]).to(memory_format=torch.channels_last)
            loss = torch.nn.functional.cross_entropy(
                network.logits(x), torch.from_numpy(train.labels[pick]), class_weights
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        guess = predict(network, validation.images).argmax(1)
        accuracy = float((guess == validation.labels).mean())
        log.info(
            "epoch %d: loss %.4f, validation accuracy %.4f (%.0f s)",
            epoch + 1, total / steps, accuracy, time.perf_counter() - started,
        )  # fmt: skip
        if accuracy > best:
            best, kept = accuracy, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(kept)
    network.eval()
    return network
