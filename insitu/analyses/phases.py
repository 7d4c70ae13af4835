# SPDX-License-Identifier: BSD-3-Clause
"""Phase of every atom, and the fractions of a sample."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.analyses.gpu_labels import DeviceLabels, decide_on_device
from insitu.analyses.profile import Profile
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.halo import Halo
from insitu.frame.neighbors import Neighbors, spacing
from insitu.frame.reduce import Ranks
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
    profile
        Bins along an axis in which to count, too; None: none.

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
        profile: Profile | None = None,
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
        #: ``(channels - 1, highest type + 1)`` weights of the channels that are coloured by species.
        self.colors: NDArray[np.float32] | None = None
        #: Columns of the history: the model's classes, then unknown.
        self.classes = [*model.card.classes, "unknown"]
        self.codes = class_codes(model.card.classes)
        self.groups, self.n_types, self.profile = tuple(groups), n_types, profile
        p = len(self.classes)
        self.sums: Mapping[str, tuple[int, ...]] = {
            "count": (p,), "confidence": (p,), "neighbors": (),
            "by_group": (len(groups), p), "by_type": (n_types, p),
            **(profile.sums if profile else {}),
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
            *self._subsets("group", self.groups, p),
            *self._subsets("type", tuple(range(1, n_types + 1)), p),
            *(profile.observables if profile else ()),
        )  # fmt: skip
        #: Wall times of the last frame [s]: of its maps (`metals`: with the perceptron, fused) and of
        #: the network with the labels; and the time spent in exchanges with other ranks.
        self.timing: dict[str, float] = {}
        self.waited = 0.0
        self._labels: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._confidence: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        #: The same on a device, until somebody asks for them.
        self._there: DeviceLabels | None = None

    @staticmethod
    def _subsets(name: str, values: tuple[Any, ...], p: int) -> list[Observable]:
        if not values:
            return []
        shape, rows = (len(values), p), (name, values)
        what = f"of the analysed atoms of each {name}"
        return [
            Observable(f"phases/by_{name}/fraction", shape, "f8", "", f"fractions {what}", rows),
            Observable(f"phases/by_{name}/count", shape, "i8", "", f"numbers {what}", rows),
        ]

    @property
    def scale_free(self) -> bool:
        """Whether the radii follow from the density of the sample: measure() comes first."""
        return self.graph is not None and self.graph.relative

    def measure(self, counts: NDArray[np.float64], cell: NDArray[np.float64]) -> None:
        """Set the radii for a frame from the atoms counted in it.

        Parameters
        ----------
        counts
            Sum of :func:`insitu.frame.neighbors.survey` over the ranks: the same on all of them.
        cell
            ``(3, 3)`` cell vectors [Å].
        """
        if self.graph is not None and self.graph.relative:
            self.spacing = spacing(counts, cell)
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
            self._there, count, confidence, size = decide_on_device(
                search, probabilities, found, self.threshold, _FEWEST
            )
        sums: dict[str, Any] = {"count": count, "confidence": confidence, "neighbors": size}
        sums |= self._count_subsets(frame)
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
        for atoms, probabilities, found in self.probabilities(neighbors):
            labels, sure = decide(probabilities, self.threshold, found)
            column = np.where(labels < 0, p - 1, labels)
            count += np.bincount(column, minlength=p)
            confidence += np.bincount(column, weights=sure, minlength=p)
            size += float(found.sum())
            self._labels[atoms], self._confidence[atoms] = labels, sure
        sums: dict[str, Any] = {"count": count, "confidence": confidence, "neighbors": size}
        sums |= self._count_subsets(frame)
        self.timing["model"] += (
            time.perf_counter() - started - self.waited - sum(self.timing.values())
        )
        return sums

    def _count_subsets(self, frame: Frame) -> dict[str, Any]:
        p = len(self.classes)
        if not (self.groups or self.n_types or self.profile):  # labels may stay where they are
            return {"by_group": np.zeros((0, p)), "by_type": np.zeros((0, p))}
        column = np.where(self.labels < 0, p - 1, self.labels)
        counted = np.ones(frame.n_local, bool) if frame.selected is None else frame.selected
        by_group = [
            np.bincount(column[counted & frame.members[g]], minlength=p) for g in self.groups
        ]
        types = frame.types[: frame.n_local]
        by_type = [
            np.bincount(column[counted & (types == t)], minlength=p)
            for t in range(1, self.n_types + 1)
        ]
        return {
            "by_group": np.array(by_group).reshape(-1, p),
            "by_type": np.array(by_type).reshape(-1, p),
            **(self.profile.count(frame, column, counted) if self.profile else {}),
        }

    def atom_codes(self, frame: Frame) -> NDArray[np.int32]:
        """Return the integer ``(n_local,)`` of each atom's phase, −1 where it was not analysed."""
        codes = np.array(self.codes, dtype=np.int32)[self.labels]  # −1 is unknown, the last
        if frame.selected is not None:
            codes[~frame.selected] = -1
        return codes

    def finish(self, sums: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Return fraction, count, standard error and mean confidence of each phase."""
        count = np.rint(sums["count"]).astype(np.int64)
        values: dict[str, Any] = {
            "phases/fraction": _fractions(count),
            "phases/count": count,
            "phases/standard_error": np.zeros(len(count)),
        }
        with np.errstate(invalid="ignore", divide="ignore"):
            values["phases/confidence"] = sums["confidence"] / sums["count"]
        for name in ("group", "type"):
            part = np.rint(sums[f"by_{name}"]).astype(np.int64)
            if len(part):
                values[f"phases/by_{name}/count"] = part
                values[f"phases/by_{name}/fraction"] = _fractions(part)
        if self.profile is not None:
            values["phases/profile_count"] = part = np.rint(sums["by_bin"]).astype(np.int64)
            values["phases/profile"] = _fractions(part)
        return values

    def advice(self, sums: Mapping[str, NDArray[np.float64]]) -> str:
        """Return a sentence if the sample's density is one that the model never saw, else ``""``."""
        total = float(sums["count"].sum())
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


def _fractions(count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return counts as fractions of their last axis' sum, NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction: NDArray[np.float64] = count / count.sum(axis=-1, keepdims=True)
    return fraction


def decide(
    probabilities: NDArray[np.float32], threshold: float, found: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels and confidence of some atoms.

    Parameters
    ----------
    probabilities
        ``(n, C)`` class probabilities.
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
    labels[~(confidence >= threshold) | (found < _FEWEST)] = -1
    return labels, confidence
