# SPDX-License-Identifier: BSD-3-Clause
"""Artefacts: parameter count, metadata, and a clear error for each way a model can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import insitu
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError
from insitu.models import store
from insitu.models.card import class_codes
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapCNN
from insitu.testing import lattice

CLASSES = ["fcc", "bcc", "hcp"]


def _card(**more: object) -> store.Card:
    return store.Card("trial", CLASSES, NeighborsMap(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [2, 4, 5, 7])
def test_the_network_has_the_papers_parameters(n: int) -> None:
    network = NeighborsMapCNN(n)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 26_440 + 25 * n


def test_export_and_load_give_the_same_probabilities(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = NeighborsMapCNN(3).eval()
    save(network, _card(threshold=0.7), tmp_path / "model.pt")
    model = store.load(str(tmp_path / "model.pt"))
    assert isinstance(model, store.Model)
    assert model.card == _card(threshold=0.7)
    images = np.random.default_rng(0).random((100, 1, 32, 32), dtype=np.float32) * 0.2
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    found = np.concatenate([model.probabilities(images[i : i + 64]) for i in (0, 64)])
    assert np.abs(found - expected).max() < 1e-5


def test_an_atom_depends_on_its_batch_by_rounding_only() -> None:
    model = store.load("crystals-cnn")
    assert isinstance(model, store.Model)
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    r = r + np.random.default_rng(2).normal(0, 0.15, r.shape)
    images = insitu.neighbors_map(r, cell, True)
    whole = np.concatenate([model.probabilities(images[i : i + 64]) for i in range(0, 256, 64)])
    for size in (1, 7, 33):
        parts = [model.probabilities(images[i : i + size]) for i in range(0, 256, size)]
        assert np.abs(np.concatenate(parts) - whole).max() < 1e-6


def test_the_shipped_weights_agree_with_torchscript() -> None:
    native = store.load("metals")
    assert isinstance(native, store.GraphModel)
    assert native.native
    reference = store.GraphModel(native.card, None, native.sha256, native.path)
    least = 1.0
    for k, (name, a) in enumerate((("fcc", 4.05), ("bcc", 2.9), ("cubic_diamond", 5.4))):
        r, cell = lattice(name, a, (5, 5, 5))
        rng = np.random.default_rng(k)
        r = (r + rng.normal(0, 0.07 * a, r.shape))[rng.random(len(r)) > 0.45]
        one, other = (classify_with(m, r, cell, True) for m in (native, reference))
        assert np.abs(one.probabilities - other.probabilities).max() < 1e-4
        best = np.sort(other.probabilities, axis=1)
        assert (one.labels == other.labels)[best[:, -1] - best[:, -2] > 1e-3].all()
        least = min(least, float(other.confidence.min()))
    assert least < 0.9  # not a test of sure labels only


def test_names() -> None:
    assert {"crystals-cnn", "metals"} <= set(store.names())


@pytest.mark.parametrize(
    "name", ["crystals-cnn", "metals", "vitrification-ni", "vitrification-cuzr"]
)
def test_the_shipped_card_agrees_with_the_artefact(name: str) -> None:
    model = store.load(name)
    beside = json.loads((model.path.parent / "card.json").read_text())
    assert beside == json.loads(model.card.to_json())
    assert model.path.stat().st_size < 1_000_000
    from insitu.training.recipes import load_recipe

    recipe, recipe_hash = load_recipe(name)
    assert model.card.classes == recipe["classes"]
    assert model.card.recipe_sha256 == recipe_hash


def test_codes_are_those_of_ptm() -> None:
    codes = class_codes(["fcc", "bcc", "hcp", "cubic_diamond", "disordered", "mine"])
    assert codes == [1, 3, 2, 6, 100, 110, 0]


@pytest.mark.parametrize(
    ("name", "a"),
    [
        ("fcc", 4.05), ("bcc", 2.86), ("hcp", 3.23), ("cubic_diamond", 5.43), ("sc", 2.8),
        ("hexagonal_diamond", 3.84),
    ],
)  # fmt: skip
def test_perfect_and_warm_crystals(name: str, a: float) -> None:
    r, cell = lattice(name, a, (4, 3, 3))
    assert insitu.classify(r, cell, True).fractions[name] == 1.0
    warm = r + np.random.default_rng(0).normal(0, 0.12, r.shape)
    assert insitu.classify(warm, cell, True).fractions[name] > 0.98
    # No length is absolute: half and twice the size are the same crystal.
    for factor in (0.5, 2.0):
        scaled = insitu.classify(factor * warm, factor * cell, True).labels
        assert (scaled == insitu.classify(warm, cell, True).labels).all()


def test_unknown_is_what_no_class_reaches() -> None:
    r, cell = lattice("fcc", 4.05, (3, 3, 3))
    r = r + np.random.default_rng(0).normal(0, 0.3, r.shape)
    found = insitu.classify(r, cell, True, threshold=0.99)
    assert ((found.labels < 0) == (found.confidence < 0.99)).all()
    assert (found.labels < 0).any()
    assert sum(found.fractions.values()) == pytest.approx(1.0)


def test_missing_model() -> None:
    with pytest.raises(ModelError, match=r"crystals-cn.*Did you mean 'crystals-cnn'"):
        store.load("crystals-cn")


def test_damaged_model(tmp_path: Path) -> None:
    content = store.locate("crystals-cnn").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"damaged"):
        store.load(str(tmp_path / "model.pt"))


def test_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("no model")
    with pytest.raises(ModelError, match=r"notes\.pt"):
        store.load(str(tmp_path / "notes.pt"))


def test_torchscript_without_metadata(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(NeighborsMapCNN(3).eval()), str(tmp_path / "model.pt"))
    with pytest.raises(ModelError, match="no insitu metadata"):
        store.load(str(tmp_path / "model.pt"))


def test_classes_that_do_not_fit_the_network(tmp_path: Path) -> None:
    save(NeighborsMapCNN(4), _card(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"\(4,\).*3 classes"):
        store.load(str(tmp_path / "model.pt"))


def test_descriptor_that_does_not_fit_the_network(tmp_path: Path) -> None:
    card = store.Card("trial", CLASSES, NeighborsMap(size=16))
    save(NeighborsMapCNN(3), card, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"\(1, 16, 16\)"):
        store.load(str(tmp_path / "model.pt"))


def test_newer_format_and_damaged_metadata() -> None:
    text = json.loads(_card().to_json())
    with pytest.raises(ModelError, match="update insitu"):
        store.Card.from_json(json.dumps(text | {"format": 99}), "x.pt")
    with pytest.raises(ModelError, match=r"x\.pt is damaged"):
        store.Card.from_json(json.dumps(text | {"descriptor": {"cutof": 6}}), "x.pt")
