# SPDX-License-Identifier: BSD-3-Clause
"""A loaded model on the frames of a simulation: radii, search, exchange, and where it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.neighbors.surroundings import Surroundings, odd_surroundings, shortest_period
from insitu.frame.ranks.reduce import Ranks
from insitu.gpu.device import on
from insitu.gpu.search import DeviceSearch
from insitu.models.engines.loaded import Batch, LoadedModel

#: Room for thermal expansion and melting in the ghost cutoff that is asked for.
_EXPANSION = 1.05


class Classifier:
    """Class probabilities of a frame's atoms by a model, on the CPU or where the model runs.

    Parameters
    ----------
    model
        A loaded model.

    Attributes
    ----------
    search, cutoff, advised_cutoff
        Radius [Å] of the neighbour search, that around owned atoms within which all ghosts have to
        be there, and the one to ask for; of a scale-free model known by :meth:`measure`.
    spacing
        Of the sample [Å]; 0 if it was not measured.
    halo
        Exchange of features in the last frame, if the model has one.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        radius = model.card.descriptor.cutoff if model.relative else model.radius(0.0)
        self.search = self.cutoff = self.advised_cutoff = radius
        self.spacing = 0.0
        self.halo: Halo | None = None

    @property
    def scale_free(self) -> bool:
        """Whether the radii follow from the density of the sample: :meth:`measure` comes first."""
        return self.model.relative

    def measure(self, spacing: float) -> None:
        """Set the radii for a frame.

        Parameters
        ----------
        spacing
            Of its atoms [Å], :func:`insitu.frame.neighbors.density.spacing`: the same on all ranks.
        """
        if self.model.relative:
            self.spacing = spacing
            self.cutoff, self.advised_cutoff = self.reaches(spacing)
            self.search = self.cutoff

    def reaches(self, spacing: float) -> tuple[float, float]:
        """Return what :attr:`cutoff` and :attr:`advised_cutoff` are at a spacing, in a scale-free model."""
        cutoff = self.model.radius(spacing)
        return cutoff, _EXPANSION * cutoff

    def exchange(self, frame: Frame, ranks: Ranks) -> None:
        """Prepare the exchange of features for a frame, if the model has one; collective."""
        m = self.model
        if m.exchanged and (m.on_device is None or ranks.size > 1):
            # On one rank a device looks up its own images.
            self.halo = Halo(frame, ranks, m.exchanged, m.rounds, self.halo, self.search)

    def neighbors(self, frame: Frame) -> Neighbors | DeviceSearch:
        """Return the neighbour search over a frame, where the model runs."""
        there = self.model.on_device
        if there is None:
            return Neighbors(frame, self.search)
        with on(there.device, f"{len(frame.positions):,} atoms"):
            return DeviceSearch(frame, self.search, there.device)

    def surroundings(self, neighbors: Neighbors) -> Surroundings | None:
        """Return what is odd about the atoms' surroundings, whatever a network says of them."""
        return odd_surroundings(neighbors, self.search, self.model.nearest, self.spacing)

    def probabilities(self, neighbors: Neighbors) -> Iterator[Batch]:
        """Yield owned atoms ``(b,)``, their class probabilities ``(b, C)`` and ball sizes ``(b,)``.

        One batch at a time, so that memory does not grow with the number of atoms.
        """
        self.model.check_species()
        yield from self.model.batches(neighbors, self.spacing, self.halo)

    def device_probabilities(self, search: DeviceSearch) -> tuple[Any, Any, Surroundings | None]:
        """Return the rows' class probabilities ``(n, C)`` and ball sizes ``(n,)``, on the device.

        With them what is odd about the surroundings; ball sizes are those of different other atoms.
        To be called where the device is the current one.
        """
        there = self.model.on_device
        assert there is not None
        self.model.check_species()
        probabilities, found = there.classify(search, self.spacing, self.halo)
        frame, odd = search.frame, None
        if shortest_period(frame) <= self.search and isinstance(frame.positions, np.ndarray):
            odd = self.surroundings(Neighbors(frame, self.search))  # a small cell
        if odd is not None:
            others = there.device.array(odd.others[there.device.read(search.atoms)], np.int32)
            found = there.device.xp.minimum(found, others)
        return probabilities, found, odd

    @property
    def timing(self) -> dict[str, float]:
        """Wall times of the last frame [s]: of its maps and of the network, without waiting."""
        return (self.model.on_device or self.model).timing

    @property
    def waited(self) -> float:
        """Time of the last frame spent in exchanges with other ranks [s]."""
        return (self.model.on_device or self.model).waited

    def advice(self, sums: Mapping[str, NDArray[np.float64]]) -> str:
        """Return a sentence if the sample is one that no model, or not this one, can judge, else ``""``.

        Parameters
        ----------
        sums
            Over all ranks: ``count`` of the atoms by phase, ``neighbors`` found, ``own_images`` and
            ``coincident`` of :class:`~insitu.frame.neighbors.surroundings.Surroundings`.
        """
        total = float(sums["count"].sum())
        if odd := _oddity(int(sums["own_images"]), int(sums["coincident"]), int(total)):
            return odd
        trained = self.model.ball_range
        if not total or trained is None:
            return ""
        low, high = trained
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
