# SPDX-License-Identifier: BSD-3-Clause
"""A recipe from nothing to an artefact, in small, with real molecular dynamics."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import BIN, require

from insitu.models import store
from insitu.training import recipes
from insitu.training.dynamics import generate
from insitu.training.fit import train


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The shipped recipe with short trajectories, two systems and few maps."""
    text = (recipes.RECIPES / "crystals-cnn.toml").read_text()
    changes = {
        "train_seeds": "[1]", "validation_seeds": "[2]", "test_seeds": "[3]",
        "removed": "[0.0, 0.5]", "crystal_maps": "600", "disordered_maps": "1200",
        "ramp_steps": "600", "snapshots": "3", "melt_steps": "500", "cool_steps": "300",
        "epochs": "2", "liquid": "[4, 4, 3]", "ramp": "[0.1, 0.5]",
    }  # fmt: skip
    for key, value in changes.items():
        text, n = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
        assert n
    head, *systems = text.split("[[system]]")
    text = "[[system]]".join([head, *[s for s in systems if '"Al"' in s or '"Fe"' in s]])
    path = tmp_path / "small.toml"
    path.write_text(text)
    return path


def test_recipe_to_artefact(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("wheel")
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    data = tmp_path / "data"
    artefact = train.train(str(recipe), tmp_path / "model", data, workers=2)
    model = store.load(str(artefact))
    assert model.card.classes[0] == "fcc"
    card = (tmp_path / "model" / "README.md").read_text()
    assert "from trajectories [3]" in card
    # Trajectories are kept: the same deck is not run again, another one is.
    loaded, _ = train.load_recipe(str(recipe))
    system = loaded["system"][0]
    stamp = (data / "Al-crystal-1" / "done").stat().st_mtime_ns
    generate.simulate(loaded, system, 1, "crystal", data)
    assert (data / "Al-crystal-1" / "done").stat().st_mtime_ns == stamp
    loaded["protocol"]["ramp"] = [0.1, 0.3]
    generate.simulate(loaded, system, 1, "crystal", data)
    assert (data / "Al-crystal-1" / "done").stat().st_mtime_ns > stamp


def test_splits_share_no_trajectory() -> None:
    recipe, _ = train.load_recipe("crystals-cnn")
    data = recipe["data"]
    seeds = data["train_seeds"] + data["validation_seeds"] + data["test_seeds"]
    assert len(set(seeds)) == len(seeds)


def test_a_cell_that_melts_is_not_labelled_crystal() -> None:
    system = {"lattice": "fcc", "a": 4.05}
    nearest2 = (4.05 / np.sqrt(2)) ** 2
    thermo = np.zeros((5, 4))
    thermo[:, 3] = np.array([0.01, 0.02, 0.03, 0.2, 0.04]) * nearest2
    kept = generate._still_crystal(thermo, system, 0.05)
    # Not the molten one, not the one before it, and none after it even if it looks solid again.
    assert kept.tolist() == [True, True, False, False, False]
