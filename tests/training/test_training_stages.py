# SPDX-License-Identifier: BSD-3-Clause
"""Recipes with stages: real, short dynamics; labels by stage and temperature; two channels."""

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import insitu
from insitu.errors import SettingError
from insitu.models.store import load
from insitu.training.dynamics.stages import configurations, curve, deck, simulate
from insitu.training.dynamics.transition_temperatures import Landmarks, find
from insitu.training.fit.train import train
from insitu.training.fit.vitrification import build, colors, labelled
from insitu.training.recipes import load_recipe
from insitu.transitions import Estimate

NAMES = ["vitrification-ni", "vitrification-cuzr"]
NONE = Landmarks(None, {})


def small(name: str) -> dict[str, Any]:
    """Return a recipe of a second: few atoms, few steps."""
    recipe = copy.deepcopy(load_recipe(name)[0])
    for stage in recipe["stage"]:
        stage["steps"], stage["every"] = 40, 10
    for rule in recipe["labels"]:
        rule["temperature"], rule["number"] = [0, 20000], 2
        rule.pop("of", None)
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
    marks = Landmarks(Estimate(900.0, 20.0, (3e-4, 4e-4)), {1: Estimate(2200.0, float("nan"))})
    for a in rules:
        for b in rules:
            if a["class"] != b["class"] and a["stage"] == b["stage"]:
                (low, high), (lower, upper) = marks.range(a, 1), marks.range(b, 1)
                assert high < lower or upper < low


@pytest.mark.parametrize("name", NAMES)
def test_liquid_and_glass_are_labelled_at_equal_distances_from_the_kink(name: str) -> None:
    rules = [r for r in load_recipe(name)[0]["labels"] if r.get("of") == "kink"]
    above = min(r["between"][0] for r in rules if r["class"] == "liquid")
    below = max(r["between"][1] for r in rules if r["class"] == "amorphous")
    assert above - 1 == pytest.approx(1 - below)


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
    chosen = labelled(recipe, found, NONE)
    assert len(chosen) == 2 * len(recipe["labels"])
    written = (folder / "done").stat().st_mtime_ns
    simulate(recipe, 1, tmp_path)
    assert (folder / "done").stat().st_mtime_ns == written  # the same deck is not run again
    assert deck(recipe, 2) != deck(recipe, 1)
    recipe["labels"][0]["number"] = 99
    with pytest.raises(SettingError, match="has 4 snapshots between 0 and 20000 K"):
        labelled(recipe, found, NONE)


def written(folder: Path, name: str, step: np.ndarray, t: np.ndarray, e: np.ndarray) -> None:
    """Write a stage's record as LAMMPS does, and the head of its dump, for two atoms."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / f"{name}.thermo", np.column_stack([step, t, 2 * e]), header="a\nb")
    rows = "".join(f"{k} 1 0 0 0\n" for k in (1, 2))
    head = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n" + 3 * "0 9\n"
    (folder / f"{name}.dump").write_text(head + "ITEM: ATOMS id type x y z\n" + rows)


def test_labels_follow_the_kink_and_the_step_of_the_energy(tmp_path: Path) -> None:
    """Energies of made-up runs whose transitions are known: 900 K, and 2100 and 2200 K."""
    recipe = load_recipe("vitrification-ni")[0]
    recipe["data"] |= {"train_seeds": [1], "validation_seeds": [2], "test_seeds": []}
    rng = np.random.default_rng(0)
    for seed, melts in ((1, 2100.0), (2, 2200.0)):
        folder = tmp_path / f"Ni-stages-{seed}"
        for stage in recipe["stage"]:
            step = np.arange(0, stage["steps"] + 1, 10)
            start, end = stage["temperature"]
            ramp = start + (end - start) * step / stage["steps"]
            noise = rng.normal(0, 30, len(step))
            total = 3.2e-4 * ramp + 0.12 / (1 + np.exp(-(ramp - melts) / 8))
            if stage["name"] == "quench":
                total = np.where(ramp < 900, 3.0e-4, 3.8e-4) * (ramp - 900)
            potential = total - 1.5 * 8.617333e-5 * (ramp + noise) + rng.normal(0, 3e-3, len(step))
            written(folder, stage["name"], step, ramp + noise, potential - 4.0)
        (folder / "done").write_text(deck(recipe, seed))
    t, e = curve(recipe, tmp_path / "Ni-stages-1", "quench")
    assert t.shape == e.shape == (100,)
    assert (t[0], t[-1]) == pytest.approx((2490, 310), abs=2)  # middles of the blocks
    marks = find(recipe, tmp_path)
    assert marks.kink is not None
    assert marks.kink.temperature == pytest.approx(900, abs=4 * marks.kink.error + 4)
    assert marks.kink.error < 15
    assert [marks.melting[s].temperature for s in (1, 2)] == pytest.approx([2100, 2200], abs=12)
    _, crystal, *rest = recipe["labels"]
    assert marks.range(crystal, 2)[1] == pytest.approx(0.97 * 2200, abs=12)
    glass = next(r for r in rest if r["class"] == "amorphous")
    below = marks.kink.temperature - marks.range(glass, 1)[1]
    liquid = min(marks.range(r, 1)[0] for r in rest if r.get("of") == "kink" and r is not glass)
    assert below == pytest.approx((1 - glass["between"][1]) * marks.kink.temperature)
    # As far in energy, with the slopes of this curve.
    assert liquid - marks.kink.temperature == pytest.approx(below * 3.0 / 3.8, rel=0.05)
    with pytest.raises(SettingError, match="one of melting, kink"):
        marks.range({"class": "fcc", "of": "kinks", "between": [0, 1]}, 1)
    with pytest.raises(SettingError, match=r"relative to the melting, which .* trajectory 3"):
        marks.range(crystal, 3)


def test_the_second_channel_has_the_weights_of_the_species(tmp_path: Path) -> None:
    recipe = small("vitrification-cuzr")
    assert np.allclose(colors(recipe), [[0.0, 0.5, 1.5]])  # type: ignore[arg-type]
    assert colors(small("vitrification-ni")) is None
    folder = simulate(recipe, 1, tmp_path)
    c = labelled(recipe, configurations(recipe, 1, folder), NONE)[0][0]
    recipe["data"]["atoms"] = 120
    maps = build(recipe, [1], tmp_path, np.random.default_rng(0), NONE)
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
    # A glass of a second has no kink: labels at any temperature.
    text = re.sub(r'of = "kink"\nbetween = .*\n', "temperature = [0, 20000]\n", text)
    text = text.replace("temperature = [1850, 2150]", "temperature = [0, 20000]")
    text = re.sub(r"number = \d+", "number = 2", text)
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
