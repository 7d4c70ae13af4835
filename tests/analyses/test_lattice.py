# SPDX-License-Identifier: BSD-3-Clause
"""Fits of lattices by their definition, of turned, strained, hot, cut and ordered crystals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from insitu.analyses.base import System
from insitu.analyses.lattice.analysis import Lattice, LatticeSettings
from insitu.analyses.lattice.fit import LATTICES, ORDERS
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import check_analysis, lattice, sample

CLASSES = (*LATTICES, "disordered", "unknown")
#: Lattice constant of each, for a nearest distance of 2.5 Å, its neighbours, and cells.
CRYSTALS = {
    "fcc": (2.5 * np.sqrt(2), 12, (5, 5, 5)),
    "bcc": (5 / np.sqrt(3), 14, (6, 6, 6)),
    "hcp": (2.5, 12, (7, 4, 4)),
    "cubic_diamond": (10 / np.sqrt(3), 16, (3, 3, 3)),
    "hexagonal_diamond": (2.5 * np.sqrt(8 / 3), 16, (5, 3, 3)),
    "sc": (2.5, 6, (6, 6, 6)),
}
REACH = 6.0


def analysed(name, r, cell, pbc=True, types=None, selected=None, **given):
    """Return columns and observables of the fit of one lattice to all atoms."""
    frame = Frame.from_arrays(r, cell, pbc, reach=REACH * 1.001, types=types)
    label = np.full(frame.n_local, CLASSES.index(name))
    frame = replace(frame, results={"phase": label}, selected=selected)
    n_types = 1 if types is None else int(np.max(types))
    a = Lattice(LatticeSettings(cutoff=REACH, **given), System(classes=CLASSES, n_types=n_types))
    found = dict(a(frame, Neighbors(frame, REACH)))
    return found, a.finish(found)


def crystal(name):
    a, _, repeat = CRYSTALS[name]
    return lattice(name, a, repeat)


def quaternions(found):
    """Return the orientations as rotations."""
    return Rotation.from_quat(np.column_stack([found[f"q{c}"] for c in "xyzw"]))


def misorientation(name, one, other):
    """Return the angles between orientations of a lattice [degrees], by SciPy's rotation groups."""
    hexagonal = name in ("hcp", "hexagonal_diamond")
    group = Rotation.create_group("D6" if hexagonal else "O")
    apart = other.inv() * one
    return np.degrees(np.min([(apart * g).magnitude() for g in group], axis=0))


@pytest.mark.parametrize("name", CRYSTALS)
def test_residual_orientation_and_distance_by_definition(name):
    """PTM's RMSD of the known neighbours, by Kabsch's rotation and the best scale in NumPy."""
    r, cell = crystal(name)
    n_sites = CRYSTALS[name][1]
    sides = np.diag(cell)
    _, near = cKDTree(r % sides, boxsize=sides).query(r % sides, k=n_sites + 1)
    sites = r[near] - r[:, None]
    sites -= sides * np.rint(sites / sides)
    moved = r + np.random.default_rng(1).normal(scale=0.1, size=r.shape)
    own = moved[near] - moved[:, None]
    own -= sides * np.rint(own / sides)
    found, values = analysed(name, moved, cell, averaged=False)
    for i in range(0, len(r), 13):
        w = sites[i] / np.linalg.norm(sites[i, 1:], axis=1).mean()
        v = own[i] - own[i].mean(axis=0)
        turn, _ = Rotation.align_vectors(w, v)
        turned = turn.apply(v)
        scale = (turned * w).sum() / (v**2).sum()
        rmsd = np.sqrt(((scale * turned - w) ** 2).sum(axis=1).mean())
        assert found["residual"][i] == pytest.approx(rmsd, abs=2e-6)
        shortest = np.linalg.norm(w[1:], axis=1).min()
        assert found["distance"][i] == pytest.approx(shortest / scale, abs=1e-5)
        one = quaternions({k: v[i : i + 1] for k, v in found.items() if k[0] == "q"})
        assert misorientation(name, one, turn.inv())[0] < 1e-2
    assert (found["missing"] == 0).all()
    k = list(LATTICES).index(name)
    assert values["lattice/residual"][k] == pytest.approx(found["residual"].mean())
    assert values["lattice/atoms"][k].tolist() == [len(r), 0, 0]
    width = 0.5 / 100
    assert values["lattice/histogram"][k].sum() * width == pytest.approx(1.0)


@given(
    name=st.sampled_from(sorted(CRYSTALS)),
    seed=st.integers(0, 2**31),
    spread=st.floats(0.0, 0.12),
)
@settings(max_examples=10, deadline=None)
def test_turned_and_renumbered_atoms_have_turned_orientations(name, seed, spread):
    rng = np.random.default_rng(seed)
    r, cell = crystal(name)
    r = r + rng.normal(scale=spread, size=r.shape)
    turn, order = Rotation.random(random_state=seed), rng.permutation(len(r))
    before, _ = analysed(name, r, cell)
    after, _ = analysed(name, (turn.apply(r) + 3.0)[order], turn.apply(cell))
    assert np.allclose(after["residual"], before["residual"][order], atol=2e-5)
    apart = misorientation(name, quaternions(after), (turn * quaternions(before))[order])
    assert apart.max() < 0.05
    assert np.allclose(after["shear"], before["shear"][order], atol=1e-4)
    # Of the smallest angle: no rotation of the lattice makes it smaller.
    unit = misorientation(name, quaternions(after), Rotation.identity())
    assert np.allclose(np.degrees(quaternions(after).magnitude()), unit, atol=0.05)


@pytest.mark.parametrize("name", CRYSTALS)
def test_strain_of_a_strained_crystal(name):
    r, cell = crystal(name)
    f = np.eye(3) + np.array([[0.03, 0.01, 0.0], [0.0, -0.02, 0.02], [0.0, 0.0, 0.01]])
    b = np.linalg.inv(f @ f.T)
    strain = 0.5 * (np.eye(3) - b)
    turn = Rotation.from_rotvec([0.2, -0.1, 0.3]).as_matrix()
    strain = turn @ strain @ turn.T
    found, _ = analysed(name, r @ f.T @ turn.T, cell @ f.T @ turn.T, distance=2.5)
    index = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}
    for word, at in index.items():
        assert np.allclose(found[f"e{word}"], strain[at], atol=1e-4), word
    dilated, _ = analysed(name, 1.02 * r, 1.02 * cell)
    assert np.allclose(dilated["exx"], 0.0, atol=1e-5)  # without a distance: no part of the volume
    assert np.allclose(dilated["shear"], 0.0, atol=1e-4)


@pytest.mark.parametrize("name", CRYSTALS)
def test_orientation_of_a_hot_crystal(name):
    """Displacements of 8 % of the nearest distance, each atom for itself: as hot as at melting."""
    r, cell = crystal(name)
    r = r + np.random.default_rng(2).normal(scale=0.2, size=r.shape)
    found, _ = analysed(name, r, cell)
    angle = misorientation(name, quaternions(found), Rotation.identity())
    assert np.median(angle) < 3.0
    assert (angle > 10.0).mean() < 0.01


@pytest.mark.parametrize("name", ["fcc", "bcc", "hcp"])
def test_surface_vacancy_and_interior(name):
    r, cell = crystal(name)
    r = r + np.random.default_rng(3).normal(scale=0.08, size=r.shape)
    middle = int(np.argmin(np.linalg.norm(r - np.diag(cell) / 2, axis=1)))
    first = 8 if name == "bcc" else 12
    near = cKDTree(r).query(r[middle], k=first + 1)[1]
    keep = np.arange(len(r)) != middle
    found, values = analysed(name, r[keep], cell, pbc=np.array([True, True, False]))
    place = np.zeros(len(r))
    place[keep] = found["place"]
    layers = np.unique(np.rint(lattice(name, *CRYSTALS[name][::2])[0][:, 2] / 0.3))
    z = np.rint(lattice(name, *CRYSTALS[name][::2])[0][:, 2] / 0.3)
    outer = (z == layers[0]) | (z == layers[-1])
    assert (place[outer] == 2).all()
    assert (place[near[1:]] == 3).all()
    others = keep & ~outer
    others[near] = False
    assert (place[others] == 1).all()
    k = list(LATTICES).index(name)
    assert values["lattice/atoms"][k].tolist() == [others.sum(), outer.sum(), first]


def species(name, r, cell):
    """Return types of a chemical order on a crystal, by the positions of its cells."""
    a = CRYSTALS[name][0]
    s = np.rint(4 * r / a).astype(int)
    if name == "bcc":
        return 1 + (s[:, 0] % 4 == 2)
    if name == "sc":
        return 1 + (s.sum(axis=1) // 4) % 2
    if name == "cubic_diamond":
        return 1 + (s[:, 0] % 2)
    return 1 + (np.arange(len(r)) % 8 >= 4)  # the second half of its basis


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bcc", {"B2": 1.0}), ("sc", {"rocksalt": 1.0}), ("cubic_diamond", {"zincblende": 1.0}),
     ("hexagonal_diamond", {"wurtzite": 1.0})],
)  # fmt: skip
def test_chemical_order(name, expected):
    r, cell = crystal(name)
    _, values = analysed(name, r, cell, types=species(name, r, cell))
    assert (
        dict(zip(ORDERS, values["lattice/order"], strict=True))
        == dict.fromkeys(ORDERS, 0) | expected
    )
    _, pure = analysed(name, r, cell)
    assert pure["lattice/order"][ORDERS.index("pure")] == 1.0


def test_chemical_order_of_fcc():
    r, cell = lattice("fcc", CRYSTALS["fcc"][0], (4, 4, 4))
    s = np.rint(2 * r / CRYSTALS["fcc"][0]).astype(int) % 2
    layers = 1 + s[:, 2]
    _, values = analysed("fcc", r, cell, types=layers)
    assert values["lattice/order"][ORDERS.index("L1_0")] == 1.0
    corners = np.where(s.any(axis=1), 1, 2)
    _, values = analysed("fcc", r, cell, types=corners)
    order = dict(zip(ORDERS, values["lattice/order"], strict=True))
    assert (order["L1_2 majority"], order["L1_2 minority"]) == (0.75, 0.25)
    other = int(np.flatnonzero(corners == 1)[20])
    corners[other] = (
        2  # an antisite: its twelve neighbours have no order, it has four of its own in a plane
    )
    found, _ = analysed("fcc", r, cell, types=corners)
    assert (found["order"] == 0).sum() == 12
    assert ORDERS[int(found["order"][other])] == "L1_0"
    # Types that are one element are one species.
    frame = Frame.from_arrays(r, cell, True, reach=REACH * 1.001, types=layers)
    frame = replace(frame, results={"phase": np.zeros(len(r), dtype=int)})
    same = Lattice(
        LatticeSettings(cutoff=REACH), System(classes=CLASSES, n_types=2, species=("Al", "Al"))
    )
    assert (same(frame, Neighbors(frame, REACH))["order"] == 1).all()


def test_atoms_with_few_neighbours_have_no_fit():
    r = np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [30, 30, 30]])
    found, values = analysed("fcc", r, np.diag([60.0, 60, 60]))
    assert np.isnan(found["residual"]).all()
    assert set(found["place"]) <= {2.0, 3.0}
    assert np.isnan(values["lattice/residual"]).all()


def test_contract():
    # The fits are in single precision.
    check_analysis(Lattice, {"cutoff": 6.0}, invariant=("order", "translation"), tolerance=1e-5)
    s = sample("bcc", 3.2)
    check_analysis(
        Lattice, {"cutoff": 6.0, "averaged": False}, of=replace(s, phase=np.ones_like(s.phase)),
        invariant=("order", "translation"), tolerance=1e-4,
    )  # fmt: skip


def test_a_model_without_lattices():
    with pytest.raises(SettingError, match="liquid, glass"):
        Lattice(LatticeSettings(), System(classes=("liquid", "glass")))
