# SPDX-License-Identifier: BSD-3-Clause
"""A network on the whole sample's graph, on a frame: a class for every atom from its neighbours.

Runs in the native kernels (kernels/edge_conv.hpp) from the artefact's own weights, without torch, or
as TorchScript, which is the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, ModelError, SettingError
from insitu.frame.halo import NOBODYS, Halo, Rows
from insitu.frame.neighbors import Neighbors, compiled
from insitu.models.engines.buffers import Rooms
from insitu.models.engines.graph_layers import LayeredModel, Stage
from insitu.models.engines.spatial_graph import SpatialSettings as SpatialSettings
from insitu.models.engines.spatial_graph import neighbors_of as neighbors_of
from insitu.models.engines.spatial_graph import pack as pack
from insitu.models.weights import read_weights, torch_module, wide

if TYPE_CHECKING:
    from insitu.gpu.device import Device
    from insitu.models.card import Card
    from insitu.models.engines.gpu_spatial import DeviceSpatial


class SpatialModel(LayeredModel):
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
        super().__init__(card, sha256, path)
        self.graph = card.spatial
        self._rooms = Rooms()
        self._kind_of_type = np.zeros(1, dtype=np.int32)
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
            # Eight in artefacts without power spectra.
            self._widths = ([int(w) for w in arrays["widths"]] + [0, 0])[:10]
            flat = arrays["weights"].astype(np.float32)
            self._kernels = compiled().SpatialEngine(flat, self._widths, self.graph.range, isa)
            self._weights = flat
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"model {path}: {error}; copy or train it again") from None
        g, classes = self.graph, len(card.classes)
        expected = [
            g.n_species, g.layers, wide(classes), g.neighbors, g.radial, g.kinds, g.degree,
            g.moments if g.degree else 0,
        ]  # fmt: skip
        if [self._widths[k] for k in (0, 2, *range(4, 10))] != expected:
            raise ModelError(
                f"model {path}: the network's widths are {self._widths}, its metadata say {classes} "
                f"classes and {g}; export it with the right settings"
            )

    def move(self, device: Device) -> None:
        """Let the model run on a device; its errors are those of :class:`DeviceSpatial`."""
        from insitu.models.engines.gpu_spatial import DeviceSpatial

        if not self.native:
            raise SettingError(
                "engine='torchscript' with a model on the sample's graph, or a network that has no "
                "weights for the kernels, runs on the CPU only; give device=cpu"
            )
        self.on_device = DeviceSpatial(self.card, self._widths, self._weights, device)

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

    def _stages(self, search: Neighbors, rows: Rows, spacing: float, halo: Halo) -> Iterator[Stage]:
        layers = self._native if self.native else self._torch
        if not self.graph.layers:
            layers = self._surroundings
        return layers(search, rows, self._kinds(search, halo), spacing, halo)

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
