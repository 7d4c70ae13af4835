# SPDX-License-Identifier: BSD-3-Clause
"""What is inside the artefact of a network on the whole sample, and its settings."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from spatial_networks import CLASSES, SETTINGS, artefact_of, network_of

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError, SettingError
from insitu.frame.species import MASSES, SYMBOLS
from insitu.models import store
from insitu.models.engines.spatial import SpatialModel, SpatialSettings
from insitu.models.export import save


def test_weights_and_metadata_have_to_fit(tmp_path: Path) -> None:
    network = network_of(SETTINGS["local"])
    card = store.Card("wrong", CLASSES, NeighborsMap(), spatial=SETTINGS["local"])
    save(network, card, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("insitu.npz")]
        weights = archive.read(name)
    for settings in (replace(SETTINGS["local"], neighbors=12), SETTINGS["species"]):
        other = store.Card("wrong", CLASSES, NeighborsMap(), spatial=settings)
        with pytest.raises(ModelError, match="export it with the right settings"):
            SpatialModel(other, weights, "", tmp_path / "model.pt")
    read = store.load(str(tmp_path / "model.pt")).card
    assert read.spatial == SETTINGS["local"]
    assert not read.elements


def test_elements_of_a_model_are_in_its_card(tmp_path: Path) -> None:
    ase_data = pytest.importorskip("ase.data")
    assert store.load(str(artefact_of(tmp_path, SETTINGS["species"]))).card.elements == {
        "Si": {"mass": 28.085, "weights": []},
        "O": {"mass": 15.999, "weights": []},
    }
    for z, mass in enumerate(MASSES):
        if mass:
            assert ase_data.chemical_symbols[z] == SYMBOLS[z]
            assert mass == pytest.approx(ase_data.atomic_masses[z], rel=2e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 5}, "layers=5 of the spatial graph is not usable; give 0 … 4"),
        ({"neighbors": 0}, "neighbors=0 of the spatial graph"),
        ({"unit": "nm"}, "unit='nm' of the spatial graph is not known; allowed: spacing, angstrom"),
        ({"by_species": True}, "needs two species"),
    ],
)
def test_settings_of_the_graph_are_checked(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SpatialSettings(**given)  # type: ignore[arg-type]
