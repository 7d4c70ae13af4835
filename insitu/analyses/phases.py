# SPDX-License-Identifier: BSD-3-Clause
"""Phase of every atom, and the fractions of a sample."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.gpu_labels import DeviceLabels, decide_on_device
from insitu.analyses.phase_counts import PhaseCounts
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.halo import Halo
from insitu.frame.neighbors import Neighbors
from insitu.frame.reduce import Ranks
from insitu.frame.surroundings import STRIDE, Surroundings, odd_surroundings, shortest_period
from insitu.gpu.device import on
from insitu.gpu.search import DeviceSearch
from insitu.models.card import class_codes
from insitu.models.engines.graph import GraphModel
from insitu.models.engines.images import Model
from insitu.models.engines.spatial import SpatialModel
from insitu.models.store import AnyModel

#: Neighbours without which there is no phase to speak of.
_FEWEST = 4
#: Room for thermal expansion and melting in the ghost cutoff that is asked for.
_EXPANSION = 1.05


class Phases:
    """Classify the atoms of a frame with a model on Neighbors Maps.

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
    """

    name = "phases"

    def __init__(
        self,
        model: AnyModel,
        threshold: float | None = None,
        groups: Sequence[str] = (),
        n_types: int = 0,
    ) -> None:
        self.model = model
        self.threshold = model.card.threshold if threshold is None else float(threshold)
        if not 0.0 <= self.threshold <= 1.0:
            raise SettingError(f"threshold={threshold} is not a probability; give 0 … 1")
        #: Radius [Å] of the neighbour search, that around owned atoms within which all ghosts have to
        #: be there, and the one to ask for; of a model with a graph layer known by measure().
        self.search = self.cutoff = self.advised_cutoff = model.card.descriptor.cutoff
        self.spacing = 0.0
        #: The model if it has a graph, whose features ranks exchange, and the last frame's exchange.
        self.graph = model if isinstance(model, GraphModel | SpatialModel) else None
        self.halo: Halo | None = None
        if self.graph is not None and not self.graph.relative:
            self.search = self.cutoff = self.advised_cutoff = self.graph.radius(0.0)
        #: ``(channels - 1, highest type + 1)`` weights of the species channels.
        self.colors: NDArray[np.float32] | None = None
        #: Columns of the history: the model's classes, then unknown.
        self.classes = [*model.card.classes, "unknown"]
        self.codes = class_codes(model.card.classes)
        self._counts = PhaseCounts(len(self.classes), groups, n_types)
        self.sums, self.observables = self._counts.sums, self._counts.observables
        #: Wall times of the last frame [s]: of its maps (`metals`: with the perceptron, fused) and of
        #: the network with the labels; and the time spent in exchanges with other ranks.
        self.timing: dict[str, float] = {}
        self.waited = 0.0
        self._labels: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._confidence: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        #: The same on a device, until they are asked for.
        self._there: DeviceLabels | None = None

    def surroundings(self, neighbors: Neighbors, stride: int = 1) -> Surroundings | None:
        """Return what is odd about the atoms' surroundings, whatever a network says of them."""
        card, graph = self.model.card, self.graph
        nearest = card.descriptor.ball if card.scale_free else None
        if isinstance(graph, SpatialModel):
            nearest = graph.graph.neighbors
        return odd_surroundings(neighbors, self.search, nearest, self.spacing, stride)

    @property
    def scale_free(self) -> bool:
        """Whether the radii follow from the density of the sample: measure() comes first."""
        return self.graph is not None and self.graph.relative

    def measure(self, spacing: float) -> None:
        """Set the radii for a frame.

        Parameters
        ----------
        spacing
            Of its atoms [Å], :func:`insitu.frame.density.spacing`: the same on all ranks.
        """
        if self.graph is not None and self.graph.relative:
            self.spacing = spacing
            self.search = self.cutoff = self.graph.radius(self.spacing)
            self.advised_cutoff = _EXPANSION * self.cutoff

    def exchange(self, frame: Frame, ranks: Ranks) -> None:
        """Prepare the exchange of features for a frame, if the model has one; collective."""
        if self.graph is not None and self.graph.exchanged:
            g = self.graph
            if g.on_device is not None and ranks.size == 1:
                return  # a device looks up its own images
            self.halo = Halo(frame, ranks, g.exchanged, g.rounds, self.halo, self.search)

    def color(self, elements: Mapping[int, str]) -> None:
        """Say which element each atom type is, for a model that tells species apart.

        Parameters
        ----------
        elements
            Symbols, known to the model, by type.
        """
        if isinstance(self.model, SpatialModel):
            self.model.name_types(elements)
            return
        known = self.model.card.elements
        self.colors = np.zeros((self.model.card.channels - 1, max(elements, default=0) + 1), "f4")
        for kind, symbol in elements.items():
            self.colors[:, kind] = known[symbol]["weights"]
        if isinstance(self.model, Model) and self.model.on_device is not None:
            self.model.on_device.colors = self.colors

    def probabilities(
        self, neighbors: Neighbors
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]]:
        """Yield owned atoms ``(b,)``, their class probabilities ``(b, C)`` and ball sizes ``(b,)``.

        One batch at a time, so that memory does not grow with the number of atoms.
        """
        if self.graph is not None:
            yield self.graph.classify(neighbors, self.spacing, self.halo)
            self.timing, self.waited = dict(self.graph.timing), self.graph.waited
            return
        assert isinstance(self.model, Model)
        inference = 0.0
        started = time.perf_counter()
        descriptor = self.model.card.descriptor
        self._check_colors()
        weights = None if self.colors is None else self.colors[:, neighbors.frame.types]
        for atoms, images, found in descriptor.batches(
            neighbors, weights=weights, batch=self.model.batch, threads=self.model.threads
        ):
            before = time.perf_counter()
            result = self.model.probabilities(images)
            inference += time.perf_counter() - before
            yield atoms, result, found
        self.timing = {
            "descriptor": time.perf_counter() - started - inference,
            "model": inference,
        }

    def _check_colors(self) -> None:
        card = self.model.card
        if self.graph is None and card.channels > 1 and self.colors is None:
            raise SettingError(
                f"model '{card.name}' has {card.channels} channels and the species of the atoms are not "
                "known here; use it in a run, or with insitu.classify(species=…)"
            )

    def neighbors(self, frame: Frame) -> Neighbors | DeviceSearch:
        """Return the neighbour search over a frame, where the model runs."""
        there = self.model.on_device
        if there is None:
            return Neighbors(frame, self.search)
        self._there = None  # before more memory is taken
        with on(there.device, f"{len(frame.positions):,} atoms"):
            return DeviceSearch(frame, self.search, there.device)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels ``(n_local,)`` of the owned atoms of the last frame; −1 is unknown."""
        self._bring()
        return self._labels

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Confidence ``(n_local,)`` of the owned atoms of the last frame."""
        self._bring()
        return self._confidence

    def _bring(self) -> None:
        if self._there is not None:
            with self._there.device.here():
                (self._labels, self._confidence), self._there = self._there.read(), None

    def _on_device(self, frame: Frame, search: DeviceSearch) -> dict[str, Any]:
        started = time.perf_counter()
        model = self.model.on_device
        assert model is not None
        self._check_colors()
        with on(model.device, f"{search.points:,} atoms"):
            probabilities, found = model.classify(search, self.spacing, self.halo)
            odd = None
            if shortest_period(frame) <= self.search and isinstance(frame.positions, np.ndarray):
                odd = self.surroundings(Neighbors(frame, self.search), STRIDE)  # a small cell
            if odd is not None:
                atoms = model.device.read(search.atoms)
                others = model.device.array(odd.others[atoms], np.int32)
                found = model.device.xp.minimum(found, others)
            self._there, count, confidence, size = decide_on_device(
                search, probabilities, found, self.threshold, _FEWEST
            )
        sums: dict[str, Any] = {"count": count, "confidence": confidence, "neighbors": size}
        sums["own_images"] = odd.own_images if odd else 0
        sums["coincident"] = odd.coincident if odd else 0
        sums |= self._counts.subsets(frame, self.labels if self._counts.reads_labels else None)
        self.timing, self.waited = dict(model.timing), model.waited
        self.timing["model"] += (
            time.perf_counter() - started - self.waited - sum(self.timing.values())
        )
        return sums

    def __call__(self, frame: Frame, neighbors: Neighbors | DeviceSearch) -> dict[str, Any]:
        """Return the sums of one rank: atoms and confidence for each phase, neighbours found."""
        if isinstance(neighbors, DeviceSearch):
            return self._on_device(frame, neighbors)
        started = time.perf_counter()
        p = len(self.classes)
        count, confidence, size = np.zeros(p), np.zeros(p), 0.0
        self._there = None
        self._labels = np.full(frame.n_local, -1, dtype=np.int64)
        self._confidence = np.zeros(frame.n_local, dtype=np.float32)
        odd = self.surroundings(neighbors, STRIDE)
        for atoms, probabilities, found in self.probabilities(neighbors):
            enough = found if odd is None else np.minimum(found, odd.others[atoms])
            labels, sure = decide(probabilities, self.threshold, enough)
            column = np.where(labels < 0, p - 1, labels)
            count += np.bincount(column, minlength=p)
            confidence += np.bincount(column, weights=sure, minlength=p)
            size += float(found.sum())
            self._labels[atoms], self._confidence[atoms] = labels, sure
        sums: dict[str, Any] = {"count": count, "confidence": confidence, "neighbors": size}
        sums["own_images"] = odd.own_images if odd else 0
        sums["coincident"] = odd.coincident if odd else 0
        sums |= self._counts.subsets(frame, self.labels if self._counts.reads_labels else None)
        self.timing["model"] += (
            time.perf_counter() - started - self.waited - sum(self.timing.values())
        )
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

    def advice(self, sums: Mapping[str, NDArray[np.float64]]) -> str:
        """Return a sentence if the sample is one that no model, or not this one, can judge, else ``""``."""
        total = float(sums["count"].sum())
        if odd := _oddity(int(sums["own_images"]), int(sums["coincident"]), int(total)):
            return odd
        if not total or self.graph is not None or self.model.card.scale_free:
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


def _oddity(own_images: int, coincident: int, total: int) -> str:
    """Return a sentence on atoms whose surroundings are no sample of other atoms."""
    if coincident:
        return (
            f"{coincident} of {total} atoms have another atom at their place (cores and shells, Drude "
            "oscillators, atoms created twice): they are unknown, and their neighbours' labels cannot be "
            "relied on; analyse a sample that has one of each pair only"
        )
    if own_images:
        return (
            f"the periodic cell is so small that {own_images} of {total} atoms are among their own nearest "
            "neighbours: with fewer than four others there they are unknown, else the labels are those of "
            "the crystal that the cell repeats; repeat the cell (ASE: atoms * (3, 3, 3), LAMMPS: replicate)"
        )
    return ""


def decide(
    probabilities: NDArray[np.float32], threshold: float, found: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels and confidence of some atoms.

    Parameters
    ----------
    probabilities
        ``(n, C)`` class probabilities. What they leave of 1 is the probability that an atom's structure
        is none of the classes: the atom is unknown where this is larger than the largest.
    threshold
        Largest probability below which an atom is unknown.
    found
        ``(n,)`` neighbours in the ball. With fewer than four an atom has no surroundings in three
        dimensions (vapour): it is unknown, whatever a network says of a nearly empty image.

    Returns
    -------
    labels, confidence
        ``(n,)`` int64, −1 is unknown; ``(n,)`` float32, the largest probability.
    """
    labels = probabilities.argmax(axis=1).astype(np.int64)
    confidence = probabilities.max(axis=1)
    none = 1.0 - probabilities.sum(axis=1)
    known = (confidence >= threshold) & (confidence >= none) & (found >= _FEWEST)
    labels[~known] = -1
    return labels, confidence
