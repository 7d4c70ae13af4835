# SPDX-License-Identifier: BSD-3-Clause
"""What a model of a glass transition gets right, measured on trajectories that it never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.models.store import Card, load
from insitu.offline import classify_with
from insitu.species import SYMBOLS
from insitu.training.progress import bar
from insitu.training.stages import Configuration
from insitu.transitions import Estimate, kink, midpoint, on_ramp


@dataclass(frozen=True)
class Measured:
    """Tables of one model.

    Parameters
    ----------
    confusion
        ``(C, C)`` atoms of the snapshots in the recipe's ranges: label in rows, found in columns.
    fractions
        For each stage temperatures ``(n,)`` [K] and fractions ``(n, C)`` of every snapshot.
    kinks, midpoints
        Of each trajectory: the transition by the energy, and by the model.
    """

    confusion: NDArray[np.int64]
    fractions: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    kinks: list[Estimate]
    midpoints: list[Estimate]

    @property
    def accuracy(self) -> float:
        """Share of the atoms whose class is their snapshot's."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def measure(
    recipe: dict[str, Any], path: Path, trajectories: list[list[Configuration]]
) -> Measured:
    """Classify all snapshots of some trajectories."""
    model, classes, step = load(str(path)), recipe["classes"], recipe["transition"]
    numbers = np.array([0, *(SYMBOLS.index(e) for e in recipe["system"]["elements"])])
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    rows: dict[str, list[tuple[float, NDArray[np.float64]]]] = {}
    kinks, midpoints = [], []
    for trajectory in trajectories:
        ramp = []
        for c in bar(trajectory, "test trajectory"):
            p = classify_with(model, c.positions, c.cell, True, numbers[c.types]).probabilities
            counts = np.bincount(p.argmax(1), minlength=len(classes))
            rows.setdefault(c.stage, []).append((c.temperature, counts / counts.sum()))
            for label in _labels(recipe, c):
                confusion[classes.index(label)] += counts
            if c.stage == step["stage"]:
                hot, cold = counts[classes.index(step["from"])], counts[classes.index(step["to"])]
                ramp.append((c.temperature, c.energy, cold / max(hot + cold, 1)))
        t, e, cold_share = np.array(ramp).T
        line, energy = on_ramp(np.arange(len(t)), t, e)
        window = tuple(step["window"])
        kinks.append(kink(line, energy, window))
        midpoints.append(midpoint(line, cold_share))
    fractions = {
        stage: (np.array([t for t, _ in found]), np.array([f for _, f in found]))
        for stage, found in rows.items()
    }
    return Measured(confusion, fractions, kinks, midpoints)


def _labels(recipe: dict[str, Any], c: Configuration) -> list[str]:
    return [
        rule["class"]
        for rule in recipe["labels"]
        if c.stage == rule["stage"]
        and rule["temperature"][0] <= c.temperature <= rule["temperature"][1]
    ]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _head(cells: list[str]) -> str:
    return _row(cells) + _row(["---"] * len(cells))


def readme(recipe: dict[str, Any], card: Card, m: Measured, one: Measured | None) -> str:
    """Return the model's card as Markdown, with what was measured."""
    data, step = recipe["data"], recipe["transition"]
    atoms = recipe["data"]["atoms"]
    text = f"# {card.name}\n\n{card.description}. Reference: {card.reference}.\n\n"
    text += (
        f"Classes: {', '.join(card.classes)}; `unknown` when the largest probability is under "
        f"{card.threshold}. Descriptor: `{card.descriptor}`, {card.channels} channel"
        f"{'s' if card.channels > 1 else ''}. Species: {card.species}. Trained on "
        f"{card.more['maps']['train']} maps ({atoms} atoms a snapshot) of trajectories "
        f"{data['train_seeds']}; the epoch was chosen on trajectories {data['validation_seeds']}, and the "
        f"tables are of trajectories {data['test_seeds']}, which took part in neither. Absolute distances "
        "in Å: no other density or element is covered.\n\n"
        f"Rebuild with `insitu train {card.name}` (recipe hash `{card.recipe_sha256[:12]}`).\n\n"
        f"## Snapshots in the labelled ranges\n\nAccuracy {100 * m.accuracy:.2f} %"
    )
    text += f" (one channel: {100 * one.accuracy:.2f} %).\n\n" if one else ".\n\n"
    text += "Atoms; label in rows.\n\n" + _head(["", *card.classes])
    for name, line in zip(card.classes, m.confusion, strict=True):
        text += _row([name, *(str(v) for v in line)])
    if one:
        text += "\nOne channel:\n\n" + _head(["", *card.classes])
        for name, line in zip(card.classes, one.confusion, strict=True):
            text += _row([name, *(str(v) for v in line)])
    text += "\n## Transition\n\n"
    text += (
        f"Stage `{step['stage']}`. Energy: where two lines meet that are fitted between "
        f"{step['window'][0]} and {step['window'][1]} K; model: where half of the atoms of "
        f"{step['from']} and {step['to']} are {step['to']} (logistic fit). Errors are those of the "
        "fits.\n\n"
    )
    text += _head(["trajectory", "energy (K)", "model (K)", "width (K)", "difference (%)"])
    for kind, found in (("", m), (", one channel", one)):
        if found is not None:
            lines = zip(data["test_seeds"], found.kinks, found.midpoints, strict=True)
            for seed, k, h in lines:
                away = 100 * (h.temperature / k.temperature - 1)
                text += _row([
                    f"{seed}{kind}", f"{k.temperature:.0f} ± {k.error:.0f}",
                    f"{h.temperature:.0f} ± {h.error:.0f}", f"{h.width:.0f}", f"{away:+.1f}",
                ])  # fmt: skip
    text += "\n## Fractions (%) of all snapshots against temperature\n"
    for stage, (t, f) in m.fractions.items():
        edges = np.arange(100 * np.floor(t.min() / 100), t.max() + 100, 100)
        text += f"\n### {stage}\n\n" + _head(["temperature (K)", "snapshots", *card.classes])
        for low in edges:
            inside = (t >= low) & (t < low + 100)
            if inside.any():
                cells = [f"{100 * v:.1f}" for v in f[inside].mean(axis=0)]
                text += _row([f"{low:.0f}–{low + 100:.0f}", str(int(inside.sum())), *cells])
    return text
