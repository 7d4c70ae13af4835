# SPDX-License-Identifier: BSD-3-Clause
"""Recipes with stages: real, short dynamics; labels by stage and temperature; two channels."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import insitu
from insitu.errors import SettingError
from insitu.models.store import load
from insitu.training.stages import configurations, deck, simulate
from insitu.training.train import load_recipe, train
from insitu.training.vitrification import build, colors, labelled

NAMES = ["vitrification-ni", "vitrification-cuzr"]


def small(name: str) -> dict[str, Any]:
    """Return a recipe of a second: few atoms, few steps."""
    recipe = copy.deepcopy(load_recipe(name)[0])
    for stage in recipe["stage"]:
        stage["steps"], stage["every"] = 40, 10
    for rule in recipe["labels"]:
        rule["temperature"], rule["number"] = [0, 20000], 2
    recipe["system"] |= {"cells": 3, "soft_steps": 100}
    if recipe["system"]["start"] == "random":
        recipe["system"]["atoms"] = [60, 60]
    recipe["data"]["atoms"] = 50
    return recipe


@pytest.mark.parametrize("name", NAMES)
def test_the_split_is_by_trajectory_and_labels_do_not_overlap(name: str) -> None:
    recipe, _ = load_recipe(name)
    data = recipe["data"]
    assert data["test_seeds"]
    assert not set(data["test_seeds"]) & {*data["train_seeds"], *data["validation_seeds"]}
    stages = {s["name"] for s in recipe["stage"]}
    rules = recipe["labels"]
    assert {r["class"] for r in rules} == set(recipe["classes"])
    assert {r["stage"] for r in rules} <= stages
    for a in rules:
        for b in rules:
            if a["class"] != b["class"] and a["stage"] == b["stage"]:
                (low, high), (lower, upper) = a["temperature"], b["temperature"]
                assert high < lower or upper < low


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_and_its_labels(name: str, tmp_path: Path) -> None:
    recipe = small(name)
    folder = simulate(recipe, 1, tmp_path)
    found = configurations(recipe, 1, folder)
    assert [c.stage for c in found] == [s["name"] for s in recipe["stage"] for _ in range(4)]
    atoms = 108 if name == "vitrification-ni" else 120
    for c in found:
        assert c.positions.shape == (atoms, 3)
        assert np.bincount(c.types)[1:].tolist() == ([108] if atoms == 108 else [60, 60])
        assert np.isfinite(c.energy)
    chosen = labelled(recipe, found)
    assert len(chosen) == 2 * len(recipe["labels"])
    written = (folder / "done").stat().st_mtime_ns
    simulate(recipe, 1, tmp_path)
    assert (folder / "done").stat().st_mtime_ns == written  # the same deck is not run again
    assert deck(recipe, 2) != deck(recipe, 1)
    recipe["labels"][0]["number"] = 99
    with pytest.raises(SettingError, match="has 4 snapshots between 0 and 20000 K"):
        labelled(recipe, found)


def test_the_second_channel_has_the_weights_of_the_species(tmp_path: Path) -> None:
    recipe = small("vitrification-cuzr")
    assert np.allclose(colors(recipe), [[0.0, 0.5, 1.5]])  # type: ignore[arg-type]
    assert colors(small("vitrification-ni")) is None
    folder = simulate(recipe, 1, tmp_path)
    c = labelled(recipe, configurations(recipe, 1, folder))[0][0]
    recipe["data"]["atoms"] = 120
    maps = build(recipe, [1], tmp_path, np.random.default_rng(0))
    assert maps.images.shape == (6 * 120, 2, 32, 32)
    one = insitu.neighbors_map(c.positions, c.cell, True, weights=np.array([0, 0.5, 1.5])[c.types])
    ours = maps.images.reshape(len(maps), -1)
    for image in one[:5]:  # maps are shuffled
        assert np.abs(ours - image.ravel()).max(axis=1).min() < 1e-6


def test_from_recipe_to_a_model_that_classifies(tmp_path: Path) -> None:
    """All of `insitu train`, on a recipe of one's own that is as small as it can be."""
    text = (Path(insitu.__file__).parent / "models/recipes/vitrification-cuzr.toml").read_text()
    recipe = small("vitrification-cuzr")
    for stage in load_recipe("vitrification-cuzr")[0]["stage"]:
        text = text.replace(f"steps = {stage['steps']}", "steps = 100")
        text = text.replace(f"every = {stage['every']}", "every = 10")
    for rule in load_recipe("vitrification-cuzr")[0]["labels"]:
        text = text.replace(
            f"temperature = {rule['temperature']}\nnumber", "temperature = [0, 20000]\nnumber"
        )
        text = text.replace(f"number = {rule['number']}", "number = 2")
    text = text.replace("atoms = [400, 400]", "atoms = [60, 60]\nsoft_steps = 100")
    text = text.replace("window = [300, 1300]", "window = [0, 20000]")
    text = text.replace("epochs = 8 ", "epochs = 1 ")
    (tmp_path / "own.toml").write_text(text)
    model = load(str(train(str(tmp_path / "own.toml"), tmp_path / "out", tmp_path / "data")))
    assert model.card.channels == 2
    assert model.card.elements["Zr"] == {"mass": 91.224, "weights": [1.5]}
    assert model.native
    folder = tmp_path / "data" / "CuZr-stages-2"
    c = configurations(recipe, 2, folder)[-1]
    numbers = np.where(c.types == 1, 29, 40)
    path = str(tmp_path / "out")
    both = [
        insitu.classify(c.positions, c.cell, True, numbers, model=path, engine=e).probabilities
        for e in ("native", "torchscript")
    ]
    assert np.abs(both[0] - both[1]).max() < 1e-4
    with pytest.raises(SettingError, match="give species, the atomic number of each atom"):
        insitu.classify(c.positions, c.cell, True, model=path)
    with pytest.raises(SettingError, match=r"atomic number 13 \(Al\)"):
        insitu.classify(c.positions, c.cell, True, numbers * 0 + 13, model=path)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "one channel" in card
    assert "| energy (K) | model (K) |" in card
