# SPDX-License-Identifier: BSD-3-Clause
"""Classes added to `metals` from crystal structures: what is found, what stays, what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import added_classes as structures
import numpy as np
import pytest
import torch
from ase.io import write
from emulated_device import EmulatedDevice
from hypothesis import given
from hypothesis import strategies as st

import insitu
from insitu.analyses.phases.classification import classify_with
from insitu.cli.command import main
from insitu.errors import ModelError, SettingError
from insitu.frame.lattices.copies import classes_of_sites, stacked
from insitu.models import store
from insitu.models.added import Extended, network
from insitu.models.embedding import GraphWeights, describe
from insitu.models.engines.graph import pack
from insitu.models.networks.neighbors_map import NeighborsMapGraph
from insitu.models.structures import parse
from insitu.testing import LATTICES, lattice

NAMES = ["omega", "A15"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    """Both classes, from CIF files."""
    return store.extended("metals", structures.files(tmp_path_factory.mktemp("cif")))


@pytest.mark.parametrize("engine", ["native", "torchscript"])
def test_added_classes_are_found(made: Extended, engine: str) -> None:
    model = store.load("metals", engine, made)
    assert model.card.classes == [*store.load("metals").card.classes, *NAMES]
    for name, atoms, repeat, nearest in (
        ("omega", structures.omega(), (6, 6, 9), 2.66),
        ("A15", structures.a15(), (4, 4, 4), 2.52),
    ):
        for part in (0.0, 0.02, 0.04):
            r, cell = structures.hot(atoms, repeat, part * nearest)
            assert classify_with(model, r, cell, True).fractions[name] >= 0.95


def test_engines_agree(made: Extended, folder: Path) -> None:
    r, cell = structures.hot(structures.omega(), (5, 5, 7), 0.3)
    native, torchscript = (store.load("metals", e, made) for e in ("native", "torchscript"))
    want = classify_with(torchscript, r, cell, True).probabilities
    assert want.std(axis=0).max() > 0.01
    # Rounding: single-precision sums of 64 features, with the offset that carries the further ones.
    np.testing.assert_allclose(classify_with(native, r, cell, True).probabilities, want, atol=2e-4)
    native.move(EmulatedDevice(folder))
    got = classify_with(native, r[:150], cell, True).probabilities
    native.on_device = None
    np.testing.assert_allclose(
        got, classify_with(native, r[:150], cell, True).probabilities, atol=2e-4
    )


@pytest.mark.parametrize("name", list(LATTICES))
def test_the_model_itself_is_not_changed(made: Extended, name: str) -> None:
    """The other classes' probabilities keep their proportions; labels of hot crystals stay."""
    r, cell = lattice(name, 1.0, (4, 4, 4) if name != "hcp" else (6, 4, 4))
    away = np.linalg.norm(r[1:] - r[0], axis=1).min()
    r = r + np.random.default_rng(4).normal(0.0, 0.06 * away, r.shape)
    before = classify_with(store.load("metals"), r, cell, True)
    after = classify_with(store.load("metals", more=made), r, cell, True)
    n = before.probabilities.shape[1]
    rest = 1.0 - after.probabilities[:, n:].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after.probabilities[:, :n], before.probabilities * rest, atol=1e-5)
    assert ((after.labels != before.labels) & (before.labels >= 0)).mean() <= 1e-3


def test_no_orientation_counts(made: Extended) -> None:
    model = store.load("metals", more=made)
    r, cell = structures.hot(structures.a15(), (3, 3, 3), 0.1)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    want = classify_with(model, r, cell, True).probabilities
    for other in ((r @ turn, cell @ turn), (7.3 * r, 7.3 * cell)):
        np.testing.assert_allclose(
            classify_with(model, *other, True).probabilities, want, atol=2e-3
        )


def test_a_further_class_can_be_added_to_those(made: Extended) -> None:
    """The network is taken apart and put together as torch has it."""
    card = store.Card.from_json(made.card, "trial")
    with np.load(io.BytesIO(made.weights)) as arrays:
        widths, flat = [int(w) for w in arrays["widths"]], arrays["weights"]
    weights = GraphWeights.unpack(widths, flat, len(card.classes))
    assert weights.pack(foreign=True) == made.weights
    r, cell = structures.hot(structures.omega(), (5, 5, 7), 0.1)
    assert card.graph is not None
    images, rows = describe(r, cell, card.descriptor, card.graph)
    *_, (last, _) = weights.features(images, rows)
    with torch.inference_mode():
        z = network(card, weights).logits(torch.from_numpy(images), torch.from_numpy(rows).long())
    np.testing.assert_allclose(weights.scores(last), z.numpy(), atol=5e-3)


def test_weights_are_packed_and_unpacked() -> None:
    torch.manual_seed(1)
    net = NeighborsMapGraph(5, 8, 2, hidden=20, features=24, message=12, foreign=True)
    net.mean[:], net.scale[:] = 0.3, 2.0
    file = io.BytesIO()
    pack({k: v.numpy() for k, v in net.state_dict().items()}, file, foreign=True)
    with np.load(io.BytesIO(file.getvalue())) as a:
        weights = GraphWeights.unpack([int(w) for w in a["widths"]], a["weights"], 5)
    rng = np.random.default_rng(0)
    x = rng.random((30, 64), dtype=np.float32)
    rows = rng.integers(-1, 30, (30, 6)).astype(np.int32)
    rows = -np.sort(-rows, axis=1)  # none of them after the others
    *_, (last, _) = weights.features(x, rows)
    with torch.inference_mode():
        want = net.eval().logits(torch.from_numpy(x), torch.from_numpy(rows).long())
    np.testing.assert_allclose(weights.scores(last), want.numpy(), atol=1e-4)


def test_the_card_tells_the_files(made: Extended) -> None:
    about = json.loads(made.card)["more"]["added"]
    assert list(about) == NAMES
    assert about["omega"]["sites"] == 3
    assert about["A15"]["sites"] == 8
    assert all(len(a["files"][0]["sha256"]) == 64 and a["recall"] >= 0.95 for a in about.values())


@pytest.mark.parametrize(
    ("name", "says"),
    [("fcc", "fcc"), ("hcp", "hcp"), ("rocksalt", "sc"), ("wurtzite", "hexagonal_diamond"),
     ("caesium_chloride", "bcc")],
)  # fmt: skip
def test_a_lattice_that_is_known_is_refused(tmp_path: Path, name: str, says: str) -> None:
    write(tmp_path / "known.cif", structures.known(name))
    with pytest.raises(SettingError, match=f"models know already: {says} "):
        store.extended("metals", {"new": str(tmp_path / "known.cif")})


@given(st.integers(0, 10_000), st.sampled_from(sorted(LATTICES)))
def test_sites_are_told_whatever_their_cell(seed: int, name: str) -> None:
    """A lattice turned, scaled, and given by another cell; nearly perfect."""
    rng = np.random.default_rng(seed)
    lengths, basis = LATTICES[name]
    cell = np.diag(np.array(lengths, float)) * rng.uniform(2.0, 6.0)
    turned = cell @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    sites = np.array(basis) + rng.random(3) + rng.normal(0.0, 1e-3, (len(basis), 3))
    assert classes_of_sites(sites, turned) == [name] * len(basis)


def test_stackings_are_known_and_omega_is_not() -> None:
    assert classes_of_sites(*stacked("ABAC")) == ["fcc", "hcp", "fcc", "hcp"]
    assert classes_of_sites(*stacked("ABAC", diamond=True)).count("cubic_diamond") == 4
    for atoms in (structures.omega(), structures.a15()):
        assert not any(classes_of_sites(atoms.get_scaled_positions(), np.array(atoms.cell)))


@pytest.mark.parametrize(
    ("value", "says"),
    [("omega", "not understood"), ("=a.cif", "not understood"), ("a b=a.cif", "cannot be the name"),
     ("unknown=a.cif", "cannot be the name"), ("a=1.cif,a=2.cif", "given twice"), (3, "not understood")],
)  # fmt: skip
def test_what_is_no_list_of_classes_is_told(value: object, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        parse(value)


def test_files_that_are_no_structures_are_told(tmp_path: Path) -> None:
    (tmp_path / "text.cif").write_text("no structure\n")
    twice = structures.a15()
    twice.positions[1] = twice.positions[0] + 0.2
    write(tmp_path / "twice.vasp", twice)
    wrong = {
        "none.cif": "No such file",
        "text.cif": "cannot be read by ASE",
        "twice.vasp": "lie on each other",
    }
    for file, says in wrong.items():
        with pytest.raises(SettingError, match=says):
            store.extended("metals", {"new": str(tmp_path / file)})
    write(tmp_path / "a15.vasp", structures.a15())
    with pytest.raises(SettingError, match="is in model 'metals' already"):
        store.extended("metals", {"fcc": str(tmp_path / "a15.vasp")})
    with pytest.raises(ModelError, match="cannot take further classes"):
        store.extended("crystals-cnn", {"A15": str(tmp_path / "a15.vasp")})


@pytest.mark.full
def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """A model of a structure and of snapshots only, and what is read from the file."""
    monkeypatch.chdir(tmp_path)
    structures.files(tmp_path)
    r, cell = structures.hot(structures.a15(), (5, 5, 5), 0.1, seed=1)
    snapshot = structures.a15() * (5, 5, 5)
    snapshot.positions[:] = r
    write("hot.extxyz", snapshot)
    words = ["train", "--class", "omega=omega.cif", "--few-shot", "A15=hot.extxyz", "--out", "mine"]
    assert main(words) == 0
    assert "| A15 | hot.extxyz | – | 1 |" in capsys.readouterr().out
    for engine in ("native", "torchscript"):
        r, cell = structures.hot(structures.a15(), (4, 4, 4), 0.09, seed=2)
        c = insitu.classify(r, cell, True, model="mine", engine=engine)
        assert c.fractions["A15"] >= 0.95
    write("other.extxyz", structures.omega() * (6, 6, 8))
    assert main(["classify", "other.extxyz", "--classes", "omega=omega.cif"]) == 0
    assert "omega 100.00 %" in capsys.readouterr().out
