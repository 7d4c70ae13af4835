# SPDX-License-Identifier: BSD-3-Clause
"""The crystal of each phase: the contract, on 1 to 4 ranks, two phases in one box, and what is none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from insitu.analyses.base import System
from insitu.analyses.crystal import analysis as module
from insitu.analyses.crystal.analysis import CrystalAnalysis, CrystalSettings
from insitu.crystal import formation_energy
from insitu.crystal.prediction.tensors import dielectric_tensor, elastic_tensor
from insitu.crystal.prediction.weights import loaded
from insitu.crystal.tensors.projection import rotate
from insitu.crystal.tensors.symmetry_distance import closest_symmetry
from insitu.crystal.tensors.voigt import from_voigt, to_voigt
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.testing import check_analysis, lattice, sample
from insitu.training.fit.tensors import TensorNetwork, save

CLASSES = ("fcc", "bcc", "hcp", "disordered", "unknown")


def analysed(r, cell, phase, types=None, pbc=True, **given):
    """Return the observables of one frame."""
    n_types = 1 if types is None else int(np.max(types))
    system = System(
        n_types=n_types, cell=cell, classes=CLASSES, species=("Ni", "Al")[:n_types],
        masses=(58.693, 26.982)[:n_types],
    )  # fmt: skip
    a = CrystalAnalysis(CrystalSettings(**{"cutoff": 6.0, **given}), system)
    frame = replace(
        Frame.from_arrays(r, cell, pbc, reach=6.001, types=types), results={"phase": phase}
    )
    a(frame, Neighbors(frame, 6.0))
    return a.phases, a.finish(a.together(Ranks()))


def test_contract() -> None:
    s = sample("fcc", 4.05, 6)
    s = replace(s, phase=np.zeros(len(s.positions), dtype=np.int64), types=1 + 0 * s.types)
    s.types[0] = 2
    found = check_analysis(
        CrystalAnalysis, {"phase": ["fcc"], "cutoff": 5.5}, of=s, invariant=("order",)
    )
    assert max(found.values()) < 1e-9


def test_two_phases_in_one_box() -> None:
    """Fcc beside bcc, each with its own crystal; a phase of disordered atoms has none."""
    rng = np.random.default_rng(0)
    a, cell = lattice("fcc", 3.60, (6, 6, 6))
    b, other = lattice("bcc", 2.88, (9, 7, 7))
    gas = rng.random((400, 3)) * 20.0
    r = np.concatenate([a, b + np.array([cell[0, 0] + 2, 0, 0]), gas + np.array([60, 0, 0])])
    r[: len(a) + len(b)] += rng.normal(scale=0.1, size=(len(a) + len(b), 3))
    phase = np.repeat([0, 1, 2], [len(a), len(b), len(gas)])
    types = np.repeat([1, 2, 1], [len(a), len(b), len(gas)])
    phases, values = analysed(r, np.diag([90.0, 40, 40]), phase, types, pbc=False)
    assert phases == ("fcc", "bcc", "hcp")
    assert values["crystal/space_group"].tolist() == [225, 229, 0]
    assert values["crystal/length"][:2, 0] == pytest.approx([3.60, 2.88], rel=2e-3)
    assert values["crystal/density"][:2] == pytest.approx(
        [4 * 58.693 * 1.66054 / 3.6**3, 2 * 26.982 * 1.66054 / 2.88**3], rel=6e-3
    )
    assert np.isnan(values["crystal/length"][2]).all()
    assert (values["crystal/share"][:2] > 0.5).all()
    assert other.shape == (3, 3)


def test_an_ordered_alloy_under_a_label_that_knows_no_species() -> None:
    r, cell = lattice("bcc", 2.88, (8, 8, 8))
    r = r + np.random.default_rng(1).normal(scale=0.12, size=r.shape)
    types = np.tile([1, 2], len(r) // 2)
    _, values = analysed(r, cell, np.ones(len(r), dtype=np.int64), types)
    assert values["crystal/space_group"][1] == 221
    assert values["crystal/sites"][1] == 2
    assert values["crystal/volume"][1] == pytest.approx(2.88**3 / 2, rel=1e-3)
    inside = cell @ np.linalg.inv(values["crystal/cell"][1])
    assert np.abs(inside - np.rint(inside)).max() < 0.02


def test_predicted_tensor_is_in_the_axes_of_the_box() -> None:
    """A turned crystal has the turned tensor; that of silicon is as the function gives it."""
    r, cell = lattice("bcc", 2.88, (8, 8, 8))
    r = r + np.random.default_rng(2).normal(scale=0.05, size=r.shape)
    types = np.tile([1, 2], len(r) // 2)
    phase = np.ones(len(r), dtype=np.int64)
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
    found = []
    for axes in (np.eye(3), turn):
        _, values = analysed(r @ axes.T, cell @ axes.T, phase, types, elastic=True)
        found.append((values["crystal/stiffness"][1], values["crystal/bulk_modulus"][1]))
    (upright, bulk), (turned, again) = found
    assert bulk == pytest.approx(again, rel=1e-3)
    expected = to_voigt(rotate(from_voigt(upright), turn))
    assert np.abs(turned - expected).max() < 0.01 * np.abs(upright).max()
    assert bulk == pytest.approx((upright[0, 0] + 2 * upright[0, 1]) / 3, rel=0.02)
    system = System(n_types=1, classes=CLASSES)
    with pytest.raises(SettingError, match="elastic=yes"):
        CrystalAnalysis(CrystalSettings(elastic=True), system)


def test_a_model_of_ones_own_predicts(tmp_path: Path) -> None:
    """The tensor in the history is that of the file, for the cell in the history."""
    net = loaded("elastic")[0][0]
    torch.manual_seed(1)
    own = TensorNetwork("elastic", np.column_stack([net["radius"], net["properties"]]))
    save([own], tmp_path / "own.npz", {"elements": ["Ni", "Al"]})
    r, cell = lattice("fcc", 3.52, (6, 6, 6))
    r = r + np.random.default_rng(4).normal(scale=0.05, size=r.shape)
    file = str(tmp_path / "own.npz")
    phase = np.zeros(len(r), dtype=np.int64)
    _, values = analysed(r, cell, phase, elastic=True, elastic_model=file)
    expected = elastic_tensor(values["crystal/cell"][0], [[0, 0, 0]], [28], file).tensor
    assert values["crystal/stiffness"][0] == pytest.approx(to_voigt(expected), rel=1e-6, abs=1e-3)
    dft = to_voigt(elastic_tensor(values["crystal/cell"][0], [[0, 0, 0]], [28]).tensor)
    assert np.abs(values["crystal/stiffness"][0] - dft).max() > 10


def test_pairs_that_are_not_known() -> None:
    """A lattice whose translations are longer than the cutoff is none."""
    r, cell = lattice("hcp", 3.2, (7, 5, 5))
    _, values = analysed(r, cell, np.full(len(r), 2), cutoff=4.0)
    assert values["crystal/space_group"][2] == 0


def test_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="Did you mean 'fcc'"):
        CrystalAnalysis(CrystalSettings(phase=("fc",)), System(classes=CLASSES))
    with pytest.raises(SettingError, match="are no lattices"):
        CrystalAnalysis(CrystalSettings(), System(classes=("melt", "unknown")))
    monkeypatch.setattr(module, "available", lambda: False)
    with pytest.raises(SettingError, match="pip install 'insitu\\[crystal\\]'"):
        CrystalAnalysis(CrystalSettings(), System(classes=CLASSES))


def test_symmetry_breaking_and_dielectric_tensor() -> None:
    """0 for the cubic cell, that of the tensor itself for the stretched one; turned boxes are alike."""
    r, cell = lattice("bcc", 2.88, (8, 8, 8))
    types, phase = np.tile([1, 2], len(r) // 2), np.ones(len(r), dtype=np.int64)
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
    given = {"dielectric": True, "energy": True, "parent": "cubic"}
    found = {}
    for stretch in (1.0, 1.05):
        for name, axes in (("box", np.eye(3)), ("turned", turn)):
            deform = np.diag([1.0, 1.0, stretch]) @ axes.T
            _, values = analysed(r @ deform, cell @ deform, phase, types, **given)
            found[stretch, name] = values
    upright, tetragonal = found[1.0, "box"], found[1.05, "box"]
    assert upright["crystal/symmetry_breaking"][1] < 1e-6
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    stretched = np.diag([2.88, 2.88, 1.05 * 2.88])
    tensor = elastic_tensor(stretched, sites, [28, 13]).tensor
    assert tetragonal["crystal/symmetry_breaking"][1] == pytest.approx(
        closest_symmetry(tensor, "cubic")[0], rel=1e-6
    )
    assert tetragonal["crystal/symmetry_breaking"][1] > 0.01
    assert np.allclose(
        tetragonal["crystal/dielectric"][1], dielectric_tensor(stretched, sites, [28, 13]).tensor
    )
    energy = formation_energy(stretched, sites, [28, 13]).value
    for name in ("box", "turned"):
        assert found[1.05, name]["crystal/formation_energy"][1] == pytest.approx(energy, abs=1e-5)
    again = found[1.05, "turned"]
    assert again["crystal/symmetry_breaking"][1] == pytest.approx(
        tetragonal["crystal/symmetry_breaking"][1], rel=1e-6
    )
    assert np.allclose(
        again["crystal/dielectric"][1], turn @ tetragonal["crystal/dielectric"][1] @ turn.T
    )
    with pytest.raises(SettingError, match="parent=cubic: properties are predicted for elements"):
        CrystalAnalysis(CrystalSettings(parent="cubic"), System(n_types=1, classes=CLASSES))


def test_of_what_no_network_knows_the_properties_are_missing() -> None:
    """Einsteinium is beyond the tables: the crystal is found, its tensor is not, and the run goes on."""
    r, cell = lattice("fcc", 5.75, (6, 6, 6))
    system = System(n_types=1, cell=cell, classes=CLASSES, species=("Es",), masses=(252.0,))
    settings = CrystalSettings(
        phase=("fcc",), cutoff=8.0, elastic=True, energy=True, parent="cubic"
    )
    a = CrystalAnalysis(settings, system)
    phase = {"phase": np.zeros(len(r), dtype=np.int64)}
    frame = replace(Frame.from_arrays(r, cell, True, reach=8.001), results=phase)
    a(frame, Neighbors(frame, 8.0))
    values = a.finish(a.together(Ranks()))
    assert values["crystal/space_group"].tolist() == [225]
    assert np.isnan(values["crystal/stiffness"]).all()
    assert np.isnan(values["crystal/symmetry_breaking"]).all()


def test_a_tensor_that_is_not_positive_definite_has_no_moduli() -> None:
    r, cell = lattice("sc", 3.0, (8, 8, 8))
    stretch = np.diag([1, 1, 7 / 3])
    system = System(
        n_types=1, cell=cell, classes=("sc", "unknown"), species=("Po",), masses=(209.0,)
    )
    a = CrystalAnalysis(CrystalSettings(cutoff=9.0, elastic=True), system)
    phase = {"phase": np.zeros(len(r), dtype=np.int64)}
    frame = replace(
        Frame.from_arrays(r @ stretch, cell @ stretch, True, reach=9.001), results=phase
    )
    a(frame, Neighbors(frame, 9.0))
    values = a.finish(a.together(Ranks()))
    assert values["crystal/space_group"].tolist() == [123]
    assert np.linalg.eigvalsh(values["crystal/stiffness"][0]).min() < 0
    assert np.isnan([values["crystal/bulk_modulus"][0], values["crystal/shear_modulus"][0]]).all()
