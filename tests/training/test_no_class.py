# SPDX-License-Identifier: BSD-3-Clause
"""Crystals that are no class, and crystals with surfaces: what the general model's borders are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from insitu.frame.lattices.copies import nearest, neighbors_of, supercell
from insitu.testing import LATTICES, lattice
from insitu.training.structures.made import deformation, strained_class
from insitu.training.structures.no_class import (
    FOREIGN,
    crystals_of_no_class,
    families,
    held_out,
    without_dynamics,
)
from insitu.training.structures.sites import Prints, affine_fit, labels_of
from insitu.training.structures.surfaces import coordination, hydride, open_crystal

#: c/a and sites of omega.
OMEGA = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 0.613]])
PLACES = np.array([[0, 0, 0], [1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])


def _cell(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lengths, basis = LATTICES[name]
    return np.array(basis, dtype=float), np.diag(np.asarray(lengths, dtype=float))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["sc", "hcp", "cubic_diamond", "hexagonal_diamond"]), st.integers(0, 10**6))
def test_a_strained_and_turned_lattice_is_its_class(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sites, cell = _cell(name)
    f = deformation(rng, 0.1)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    assert strained_class(name, f) == name
    found = labels_of(sites, 1.7 * cell @ f @ q, FOREIGN)
    assert set(found) == {name}


def test_the_fit_gives_the_strain_back() -> None:
    sites, cell = _cell("fcc")
    f = np.diag([1.05, 0.97, 1.0])
    residual, strain = affine_fit(neighbors_of(sites, cell @ f, 0, 34), "fcc")
    s = np.log(np.diag(f))
    assert residual < 1e-9
    assert strain == pytest.approx(np.linalg.norm(s - s.mean()))


def test_sites_between_a_class_and_none_have_no_label() -> None:
    rng = np.random.default_rng(0)
    sites, cell = supercell(rng, "bcc", 4)
    width = np.linalg.norm(neighbors_of(sites, cell, 0, 1)) * np.cbrt(np.linalg.det(cell) / 4)
    u = rng.normal(size=sites.shape)
    u /= np.sqrt((u**2).sum(axis=1).mean())
    little, some, much = (
        labels_of(sites + part * width * u @ np.linalg.inv(cell), cell, FOREIGN)
        for part in (0.01, 0.04, 0.3)
    )
    assert set(little) == {"bcc"}
    assert FOREIGN not in some
    assert set(much) == {FOREIGN}


def test_an_atom_more_between_the_shells_is_seen() -> None:
    """The site of perovskite's larger cation has fcc's neighbours, and others before their last."""
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5]])
    assert set(labels_of(sites, np.eye(3), FOREIGN)) == {FOREIGN}


def test_omega_and_what_is_held_out_are_found_again() -> None:
    away = held_out({})
    assert (PLACES, 3.1 * OMEGA) in away
    turned = PLACES[::-1] + 0.2, OMEGA * 0.98
    assert turned in away
    assert _cell("bcc") not in away
    sheared = PLACES, OMEGA @ np.diag([1.0, 1.0, 1.25])
    assert sheared not in away
    assert sheared in Prints([_cell("fcc"), sheared])
    assert sheared not in Prints([])


@pytest.mark.parametrize("kind", list(families(np.random.default_rng(0))))
def test_families_make_crystals_without_atoms_on_one_another(kind: str) -> None:
    make = families(np.random.default_rng(3))[kind]
    found = [c for _ in range(12) if (c := make()) is not None]
    assert len(found) > 3
    for sites, cell in found:
        assert sites.shape[1] == 3
        assert nearest(sites, cell, 1).min() > 0.45
    different = {round(float(nearest(*c, 6).sum()), 3) for c in found}
    assert len(different) > 2


def test_a_recipe_gets_as_many_crystals_as_it_says() -> None:
    numbers: dict[str, Any] = {"waved": 2, "netted": 3, "displacement": 0.05, "strain": 0.02}
    found = list(crystals_of_no_class([], numbers, np.random.default_rng(1)))
    kinds = [s.kind for s in found]
    assert kinds.count("netted") <= 6
    assert set(kinds) <= {"waved", "netted"}
    for s in found:
        assert s.positions.shape == (len(s.labels), 3)
        assert abs(np.linalg.det(s.cell)) == pytest.approx(len(s.labels), rel=0.15)
        assert FOREIGN in s.labels or set(s.labels) <= set(LATTICES)
    again = list(without_dynamics({"foreign": numbers}, "training", [1, 0]))
    other = list(without_dynamics({"foreign": numbers}, "training", [1, 1]))
    assert len(again) != len(other) or any(
        a.positions.shape != b.positions.shape or (a.positions != b.positions).any()
        for a, b in zip(again, other, strict=True)
    )


@pytest.mark.parametrize("name", list(LATTICES))
def test_surfaces_cut_a_perfect_crystal(name: str) -> None:
    rng = np.random.default_rng(5)
    r, cell, labels, width = open_crystal(rng, name, 250)
    perfect, box = lattice(name, 1.0, (5, 5, 5))
    bulk = coordination(
        perfect, box, 1.12 * float(np.linalg.norm(perfect[1:] - perfect[0], axis=1).min())
    )
    count = coordination(r, cell, 1.12 * width)
    assert bulk.min() == bulk.max() == count.max()
    assert (count < bulk.max()).any()  # a surface
    assert set(labels) <= {name, ""}
    assert ((labels == "") == (count < 0.3 * bulk.max())).all()


@pytest.mark.parametrize(("name", "hole"), [("fcc", 0.5), ("hcp", 0.5), ("bcc", None)])
def test_interstitials_lie_in_the_lattices_holes(name: str, hole: float | None) -> None:
    r, cell, labels, width = hydride(np.random.default_rng(2), name, 0.25, 60)
    metal, light = r[labels == name], r[labels == ""]
    assert len(light) == round(0.25 * len(metal))
    d = light[:, None] - metal[None]
    d -= np.diag(cell) * np.rint(d / np.diag(cell))
    shortest = np.linalg.norm(d, axis=-1).min(axis=1)
    assert np.ptp(shortest) < 1e-9
    if hole is not None:  # octahedral: half a lattice constant from six atoms
        np.testing.assert_allclose(shortest, width / np.sqrt(2.0))
    else:
        assert (
            min(abs(shortest[0] / width - x) for x in (0.5 / np.sqrt(0.75), np.sqrt(5 / 12))) < 1e-9
        )
