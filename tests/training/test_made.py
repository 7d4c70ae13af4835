# SPDX-License-Identifier: BSD-3-Clause
"""Training data without molecular dynamics: lattices, gases, and crystals that are no class."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import SettingError
from insitu.frame.lattices.copies import displaced, nearest, repeated, shuffled, unlikeness
from insitu.testing import LATTICES
from insitu.training.recipes import load_recipe
from insitu.training.structures import foreign
from insitu.training.structures.foreign import made_up
from insitu.training.structures.made import (
    gas,
    lattice_sample,
    made,
    strained_class,
    with_interstitials,
)
from insitu.training.structures.no_class import FOREIGN

DIAMOND = np.array(LATTICES["cubic_diamond"][1])


def test_the_parts_of_the_prototypes_have_nothing_in_common() -> None:
    recipe, _ = load_recipe("metals")
    parts = [recipe["foreign"][p] for p in ("training", "calibration", "test", "known", "between")]
    names = [n for p in parts for n in p]
    assert len(names) == len(set(names)) == 288


@pytest.mark.parametrize("ratio", [0.85, 1.0, 1.15, 1.25, 1.41, 1.5])
def test_the_bain_path_switches_between_bcc_and_fcc(ratio: float) -> None:
    # Template matching (OVITO 3.17, no limit) says bcc up to 1.18 and fcc from 1.20 on.
    want = "bcc" if ratio < 1.19 else "fcc"
    assert strained_class("bcc", np.diag([ratio, 1.0, 1.0])) == want
    back = np.diag([ratio / np.sqrt(2.0), 1.0, 1.0])
    assert strained_class("fcc", back) == want


def test_at_the_switch_and_far_away_there_is_no_class() -> None:
    assert strained_class("bcc", np.diag([1.0, 1.0, 2**0.25])) == ""
    assert strained_class("sc", np.diag([1.0, 1.0, 1.5])) == ""


@given(st.sampled_from(list(LATTICES)), st.integers(0, 10**6))
def test_rotations_and_size_do_not_change_a_class(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    f = np.eye(3) + rng.uniform(-0.1, 0.1, (3, 3))
    assert strained_class(name, f) == strained_class(name, 1.3 * f @ q)


def test_nearest_distances_are_those_of_diamond() -> None:
    d = nearest(DIAMOND, np.eye(3), 16)
    unit = 8 ** (1 / 3)  # one atom a volume
    np.testing.assert_allclose(d[:, :4], unit * np.sqrt(3) / 4)
    np.testing.assert_allclose(d[:, 4:], unit / np.sqrt(2))
    assert unlikeness(DIAMOND, np.eye(3)).max() < 1e-6


def test_made_up_crystals_are_like_no_class_and_not_too_dense() -> None:
    rng = np.random.default_rng(4)
    for crystal in (made_up(rng), made_up(rng), made_up(rng, layered=True), shuffled(rng)):
        assert unlikeness(*crystal).min() > 0.04
        assert nearest(*crystal, 1).min() > 0.54
        r, cell, site = repeated(*crystal, 5.6)
        assert abs(np.linalg.det(cell)) == pytest.approx(len(r))
        assert len(site) == len(r)


def test_displacements_have_the_width_that_is_asked_for() -> None:
    rng = np.random.default_rng(5)
    still, cell, _ = repeated(DIAMOND, np.eye(3), 8.0)
    moved, same, _ = displaced((DIAMOND, np.eye(3)), 0.05, 0.0, rng, height=8.0)
    np.testing.assert_allclose(same, cell)
    width = (moved - still).std() / nearest(DIAMOND, np.eye(3), 1).min()
    assert width == pytest.approx(0.05, rel=0.1)


def test_interstitials_are_in_holes_and_have_no_label() -> None:
    rng = np.random.default_rng(6)
    s = lattice_sample("fcc", np.eye(3), 0.0, rng)
    r, labels = with_interstitials(s.positions, s.cell, s.labels, 0.05, rng)
    added = labels == ""
    assert added.sum() == round(0.05 * len(s.positions))
    d = r[added][:, None] - s.positions[None]
    d -= np.rint(d @ np.linalg.inv(s.cell)) @ s.cell
    shortest = nearest(np.array(LATTICES["fcc"][1]), np.eye(3), 1).min()
    assert np.linalg.norm(d, axis=-1).min() > 0.5 * shortest


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_gases_lie_in_their_cell(kind: int) -> None:
    for seed in range(4):
        r, cell = gas(np.random.default_rng(seed), 120, kind)
        assert len(r) > 60
        assert ((r >= 0) & (r <= np.diag(cell))).all()


def test_a_recipe_makes_what_it_says() -> None:
    numbers = {
        "strained": 2, "interstitials": 0.05, "gapped": 1, "removed": 0.5, "bain": 2, "stackings": 1,
        "gases": 3, "strain": 0.1, "displacement": 0.05,
    }  # fmt: skip
    found = list(made(numbers, 1))
    kinds = [s.kind for s in found]
    assert kinds.count("gas") == 3
    assert kinds.count("stack") == 3
    assert kinds.count("interstitials") == len(LATTICES)
    again = list(made(numbers, 1))
    assert all((a.positions == b.positions).all() for a, b in zip(found, again, strict=True))


def test_prototypes_are_named_by_label_and_occurrence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {
        "tags": {"aflow": "A_cP1_221_a"},
        "snl": {
            "lattice": {"matrix": (-np.eye(3)).tolist()},
            "sites": [{"abc": [0, 0, 0], "label": "Po"}],
        },
    }
    folder = tmp_path / "pymatgen" / "analysis" / "prototypes"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    with gzip.open(folder / "aflow_prototypes.json.gz", "wt") as file:
        json.dump([entry, entry], file)

    class Spec:
        submodule_search_locations = (str(folder),)

    monkeypatch.setattr(foreign, "find_spec", lambda name: Spec)
    found = foreign.prototypes()
    assert list(found) == ["A_cP1_221_a", "A_cP1_221_a:2"]
    assert np.linalg.det(found["A_cP1_221_a"][1]) > 0
    monkeypatch.setattr(foreign, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match="pip install pymatgen"):
        foreign.prototypes()


def test_outliers_are_their_own_output() -> None:
    from insitu.training.data.graphs import outputs_of

    recipe, _ = load_recipe("metals")
    assert outputs_of(recipe) == [*recipe["classes"], FOREIGN]
    assert outputs_of({"classes": ["fcc"]}) == ["fcc"]
