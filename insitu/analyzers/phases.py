# SPDX-License-Identifier: BSD-3-Clause
"""Phase of every atom, and the fractions of a sample."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyzers.base import Observable
from insitu.errors import SettingError
from insitu.frame import Frame
from insitu.models.store import Model, class_codes
from insitu.neighbors import Neighbors


class Phases:
    """Classify the atoms of a frame with a model on Neighbors Maps.

    Parameters
    ----------
    model
        A loaded model.
    threshold
        Largest probability below which an atom is unknown, 0 … 1; None: the model's own.

    Raises
    ------
    SettingError
        The threshold is outside of 0 … 1.
    """

    name = "phases"

    def __init__(self, model: Model, threshold: float | None = None) -> None:
        self.model = model
        self.threshold = model.card.threshold if threshold is None else float(threshold)
        if not 0.0 <= self.threshold <= 1.0:
            raise SettingError(f"threshold={threshold} is not a probability; give 0 … 1")
        self.cutoff = model.card.descriptor.cutoff
        #: Columns of the history: the model's classes, then unknown.
        self.classes = [*model.card.classes, "unknown"]
        self.codes = class_codes(model.card.classes)
        p = len(self.classes)
        self.sums: Mapping[str, tuple[int, ...]] = {
            "count": (p,), "confidence": (p,), "neighbors": (),
        }  # fmt: skip
        self.observables = (
            Observable("phases/fraction", (p,), "f8", "", "fraction of the atoms in each phase"),
            Observable("phases/count", (p,), "i8", "", "number of atoms in each phase"),
            Observable(
                "phases/standard_error", (p,), "f8", "",
                "sampling error of the fraction; 0: every atom was analysed",
            ),
            Observable(
                "phases/confidence", (p,), "f8", "",
                "mean largest probability of the atoms of each phase; NaN without atoms",
            ),
        )  # fmt: skip
        self.timing: dict[str, float] = {}
        #: Labels and confidence of the owned atoms of the last frame; −1 is unknown.
        self.labels: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.confidence: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    def classify(self, neighbors: Neighbors) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return probabilities ``(n_local, C)`` and ball sizes ``(n_local,)``; 0 if not selected."""
        n = neighbors.frame.n_local
        card = self.model.card
        result = np.zeros((n, len(card.classes)), dtype=np.float32)
        sizes = np.zeros(n, dtype=np.int32)
        inference = 0.0
        started = time.perf_counter()
        for atoms, images, found in card.descriptor.batches(neighbors, batch=self.model.batch):
            before = time.perf_counter()
            result[atoms] = self.model.probabilities(images)
            sizes[atoms] = found
            inference += time.perf_counter() - before
        self.timing = {
            "descriptor": time.perf_counter() - started - inference,
            "model": inference,
        }
        return result, sizes

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return the sums of one rank: atoms and confidence for each phase, neighbours found."""
        probabilities, sizes = self.classify(neighbors)
        self.labels, self.confidence = decide(probabilities, self.threshold)
        p = len(self.classes)
        mine = neighbors.atoms
        column = np.where(self.labels[mine] < 0, p - 1, self.labels[mine])
        return {
            "count": np.bincount(column, minlength=p).astype(np.float64),
            "confidence": np.bincount(column, weights=self.confidence[mine], minlength=p),
            "neighbors": float(sizes.sum()),
        }

    def finish(self, sums: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Return fraction, count, standard error and mean confidence of each phase."""
        count = np.rint(sums["count"]).astype(np.int64)
        total = int(count.sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            confidence = sums["confidence"] / sums["count"]
            fraction = count / total if total else np.full(len(count), np.nan)
        return {
            "phases/fraction": fraction,
            "phases/count": count,
            "phases/standard_error": np.zeros(len(count)),
            "phases/confidence": confidence,
        }

    def advice(self, sums: Mapping[str, NDArray[np.float64]]) -> str:
        """Return a sentence if the sample's density is one that the model never saw, else ``""``."""
        total = float(sums["count"].sum())
        if not total or self.model.card.descriptor.scale_free:
            return ""
        low, high = self.model.card.ball_range
        mean = float(sums["neighbors"]) / total
        if 0.8 * low <= mean <= 1.25 * high:
            return ""
        return (
            f"the atoms have {mean:.0f} neighbours within {self.cutoff:g} Å on average, model "
            f"'{self.model.card.name}' was trained on {low} … {high}: its labels cannot be relied "
            "on at this density; check the deck's units, or train a model for this material"
        )


def decide(
    probabilities: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels ``(n,)``, −1 where no class reaches the threshold, and confidence ``(n,)``."""
    labels = probabilities.argmax(axis=1).astype(np.int64)
    confidence = probabilities.max(axis=1)
    labels[confidence < threshold] = -1
    return labels, confidence
