# SPDX-License-Identifier: BSD-3-Clause
"""Phase of every atom, and the fractions of a sample."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.counts import PhaseCounts
from insitu.analyses.phases.gpu_labels import DeviceLabels, decide_on_device
from insitu.analyses.phases.labels import FEWEST, Coverage, Labels, chosen_limits, decide_frame
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.gpu.device import on
from insitu.gpu.search import DeviceSearch
from insitu.models.card import class_codes
from insitu.models.classifier import Classifier
from insitu.models.engines.loaded import LoadedModel


class Phases:
    """The phases of a frame's atoms by a model: labels of the atoms, and sums over a rank.

    Parameters
    ----------
    model
        A loaded model.
    threshold
        Largest probability below which an atom is unknown, 0 … 1; None: the model's own.
    groups
        LAMMPS groups to count on their own, among the analysed atoms.
    n_types
        Atom types to count on their own, 1 … `n_types`.

    Raises
    ------
    SettingError
        The threshold is outside of 0 … 1.

    Attributes
    ----------
    classifier
        The model on frames: radii, neighbour search, exchange.
    classes, codes
        Columns of the history, the model's classes, then unknown; and their integers in files.
    timing
        Wall times of the last frame [s]: of its maps (`metals`: with the perceptron, fused) and of
        the network with the labels, without the time spent in exchanges with other ranks.
    """

    name = "phases"

    def __init__(
        self,
        model: LoadedModel,
        threshold: float | Coverage | None = None,
        groups: Sequence[str] = (),
        n_types: int = 0,
    ) -> None:
        self.model, self.classifier = model, Classifier(model)
        #: Probability ``(C,)`` of each class below which an atom is unknown.
        self.limits = chosen_limits(threshold, model.card)
        self.coverage, self.threshold = 0.0, model.card.threshold
        if isinstance(threshold, Coverage):
            self.coverage, self.threshold = threshold.share, float(self.limits.min())
        elif threshold is not None:
            self.threshold = threshold
        self.classes = [*model.card.classes, "unknown"]
        self.codes = class_codes(model.card.classes)
        self._counts = PhaseCounts(len(self.classes), groups, n_types)
        self.sums, self.observables = self._counts.sums, self._counts.observables
        self.timing: dict[str, float] = {}
        #: Of the last frame; on a device until they are asked for.
        self._found: Labels | DeviceLabels = Labels.unknown(0)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels ``(n_local,)`` of the owned atoms of the last frame; −1 is unknown."""
        self._found = self._found.read()
        return self._found.labels

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Confidence ``(n_local,)`` of the owned atoms of the last frame."""
        self._found = self._found.read()
        return self._found.confidence

    def neighbors(self, frame: Frame) -> Neighbors | DeviceSearch:
        """Return the neighbour search over a frame, where the model runs."""
        self._found = Labels.unknown(0)  # gives memory back before more is taken
        return self.classifier.neighbors(frame)

    def __call__(self, frame: Frame, neighbors: Neighbors | DeviceSearch) -> dict[str, Any]:
        """Return the sums of one rank: atoms and confidence for each phase, neighbours found."""
        started = time.perf_counter()
        c = self.classifier
        if isinstance(neighbors, DeviceSearch):
            with on(neighbors.device, f"{neighbors.points:,} atoms"):
                probabilities, found, odd = c.device_probabilities(neighbors)
                self._found, count, confidence, size = decide_on_device(
                    neighbors, probabilities, found, self.limits, FEWEST
                )
        else:
            self._found = Labels.unknown(0)
            odd = c.surroundings(neighbors)
            self._found, count, confidence, size = decide_frame(
                c.probabilities(neighbors),
                frame.n_local,
                self.limits,
                odd,
            )
        sums: dict[str, Any] = {"count": count, "confidence": confidence, "neighbors": size}
        sampled = frame.population
        sums["population"] = count.sum() if sampled is None else np.count_nonzero(sampled)
        sums["own_images"] = odd.own_images if odd else 0
        sums["coincident"] = odd.coincident if odd else 0
        sums |= self._counts.subsets(frame, self.labels if self._counts.reads_labels else None)
        self.timing = dict(c.timing)
        rest = time.perf_counter() - started - c.waited - sum(self.timing.values())
        self.timing["model"] += rest
        return sums

    def atom_codes(self, frame: Frame) -> NDArray[np.int32]:
        """Return the integer ``(n_local,)`` of each atom's phase, −1 where it was not analysed."""
        codes = np.array(self.codes, dtype=np.int32)[self.labels]  # −1 is unknown, the last
        if frame.selected is not None:
            codes[~frame.selected] = -1
        return codes

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return fraction, count, standard error and mean confidence of each phase."""
        return self._counts.finish(sums)
