# SPDX-License-Identifier: BSD-3-Clause
"""Elastic tensors of one potential: labels by LAMMPS, how they are dealt out, a network made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from insitu.analyses.base import System
from insitu.analyses.crystal.analysis import CrystalAnalysis, CrystalSettings
from insitu.cli.command import main
from insitu.crystal import elastic_tensor
from insitu.crystal.prediction import weights
from insitu.crystal.tensors.voigt import from_voigt, to_voigt
from insitu.errors import DeckError, ModelError, SettingError
from insitu.training.data.elastic_runs import Potential, elastic_run
from insitu.training.data.potential_tensors import (
    Decorated,
    dealt,
    decorated,
    label,
    made,
    part_of,
    rejected,
)
from insitu.training.fit.tensors import TensorNetwork, fit, graphs, save
from insitu.training.runs import LammpsLibrary

NI_AL = Potential("eam/alloy", ("* * {potentials}/NiAlH_jea.eam.alloy Ni Al",), ("Ni", "Al"))
#: Radii [Å] of nickel and aluminium.
RADII = (1.24, 1.21)
FCC = 0.5 * (1 - np.eye(3))


@pytest.fixture(scope="module")
def crystals() -> dict[str, Decorated]:
    """Return the decorated prototypes by name."""
    return {c.name: c for c in decorated(NI_AL.elements, RADII, 12)}


def test_prototypes_have_each_decoration_once(crystals: dict[str, Decorated]) -> None:
    """Two species, two elements: four ways; atoms touch, none is nearer."""
    ways = [n.partition("/")[2] for n in crystals if n.startswith("AB_cP2_221_b_a/")]
    assert sorted(ways) == ["Al,Al", "Al,Ni", "Ni,Al", "Ni,Ni"]
    b2 = crystals["AB_cP2_221_b_a/Ni,Al"]
    assert sorted(b2.types.tolist()) == [1, 2]
    a = (RADII[0] + RADII[1]) * 2 / np.sqrt(3)
    assert b2.cell == pytest.approx(a * np.eye(3), abs=1e-9)
    assert len(crystals) > 500
    assert max(len(c.sites) for c in crystals.values()) <= 12


def test_labels(crystals: dict[str, Decorated], tmp_path: Path) -> None:
    """B2 as LAMMPS' program has it; hexagonal diamond of nickel is unstable; nothing is made twice."""
    names = ["AB_cP2_221_b_a/Ni,Al", "A_hP4_186_ab/Ni", "AB_cP2_221_b_a/Al,Ni"]
    some = [crystals[n] for n in names]
    path = tmp_path / "tensors.jsonl"
    lines = made(NI_AL, some[:2], path, 5)
    kept, other = lines
    program = elastic_run(2.88 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [1, 2], NI_AL)
    assert kept["space_group"] == 221
    assert np.abs(np.array(kept["stiffness"]) - program.stiffness).max() < 0.02
    assert np.sort(kept["numbers"]).tolist() == [13, 28]
    assert np.abs(np.linalg.det(kept["cell"])) / 2 == pytest.approx(program.volume, rel=1e-6)
    assert other["rejected"].startswith("unstable")
    before = path.read_text()
    path.write_text(before + '{"name": "cut by a kill')
    lines = made(NI_AL, some, path, 5)
    assert path.read_text().startswith(before)
    assert [line["name"] for line in lines] == names
    # Both are the same crystal: it is there once.
    assert sum(map(len, dealt(lines).values())) == 1
    assert sum(dict(rejected(lines)).values()) == 1
    (tmp_path / "none").write_text("no lines\n")
    with pytest.raises(SettingError, match="give another file, or remove it"):
        made(NI_AL, [], tmp_path / "none", 1)
    copper = Potential("eam/alloy", ("* * {potentials}/Cu_mishin1.eam.alloy Cu",), ("Cu",))
    with pytest.raises(SettingError, match="give another file for another potential"):
        made(copper, [], path, 1)


def test_what_stops_lammps_is_a_line_and_the_next_goes_on(crystals: dict[str, Decorated]) -> None:
    lammps = LammpsLibrary(20)
    missing = Potential("eam/alloy", ("* * {potentials}/none.eam.alloy Ni Al",), ("Ni", "Al"))
    b2 = crystals["AB_cP2_221_b_a/Ni,Al"]
    assert "none.eam.alloy" in label(b2, missing, lammps)["rejected"]
    assert label(b2, NI_AL, lammps)["space_group"] == 221
    lammps.close()


def test_a_run_that_takes_too_long(tmp_path: Path) -> None:
    """It is said, and what follows in the deck, which LAMMPS then leaves out, is not taken for done."""
    lammps = LammpsLibrary(1)
    atoms = "lattice fcc 3.6\nregion b block 0 9 0 9 0 9\ncreate_box 2 b\ncreate_atoms 1 box\n"
    deck = (
        f"units metal\n{atoms}{NI_AL.lines()}velocity all create 300 1\nfix 1 all nve\nrun {{}}\n"
    )
    lammps.run(tmp_path, deck.format(1))
    with pytest.raises(DeckError, match="took longer than limit=1 s"):
        lammps.run(tmp_path, deck.format(10**6))
    with pytest.raises(DeckError, match="took longer than limit=1 s"):  # also after a `clear`
        lammps.run(tmp_path, deck.format(1) + "clear\n" + deck.format(3000))
    lammps.run(tmp_path, deck.format(1))
    lammps.close()


def line(prototype: str, energy: float) -> dict[str, Any]:
    """Return a line of the file."""
    return {
        "name": f"{prototype}/Ni", "prototype": prototype, "cell": (3.5 * FCC).tolist(),
        "sites": [[0, 0, 0]], "numbers": [28], "energy": energy, "volume": 11.0,
        "stiffness": (100 * np.eye(6)).tolist(),
    }  # fmt: skip


def test_a_crystal_of_two_parts_is_of_training() -> None:
    of: dict[str, list[str]] = {}
    for k in range(100):
        of.setdefault(part_of(f"P{k}"), []).append(f"P{k}")
    assert len(of["train"]) > 50
    assert min(map(len, of.values())) > 2
    assert part_of(of["test"][0] + ":2") == "test"
    lines = [
        line(of["test"][0], -4.0),
        line(of["test"][1], -3.0),
        line(of["train"][0], -4.0 + 1e-5),
    ]
    parts = dealt(lines)
    assert [r.name for r in parts["train"]] == [of["train"][0] + "/Ni"]
    assert [r.name for r in parts["test"]] == [of["test"][1] + "/Ni"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a file of a network for nickel and aluminium, as the benchmark packs it: random weights."""
    net = weights.loaded("elastic")[0][0]
    elements = np.column_stack([net["radius"], net["properties"]])
    torch.manual_seed(1)
    path = tmp_path / "own.npz"
    save([TensorNetwork("elastic", elements)], path, {"elements": ["Ni", "Al"]})
    return path


def test_a_model_of_ones_own(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Python, on the command line and in a deck; other elements and other files are refused."""
    sites, numbers = [[0, 0, 0], [0.5, 0.5, 0.5]], [28, 13]
    own = elastic_tensor(2.88 * np.eye(3), sites, numbers, str(model)).tensor
    dft = elastic_tensor(2.88 * np.eye(3), sites, numbers).tensor
    assert np.linalg.norm(own - dft) > 0.01 * np.linalg.norm(dft)
    with pytest.raises(SettingError, match="was trained on Ni, Al and the crystal has Cu"):
        elastic_tensor(3.6 * FCC, [[0, 0, 0]], [29], str(model))
    ase.io.write(
        tmp_path / "b2.cif", ase.Atoms("NiAl", scaled_positions=sites, cell=[2.88] * 3, pbc=True)
    )
    assert main(["crystal", str(tmp_path / "b2.cif"), "--elastic-model", str(model)]) == 0
    text = capsys.readouterr().out
    assert "elastic tensor as the potential of own.npz at 0 K would have it" in text
    assert f"{to_voigt(own)[0, 0]:8.1f}" in text
    (tmp_path / "other.npz").write_bytes(b"no model")
    assert (
        main(["crystal", str(tmp_path / "b2.cif"), "--elastic-model", str(tmp_path / "other.npz")])
        == 2
    )
    assert "give a file of benchmarks/potential_tensors.py" in capsys.readouterr().err
    with pytest.raises(ModelError, match="is of 'dielectric', not 'elastic'"):
        elastic_tensor(np.eye(3), [[0, 0, 0]], [28], str(weights.FOLDER / "dielectric.npz"))
    system = System(n_types=1, classes=("fcc",), species=("Cu",), masses=(63.5,))
    with pytest.raises(SettingError, match="was trained on Ni, Al and the atom types have Cu"):
        CrystalAnalysis(CrystalSettings(elastic=True, elastic_model=str(model), cutoff=6.0), system)
    system = System(n_types=1, classes=("fcc",), species=("Ni",), masses=(58.7,))
    with pytest.raises(SettingError, match="add elastic yes"):
        CrystalAnalysis(CrystalSettings(elastic_model=str(model), cutoff=6.0), system)


def test_a_file_that_is_no_model_is_told(model: Path, tmp_path: Path) -> None:
    """Cut, changed, empty, of another kind of file, with other contents: never an error of NumPy's."""
    whole, file = model.read_bytes(), tmp_path / "bad.npz"
    middle = len(whole) // 2
    cases = [b"", b"PK\x03\x04" + bytes(99), whole[:middle]]
    cases.append(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    for notes in ("{", "[1]", "{}", '{"kind": "elastic", "networks": 1}', '{"networks": 0}'):
        np.savez(file, notes=notes)
        cases.append(file.read_bytes())
    np.savez(file, **{"notes": '{"kind": "elastic", "networks": 1}', "7/radius": np.ones(95)})
    cases.append(file.read_bytes())
    np.save(tmp_path / "array.npy", np.ones(3))
    cases.append((tmp_path / "array.npy").read_bytes())
    for content in cases:
        file.write_bytes(content)
        weights.loaded.cache_clear()
        with pytest.raises(
            ModelError, match=r"bad\.npz.*give a file of benchmarks/potential_tensors"
        ):
            elastic_tensor(3.5 * FCC, [[0, 0, 0]], [28], str(file))


def test_a_fit_begins_with_given_weights() -> None:
    """At no rate of learning nothing changes; at a small one the tensors of training are approached."""
    net = weights.loaded("elastic")[0][0]
    elements = np.column_stack([net["radius"], net["properties"]])
    start = {k: torch.tensor(v, dtype=torch.float32) for k, v in net.items()}
    rng = np.random.default_rng(0)
    records = []
    for k in range(8):
        turn = Rotation.random(rng=rng).as_matrix()
        one = dealt([{**line("A", -4.0), "cell": (3.5 * FCC @ turn.T * (1 + 0.01 * k)).tolist()}])
        (record,) = (r for part in one.values() for r in part)
        records.append(record)
    data = graphs(records, "elastic")
    errors = []
    for rate in (1e-9, 3e-3):
        made_net, _ = fit(data, data, "elastic", 0, 12, 1, elements, start=start, rate=rate)
        with torch.no_grad():
            found = made_net.eval()(data.batch(np.arange(8)))
        errors.append(float(torch.linalg.norm(found - data.target, dim=1).mean()))
        if rate < 1e-6:
            own = elastic_tensor(records[0].cell, records[0].sites, records[0].numbers).tensor
            assert np.abs(from_voigt(found[0].numpy().reshape(6, 6)) - own).max() < 0.05
    assert errors[1] < 0.9 * errors[0]
