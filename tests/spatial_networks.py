# SPDX-License-Identifier: BSD-3-Clause
"""Random networks on whole samples, as artefacts, and a sample of two species."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.models import store
from insitu.models.engines.spatial import SpatialModel, SpatialSettings
from insitu.models.export import save
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.testing import lattice

CLASSES = ["quartz", "coesite", "stishovite", "melt", "amorphous"]
#: Both rules for lengths, with and without species and power spectra, and widths that need padding.
SETTINGS = {
    "local": SpatialSettings(),
    "angstrom": SpatialSettings(9, 4.0, "angstrom", 2, local=0, radial=4, range=4.0),
    "species": SpatialSettings(
        16, 2.1, layers=3, local=4, radial=6, species=(14, 8), by_species=True
    ),
    "one layer": SpatialSettings(20, 2.1, layers=1, local=0, radial=0, range=1.5, species=(8, 14)),
    "spectra": SpatialSettings(
        16, 2.1, layers=3, species=(14, 8), by_species=True, degree=4, moments=3
    ),
}
Sample = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def network_of(settings: SpatialSettings, seed: int = 3) -> WholeSampleGraph:
    """An untrained network whose probabilities differ from atom to atom."""
    torch.manual_seed(seed)
    network = WholeSampleGraph(len(CLASSES), settings, width=40, hidden=24)
    with torch.no_grad():
        network.last.weight *= 20.0
        if settings.degree:
            network.spectra_centre.normal_()
            network.spectra_scale.uniform_(1.0, 4.0)
    return network


def artefact_of(folder: Path, settings: SpatialSettings) -> Path:
    path = folder / "model.pt"
    card = store.Card("trial", CLASSES, NeighborsMap(scale_free=True), spatial=settings)
    save(network_of(settings), card, path)
    return path


def sample(seed: int = 0, noise: float = 0.25) -> Sample:
    """A distorted fcc crystal of two elements with vacancies in a triclinic cell."""
    rng = np.random.default_rng(seed)
    r, cell = lattice("fcc", 4.05, (6, 5, 5))
    tilted = cell.copy()
    tilted[1, 0], tilted[2, 0], tilted[2, 1] = 3.1, -2.2, 4.4
    r = r @ np.linalg.inv(cell) @ tilted + noise * rng.normal(size=r.shape)
    r = r[rng.random(len(r)) > 0.1]
    return r, tilted, np.where(rng.random(len(r)) < 0.33, 14, 8)


def pair(path: Path) -> tuple[SpatialModel, SpatialModel]:
    """Return a model on the kernels and as TorchScript."""
    native = store.load(str(path))
    reference = store.load(str(path), engine="torchscript")
    assert isinstance(native, SpatialModel)
    assert isinstance(reference, SpatialModel)
    assert native.native
    assert not reference.native
    return native, reference
