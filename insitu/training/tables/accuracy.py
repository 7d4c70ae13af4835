# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of a general model: what it is measured on, and counts by configuration and class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.classification import classify_with
from insitu.models.card import Card
from insitu.training.dynamics.trajectories import MOLTEN

if TYPE_CHECKING:
    from insitu.models.store import AnyModel
    from insitu.training.structures.sample import Sample

#: Share of the right labels of undamaged crystals that the shipped threshold may turn to unknown.
_LOST = 1e-3
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BINS = np.array([0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0 + 1e-6])


class Labelled(Protocol):
    """A configuration with true classes."""

    @property
    def sample(self) -> Sample:
        """What it was made of."""

    @property
    def removed(self) -> float:
        """Fraction of atoms taken away."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices ``(n,)``, −1: left out."""


@dataclass
class Case:
    """A configuration to be labelled: what is left of a sample, with class indices (−1: left out)."""

    sample: Sample
    removed: float
    labels: NDArray[np.int64]
    positions: NDArray[np.float64]


def cases(classes: list[str], samples: Iterable[Sample], seed: int) -> Iterator[Case]:
    """Yield each labelled sample whole and, unless strained, with a quarter and a half removed."""
    rng = np.random.default_rng(seed)
    numbers = {c: k for k, c in enumerate(classes)}
    for s in samples:
        labels = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
        if not (labels >= 0).any():
            continue
        for part in (0.0,) if s.deformed >= 0 else (0.0, 0.25, 0.5):
            keep = rng.random(len(labels)) >= part
            yield Case(s, part, labels[keep], s.positions[keep])


def measure(model: AnyModel, found: Iterable[Case]) -> Measured:
    """Measure a model on configurations, through the analysis that users run."""
    return evaluate(
        model.card,
        ((c, classify_with(model, c.positions, c.sample.cell, True).probabilities) for c in found),
    )


@dataclass(frozen=True)
class Score:
    """Labels of the atoms of one true class in one configuration.

    `counts` has a column for each class and a last one for unknown (threshold of the card).
    """

    material: str
    kind: str
    seed: int
    temperature: float
    removed: float
    deformed: int
    truth: int
    counts: NDArray[np.int64]


@dataclass
class Measured:
    """Scores, calibration (confidence bins: atoms, right, sum of confidence), threshold table.

    The threshold table counts (known, right) of undamaged crystals and of liquids.
    """

    scores: list[Score] = field(default_factory=list)
    calibration: NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(BINS) - 1, 3)))
    thresholds: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((2, len(THRESHOLDS), 3))
    )


def count(
    found: NDArray[np.int64], truth: NDArray[np.int64], g: Labelled, n_classes: int
) -> list[Score]:
    """Return the scores of labels ``(n,)`` (−1 unknown) against true classes (−1: left out)."""
    s = g.sample
    scores = []
    for c in np.unique(truth[truth >= 0]):
        mine = found[truth == c]
        counts = np.bincount(np.where(mine < 0, n_classes, mine), minlength=n_classes + 1)
        scores.append(
            Score(s.material, s.kind, s.seed, s.temperature, g.removed, s.deformed, int(c), counts)
        )
    return scores


def evaluate(card: Card, results: Iterable[tuple[Labelled, NDArray[np.float32]]]) -> Measured:
    """Measure a model's probabilities of described configurations."""
    n_classes, m = len(card.classes), Measured()
    for g, p in results:
        # Without a threshold, which is tabulated apart: unknown is what is likelier none of the classes.
        none = 1.0 - p.sum(axis=1)
        found = np.where(p.max(axis=1) >= none, p.argmax(axis=1), -1).astype(np.int64)
        m.scores += count(found, g.labels, g, n_classes)
        used = (g.labels >= 0) & (found >= 0)
        sure, right = p.max(1)[used], (found == g.labels)[used]
        at = np.digitize(sure, BINS) - 1
        for k, values in enumerate((np.ones(len(sure)), right, sure)):
            m.calibration[:, k] += np.bincount(at, weights=values, minlength=len(BINS) - 1)
        if not g.removed:
            part = int(g.sample.kind in MOLTEN)
            for k, t in enumerate(THRESHOLDS):
                known = sure >= t
                m.thresholds[part, k] += (g.labels >= 0).sum(), known.sum(), right[known].sum()
    return m


def threshold_for(results: Iterable[tuple[Labelled, NDArray[np.float32]]]) -> float:
    """Return the confidence that all but a thousandth of undamaged crystals' right labels have.

    Of crystals up to melting, from the selection set; between 0.4 and 0.9, in steps of 0.05.
    """
    sure = [
        p.max(1)[(p.argmax(1) == g.labels) & (g.labels >= 0)]
        for g, p in results
        if not g.removed and g.sample.kind not in MOLTEN and g.sample.temperature <= 1.0
    ]
    limit = float(np.quantile(np.concatenate(sure), _LOST)) if sure else 0.5
    return float(np.clip(np.floor(limit * 20) / 20, 0.4, 0.9))
