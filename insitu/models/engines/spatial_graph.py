# SPDX-License-Identifier: BSD-3-Clause
"""The graph of a whole sample: its settings, its neighbours, and the network's weights for the kernels."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.compiled import compiled
from insitu.frame.neighbors.search import Neighbors
from insitu.models.weights import padded, wide

UNITS = ("spacing", "angstrom")


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
        Whether what neighbours are described by is separate for each of their species.
    degree
        Highest degree of the spherical harmonics whose power spectra describe an atom in the first
        layer, 1 … 6: edges then carry distances only, and nothing depends on orientation. 0: no
        spectra, and edges carry their displacement.
    moments
        Radial functions T_0 … of the spectra, 1 … 8.
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
    degree: int = 0
    moments: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(int(z) for z in self.species))
        limits: list[tuple[str, float, float]] = [
            ("neighbors", 1, 64), ("layers", 0, 4), ("local", 0, 64), ("radial", 0, 16),
            ("reach", 1e-3, 1e3), ("range", 1e-3, 1e3), ("degree", 0, 6), ("moments", 1, 8),
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
        if self.degree and not self.radial:
            raise SettingError(
                f"degree={self.degree} of the spatial graph leaves edges their radial functions only, and "
                "radial=0; give radial of 1 or more"
            )

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
        """Features of an edge: displacement, if there are no spectra, and radial functions."""
        return ((0 if self.degree else 3) + self.radial) * self.kinds

    @property
    def spectra(self) -> int:
        """Values of an atom's power spectra: all pairs of radial functions, all degrees."""
        f = self.kinds * self.moments
        return (self.degree + 1) * f * (f + 1) // 2 if self.degree else 0

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
    if settings.degree:  # P (p - centre) / scale + a: as a matrix and a start
        spectra = s["spectra.weight"].T / s["spectra_scale"][:, None]
        s["own.0.bias"] = s["own.0.bias"] - s["spectra_centre"] @ spectra
    for k in range(settings.layers):
        own, other, edge = (s[f"{name}.{k}.weight"].T for name in ("own", "other", "edge"))
        inputs = len(own) if k == 0 else w
        parts += [padded(own, inputs, w), padded(s[f"own.{k}.bias"][None], 1, w)]
        parts += [padded(other, inputs, w), padded(edge, settings.features, w)]
        if k == 0 and settings.degree:
            parts.append(padded(spectra, None, w))
    # The head reads the layers side by side, each padded.
    head = s["head.weight"].T.reshape(settings.layers, width, hidden)
    parts += [padded(layer, w, h) for layer in head]
    parts += [padded(s["head.bias"][None], 1, h)]
    parts += [padded(s["last.weight"].T, h, c), padded(s["last.bias"][None], 1, c)]
    flat = np.concatenate([p.ravel() for p in parts]).astype(np.float32)
    widths = [
        settings.n_species, w, settings.layers, h, c, settings.neighbors, settings.radial,
        settings.kinds, *([settings.degree, settings.moments] if settings.degree else []),
    ]  # fmt: skip
    np.savez(path, widths=np.array(widths, dtype=np.int32), weights=flat)


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
