# SPDX-License-Identifier: BSD-3-Clause
"""From a recipe of phases to a model: real dynamics, training, artefact; and the shipped ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import insitu
from insitu.errors import SettingError
from insitu.models import store
from insitu.training.dynamics.phase_dynamics import runs, simulate, snapshots, start
from insitu.training.fit.phases import classes_of, network_of, train_phases
from insitu.training.recipes import load_recipe

SMALL = {
    "stishovite": {"training": [[20.0, 300]], "test": [[25.0, 400]]},
    "alpha_quartz": {"training": [[3.0, 300]], "test": [[3.5, 350]]},
    "pyrite_type": {"training": [[0.0, 5000]], "test": [[0.0, 5200]]},  # melts
}


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    recipe = load_recipe("sio2")[0]
    phases = [p | SMALL[p["class"]] for p in recipe["phase"] if p["class"] in SMALL]
    protocol = {"timestep": 0.001, "atoms": 100, "equilibrate": 40, "gap": 10, "frames": 3}
    training = {"seed": 0, "each": 6, "points": 32, "epochs": 12, "batch": 4, "rate": 0.01}
    network = {"kind": "whole_sample", "width": 16, "hidden": 16}
    return recipe | {
        "phase": phases, "protocol": protocol, "training": training, "network": network,
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phases")
    for part in ("training", "test"):
        for run in runs(small, part):
            simulate(small, run, folder)
    return folder


def test_a_phase_that_does_not_hold_is_dropped(small: dict[str, Any], data: Path) -> None:
    found = snapshots(small, "training", data)
    assert {s.label for s in found} == {"stishovite", "alpha_quartz"}
    assert classes_of(small, found) == ["alpha_quartz", "stishovite"]
    lost = next(r for r in runs(small, "training") if r.phase["class"] == "pyrite_type")
    with np.load(data / f"{lost.name}.npz") as z:
        assert "DROPPED" in str(z["verdicts"][0])
        assert not z["kept"].any()


def test_a_trajectory_is_simulated_once(small: dict[str, Any], data: Path) -> None:
    run = runs(small, "training")[0]
    path = data / f"{run.name}.npz"
    before = path.stat().st_mtime_ns
    assert simulate(small, run, data) == path
    assert path.stat().st_mtime_ns == before


def test_species_are_those_of_the_atom_types(small: dict[str, Any], tmp_path: Path) -> None:
    turned = small | {"spatial": small["spatial"] | {"species": [8, 14]}}
    with pytest.raises(SettingError, match="give their atomic numbers in this order"):
        train_phases(turned, "", tmp_path, tmp_path)


@pytest.mark.parametrize("kind", ["whole_sample", pytest.param("local", marks=pytest.mark.full)])
def test_a_recipe_becomes_a_model(
    kind: str, small: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    recipe = small | {"name": kind}
    if kind == "local":
        spatial = recipe["spatial"] | {
            "neighbors": 16, "layers": 0, "reach": 6.0, "species": [], "by_species": False, "degree": 0,
        }  # fmt: skip
        training = recipe["training"] | {"points": 17}
        recipe |= {"spatial": spatial, "network": {"kind": "local"}, "training": training}
    path = train_phases(recipe, "0" * 64, tmp_path / "model", data)
    card = json.loads((path.parent / "card.json").read_text())
    assert card["classes"] == ["alpha_quartz", "stishovite"]
    assert card["more"]["trajectories"] == {"training": 2, "test": 2}
    assert "Confusion" in (path.parent / "README.md").read_text()
    sample = next(s for s in snapshots(small, "test", data) if s.label == "stishovite")
    species = np.where(sample.types == 1, 14, 8) if kind == "whole_sample" else None
    found, reference = (
        insitu.classify(
            sample.positions, sample.cell, True, species=species, model=str(path), engine=engine
        )
        for engine in ("auto", "torchscript")
    )
    assert found.probabilities == pytest.approx(reference.probabilities, abs=1e-4)
    right = found.probabilities.argmax(1) == 1
    assert right.mean() > (0.8 if kind == "whole_sample" else 0.5)


def test_an_unknown_network_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="allowed: whole_sample, local"):
        network_of(small | {"network": {"kind": "global"}}, 2)


@pytest.mark.parametrize(("model", "share"), [("sio2", 0.9), ("sio2-local", 0.5)])
@pytest.mark.parametrize("name", ["alpha_quartz", "coesite", "stishovite"])
def test_shipped_models_know_crystals_from_crystallographic_data(
    model: str, share: float, name: str
) -> None:
    if model not in store.names():
        pytest.skip(f"{model} is not shipped")
    recipe = load_recipe("sio2")[0]
    run = next(r for r in runs(recipe, "test") if r.phase["class"] == name)
    sites, types, cell = start(run, 200)
    r = sites + np.random.default_rng(5).normal(scale=0.05, size=sites.shape)
    species = np.where(types == 1, 14, 8) if store.load(model).card.elements else None
    found = insitu.classify(r, cell, True, species=species, model=model, threshold=0.0)
    assert found.fractions[name] > share


@pytest.mark.parametrize("name", ["beta_cristobalite", "high_tridymite"])
def test_the_stacking_of_tetrahedra_is_told(name: str) -> None:
    """Cubic and hexagonal stacking of the same tetrahedra, which share all first and second neighbours."""
    recipe = load_recipe("sio2")[0]
    run = next(r for r in runs(recipe, "test") if r.phase["class"] == name)
    sites, types, cell = start(run, 400)
    r = sites + np.random.default_rng(7).normal(scale=0.05, size=sites.shape)
    species = np.where(types == 1, 14, 8)
    found = insitu.classify(r, cell, True, species=species, model="sio2", threshold=0.0)
    assert found.fractions[name] > 0.8
