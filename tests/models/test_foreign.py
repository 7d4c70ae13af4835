# SPDX-License-Identifier: BSD-3-Clause
"""Networks with an output for structures that are no class: in all engines, and what becomes unknown."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from emulated_device import EmulatedDevice
from numpy.typing import NDArray

from insitu import _kernels
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import classify_with
from insitu.analyses.phases.labels import decide
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.models import store
from insitu.models.engines.graph import GraphModel, GraphSettings
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapGraph
from insitu.testing import lattice

CLASSES = ["fcc", "bcc", "disordered"]
MAPS = NeighborsMap(scale_free=True, size=18, ball=18, local=14)


@pytest.fixture(scope="module")
def network() -> NeighborsMapGraph:
    """An untrained network whose probabilities differ from atom to atom."""
    torch.manual_seed(5)
    made = NeighborsMapGraph(len(CLASSES), 18, 2, hidden=24, features=20, message=12, foreign=True)
    made.mean[:], made.scale[:] = 0.6, 3.0
    with torch.no_grad():
        made.last.weight *= 20.0
    return made


@pytest.fixture(scope="module")
def artefact(network: NeighborsMapGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "model.pt"
    save(network, store.Card("trial", CLASSES, MAPS, graph=GraphSettings(), foreign=True), path)
    return path


def _sample(repeat: int = 4) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(1)
    r, cell = lattice("fcc", 4.05, (repeat, repeat, repeat))
    return (r + 0.3 * rng.normal(size=r.shape))[rng.random(len(r)) > 0.1], cell


def _softmax(
    network: NeighborsMapGraph, r: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray:
    """All outputs, by torch and the training's descriptor."""
    from insitu.training.data.graphs import describe

    images, rows = describe(r, cell, MAPS, GraphSettings())
    with torch.inference_mode():
        z = network.eval().logits(torch.from_numpy(images), torch.from_numpy(rows).long())
    return torch.softmax(z.double(), dim=1).numpy()


def test_every_engine_gives_the_classes_share_of_all_outputs(
    network: NeighborsMapGraph, artefact: Path, folder: Path
) -> None:
    r, cell = _sample()
    want = _softmax(network, r, cell)
    assert want.shape[1] == len(CLASSES) + 1
    assert want[:, -1].std() > 0.01
    with zipfile.ZipFile(artefact) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("insitu.npz")]
        weights = archive.read(name)
    model = store.load(str(artefact))
    models = [
        GraphModel(model.card, weights, "", artefact, isa) for isa in _kernels.isa_available()
    ]
    models.append(GraphModel(model.card, None, "", artefact))
    assert isinstance(model, GraphModel)
    model.move(EmulatedDevice(folder))
    for one in [*models, model]:
        p = classify_with(one, r, cell, True).probabilities
        assert p.shape == (len(r), len(CLASSES))
        np.testing.assert_allclose(p, want[:, :-1], atol=1e-4)


def test_labels_and_sums_are_the_same_on_a_device(artefact: Path, folder: Path) -> None:
    r, cell = _sample()
    results = []
    for there in (None, EmulatedDevice(folder)):
        model = store.load(str(artefact))
        if there is not None:
            model.move(there)
        analyzer = Phases(model, 0.0)
        analyzer.limits[1] = 0.9  # each class may have its own
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        analyzer.classifier.measure(spacing(bare))
        frame = Frame.from_arrays(r, cell, True, reach=analyzer.classifier.search * 1.0001)
        results.append((analyzer(frame, analyzer.neighbors(frame))["count"], analyzer.labels))
    np.testing.assert_array_equal(*(labels for _, labels in results))
    np.testing.assert_array_equal(*(count for count, _ in results))
    assert 0 < results[0][0][-1] < len(r)  # some are unknown, at no threshold at all


def test_an_atom_is_unknown_where_no_class_is_likelier_than_none() -> None:
    p = np.array([[0.30, 0.2, 0.1], [0.45, 0.1, 0.1], [0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], np.float32)
    found = np.full(4, 18, dtype=np.int32)
    np.testing.assert_array_equal(decide(p, np.zeros(3, dtype=np.float32), found)[0], [-1, 0, 0, 0])
    np.testing.assert_array_equal(
        decide(p, np.full(3, 0.6, dtype=np.float32), found)[0], [-1, -1, 0, -1]
    )


def test_the_card_says_so_and_others_stay_readable_by_older_versions(artefact: Path) -> None:
    card = store.load(str(artefact)).card
    assert card.foreign
    text = json.loads(card.to_json())
    assert text["format"] == 4
    closed = json.loads(store.Card("trial", CLASSES, MAPS, graph=GraphSettings()).to_json())
    assert closed["format"] == 2
    assert "foreign" not in closed


def test_a_card_that_does_not_fit_the_outputs_is_refused(
    network: NeighborsMapGraph, tmp_path: Path
) -> None:
    save(network, store.Card("trial", CLASSES, MAPS, graph=GraphSettings()), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="widths"):
        store.load(str(tmp_path / "model.pt"))
