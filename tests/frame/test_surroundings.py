# SPDX-License-Identifier: BSD-3-Clause
"""An atom is no crystal of its own images, and two atoms at one place are noticed."""

import ase.build
import numpy as np
import pytest
import reference

import insitu
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.neighbors.surroundings import odd_surroundings, shortest_period
from insitu.testing import lattice

SMALL = "the periodic cell is so small"
PAIRS = "have another atom at their place"


@pytest.mark.parametrize("side", [2.6, 5.0, 20.0])
def test_one_atom_in_a_box_is_no_crystal(side: float) -> None:
    with pytest.warns(UserWarning, match=SMALL):
        found = insitu.classify([[0.1, 0.2, 0.3]], [side] * 3, True, device="cpu")
    assert (found.labels == -1).all()


@pytest.mark.parametrize(
    ("name", "cubic"), [("Al", False), ("Al", True), ("Fe", True), ("Po", False), ("Mg", False)]
)
def test_unit_cells_are_unknown_and_their_repetition_is_not(name: str, cubic: bool) -> None:
    atoms = ase.build.bulk(name, cubic=cubic)
    with pytest.warns(UserWarning, match=SMALL):
        found = insitu.classify(atoms.positions, atoms.cell.array, True, device="cpu")
    assert (found.labels == -1).all()
    many = atoms * (6, 6, 6)
    whole = insitu.classify(many.positions, many.cell.array, True, device="cpu")
    assert (whole.labels >= 0).all()


def test_a_thin_periodic_sample_keeps_its_labels_with_a_word() -> None:
    """Columns of one period along a dislocation line: many other atoms are around each."""
    r, cell = lattice("bcc", 2.86, (6, 6, 1))
    with pytest.warns(UserWarning, match=SMALL):
        found = insitu.classify(r, cell, True, device="cpu")
    assert found.fractions["bcc"] == 1.0


@pytest.mark.parametrize("apart", [0.0, 0.02, 0.25])
def test_cores_and_shells_are_unknown(apart: float) -> None:
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    r = r + np.random.default_rng(0).normal(0, 0.1, r.shape)
    shells = r + apart * np.random.default_rng(1).choice([-1.0, 1.0], r.shape) / np.sqrt(3)
    with pytest.warns(UserWarning, match=rf"{2 * len(r)} of {2 * len(r)} atoms {PAIRS}"):
        found = insitu.classify(np.vstack([r, shells]), cell, True, device="cpu")
    assert (found.labels == -1).all()


def test_one_atom_that_was_made_twice() -> None:
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    with pytest.warns(UserWarning, match=f"2 of 257 atoms {PAIRS}"):
        found = insitu.classify(np.vstack([r, r[77] + 0.01]), cell, True, device="cpu")
    assert (np.flatnonzero(found.labels == -1)[[0, -1]] == [77, 256]).all()


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.25])
def test_other_units_of_length_are_no_pairs(scale: float) -> None:
    """nm, or reduced units: the general model knows no length."""
    r, cell = lattice("fcc", 4.05 * scale, (4, 4, 4))
    assert insitu.classify(r, cell, True, device="cpu").fractions["fcc"] == 1.0


@pytest.mark.parametrize("cells", [(1, 1, 1), (2, 1, 1), (1, 2, 3), (2, 2, 2), (3, 3, 3)])
def test_counts_are_those_of_plain_numpy(cells: tuple[int, int, int]) -> None:
    r, cell = lattice("fcc", 4.05, cells)
    r = r + np.random.default_rng(5).normal(0, 0.15, r.shape)
    radius = 2.1 * 4.05 / 4 ** (1 / 3)
    frame = Frame.from_arrays(r, cell, True, reach=radius * 1.0001)
    found = odd_surroundings(Neighbors(frame, radius), radius, 18, radius / 2.1)
    others, own = [], 0
    for i in range(len(r)):
        _, owner, d = reference.images_around(i, r, cell, (True,) * 3, radius)
        nearest = owner[np.argsort(d)[:18]]
        own += int((nearest == i).any())
        others.append(len(set(nearest.tolist()) - {i}))
    assert (found is None) == (own == 0)
    if found is not None:
        assert found.own_images == own
        np.testing.assert_array_equal(found.others, others)


@pytest.mark.parametrize("radius", [0.05, 0.4, 2.0, 5.9])
@pytest.mark.parametrize("how", ["dense", "gas", "droplets", "clumps", "one"])
def test_who_has_a_neighbour_within(how: str, radius: float) -> None:
    rng = np.random.default_rng(7)
    side = 12.0 if how == "dense" else 300.0
    r = rng.random((1 if how == "one" else 700, 3)) * side
    if how == "droplets":
        r = r[:3].repeat(250, axis=0)[:700] + rng.normal(0, 4.0, (700, 3))
    if how == "clumps":  # one atom, two or three at about one place
        r = r[rng.integers(0, 400, 700)] + rng.normal(0, 0.03, (700, 3))
    selected = rng.random(len(r)) < 0.7
    frame = Frame.from_arrays(r, None, False, reach=0.0, selected=selected)
    search = Neighbors(frame, 6.0)
    d = np.linalg.norm(r[:, None] - r, axis=2)
    np.fill_diagonal(d, np.inf)
    expected = (d <= radius).any(axis=1)[search.atoms]
    np.testing.assert_array_equal(search.has_within(radius), expected)
    if how == "clumps" and radius < 1.0:
        assert 0 < expected.sum() < len(expected)


def test_the_shortest_period() -> None:
    cell = np.array([[10.0, 0, 0], [9.0, 3.0, 0], [0, 0, 50.0]])  # b - a is short
    frame = Frame.from_arrays(np.zeros((1, 3)), cell, True, reach=0.0)
    assert shortest_period(frame) == pytest.approx(np.sqrt(10.0))
    assert shortest_period(Frame.from_arrays(np.zeros((1, 3)), None, False, reach=0.0)) == np.inf


def test_a_density_that_the_model_never_saw() -> None:
    """As in a run: models on absolute distances were trained at certain densities."""
    r, cell = lattice("fcc", 5.3, (4, 4, 4))
    with pytest.warns(UserWarning, match=r"neighbours within 6 Å.*'crystals-cnn' was trained on"):
        insitu.classify(r, cell, True, model="crystals-cnn", device="cpu")
