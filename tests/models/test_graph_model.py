# SPDX-License-Identifier: BSD-3-Clause
"""Models with a graph layer: engines, decomposition, scaling, failures, metadata."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from insitu import _kernels
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import InsituError, ModelError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models import store
from insitu.models.engines.graph import GraphModel, GraphSettings
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapGraph, multiply_adds
from insitu.testing import lattice
from insitu.testing.ranks import ThreadRanks, deal, together

CLASSES = ["fcc", "bcc", "hcp", "cubic_diamond", "hexagonal_diamond", "sc", "disordered"]
SCALE_FREE = NeighborsMap(scale_free=True, size=18, ball=18, local=14)
Sample = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network whose probabilities differ from atom to atom."""
    torch.manual_seed(3)
    network = NeighborsMapGraph(len(CLASSES), 18, 2, hidden=24, features=20, message=12)
    network.mean[:], network.scale[:] = 0.6, 3.0
    with torch.no_grad():
        network.last.weight *= 20.0
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save(network, store.Card("trial", CLASSES, SCALE_FREE, graph=GraphSettings()), path)
    return path


def _hot(seed: int = 0, noise: float = 0.25) -> Sample:
    """A distorted fcc crystal with vacancies in a triclinic cell."""
    rng = np.random.default_rng(seed)
    r, cell = lattice("fcc", 4.05, (6, 5, 5))
    tilted = cell.copy()
    tilted[1, 0], tilted[2, 0], tilted[2, 1] = 3.1, -2.2, 4.4
    r = r @ np.linalg.inv(cell) @ tilted + noise * rng.normal(size=r.shape)
    return r[rng.random(len(r)) > 0.1], tilted


def test_the_kernels_agree_with_torchscript(artefact: Path) -> None:
    model = store.load(str(artefact))
    assert isinstance(model, GraphModel)
    assert model.native
    reference = GraphModel(model.card, None, model.sha256, artefact)
    r, cell = _hot()
    native = classify_with(model, r, cell, True).probabilities
    assert np.abs(native - classify_with(reference, r, cell, True).probabilities).max() < 1e-4
    # Not a test of constants: the atoms differ.
    assert native.std(axis=0).max() > 0.01


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.35, 0.8])
def test_labels_of_the_shipped_model_are_those_of_torchscript(noise: float) -> None:
    model = store.load("metals")
    assert isinstance(model, GraphModel)
    reference = GraphModel(model.card, None, model.sha256, model.path)
    r, cell = _hot(seed=7, noise=noise)
    native = classify_with(model, r, cell, True)
    torchs = classify_with(reference, r, cell, True)
    assert np.abs(native.probabilities - torchs.probabilities).max() < 1e-4
    assert (native.labels == torchs.labels).all()


def test_every_instruction_set_gives_the_same_probabilities(artefact: Path) -> None:
    with zipfile.ZipFile(artefact) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("insitu.npz")]
        weights = archive.read(name)
    card = store.load(str(artefact)).card
    r, cell = _hot()
    found = {
        isa: classify_with(
            GraphModel(card, weights, "", artefact, isa), r, cell, True
        ).probabilities
        for isa in _kernels.isa_available()
    }
    # Those with fused multiply-add agree to the bit, the plain one to rounding.
    assert all(np.abs(f - found["plain"]).max() < 2e-6 for f in found.values())
    fused = [f for isa, f in found.items() if isa != "plain"]
    assert all((f == fused[0]).all() for f in fused)


@pytest.mark.parametrize("engine", ["native", "torchscript"])
@pytest.mark.parametrize("grid", [(2, 1, 1), (3, 1, 1), (2, 2, 1), (2, 2, 2)])
def test_labels_do_not_depend_on_the_decomposition(
    artefact: Path, grid: tuple[int, int, int], engine: str
) -> None:
    model = store.load(str(artefact))
    if engine == "torchscript":
        model = GraphModel(model.card, None, model.sha256, artefact)
    for r, cell in (_hot(), lattice("bcc", 3.0, (6, 6, 6)), lattice("hcp", 3.2, (6, 4, 4))):
        expected = classify_with(model, r, cell, True)
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        frames = deal(r, cell, grid, model.radius(spacing(bare)) * 1.001)

        def work(
            ranks: ThreadRanks, frames: list[Frame] = frames
        ) -> tuple[NDArray[np.int64], Phases]:
            frame = frames[ranks.rank]
            analyzer = Phases(model)
            analyzer.classifier.measure(spacing(frame, ranks))
            analyzer.classifier.exchange(frame, ranks)
            analyzer(frame, Neighbors(frame, analyzer.classifier.search))
            return frame.ids[: frame.n_local], analyzer

        labels = np.full(len(r), -9)
        confidence = np.zeros(len(r))
        for result in together(int(np.prod(grid)), work):
            assert not isinstance(result, Exception), result
            ids, analyzer = result
            labels[ids - 1], confidence[ids - 1] = analyzer.labels, analyzer.confidence
        assert (labels == expected.labels).all()
        assert np.abs(confidence - expected.confidence).max() < 1e-5


def test_a_rank_that_fails_keeps_no_other_waiting(artefact: Path) -> None:
    r, cell = _hot()
    frames = deal(r, cell, (2, 1, 1), 7.0)

    def work(ranks: ThreadRanks) -> str:
        frame = frames[ranks.rank]
        analyzer = Phases(store.load(str(artefact)))
        analyzer.classifier.measure(spacing(frame, ranks))
        analyzer.classifier.exchange(frame, ranks)
        search = Neighbors(frame, analyzer.classifier.search)
        if ranks.rank == 1:
            search.cells = None
        try:
            analyzer(frame, search)
        finally:
            analyzer.classifier.halo.finish()
        return "through"

    done, failed = together(2, work)
    assert done == "through"
    assert isinstance(failed, TypeError)


def test_a_group_is_labelled_as_in_the_whole(artefact: Path) -> None:
    model = store.load(str(artefact))
    r, cell = _hot()
    analyzer = Phases(model)
    bare = Frame.from_arrays(r, cell, True, reach=0.0)
    analyzer.classifier.measure(spacing(bare))
    some = np.arange(len(r)) % 3 == 0
    frame = Frame.from_arrays(
        r, cell, True, reach=analyzer.classifier.search * 1.001, selected=some
    )
    sums = analyzer(frame, Neighbors(frame, analyzer.classifier.search))
    assert sums["count"].sum() == some.sum()
    assert (analyzer.labels[some] == classify_with(model, r, cell, True).labels[some]).all()


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 2.0])
def test_uniform_scaling_changes_no_label(artefact: Path, factor: float) -> None:
    model = store.load(str(artefact))
    r, cell = _hot()
    whole = classify_with(model, r, cell, True)
    scaled = classify_with(model, r * factor, cell * factor, True)
    assert (whole.labels == scaled.labels).all()
    assert np.abs(whole.probabilities - scaled.probabilities).max() < 1e-4


def test_spacing_is_that_of_the_atoms_and_not_of_the_vacuum() -> None:
    r, cell = lattice("fcc", 4.0, (8, 8, 8))
    bulk = Frame.from_arrays(r, cell, True, reach=0.0)
    assert spacing(bulk) == pytest.approx((4.0**3 / 4) ** (1 / 3), rel=0.02)
    box = cell * np.array([[1.0], [1.0], [4.0]])
    slab = Frame.from_arrays(r, box, True, reach=0.0)
    assert spacing(slab) == pytest.approx((4.0**3 / 4) ** (1 / 3), rel=0.1)


def test_a_ghost_of_nobody_is_an_error(artefact: Path) -> None:
    r, cell = _hot()
    frame = deal(r, cell, (2, 1, 1), 7.0)[0]
    analyzer = Phases(store.load(str(artefact)))
    analyzer.classifier.measure(spacing(frame))
    with pytest.raises(InsituError, match="belongs to no rank"):
        analyzer(frame, Neighbors(frame, analyzer.classifier.search))


def test_weights_and_metadata_have_to_fit(artefact: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = NeighborsMapGraph(3, 18, 1, hidden=16, features=16, message=16)
    card = store.Card("wrong", ["a", "b", "c"], SCALE_FREE, graph=GraphSettings(layers=2))
    save(network, card, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="2 layers"):
        store.load(str(tmp_path / "model.pt"))
    assert multiply_adds(network) == 324 * 16 + 16 * 16 + 2 * 16 * 16 + 32 * 16 + 16 * 3


def test_few_atoms_and_vapour_are_unknown(artefact: Path) -> None:
    model = store.load(str(artefact))
    pair = np.array([[0.0, 0.0, 0.0], [2.5, 0.0, 0.0]])
    assert (classify_with(model, pair, None, False).labels == -1).all()
    assert len(classify_with(model, np.zeros((0, 3)), [9, 9, 9], True).labels) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 5}, "layers=5 of the graph is not usable; give 1 … 4"),
        ({"neighbors": 0}, "neighbors=0 of the graph"),
        ({"near": 3.0}, "near=3.0 and reach=2.1"),
    ],
)
def test_extent_of_the_graph_is_checked(given: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        GraphSettings(**given)  # type: ignore[arg-type]
