# SPDX-License-Identifier: BSD-3-Clause
"""The phases of a whole sample in memory, with a loaded model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.analyses.phases.labels import Coverage, chosen_limits, decide
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.neighbors.surroundings import Surroundings, shortest_period
from insitu.frame.species import from_numbers
from insitu.gpu.device import in_device_memory, on
from insitu.gpu.frames import frame_on_device
from insitu.gpu.search import DeviceSearch
from insitu.models.classifier import Classifier
from insitu.models.engines.loaded import LoadedModel

#: Labels that are no class.
UNKNOWN, NOT_ANALYSED = -1, -2


@dataclass(frozen=True)
class Classification:
    """Phases of a sample.

    Parameters
    ----------
    labels
        ``(n,)`` int64, index into `classes`; −1 is unknown, −2 not analysed: an atom that does not
        belong to the surroundings (`neighbors`), or to those that were asked for.
    confidence
        ``(n,)`` float32, largest class probability; 0 where not analysed.
    probabilities
        ``(n, C)`` float32; 0 where not analysed.
    classes
        Class names.
    advice
        A sentence if the sample is one that the model cannot judge, else ``""``.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    classes: list[str]
    advice: str = ""

    @property
    def analysed(self) -> NDArray[np.bool_]:
        """``(n,)`` which atoms were analysed."""
        mask: NDArray[np.bool_] = self.labels != NOT_ANALYSED
        return mask

    @property
    def fractions(self) -> dict[str, float]:
        """Fraction of the analysed atoms in each class and ``unknown``; they sum to 1."""
        n = max(int(self.analysed.sum()), 1)
        share = {c: float((self.labels == k).sum()) / n for k, c in enumerate(self.classes)}
        return share | {"unknown": float((self.labels == UNKNOWN).sum()) / n}

    def among(self, kept: NDArray[np.bool_]) -> Classification:
        """Return the same for all atoms of which those of `kept` ``(n,)`` were analysed."""
        labels = np.full(len(kept), NOT_ANALYSED, dtype=np.int64)
        confidence = np.zeros(len(kept), dtype=np.float32)
        probabilities = np.zeros((len(kept), self.probabilities.shape[1]), dtype=np.float32)
        labels[kept], confidence[kept], probabilities[kept] = (
            self.labels, self.confidence, self.probabilities,
        )  # fmt: skip
        return replace(self, labels=labels, confidence=confidence, probabilities=probabilities)


def classify_with(
    model: LoadedModel,
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | None = None,
    *,
    threshold: float | Coverage | None = None,
    origin: ArrayLike = (0.0, 0.0, 0.0),
    kept: NDArray[np.bool_] | None = None,
    selected: NDArray[np.bool_] | None = None,
) -> Classification:
    """Classify every atom of a sample with a loaded model; arguments as of :func:`insitu.classify`.

    `origin` ``(3,)`` is the corner of the cell [Å], `kept` ``(n,)`` which atoms there are for the
    analysis, `selected` ``(n,)`` which are classified (the others still are neighbours); None: all.
    """
    if kept is not None:
        some = _part(model, positions, kept)
        kinds = None if species is None else np.asarray(species)[kept]
        return classify_with(
            model, some, cell, pbc, kinds, threshold=threshold, origin=origin,
            selected=None if selected is None else selected[kept],
        ).among(kept)  # fmt: skip
    limits = chosen_limits(threshold, model.card)
    classifier = Classifier(model)
    if model.on_device is not None:
        found = _on_device(classifier, positions, cell, pbc, species, selected)
        return _result(classifier, limits, *found, selected)
    if in_device_memory(positions):
        raise SettingError(
            "positions are in a GPU's memory and the analysis runs on the CPU; give device='cuda', or "
            "copy them to the host"
        )
    bare = Frame.from_arrays(positions, cell, pbc, reach=0.0, types=species, origin=origin)
    if classifier.scale_free:
        classifier.measure(spacing(bare))
    frame = replace(bare.with_images(classifier.search * 1.0001), selected=selected)
    if known := model.card.elements:
        model.name_types(from_numbers(species, known))
    neighbors = Neighbors(frame, classifier.search)
    probabilities = np.zeros((frame.n_local, len(model.card.classes)), dtype=np.float32)
    sizes = np.zeros(frame.n_local, dtype=np.int32)
    for atoms, batch, count in classifier.probabilities(neighbors):
        probabilities[atoms] = batch
        sizes[atoms] = count
    odd = classifier.surroundings(neighbors)
    return _result(classifier, limits, probabilities, sizes, odd, selected)


def _part(model: LoadedModel, positions: ArrayLike, kept: NDArray[np.bool_]) -> ArrayLike:
    """Return the positions of some atoms, where they are."""
    device = None if model.on_device is None else model.on_device.device
    if device is not None and device.holds(positions):
        with on(device, f"{len(kept):,} atoms"):
            those = device.array(np.flatnonzero(kept), np.int64)
            some: ArrayLike = device.array(positions, np.float64)[those]
            return some
    if in_device_memory(positions):
        return positions  # of which the error speaks
    return np.asarray(positions)[kept]


def _result(
    classifier: Classifier, limits: NDArray[np.float32], probabilities: NDArray[np.float32],
    found: NDArray[np.int32], odd: Surroundings | None, selected: NDArray[np.bool_] | None,
) -> Classification:  # fmt: skip
    enough = found if odd is None else np.minimum(found, odd.others)
    labels, confidence = decide(probabilities, limits, enough)
    if selected is not None:
        for values, nothing in (
            (labels, NOT_ANALYSED),
            (confidence, 0),
            (probabilities, 0),
            (found, 0),
        ):
            values[~selected] = nothing
    advice = classifier.advice(
        {
            "count": np.array([float((labels != NOT_ANALYSED).sum())]),
            "neighbors": np.array(float(found.sum())),
            "own_images": np.array(odd.own_images if odd else 0),
            "coincident": np.array(odd.coincident if odd else 0),
        }
    )
    classes = list(classifier.model.card.classes)
    return Classification(labels, confidence, probabilities, classes, advice)


def _on_device(
    classifier: Classifier, positions: ArrayLike, cell: ArrayLike | None, pbc: ArrayLike | bool,
    species: ArrayLike | None,
    selected: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float32], NDArray[np.int32], Surroundings | None]:  # fmt: skip
    """Return probabilities ``(n, C)`` and neighbours found ``(n,)`` of all atoms, and what is odd."""
    model = classifier.model.on_device
    assert model is not None
    device = model.device
    with on(device, f"{len(positions):,} atoms"):  # type: ignore[arg-type]
        there = device.holds(positions)

        def frame(reach: float) -> Frame:
            if there:
                return frame_on_device(device, positions, cell, pbc, reach=reach, types=species)
            return Frame.from_arrays(positions, cell, pbc, reach=reach, types=species)

        bare, odd = frame(0.0), None
        if classifier.scale_free:
            classifier.measure(spacing(bare, device=device if there else None))
        if known := classifier.model.card.elements:
            classifier.model.name_types(from_numbers(species, known))
        search = DeviceSearch(frame(classifier.search * 1.0001), classifier.search, device)
        result, found = model.classify(search, classifier.spacing)
        atoms = device.read(search.atoms)
        probabilities = np.empty(result.shape, dtype=np.float32)
        sizes = np.empty(len(atoms), dtype=np.int32)
        probabilities[atoms], sizes[atoms] = device.read(result), device.read(found)
        if shortest_period(bare) <= classifier.search:  # a small cell: the CPU looks at it
            own = Frame.from_arrays(
                device.read(positions) if there else positions, cell, pbc,
                reach=classifier.search * 1.0001, origin=bare.origin,
            )  # fmt: skip
            odd = classifier.surroundings(Neighbors(own, classifier.search))
    return probabilities, sizes, odd
