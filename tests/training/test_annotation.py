# SPDX-License-Identifier: BSD-3-Clause
"""Training on snapshots that other methods have labelled: words, labels, splits, artefact."""

import importlib.util
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.io import write
from conftest import BIN, require

import insitu
from insitu.cli import command as cli
from insitu.errors import SettingError
from insitu.models import store
from insitu.offline import ptm
from insitu.testing import lattice
from insitu.training.data import snapshots
from insitu.training.data.annotation import annotate, parse
from insitu.training.fit import annotated
from insitu.training.recipes import load_recipe
from insitu.training.runs import run_lammps

needs_ovito = pytest.mark.skipif(
    importlib.util.find_spec("ovito") is None, reason="OVITO is not installed"
)


def crystal(name: str = "fcc", a: float = 4.05, n: int = 4, **columns: object) -> ase.Atoms:
    positions, cell = lattice(name, a, (n, n, n))
    atoms = ase.Atoms(f"Al{len(positions)}", positions, cell=cell, pbc=True)
    for key, values in columns.items():
        atoms.arrays[key] = np.array(values) * np.ones(len(atoms))
    return atoms


@pytest.mark.parametrize(
    ("text", "method", "column", "classes"),
    [
        ("liquid", "all", "", {"all": "liquid"}),
        ("ptm:hcp", "ptm", "", {"hcp": "hcp"}),
        ("ptm:hcp,other=liquid", "ptm", "", {"hcp": "hcp", "other": "liquid"}),
        ("cna/atom=c_cna:fcc,bcc=ferrite", "cna/atom", "c_cna", {"fcc": "fcc", "bcc": "ferrite"}),
        ("ptm/atom=c_p:hcp", "ptm/atom", "c_p", {"hcp": "hcp"}),
        ("column=i_mine:1=a,-2=b", "column", "i_mine", {"1": "a", "-2": "b"}),
        ("model:hcp", "model", "", {"hcp": "hcp"}),
        ("model=a/model.pt:hcp", "model", "a/model.pt", {"hcp": "hcp"}),
    ],
)
def test_words(text: str, method: str, column: str, classes: dict[str, str]) -> None:
    found = parse(text)
    assert (found.method, found.column, found.classes) == (method, column, classes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ptn:hcp", "the method 'ptn'; known: ptm, .*'ptm'"),
        ("ptm", "do not say which structures"),
        ("ptm:hpc", "no structure 'hpc'; known: other, fcc, hcp.*'hcp'"),
        ("ptm:other", "other=liquid"),
        ("ptm:hcp,hcp=b", "'hcp' twice"),
        ("cna/atom:fcc", "name no column of the file; give cna/atom=c_NAME"),
        ("ptm=c_x:fcc", "is computed by OVITO"),
        ("column=c_x:fcc", "which class an integer"),
        ("two words", "not understood"),
        ("unknown", "cannot be a class"),
        ("ptm:hcp=a b", "cannot be a class"),
    ],
)
def test_words_that_are_not_understood(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse(text)


def test_a_label_that_its_neighbours_do_not_share_is_not_used() -> None:
    """One wrong label in a crystal goes; the right ones around it, with 11 of 12, stay."""
    atoms = crystal(c_cna=1)
    atoms.arrays["c_cna"][17] = 2
    how = parse("cna/atom=c_cna:fcc,hcp")
    labels = annotate(atoms, how, rmsd=0.1, agreement=0.75)
    assert labels[17] == ""
    assert (np.delete(labels, 17) == "fcc").all()
    kept = annotate(atoms, how, rmsd=0.1, agreement=0.0)
    assert kept[17] == "hcp"
    strict = annotate(atoms, how, rmsd=0.1, agreement=1.0)
    assert (strict == "").sum() == 13


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, True, False), (True,) * 3])
def test_labels_do_not_depend_on_where_the_sample_lies(pbc: tuple[bool, ...]) -> None:
    """Outside of its cell, or without a vector where it is free: the 12 neighbours are the same."""
    whole = crystal(n=5)
    whole.positions += np.random.default_rng(0).normal(0, 0.1, whole.positions.shape)
    whole.pbc = pbc
    whole.arrays["c_cna"] = (np.random.default_rng(1).random(len(whole)) > 0.05) + 1.0
    how = parse("cna/atom=c_cna:fcc,hcp")
    want = annotate(whole, how, rmsd=0.1, agreement=0.7)
    assert 0.6 < (want != "").mean() < 1.0
    for offset in ([-1000.0, 3.0, 0.1], [17.0, -17.0, 4e4]):
        moved = whole.copy()
        moved.positions += offset
        moved.cell[~moved.pbc] = 0.0
        np.testing.assert_array_equal(annotate(moved, how, rmsd=0.1, agreement=0.7), want)
    by_model = annotate(moved, parse("model=metals:fcc"), rmsd=0.1, agreement=0.7)
    assert (by_model == "fcc").mean() > 0.97


def test_structures_that_are_not_named_are_not_used() -> None:
    atoms = crystal(c_cna=1)
    atoms.arrays["c_cna"][:100] = 5
    labels = annotate(atoms, parse("cna/atom=c_cna:other=melt"), rmsd=0.1, agreement=0.0)
    assert ((labels == "melt") == (np.arange(256) < 100)).all()
    assert set(labels) == {"melt", ""}


def test_atoms_outside_of_the_computes_group_have_no_label() -> None:
    atoms = crystal(c_cna=1)
    atoms.arrays["c_cna"][:5] = 0
    labels = annotate(atoms, parse("cna/atom=c_cna:fcc,other=melt"), rmsd=0.1, agreement=0.0)
    assert (labels[:5] == "").all()
    assert (labels[5:] == "fcc").all()


def test_ptm_of_lammps_counts_up_to_the_rmsd() -> None:
    atoms = crystal(**{"c_p[1]": 1, "c_p[2]": 0.05})
    atoms.arrays["c_p[2]"][:40] = 0.12
    how = parse("ptm/atom=c_p:fcc,other=melt")
    labels = annotate(atoms, how, rmsd=0.1, agreement=0.0)
    assert ((labels == "melt") == (np.arange(256) < 40)).all()
    assert (annotate(atoms, how, rmsd=0.15, agreement=0.0) == "fcc").all()
    del atoms.arrays["c_p[2]"]
    with pytest.raises(SettingError, match=r"no column 'c_p\[2\]', PTM's RMSD"):
        annotate(atoms, how, rmsd=0.1, agreement=0.0)


def test_a_missing_column_names_those_of_the_file() -> None:
    with pytest.raises(SettingError, match=r"no column 'c_can'; it has: c_cna.*'c_cna'"):
        annotate(crystal(c_cna=1), parse("cna/atom=c_can:fcc"), rmsd=0.1, agreement=0.5)


def test_a_model_labels_by_the_neighbours() -> None:
    """A vacancy's neighbours and an atom pushed aside are in the crystal all the same."""
    atoms = crystal(n=5)
    atoms.positions[40] += 0.9
    del atoms[300]
    labels = annotate(atoms, parse("model=metals:fcc=solid"), rmsd=0.1, agreement=0.75)
    assert labels[40] == "solid"
    assert (labels == "solid").mean() > 0.95
    with pytest.raises(SettingError, match=r"no class 'solid'; it has: fcc"):
        annotate(atoms, parse("model=metals:solid"), rmsd=0.1, agreement=0.75)


@needs_ovito
def test_structures_of_ovito() -> None:
    for name, a in (("fcc", 4.05), ("hcp", 2.9), ("bcc", 2.87), ("cubic_diamond", 5.43)):
        atoms = crystal(name, a, 5)
        for method in ("ptm", "cna"):
            found = ptm.structures(
                atoms.positions, atoms.cell.array, True, method, sought=["cubic_diamond"]
            )
            assert (found == name).all(), (name, method)
    labels = annotate(crystal("bcc", 2.87), parse("ptm:bcc=ferrite"), rmsd=0.1, agreement=0.75)
    assert (labels == "ferrite").all()


@pytest.mark.skipif(importlib.util.find_spec("ovito") is not None, reason="OVITO is installed")
def test_without_ovito_it_says_what_to_do() -> None:
    with pytest.raises(insitu.InsituError, match="pip install ovito, or give columns"):
        annotate(crystal(), parse("ptm:fcc"), rmsd=0.1, agreement=0.5)


def test_noise_moves_its_share_of_the_atoms() -> None:
    atoms = crystal(n=10)
    s = snapshots.Annotated(
        None, 0, "training", atoms.positions, atoms.cell.array, atoms.pbc, np.full(4000, "fcc")
    )  # type: ignore[arg-type]
    moved = annotated.disturbed(s, 0.05, 0.33, np.random.default_rng(1)) - atoms.positions
    which = np.abs(moved).max(axis=1) > 0
    assert abs(which.mean() - 0.33) < 0.03
    expected = 0.05 * (4.05**3 / 4) ** (1 / 3)
    assert abs(moved[which].std() / expected - 1) < 0.05


def files(folder: Path, frames: int = 6) -> list[str]:
    """Write two trajectories, one of a crystal with a column of labels, one without order."""
    rng = np.random.default_rng(0)
    for k in range(frames):
        solid = crystal(c_cna=1)
        solid.positions += rng.normal(0, 0.05, solid.positions.shape)
        write(folder / "solid.xyz", solid, append=k > 0)
        gas = crystal()
        gas.positions[:] = rng.random(gas.positions.shape) @ gas.cell.array
        write(folder / "gas.xyz", gas, append=k > 0)
    return ["--from", "solid.xyz", "cna/atom=c_cna:fcc", "--from", "gas.xyz", "gas"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a recipe, --from FILE LABELS or --class NAME=FILE"),
        (["crystals-cnn", "--noise", "0.1"], "--noise is of annotated snapshots"),
        (["--from", "sold.xyz", "fcc"], "no file data/sold.xyz nor sold.xyz"),
        (["--from", "solid.xyz@1:b", "fcc", "--from", "gas.xyz", "gas"], "frames of solid.xyz: 1:b"),
        (["--from", "solid.xyz", "fcc"], "the only class is .'fcc'."),
        (["--from", "solid.xyz@0", "fcc", "--from", "gas.xyz", "gas"], "class 'fcc' is held out"),
        (["--from", "solid.xyz", "cna/atom=c_cna:hcp", "--from", "gas.xyz", "gas"],
         "no atom of the training snapshots is labelled 'hcp'"),
        (["--from", "solid.xyz", "fcc", "--test", "gas.xyz", "model:gas"], "cannot measure it"),
        (["--from", "solid.xyz", "a", "--from", "gas.xyz", "b", "--noisy", "3"], "noisy = 3"),
        (["annotated"], "has no snapshots; give them with --from"),
    ],
)  # fmt: skip
def test_mistakes(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    files(tmp_path, 2)
    assert cli.main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    with pytest.raises(SettingError, match=message):
        raise SettingError(error)


def test_held_out_snapshots_are_not_trained_on(tmp_path: Path) -> None:
    """Every fourth, from the second; and a snapshot that is given twice stays held out."""
    files(tmp_path)
    recipe, _ = load_recipe("annotated")
    recipe["source"] = [
        {"file": "solid.xyz", "labels": "cna/atom=c_cna:fcc"},
        {"file": "gas.xyz", "labels": "gas"},
        {"file": "solid.xyz", "frames": "1:3", "labels": "model=metals:fcc"},
    ]
    found = snapshots.read(recipe, snapshots.sources(recipe, [tmp_path]))
    assert [s.part == "test" for s in found] == 2 * [False, True, False, False, False, True] + 2 * [
        False
    ]
    kept = snapshots.apart(found)
    assert len(kept) == len(found) - 1
    assert (kept[-1].positions != found[1].positions).any()


def test_atoms_that_do_not_belong_to_the_surroundings_are_left_out(tmp_path: Path) -> None:
    """Training and its labels see the atoms of `neighbors` only."""
    atoms = crystal(c_cna=1)
    hydrogen = crystal(c_cna=5)
    hydrogen.positions += [2.0, 0.0, 0.0]
    hydrogen.numbers[:] = 1
    for _ in range(2):
        write(tmp_path / "hydride.xyz", atoms + hydrogen, append=True)
    recipe, _ = load_recipe("annotated")
    recipe["source"] = [{"file": "hydride.xyz", "labels": "cna/atom=c_cna:fcc"}]
    recipe["data"]["neighbors"] = [str(atoms.symbols[0])]
    found = snapshots.read(recipe, snapshots.sources(recipe, [tmp_path]))
    assert [len(s.positions) for s in found] == [len(atoms)] * 2
    assert all((s.classes == "fcc").all() for s in found)
    recipe["source"][0]["neighbors"] = "W"
    with pytest.raises(SettingError, match=r"neighbors W: .* has no atoms of 'W'"):
        snapshots.read(recipe, snapshots.sources(recipe, [tmp_path]))


def test_recipe_of_hcp_melting_tests_on_another_trajectory() -> None:
    recipe, _ = load_recipe("hcp-melting")
    parts = {
        part: {s["file"] for s in recipe["source"] if s.get("part", "training") == part}
        for part in snapshots.PARTS
    }
    assert parts["training"]
    assert parts["test"]
    assert not parts["training"] & parts["test"]
    assert len({t["seed"] for t in recipe["trajectory"]}) == len(recipe["trajectory"])


DECK = """
units metal
lattice fcc 4.10
region box block 0 4 0 4 0 4
create_box 1 box
create_atoms 1 box
pair_style eam/fs
pair_coeff * * {potential} Al
timestep 0.002
velocity all create {start} 1 dist gaussian
compute cna all cna/atom {cutoff}
fix move all nvt temp {end} {end} 0.1
run {before}
dump all all custom 50 {name}.dump id type x y z c_cna
run 350
"""


def test_from_lammps_to_a_deck(
    potentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A user's whole way: dumps with a compute's column, training, the model in a run."""
    host = require("wheel")
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    for name, start, end, before in (("cold", 500, 300, 100), ("hot", 9000, 2500, 500)):
        run_lammps(tmp_path, DECK.format(
            potential=potentials / "Al_mm.eam.fs", cutoff=3.5, name=name, start=start, end=end,
            before=before,
        ))  # fmt: skip
    arguments = ["--from", "cold.dump", "cna/atom=c_cna:fcc", "--from", "hot.dump", "liquid"]
    arguments += ["--from", "cold.dump@:2", "model:fcc", "--maps", "200", "--epochs", "4"]
    assert cli.main(["train", *arguments, "--out", "mine"]) == 0
    card = capsys.readouterr().out
    assert "# mine" in card
    assert "held-out snapshots of the same trajectories" in card
    model = store.load("mine")
    assert model.card.classes == ["fcc", "liquid"]
    assert model.native
    counts = np.array(model.card.more["confusion"])
    assert counts.diagonal().sum() > 0.9 * counts.sum()
    deck = DECK.split("compute")[0].format(
        potential=potentials / "Al_mm.eam.fs", start=600
    ) + "comm_modify cutoff 8.1\nfix move all nve\n"  # fmt: skip
    deck += host.monitor(20, model="mine/model.pt", file="mine.h5") + "run 60\n"
    run = host.run(tmp_path, deck)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open("mine.h5")
    assert float(history["fraction"].sel(phase="fcc").mean()) > 0.9
