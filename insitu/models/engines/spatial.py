# SPDX-License-Identifier: BSD-3-Clause
"""A network on the whole sample's graph, on a frame: a class for every atom from its neighbours.

Runs in the native kernels (kernels/core/edge_conv.hpp) from the artefact's own weights, without torch, or
as TorchScript, which is the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, ModelError
from insitu.frame.compiled import compiled
from insitu.frame.ghosts.halo import NOBODYS, Halo, Rows
from insitu.frame.neighbors.search import Neighbors
from insitu.models.engines.graph_layers import Convolve, LayeredModel, Stage
from insitu.models.engines.loaded import DeviceModel
from insitu.models.engines.spatial_graph import SpatialSettings as SpatialSettings
from insitu.models.engines.spatial_graph import neighbors_of as neighbors_of
from insitu.models.engines.spatial_graph import pack as pack
from insitu.models.weights import wide

if TYPE_CHECKING:
    from insitu.gpu.device import Device
    from insitu.models.engines.gpu_spatial import DeviceSpatial


class SpatialModel(LayeredModel):
    """A loaded network on the whole sample's graph; `card.spatial` is not None."""

    graph: SpatialSettings
    on_device: DeviceSpatial | None
    #: ``(highest type + 1,)`` species of the atom types, once they are named.
    _kind_of_type: NDArray[np.int32] = np.zeros(1, dtype=np.int32)
    _cpu_only = (
        "engine='torchscript' with a model on the sample's graph, or a network that has no "
        "weights for the kernels, runs on the CPU only; give device=cpu"
    )

    def _settings(self) -> SpatialSettings:
        assert self.card.spatial is not None
        return self.card.spatial

    def _check_module(self) -> None:
        layers = int(self._module.layers) if self.graph.layers else 0
        if layers != self.graph.layers:
            raise ModelError(
                f"model {self.path}: the network has {layers} layers, its metadata say "
                f"{self.graph.layers}; export it with the right settings"
            )

    def _completed(self, widths: list[int]) -> list[int]:
        return [*widths, 0, 0][:10]  # eight in artefacts without power spectra

    def _engine_of(self, weights: NDArray[np.float32], widths: list[int], isa: str) -> Any:
        return compiled().SpatialEngine(weights, widths, self.graph.range, isa)

    def _misfit(self, widths: list[int]) -> str:
        g, classes = self.graph, len(self.card.classes)
        expected = [
            g.n_species, g.layers, wide(classes), g.neighbors, g.radial, g.kinds, g.degree,
            g.moments if g.degree else 0,
        ]  # fmt: skip
        fits = [widths[k] for k in (0, 2, *range(4, 10))] == expected
        return "" if fits else f"{classes} classes and {g}"

    def _on(self, device: Device) -> DeviceModel:
        from insitu.models.engines.gpu_spatial import DeviceSpatial

        return DeviceSpatial(self.card, self._widths, self._weights, self._kernels, device)

    @property
    def nearest(self) -> int:
        """Number of neighbours that an atom's class is made of."""
        return self.graph.neighbors

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

    def name_types(self, elements: Mapping[int, str]) -> None:
        """Say which element each atom type is: symbols among those of the card, by type."""
        known = list(self.card.elements)
        self._kind_of_type = np.zeros(max(elements, default=0) + 1, dtype=np.int32)
        for kind, symbol in elements.items():
            self._kind_of_type[kind] = known.index(symbol)
        if self.on_device is not None:
            self.on_device.kind_of_type = self._kind_of_type

    def _kinds(self, search: Neighbors, halo: Halo) -> NDArray[np.int32]:
        """Return the species of the owned atoms in cell order and of other ranks' atoms."""
        if not self.graph.species:
            return np.zeros(len(search.owned[0]) + halo.received, dtype=np.int32)
        kinds = self._kind_of_type[search.frame.types]
        return np.concatenate([kinds[search.owned[1]], kinds[halo.ghosts_received]])

    def _begin(
        self, search: Neighbors, rows: Rows, spacing: float, halo: Halo,
        shared: NDArray[np.float32], found: NDArray[np.int32], result: NDArray[np.float32],
    ) -> tuple[NDArray[np.int32], Convolve]:  # fmt: skip
        engine, places, room = self._kernels, search.owned[0], self.rooms
        n, kinds = len(places), self._kinds(search, halo)
        read = room("rows", n, engine.padded, np.int32)
        edges = room("edges", n, engine.edge_words)
        h = room("h", n, self.graph.layers * self._widths[1])
        whole = engine.begin(
            search.cells, places, rows.row_of_place, kinds, read, edges, h, shared, found, result,
            self.radius(spacing), self.graph.local, self.graph.length(spacing), self.threads,
        )  # fmt: skip
        if not whole:
            raise InsituError(NOBODYS)

        def convolve(
            layer: int, shared: NDArray[np.float32], following: NDArray[np.float32]
        ) -> None:
            engine.convolve(layer, shared, read, edges, kinds, h, following, result, self.threads)

        return read, convolve

    def _torch(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        import torch

        if not self.graph.layers:
            yield self._surroundings(search, spacing)
            return
        kinds = self._kinds(search, halo)
        vectors, cut, unit, nearest, found = neighbors_of(search, self.graph, spacing)
        read = np.where(nearest >= 0, rows.row_of_place[nearest], np.int32(-1))
        if (read[nearest >= 0] < 0).any():
            raise InsituError(NOBODYS)
        index, species = (
            torch.from_numpy(read.astype(np.int64)),
            torch.from_numpy(kinds.astype(np.int64)),
        )
        geometry = [torch.from_numpy(a) for a in (vectors, cut, unit)]
        n, kept = len(found), []
        with torch.inference_mode():
            g, s = self._module.edges(*geometry, index, species)
            h = self._module.begin(species)
            # An artefact without spectra may be older than they are: its method takes no sixth.
            spectra = (
                [self._module.power_spectra(*geometry, index, species)] if self.graph.degree else []
            )
            kept.append(self._module.convolve(0, h, index, g, s, *spectra))
        for layer in range(1, self.graph.layers):
            shared = np.zeros((n + halo.received, self.exchanged), dtype=np.float32)
            shared[:n] = kept[-1].numpy()
            yield found, shared, read
            with torch.inference_mode():
                kept.append(self._module.convolve(layer, torch.from_numpy(shared), index, g, s))
        with torch.inference_mode():
            yield found, self._module.probabilities(torch.cat(kept, 1)).numpy(), read

    def _surroundings(self, search: Neighbors, spacing: float) -> Stage:
        """Return the probabilities of a network of one atom's surroundings at a time."""
        import torch

        places, batch = search.owned[0], 256
        found = np.empty(len(places), dtype=np.int32)
        result = np.empty((len(places), len(self.card.classes)), dtype=np.float32)
        for at in range(0, len(places), batch):
            some = slice(at, at + batch)
            vectors, _, _, _, found[some] = neighbors_of(search, self.graph, spacing, places[some])
            with torch.inference_mode():
                result[some] = self._module(torch.from_numpy(vectors)).numpy()
        return found, result, np.zeros((0, 1), dtype=np.int32)
