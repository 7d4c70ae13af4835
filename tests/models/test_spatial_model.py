# SPDX-License-Identifier: BSD-3-Clause
"""Networks on the whole sample's graph: engines, decomposition, species, continuity, metadata."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spatial_networks import CLASSES, SETTINGS, artefact_of, network_of, pair, sample

from insitu import _kernels
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models import store
from insitu.models.engines.spatial import SpatialModel, SpatialSettings, neighbors_of
from insitu.models.export import save
from insitu.testing import lattice
from insitu.testing.ranks import ThreadRanks, deal, together


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        name: artefact_of(tmp_path_factory.mktemp("model"), settings)
        for name, settings in SETTINGS.items()
    }


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("noise", [0.0, 0.25, 1.0])
def test_the_kernels_agree_with_torchscript(
    artefacts: dict[str, Path], name: str, noise: float
) -> None:
    r, cell, species = sample(noise=noise)
    native, reference = (classify_with(m, r, cell, True, species) for m in pair(artefacts[name]))
    assert np.abs(native.probabilities - reference.probabilities).max() < 1e-5
    # Not a test of constants: the atoms differ.
    assert native.probabilities.std(axis=0).max() > 0.01


def test_the_graph_is_that_of_the_definition() -> None:
    """Neighbours, cut-off, unit of length and features from all distances, without the kernels."""
    r, cell, species = sample(noise=0.2)
    for settings in SETTINGS.values():
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        length = settings.length(spacing(bare))
        radius = settings.reach * length
        frame = Frame.from_arrays(r, cell, True, reach=radius * 1.001, types=species)
        search = Neighbors(frame, radius)
        vectors, cut, unit, nearest, found = neighbors_of(search, settings, spacing(bare))
        atoms = search.owned[1]
        for row in range(0, len(atoms), 17):
            away = frame.positions - frame.positions[atoms[row]]
            d = np.linalg.norm(away, axis=1)
            order = np.argsort(d)[1:]
            order = order[d[order] <= radius]
            k = settings.neighbors
            assert found[row] == min(len(order), k)
            assert (search.index[nearest[row, : found[row]]] == order[:k]).all()
            assert np.abs(vectors[row, : found[row]] - away[order[:k]]).max() < 1e-6
            assert not vectors[row, found[row] :].any()
            expected = d[order[k]] if len(order) > k else radius
            assert cut[row] == pytest.approx(expected, rel=1e-6)
            u = d[order[: settings.local]].mean() if settings.local else length
            assert unit[row] == pytest.approx(u, rel=1e-6)


def test_probabilities_are_those_of_the_formula() -> None:
    """One layer written out with loops, from the network's weights."""
    settings = replace(SETTINGS["species"], layers=1, neighbors=5)
    network = network_of(settings).double()
    rng = np.random.default_rng(4)
    n = 7
    vectors = rng.normal(size=(n, 5, 3))
    d = np.linalg.norm(vectors, axis=2)
    cut, unit = d.max(axis=1) * rng.uniform(0.9, 1.2, n), rng.uniform(0.5, 1.5, n)
    rows = rng.integers(-1, n, (n, 5))
    species = rng.integers(0, 2, n)
    with torch.no_grad():
        given = [torch.from_numpy(a) for a in (vectors, cut, unit, rows, species)]
        found = network(*given).numpy()
        w = {k: v.numpy() for k, v in network.state_dict().items()}
    for i in range(n):
        pooled = np.zeros(40)
        for k in range(5):
            x = d[i, k] / cut[i]
            if rows[i, k] < 0 or x >= 1:
                continue
            t = min(2 * d[i, k] / (settings.range * unit[i]) - 1, 1.0)
            part = [*(vectors[i, k] / unit[i]), *(np.cos(m * np.arccos(t)) for m in range(1, 7))]
            g = np.zeros(18)
            kind = species[rows[i, k]]
            g[9 * kind : 9 * kind + 9] = part
            message = w["other.0.weight"][:, kind] + w["edge.0.weight"] @ g
            pooled = np.maximum(pooled, (1 - x**2) ** 2 * message)
        h = np.maximum(w["own.0.weight"][:, species[i]] + w["own.0.bias"] + pooled, 0)
        score = w["last.weight"] @ np.maximum(w["head.weight"] @ h + w["head.bias"], 0)
        e = np.exp(score + w["last.bias"] - (score + w["last.bias"]).max())
        assert np.abs(found[i] - e / e.sum()).max() < 1e-9


@pytest.mark.parametrize("noise", [0.05, 0.4])
def test_the_shipped_model_on_both_engines(noise: float) -> None:
    """A distorted crystal at the density of SiO2 under pressure."""
    model, reference = store.load("sio2"), store.load("sio2", engine="torchscript")
    r, cell = lattice("cubic_diamond", 4.4, (5, 5, 5))
    r = r + noise * np.random.default_rng(3).normal(size=r.shape)
    species = np.where(np.arange(len(r)) % 3, 8, 14)
    native, torchs = (classify_with(m, r, cell, True, species) for m in (model, reference))
    assert np.abs(native.probabilities - torchs.probabilities).max() < 1e-4
    assert (native.labels == torchs.labels).all()


@pytest.mark.parametrize("name", ["species", "spectra"])
def test_every_instruction_set_gives_the_same_probabilities(
    artefacts: dict[str, Path], name: str
) -> None:
    path = artefacts[name]
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("insitu.npz")]
        weights = archive.read(name)
    card = store.load(str(path)).card
    r, cell, species = sample()
    found = {
        isa: classify_with(
            SpatialModel(card, weights, "", path, isa), r, cell, True, species
        ).probabilities
        for isa in _kernels.isa_available()
    }
    assert all(np.abs(f - found["plain"]).max() < 1e-5 for f in found.values())
    threaded = store.load(str(path))
    threaded.threads = 2
    both = classify_with(threaded, r, cell, True, species).probabilities
    assert (
        both == classify_with(store.load(str(path)), r, cell, True, species).probabilities
    ).all()


@pytest.mark.parametrize("engine", ["native", "torchscript"])
@pytest.mark.parametrize("grid", [(2, 1, 1), (3, 1, 1), (2, 2, 1), (2, 2, 2)])
def test_labels_do_not_depend_on_the_decomposition(
    artefacts: dict[str, Path], grid: tuple[int, int, int], engine: str
) -> None:
    for name in ("species", "angstrom", "spectra"):
        model = store.load(str(artefacts[name]), engine=engine)
        perfect = (*lattice("bcc", 3.0, (6, 6, 6)), np.arange(432) % 2 * 6 + 8)
        for r, cell, species in (sample(), perfect):
            expected = classify_with(model, r, cell, True, species)
            bare = Frame.from_arrays(r, cell, True, reach=0.0)
            assert isinstance(model, SpatialModel)
            frames = deal(r, cell, grid, model.radius(spacing(bare)) * 1.001, species)

            def work(
                ranks: ThreadRanks,
                frames: list[Frame] = frames,
                model: SpatialModel = model,
            ) -> tuple[NDArray[np.int64], Phases]:
                frame = frames[ranks.rank]
                analyzer = Phases(model)
                analyzer.model.name_types({8: "O", 14: "Si"} if model.graph.species else {})
                if analyzer.classifier.scale_free:
                    analyzer.classifier.measure(spacing(frame, ranks))
                for _ in range(2):  # the second frame of the same atoms keeps their owners
                    before = analyzer.classifier.halo
                    analyzer.classifier.exchange(frame, ranks)
                    assert analyzer.classifier.halo is not None
                    assert before is None or before.owners is analyzer.classifier.halo.owners
                    analyzer(frame, Neighbors(frame, analyzer.classifier.search))
                return frame.ids[: frame.n_local], analyzer

            labels, confidence = np.full(len(r), -9), np.zeros(len(r))
            for result in together(int(np.prod(grid)), work):
                assert not isinstance(result, Exception), result
                ids, analyzer = result
                labels[ids - 1], confidence[ids - 1] = analyzer.labels, analyzer.confidence
            assert (labels == expected.labels).all()
            assert np.abs(confidence - expected.confidence).max() < 1e-5


@pytest.mark.parametrize("engine", ["native", "torchscript"])
def test_a_rank_without_atoms(artefacts: dict[str, Path], engine: str) -> None:
    r, cell, species = sample()
    box = cell * np.array([[3.0], [1.0], [1.0]])
    model = store.load(str(artefacts["angstrom"]), engine=engine)
    expected = classify_with(model, r, box, True, species)
    frames = deal(r, box, (3, 1, 1), 4.01, species)
    assert min(f.n_local for f in frames) == 0

    def work(ranks: ThreadRanks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        frame, analyzer = frames[ranks.rank], Phases(model)
        analyzer.classifier.exchange(frame, ranks)
        analyzer(frame, Neighbors(frame, analyzer.classifier.search))
        return frame.ids[: frame.n_local], analyzer.labels

    for result in together(3, work):
        assert not isinstance(result, Exception), result
        assert (result[1] == expected.labels[result[0] - 1]).all()


@pytest.mark.parametrize("engine", ["native", "torchscript"])
def test_nothing_jumps_when_an_atom_comes_or_goes(tmp_path: Path, engine: str) -> None:
    """Through the limit of the search, and through the place of the (K+1)-th neighbour."""
    settings = SpatialSettings(5, 4.0, "angstrom", 2, local=0, radial=4, range=4.0)
    model = store.load(str(artefact_of(tmp_path, settings)), engine=engine)
    rng = np.random.default_rng(2)
    jumps = []
    for _ in range(20):
        away = rng.normal(size=(4, 3)) * [0.3, 1.0, 1.0] - [1.5, 0.0, 0.0]
        few = np.concatenate([[[0.0, 0.0, 0.0]], away])

        def found(*further: tuple[float, float, float], few: NDArray = few) -> NDArray[np.float32]:  # type: ignore[type-arg]
            r = np.concatenate([few, np.array(further)])
            return classify_with(model, r, None, False).probabilities

        near, far = found((4.0 - 1e-4, 0.0, 0.0)), found((4.0 + 1e-4, 0.0, 0.0))
        moved = found((3.5, 0.0, 0.0))
        jumps.append(np.abs(near - far).max())
        assert np.abs(moved - far).max() > 1e-3
        one, other = (
            found((3.0 + e, 0.5, 0.0), (3.0 - e, -0.5, 0.0), (0.0, 0.0, 2.0)) for e in (1e-4, -1e-4)
        )
        jumps.append(np.abs(one - other).max())
    assert max(jumps) < 1e-4


@pytest.mark.parametrize("when", ["search", "layer"])
def test_a_rank_that_fails_keeps_no_other_waiting(
    artefacts: dict[str, Path], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    r, cell, species = sample()
    frames = deal(r, cell, (2, 1, 1), 7.0, species)

    def work(ranks: ThreadRanks) -> str:
        frame = frames[ranks.rank]
        model = store.load(str(artefacts["species"]))
        analyzer = Phases(model)
        analyzer.model.name_types({8: "O", 14: "Si"})
        analyzer.classifier.measure(spacing(frame, ranks))
        analyzer.classifier.exchange(frame, ranks)
        search = Neighbors(frame, analyzer.classifier.search)
        if ranks.rank == 1 and when == "search":
            search.cells = None
        if ranks.rank == 1 and when == "layer":
            assert isinstance(model, SpatialModel)

            class Broken:
                def __getattr__(self, name: str) -> object:
                    if name == "convolve":
                        raise TypeError("broken")
                    return getattr(engine, name)

            engine, model._kernels = model._kernels, Broken()
        assert analyzer.classifier.halo is not None
        try:
            analyzer(frame, search)
        finally:
            analyzer.classifier.halo.finish()
        return "through"

    done, failed = together(2, work)
    assert done == "through"
    assert isinstance(failed, TypeError)


def test_ghosts_of_nobody_and_missing_species_are_errors(artefacts: dict[str, Path]) -> None:
    r, cell, species = sample()
    model = store.load(str(artefacts["species"]))
    frame = deal(r, cell, (2, 1, 1), 7.0, species)[0]
    analyzer = Phases(model)
    analyzer.model.name_types({8: "O", 14: "Si"})
    analyzer.classifier.measure(spacing(frame))
    with pytest.raises(InsituError, match="belongs to no rank"):
        analyzer(frame, Neighbors(frame, analyzer.classifier.search))
    with pytest.raises(SettingError, match=r"tells species apart \(Si, O\): give species"):
        classify_with(model, r, cell, True)
    with pytest.raises(SettingError, match=r"atomic number 79 \(Au\), and the model knows Si, O"):
        classify_with(model, r, cell, True, species + 71)


def test_few_atoms_and_vapour_are_unknown(artefacts: dict[str, Path]) -> None:
    for name in ("local", "angstrom"):
        model = store.load(str(artefacts[name]))
        two = np.array([[0.0, 0.0, 0.0], [2.5, 0.0, 0.0]])
        assert (classify_with(model, two, None, False).labels == -1).all()
        assert len(classify_with(model, np.zeros((0, 3)), [9, 9, 9], True).labels) == 0


class Surroundings(torch.nn.Module):
    """A network of one atom's surroundings at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(3, len(CLASSES))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return torch.softmax(4.0 * self.last(vectors.abs().amax(1)), dim=1)


def test_a_network_of_one_atoms_surroundings(tmp_path: Path) -> None:
    settings = SpatialSettings(neighbors=12, layers=0)
    card = store.Card("local", CLASSES, NeighborsMap(), spatial=settings)
    torch.manual_seed(1)
    network = Surroundings()
    save(network, card, tmp_path / "model.pt")
    model = store.load(str(tmp_path / "model.pt"))
    assert isinstance(model, SpatialModel)
    assert not model.native
    r, cell, _ = sample(noise=0.2)
    whole = classify_with(model, r, cell, True).probabilities
    d = r[:, None] - r[None]
    d -= np.rint(d @ np.linalg.inv(cell)) @ cell
    nearest = np.argsort((d**2).sum(axis=2), axis=0)[1:13]
    vectors = -np.take_along_axis(d.transpose(1, 0, 2), nearest.T[:, :, None], axis=1)
    expected = network(torch.from_numpy(vectors.astype("f4"))).detach().numpy()
    assert np.abs(whole - expected).max() < 1e-5
    frames = deal(r, cell, (2, 1, 1), 6.0)

    def work(ranks: ThreadRanks) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        frame, analyzer = frames[ranks.rank], Phases(model)
        analyzer.classifier.measure(spacing(frame, ranks))
        analyzer.classifier.exchange(frame, ranks)
        ((atoms, found, _),) = analyzer.classifier.probabilities(
            Neighbors(frame, analyzer.classifier.search)
        )
        return frame.ids[atoms], found

    for result in together(2, work):
        assert not isinstance(result, Exception), result
        assert np.abs(result[1] - whole[result[0] - 1]).max() < 1e-6
