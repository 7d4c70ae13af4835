# SPDX-License-Identifier: BSD-3-Clause
"""What a model of a glass transition gets right, measured on trajectories that it never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.classification import classify_with
from insitu.frame.species import SYMBOLS
from insitu.models.card import Card
from insitu.models.store import load
from insitu.progress import bar
from insitu.training.dynamics.stages import Configuration, configurations, curve
from insitu.training.dynamics.transition_temperatures import Landmarks, rows
from insitu.transitions import Estimate, energy_step, kink, midpoint


@dataclass(frozen=True)
class Measured:
    """Tables of one model.

    Parameters
    ----------
    confusion
        ``(C, C)`` atoms of the snapshots in the recipe's ranges: label in rows, found in columns.
    fractions
        For each stage temperatures of the thermostat ``(n,)`` [K] and fractions ``(n, C)`` of every
        snapshot.
    kinks, midpoints
        Of each trajectory: the transition by the energy, and by the model.
    steps, melted
        Likewise of melting, where the recipe has ``[melting]``.
    """

    confusion: NDArray[np.int64]
    fractions: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    kinks: list[Estimate]
    midpoints: list[Estimate]
    steps: list[Estimate]
    melted: list[Estimate]

    @property
    def accuracy(self) -> float:
        """Share of the atoms whose class is their snapshot's."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def measure(recipe: dict[str, Any], path: Path, folders: list[Path], marks: Landmarks) -> Measured:
    """Classify all snapshots of some trajectories, by seed in the order of the recipe's test."""
    model, classes, step = load(str(path)), recipe["classes"], recipe["transition"]
    numbers = np.array([0, *(SYMBOLS.index(e) for e in recipe["system"]["elements"])])
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    found: dict[str, list[tuple[float, NDArray[np.float64]]]] = {}
    kinks, midpoints, steps, melted = [], [], [], []
    hot, cold = classes.index(step["from"]), classes.index(step["to"])
    for seed, folder in zip(recipe["data"]["test_seeds"], folders, strict=True):
        mine: dict[str, list[tuple[float, NDArray[np.float64]]]] = {}
        for c in bar(configurations(recipe, seed, folder), "test trajectory"):
            p = classify_with(model, c.positions, c.cell, True, numbers[c.types]).probabilities
            counts = np.bincount(p.argmax(1), minlength=len(classes))
            mine.setdefault(c.stage, []).append((c.ramp, counts / counts.sum()))
            for label in _labels(recipe, c, marks):
                confusion[classes.index(label)] += counts
        for stage, pairs in mine.items():
            found.setdefault(stage, []).extend(pairs)
        line, energy = curve(recipe, folder, step["stage"])
        kinks.append(kink(line, energy, tuple(step["window"])))
        ramp, f = _columns(mine[step["stage"]])
        midpoints.append(midpoint(ramp, f[:, cold] / np.maximum(f[:, hot] + f[:, cold], 1e-9)))
        if "melting" in recipe:
            stage = recipe["melting"]["stage"]
            steps.append(energy_step(*curve(recipe, folder, stage)))
            ramp, f = _columns(mine[stage])
            melted.append(midpoint(ramp, 1.0 - f[:, hot]))
    fractions = {stage: _columns(pairs) for stage, pairs in found.items()}
    return Measured(confusion, fractions, kinks, midpoints, steps, melted)


def _columns(
    pairs: list[tuple[float, NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([t for t, _ in pairs]), np.array([f for _, f in pairs])


def _labels(recipe: dict[str, Any], c: Configuration, marks: Landmarks) -> list[str]:
    chosen = []
    for rule in recipe["labels"]:
        low, high = marks.range(rule, c.seed)
        if c.stage == rule["stage"] and low <= c.ramp <= high:
            chosen.append(rule["class"])
    return chosen


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _head(cells: list[str]) -> str:
    return _row(cells) + _row(["---"] * len(cells))


def _labels_text(recipe: dict[str, Any], marks: Landmarks) -> str:
    """Return from what the labels of the snapshots follow."""
    text = "## Labels\n\n"
    if marks.melting:
        found = ", ".join(f"{s}: {e.temperature:.0f}" for s, e in marks.melting.items())
        text += f"Step of the energy on heating, by trajectory: {found} K. "
    if marks.kink:
        of = [*recipe["data"]["train_seeds"], *recipe["data"]["validation_seeds"]]
        text += (
            f"Kink of the energy on cooling, trajectories {sorted(set(of))} together: "
            f"{marks.kink.temperature:.0f} ± {marks.kink.error:.0f} K; distances above it are shortened "
            f"by the ratio of the slopes, {marks.shortened:.2f}, so that equal distances are equal in "
            "energy. "
        )
    if marks.kink or marks.melting:
        text += (
            "The ranges are multiples of these temperatures; where these differ between trajectories, "
            "the table has the ranges of the first one. "
        )
    text += "Snapshots between the ranges have no label.\n\n"
    text += _head(["class", "stage", "temperature of the thermostat (K)", "snapshots"])
    return text + "".join(_row(cells) for cells in rows(recipe, marks)) + "\n"


def _pairs(
    seeds: list[int], by_energy: list[Estimate], by_model: list[Estimate], kind: str = ""
) -> str:
    """Return the rows of a table of transitions."""
    text = ""
    for seed, k, h in zip(seeds, by_energy, by_model, strict=True):
        error = f" ± {k.error:.0f}" if np.isfinite(k.error) else ""
        away = 100 * (h.temperature / k.temperature - 1)
        text += _row([
            f"{seed}{kind}", f"{k.temperature:.0f}{error}", f"{h.temperature:.0f} ± {h.error:.0f}",
            f"{h.width:.0f}", f"{away:+.1f}",
        ])  # fmt: skip
    return text


def readme(
    recipe: dict[str, Any], card: Card, marks: Landmarks, m: Measured, one: Measured | None
) -> str:
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
        + _labels_text(recipe, marks)
        + f"## Snapshots in the labelled ranges\n\nAccuracy {100 * m.accuracy:.2f} %"
    )
    text += f" (one channel: {100 * one.accuracy:.2f} %).\n\n" if one else ".\n\n"
    text += "Numbers of atoms, labels in rows.\n\n" + _head(["", *card.classes])
    for name, line in zip(card.classes, m.confusion, strict=True):
        text += _row([name, *(str(v) for v in line)])
    if one:
        text += "\nOne channel:\n\n" + _head(["", *card.classes])
        for name, line in zip(card.classes, one.confusion, strict=True):
            text += _row([name, *(str(v) for v in line)])
    text += "\n## Transition\n\n"
    text += (
        f"Stage `{step['stage']}`. Energy: the temperature at which two lines meet that are fitted between "
        f"{step['window'][0]} and {step['window'][1]} K. Model: the temperature at which half of the atoms "
        f"in {step['from']} and {step['to']} are {step['to']} (logistic fit). Errors are those of the "
        "fits.\n\n"
    )
    text += _head(["trajectory", "energy (K)", "model (K)", "width (K)", "difference (%)"])
    text += _pairs(data["test_seeds"], m.kinks, m.midpoints)
    if one:
        text += _pairs(data["test_seeds"], one.kinks, one.midpoints, ", one channel")
    if m.steps:
        text += (
            "\n## Melting\n\n"
            f"Stage `{recipe['melting']['stage']}`. Energy: the temperature at which it is half way "
            "between the lines of crystal and liquid. Model: the temperature at which half of the atoms "
            f"are {step['from']} (logistic fit).\n\n"
        )
        text += _head(["trajectory", "energy (K)", "model (K)", "width (K)", "difference (%)"])
        text += _pairs(data["test_seeds"], m.steps, m.melted)
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
