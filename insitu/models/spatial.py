# SPDX-License-Identifier: BSD-3-Clause
"""A network on the whole sample's graph, on a frame: a class for every atom from its neighbours.

Runs in the native kernels (kernels/edge_conv.hpp) from the artefact's own weights, without torch, or
as TorchScript, which is the reference.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, ModelError, SettingError
from insitu.frame import Frame
from insitu.halo import NOBODYS, Halo, Rows
from insitu.models.rooms import Rooms
from insitu.models.weights import padded, read_weights, torch_module, wide
from insitu.neighbors import Neighbors, compiled

if TYPE_CHECKING:
    from insitu.device import Device
    from insitu.models.device_spatial import DeviceSpatial
    from insitu.models.store import Card

UNITS = ("spacing", "angstrom")
#: Neighbours found; what neighbours read of a layer, or the probabilities; which rows they read.
Stage = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True)
class SpatialSettings:
    """The graph of a whole sample, and what its edges are described by.

    Parameters
    ----------
    neighbors
        Nearest neighbours of an atom that send messages, 1 … 64.
    reach
        Radius within which they are searched: it bounds the distance of messages.
    unit
        Unit of `reach`: ``spacing``, of the sample, (volume an atom)^(1/3); or ``angstrom``.
    layers
        Graph layers, 1 … 4; 0: a network of one atom's surroundings at a time, as TorchScript.
    local
        Nearest neighbours whose mean distance is an atom's unit of length; 0: that of `unit`.
    radial
        Radial functions, Chebyshev polynomials T_1 … of the distance, 0 … 16.
    range
        Distance up to which these reach, in units of length.
    species
        Atomic numbers that the network tells apart; none: it does not look at species.
    by_species
        Whether an edge's features are separate for each species of the neighbour.
    """

    neighbors: int = 16
    reach: float = 2.1
    unit: str = "spacing"
    layers: int = 3
    local: int = 4
    radial: int = 6
    range: float = 2.5
    species: tuple[int, ...] = ()
    by_species: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(int(z) for z in self.species))
        limits: list[tuple[str, float, float]] = [
            ("neighbors", 1, 64), ("layers", 0, 4), ("local", 0, 64), ("radial", 0, 16),
            ("reach", 1e-3, 1e3), ("range", 1e-3, 1e3),
        ]  # fmt: skip
        for name, low, high in limits:
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingError(
                    f"{name}={value} of the spatial graph is not usable; give {low:g} … {high:g}"
                )
        if self.unit not in UNITS:
            raise SettingError(
                f"unit='{self.unit}' of the spatial graph is not known; allowed: {', '.join(UNITS)}"
            )
        if self.by_species and len(self.species) < 2:
            raise SettingError("by_species of the spatial graph needs two species; name them")

    @property
    def relative(self) -> bool:
        """Whether radii follow from the density of the sample."""
        return self.unit == "spacing"

    @property
    def n_species(self) -> int:
        """Inputs of the first layer."""
        return max(len(self.species), 1)

    @property
    def kinds(self) -> int:
        """Blocks of an edge's features, one for each species of the neighbour."""
        return len(self.species) if self.by_species else 1

    @property
    def features(self) -> int:
        """Features of an edge: displacement and radial functions."""
        return (3 + self.radial) * self.kinds

    def length(self, spacing: float) -> float:
        """Return the unit of `reach` [Å]."""
        return spacing if self.relative else 1.0


def pack(
    state: dict[str, NDArray[np.float32]], settings: SpatialSettings, path: io.BytesIO
) -> None:
    """Write the weights of a WholeSampleGraph as the native kernels take them.

    Parameters
    ----------
    state
        Arrays of its ``state_dict()``.
    settings
        Its graph.
    path
        File object that receives ``widths``, ``range`` and ``weights`` (npz).
    """
    s = {k: v.astype(np.float64) for k, v in state.items()}
    width, hidden, classes = len(s["own.0.bias"]), len(s["head.bias"]), len(s["last.bias"])
    w, h, c = wide(width), wide(hidden), wide(classes)
    parts = []
    for k in range(settings.layers):
        own, other, edge = (s[f"{name}.{k}.weight"].T for name in ("own", "other", "edge"))
        inputs = len(own) if k == 0 else w
        parts += [padded(own, inputs, w), padded(s[f"own.{k}.bias"][None], 1, w)]
        parts += [padded(other, inputs, w), padded(edge, settings.features, w)]
    # The head reads the layers side by side, each padded.
    head = s["head.weight"].T.reshape(settings.layers, width, hidden)
    parts += [padded(layer, w, h) for layer in head]
    parts += [padded(s["head.bias"][None], 1, h)]
    parts += [padded(s["last.weight"].T, h, c), padded(s["last.bias"][None], 1, c)]
    flat = np.concatenate([p.ravel() for p in parts]).astype(np.float32)
    widths = [
        settings.n_species, w, settings.layers, h, c, settings.neighbors, settings.radial,
        settings.kinds,
    ]  # fmt: skip
    np.savez(path, widths=np.array(widths, dtype=np.int32), weights=flat)


class SpatialModel:
    """A loaded network on the whole sample's graph.

    Parameters
    ----------
    card
        Its metadata; `card.spatial` is not None.
    weights
        Content of :func:`pack`, or None to run as TorchScript.
    sha256, path
        Of the artefact.
    isa
        Instruction set of the kernels, "" is the best one.
    """

    def __init__(
        self, card: Card, weights: bytes | None, sha256: str, path: Path, isa: str = ""
    ) -> None:
        assert card.spatial is not None
        self.card, self.graph, self.sha256, self.path = card, card.spatial, sha256, path
        #: Wall times of the last call [s], without that spent waiting for other ranks.
        self.timing: dict[str, float] = {}
        self.waited = 0.0
        #: Threads of the kernels.
        self.threads = 1
        self._rooms = Rooms()
        self._kind_of_type = np.zeros(1, dtype=np.int32)
        self._module: Any = None
        #: The same on a GPU, if that is where it runs.
        self.on_device: DeviceSpatial | None = None
        if weights is None:
            self._module = torch_module(path)
            if self.graph.layers and self.graph.layers != int(self._module.layers):
                raise ModelError(
                    f"model {path}: the network has {int(self._module.layers)} layers, its metadata "
                    f"say {self.graph.layers}; export it with the right settings"
                )
            return
        arrays = read_weights(weights, path)
        try:
            self._widths = [int(w) for w in arrays["widths"]]
            flat = arrays["weights"].astype(np.float32)
            self._kernels = compiled().SpatialEngine(flat, self._widths, self.graph.range, isa)
            self._weights = (self._widths, flat)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"model {path}: {error}; copy or train it again") from None
        g, classes = self.graph, len(card.classes)
        expected = [g.n_species, g.layers, wide(classes), g.neighbors, g.radial, g.kinds]
        if [self._widths[k] for k in (0, 2, 4, 5, 6, 7)] != expected:
            raise ModelError(
                f"model {path}: the network's widths are {self._widths}, its metadata say {classes} "
                f"classes and {g}; export it with the right settings"
            )

    def move(self, device: Device) -> None:
        """Let the model run on a device.

        Raises
        ------
        SettingError
            It runs as TorchScript.
        """
        from insitu.models.device_spatial import DeviceSpatial

        if not self.native:
            raise SettingError(
                "engine='torchscript' with a model on the whole sample's graph runs on the CPU only; "
                "leave `engine` out, or give device=cpu"
            )
        self.on_device = DeviceSpatial(self, *self._weights, device)

    @property
    def engine(self) -> str:
        """Name of what runs the network."""
        return "native" if self.native else "torchscript"

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return self._module is None

    @property
    def relative(self) -> bool:
        """Whether the radii follow from the density of the sample."""
        return self.graph.relative

    @property
    def rounds(self) -> int:
        """How often a frame's features are exchanged between ranks; the first layer needs none."""
        return max(self.graph.layers - 1, 0)

    @property
    def exchanged(self) -> int:
        """Width of the features that ranks exchange."""
        if not self.graph.layers:
            return 0
        return self._widths[1] if self.native else int(self._module.width)

    def radius(self, spacing: float) -> float:
        """Return the radius of the search [Å], within which all neighbours of an atom lie."""
        return self.graph.reach * self.graph.length(spacing)

    def classify(
        self, search: Neighbors, spacing: float, halo: Halo | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """Return owned atoms ``(n,)``, class probabilities ``(n, C)`` and neighbours found ``(n,)``.

        Collective if there is a `halo`; whoever made it calls :meth:`Halo.finish` if this raises.

        Parameters
        ----------
        search
            Neighbour search of :meth:`radius`, up to which the frame's ghosts have to be complete.
        spacing
            Of the sample [Å].
        halo
            Where features of other ranks' atoms come from; None: all atoms are this rank's.
        """
        started = time.perf_counter()
        halo = halo or Halo.alone(search.frame)
        before, rows = halo.waited, halo.rows(search)
        kinds = self._kinds(search, halo)
        layers = self._native if self._module is None else self._torch
        if not self.graph.layers:
            layers = self._surroundings
        work = layers(search, rows, kinds, spacing, halo)
        found, shared, read = next(work)
        begun = time.perf_counter()
        if self.rounds:
            halo.choose(read)
        for _ in range(self.rounds):
            halo.fill(shared, rows)
            shared = next(work)[1]
        self.waited = halo.waited - before
        self.timing = {
            "descriptor": begun - started,
            "model": time.perf_counter() - begun - self.waited,
        }
        if search.frame.selected is None:
            return search.atoms, shared, found
        chosen = rows.row_of[search.atoms]
        return search.atoms, shared[chosen], found[chosen]

    def name_types(self, elements: Mapping[int, str]) -> None:
        """Say which element each atom type is: symbols among those of the card, by type."""
        known = list(self.card.elements)
        self._kind_of_type = np.zeros(max(elements, default=0) + 1, dtype=np.int32)
        for kind, symbol in elements.items():
            self._kind_of_type[kind] = known.index(symbol)

    def kinds_of(self, frame: Frame) -> NDArray[np.int32]:
        """Return the species of a frame's atoms and ghosts: their places in the card."""
        if not self.graph.species:
            return np.zeros(len(frame.positions), dtype=np.int32)
        kinds: NDArray[np.int32] = self._kind_of_type[frame.types]
        return kinds

    def _kinds(self, search: Neighbors, halo: Halo) -> NDArray[np.int32]:
        """Return the species of the owned atoms in cell order and of other ranks' atoms."""
        kinds = self.kinds_of(search.frame)
        return np.concatenate([kinds[search.owned[1]], kinds[halo.ghosts_received]])

    def _native(
        self, search: Neighbors, rows: Rows, kinds: NDArray[np.int32], spacing: float, halo: Halo
    ) -> Iterator[Stage]:
        """Yield neighbours found, and what neighbours read of each layer; at last the probabilities.

        The caller fills in the rows of other ranks' atoms before it goes on.
        """
        engine, places, room = self._kernels, search.owned[0], self._rooms
        n, layers, width = len(places), self.graph.layers, self._widths[1]
        list_ = room("rows", n, engine.padded, np.int32)
        edges = room("edges", n, engine.edge_words)
        h = room("h", n, layers * width)
        shared = room("shared", n + halo.received, width)
        following = room("following", n + halo.received, width)
        found = np.empty(n, dtype=np.int32)
        result = np.empty((n, len(self.card.classes)), dtype=np.float32)
        whole = engine.begin(
            search.cells, places, rows.row_of_place, kinds, list_, edges, h, shared, found, result,
            self.radius(spacing), self.graph.local, self.graph.length(spacing), self.threads,
        )  # fmt: skip
        if not whole:
            raise InsituError(NOBODYS)
        yield found, shared if layers > 1 else result, list_
        for layer in range(1, layers):
            engine.convolve(layer, shared, list_, edges, kinds, h, following, result, self.threads)
            shared, following = following, shared
            yield found, shared if layer + 1 < layers else result, list_

    def _torch(
        self, search: Neighbors, rows: Rows, kinds: NDArray[np.int32], spacing: float, halo: Halo
    ) -> Iterator[Stage]:
        """Do the same with TorchScript, the reference: neighbours read all features there."""
        import torch

        vectors, cut, unit, nearest, found = neighbors_of(search, self.graph, spacing)
        list_ = np.where(nearest >= 0, rows.row_of_place[nearest], np.int32(-1))
        if (list_[nearest >= 0] < 0).any():
            raise InsituError(NOBODYS)
        index, species = (
            torch.from_numpy(list_.astype(np.int64)),
            torch.from_numpy(kinds.astype(np.int64)),
        )
        n, kept = len(found), []
        with torch.inference_mode():
            g, s = self._module.edges(
                torch.from_numpy(vectors), torch.from_numpy(cut), torch.from_numpy(unit), index,
                species,
            )  # fmt: skip
            kept.append(self._module.convolve(0, self._module.begin(species), index, g, s))
        for layer in range(1, self.graph.layers):
            shared = np.zeros((n + halo.received, self.exchanged), dtype=np.float32)
            shared[:n] = kept[-1].numpy()
            yield found, shared, list_
            with torch.inference_mode():
                kept.append(self._module.convolve(layer, torch.from_numpy(shared), index, g, s))
        with torch.inference_mode():
            yield found, self._module.probabilities(torch.cat(kept, 1)).numpy(), list_

    def _surroundings(
        self, search: Neighbors, rows: Rows, kinds: NDArray[np.int32], spacing: float, halo: Halo
    ) -> Iterator[Stage]:
        """Yield the probabilities of a network of one atom's surroundings at a time."""
        import torch

        places, batch = search.owned[0], 256
        found = np.empty(len(places), dtype=np.int32)
        result = np.empty((len(places), len(self.card.classes)), dtype=np.float32)
        for at in range(0, len(places), batch):
            some = slice(at, at + batch)
            vectors, _, _, _, found[some] = neighbors_of(search, self.graph, spacing, places[some])
            with torch.inference_mode():
                result[some] = self._module(torch.from_numpy(vectors)).numpy()
        yield found, result, np.zeros((0, 1), dtype=np.int32)


def neighbors_of(
    search: Neighbors, graph: SpatialSettings, spacing: float,
    places: NDArray[np.int32] | None = None,
) -> tuple[
    NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32],
    NDArray[np.int32],
]:  # fmt: skip
    """Return the neighbours of all owned atoms in cell order, nearest first.

    Parameters
    ----------
    search
        Neighbour search of at least the graph's radius.
    graph
        How many neighbours, and how far.
    spacing
        Of the sample [Å].
    places
        Places of the cell order instead of those of the owned atoms.

    Returns
    -------
    vectors, cut, unit, nearest, found
        ``(n, k, 3)`` displacements [Å], 0 where there is no neighbour; ``(n,)`` cut-off and unit of
        length [Å]; ``(n, k)`` places in the cell order, −1 where there is none; ``(n,)`` how many.
    """
    places = search.owned[0] if places is None else places
    n, k, length = len(places), graph.neighbors, graph.length(spacing)
    vectors = np.empty((n, k, 3), dtype=np.float32)
    cut, unit = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
    nearest, found = np.empty((n, k), dtype=np.int32), np.empty(n, dtype=np.int32)
    compiled().spatial_neighbors(
        search.cells, places, nearest, vectors, cut, unit, found, graph.reach * length, graph.local,
        length,
    )  # fmt: skip
    return vectors, cut, unit, nearest, found
