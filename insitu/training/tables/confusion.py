# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy tables of a model on trajectories that it never saw."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.models.card import Card
from insitu.training.data.dataset import Maps

_TEMPERATURES = [0.0, 0.3, 0.6, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6]


def confusion(
    classes: list[str], maps: Maps, probabilities: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return counts ``(C, C)``: true class in rows, most probable class in columns."""
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(table, (maps.labels, probabilities.argmax(1)), 1)
    return table


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _head(cells: list[str]) -> str:
    return _row(cells) + _row(["---"] * len(cells))


def _share(right: NDArray[np.bool_]) -> str:
    return f"{100 * right.mean():.2f}" if len(right) else "–"


def tables(
    card: Card, test: Maps, probabilities: NDArray[np.float32], recipe: dict[str, Any]
) -> str:
    """Return the model's card as Markdown, with its measured accuracy in percent.

    Parameters
    ----------
    card
        Metadata of the model.
    test
        Maps of the test trajectories.
    probabilities
        ``(n, C)`` of the model for them.
    recipe
        Its recipe.
    """
    classes = card.classes
    right = probabilities.argmax(1) == test.labels
    known = probabilities.max(1) >= card.threshold
    seeds = recipe["data"]["test_seeds"]
    text = f"# {card.name}\n\n{card.description}. Reference: {card.reference}.\n\n"
    text += (
        f"Classes: {', '.join(classes)}; `unknown` when the largest probability is under "
        f"{card.threshold}. Descriptor: `{card.descriptor}`. Species: {card.species}. Trained on "
        f"{', '.join(card.more['trained_on'])}; absolute distances in Å, so no other density or "
        "element is covered.\n\n"
        f"Rebuild with `insitu train {card.name}` (recipe hash `{card.recipe_sha256[:12]}`). The "
        f"tables below are of {len(test)} maps from trajectories {seeds} that took no part in "
        "training or in choosing the epoch. A crystal snapshot counts as crystal while its mean "
        "squared displacement stays under the recipe's limit.\n\n"
    )
    text += f"Accuracy: {_share(right)} %; unknown: {100 * (1 - known.mean()):.2f} %; "
    text += f"accuracy of the rest: {_share(right[known])} %.\n\n"
    removed = np.unique(test.removed)
    text += "## Accuracy (%) against the fraction of removed atoms\n\n"
    text += _head(["class"] + [f"{f:.1f}" for f in removed])
    for k, name in enumerate([*classes, "all"]):
        mine = (test.labels == k) if k < len(classes) else np.ones(len(test), dtype=bool)
        text += _row([name] + [_share(right[mine & (test.removed == f)]) for f in removed])
    text += "\n## Accuracy (%) against temperature (units of the melting temperature)\n\n"
    bins = list(itertools.pairwise(_TEMPERATURES))
    text += _head(["class, nothing removed"] + [f"{a:.1f}–{b:.1f}" for a, b in bins])
    systems = sorted(set(test.system.tolist()))
    for k, name in enumerate(classes):
        for system in systems:
            mine = (test.labels == k) & (test.system == system) & (test.removed == 0.0)
            if mine.any():
                t = test.reduced_temperature
                cells = [_share(right[mine & (t >= a) & (t < b)]) for a, b in bins]
                text += _row([f"{name} ({system})", *cells])
    text += "\n## Confusion (test maps; true class in rows)\n\n" + _head(["", *classes])
    for name, line in zip(classes, confusion(classes, test, probabilities), strict=True):
        text += _row([name, *[str(v) for v in line]])
    return text
