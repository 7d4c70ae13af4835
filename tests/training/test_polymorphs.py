# SPDX-License-Identifier: BSD-3-Clause
"""Crystals from crystallographic data, and whether a simulated phase is still what its label says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from insitu.errors import SettingError
from insitu.training.dynamics.phase_dynamics import PARTS, deck, judge, order, runs, start
from insitu.training.recipes import load_recipe
from insitu.training.structures.polymorphs import group, operation, orbit, supercell, unit_cell

RECIPE = load_recipe("sio2")[0]
CRYSTALS = [p for p in RECIPE["phase"] if not p.get("disordered")]
#: Space group and density [g/cm³] from the publications that the recipe names.
PUBLISHED = {
    "alpha_quartz": (154, 2.646), "beta_quartz": (180, 2.53), "alpha_cristobalite": (92, 2.33),
    "beta_cristobalite": (227, 2.20), "high_tridymite": (194, 2.18), "low_tridymite": (194, 2.18),
    "coesite": (15, 2.92), "moganite": (15, 2.62), "keatite": (92, 2.50), "stishovite": (136, 4.29),
    "seifertite": (60, 4.29), "pyrite_type": (205, 6.57),
}  # fmt: skip
AMU = 1.66053907


def named(name: str) -> dict[str, Any]:
    return next(p for p in RECIPE["phase"] if p["class"] == name)


def distances(fractional: np.ndarray, cell: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Distances from each Si to the O of 5 × 5 × 5 cells, sorted."""
    n = np.arange(-2, 3)
    steps = np.stack(np.meshgrid(n, n, n, indexing="ij"), axis=-1).reshape(-1, 3)
    si, o = fractional[types == 1], fractional[types == 2]
    d = (o[None, None] + steps[None, :, None] - si[:, None, None]) @ cell
    return np.sort(np.linalg.norm(d, axis=-1).reshape(len(si), -1), axis=1)


@pytest.mark.parametrize("phase", CRYSTALS, ids=[p["class"] for p in CRYSTALS])
def test_a_polymorph_has_its_composition_density_and_coordination(phase: dict[str, Any]) -> None:
    s, types, cell = unit_cell(phase["cell"], phase["symmetry"], phase["sites"])
    assert 2 * (types == 1).sum() == (types == 2).sum()
    grams = AMU * ((types == 1).sum() * 28.0855 + (types == 2).sum() * 15.9994)
    assert grams / np.linalg.det(cell) == pytest.approx(PUBLISHED[phase["class"]][1], rel=0.01)
    d = distances(s, cell, types)
    k = phase["coordination"]
    assert d[:, 0].min() > 1.5
    assert d[:, k - 1].max() < (1.70 if k == 4 else 1.90)
    assert d[:, k].min() > 1.2 * d[:, k - 1].max()


@pytest.mark.parametrize("phase", CRYSTALS, ids=[p["class"] for p in CRYSTALS])
def test_the_symmetry_is_that_of_the_space_group(phase: dict[str, Any]) -> None:
    spacegroup = pytest.importorskip("ase.spacegroup").Spacegroup
    number = PUBLISHED[phase["class"]][0]
    known = spacegroup(number, 2 if number == 227 else 1)
    assert len(group(phase["symmetry"])) == len(known.get_symop())
    if phase["class"] in ("moganite", "keatite"):  # I 2/a and P 4_3 2_1 2: other settings
        return
    for _, *site in phase["sites"]:
        mine = orbit(group(phase["symmetry"]), site)
        theirs = known.equivalent_sites(site)[0]
        assert len(mine) == len(theirs)
        apart = np.abs((mine[:, None] - theirs[None] + 0.5) % 1.0 - 0.5).max(axis=2)
        assert apart.min(axis=1).max() < 2e-3


def test_wrong_operations_are_refused() -> None:
    for text in ("x,y", "x,x,z", "x,y,w", "x,y,z+"):
        with pytest.raises(SettingError, match="no symmetry operation"):
            operation(text)
    with pytest.raises(SettingError, match="no space group"):
        group(["x+1/24,y,z", "y,z,x", "-x,y,z"])


def test_a_supercell_keeps_the_crystal() -> None:
    phase = named("coesite")
    s, types, cell = unit_cell(phase["cell"], phase["symmetry"], phase["sites"])
    r, large_types, large = supercell(s, types, cell, 400)
    assert 250 < len(r) < 600
    assert np.linalg.det(large) / len(r) == pytest.approx(np.linalg.det(cell) / len(s))
    assert distances(r @ np.linalg.inv(large), large, large_types)[:, :4] == pytest.approx(
        np.tile(distances(s, cell, types)[:, :4], (len(r) // len(s), 1)), abs=1e-9
    )


def test_a_crystal_keeps_its_label_only_near_its_sites() -> None:
    phase = named("alpha_quartz")
    run = runs(RECIPE, "training")[0]
    sites, types, cell = start(run, 360)
    rng = np.random.default_rng(0)
    thermal = [(sites + rng.normal(scale=0.15, size=sites.shape), 1.02 * cell) for _ in range(5)]
    thermal = [(r @ np.linalg.inv(cell) @ c + 0.7, c) for r, c in thermal]  # strained, and drifted
    assert judge(phase, thermal, sites, cell, types)[0]
    # Beta quartz has the same bonds, and its sites are 0.3 Å away.
    shift = np.zeros_like(sites)
    shift[types == 2] = rng.normal(size=(int((types == 2).sum()), 3)) * 0.25
    well, why = judge(phase, [(r + shift, c) for r, c in thermal], sites, cell, types)
    assert not well
    assert "from the sites" in why
    # The same distance is what a distorted form asks for, if no bond is broken.
    distorted = phase | {"far": 0.2, "near": 0.9}
    assert judge(distorted, [(r + shift, c) for r, c in thermal], sites, cell, types)[0]
    exchanged = sites.copy()
    some = np.flatnonzero(types == 2)[:40]
    exchanged[some] = sites[np.roll(some, 1)]
    assert not judge(phase | {"near": 9.0}, [(exchanged, cell)], sites, cell, types)[0]


def test_disorder_is_told_by_its_lack_of_bragg_peaks() -> None:
    phase = named("melt")
    training = runs(RECIPE, "training")
    sites, types, cell = start(
        next(r for r in training if r.phase["class"] == "high_tridymite"), 360
    )
    packed, kinds, box = start(next(r for r in training if r.phase["class"] == "melt"), 360)
    assert judge(phase, [(packed, box)], packed, box, kinds)[0]
    rng = np.random.default_rng(1)
    random = rng.random((len(sites), 3)) @ cell
    hot = sites + rng.normal(scale=0.35, size=sites.shape)
    assert order(hot, cell, types) > 0.2 > 2 * order(random, cell, types) - 0.1
    assert judge(phase, [(random, cell)], sites, cell, types)[0]
    assert not judge(phase, [(hot, cell)], sites, cell, types)[0]


def test_no_trajectory_condition_of_the_test_is_in_training() -> None:
    split = {part: runs(RECIPE, part) for part in PARTS}
    seeds = [r.seed for part in PARTS for r in split[part]]
    assert len(seeds) == len(set(seeds))
    for phase in RECIPE["phase"]:
        of = {part: [r for r in split[part] if r.phase is phase] for part in PARTS}
        assert all(of.values())
        assert not {r.pressure for r in of["test"]} & {r.pressure for r in of["training"]}
        known = {t for r in of["training"] for t in r.temperatures}
        assert not known & {t for r in of["test"] for t in r.temperatures}
    assert all("pair_style" in deck(RECIPE, r) for r in split["training"])
