# SPDX-License-Identifier: BSD-3-Clause
"""Power spectra in the first layer of the whole-sample network: definition, symmetries, continuity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre
from numpy.typing import NDArray

import insitu
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError
from insitu.models import store
from insitu.models.engines.spatial import SpatialModel, SpatialSettings
from insitu.models.export import save
from insitu.models.networks.whole_sample import WholeSampleGraph, harmonics
from insitu.testing import lattice
from insitu.training.data.environments import Samples, Whole, periodic
from insitu.training.fit import dgcnn
from insitu.training.fit.dgcnn import Schedule, random_rotations
from insitu.training.fit.normalisation import Normalised

PLAIN = SpatialSettings(neighbors=9, layers=2, degree=4, moments=3)
SPECIES = replace(PLAIN, species=(14, 8), by_species=True, degree=3)
SIX = replace(PLAIN, degree=6, moments=8, radial=2)
Geometry = tuple[NDArray[np.float64], ...]


def geometry(settings: SpatialSettings, seed: int = 0, n: int = 6) -> Geometry:
    """Arguments of a network: random neighbours, some of which are not there or beyond the cut-off."""
    rng = np.random.default_rng(seed)
    k = settings.neighbors
    vectors = rng.normal(size=(n, k, 3))
    rows = rng.integers(-1, n, (n, k))
    vectors[rows < 0] = 0.0
    cut = np.linalg.norm(vectors, axis=2).max(axis=1) * rng.uniform(0.9, 1.2, n)
    species = rng.integers(0, settings.n_species, n)
    return vectors, cut, rng.uniform(0.5, 1.5, n), rows, species


def tensors(given: Geometry) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in given]


def network_of(settings: SpatialSettings, seed: int = 3) -> WholeSampleGraph:
    """An untrained network whose probabilities differ from atom to atom."""
    torch.manual_seed(seed)
    network = WholeSampleGraph(4, settings, width=24, hidden=16).eval()
    with torch.no_grad():
        network.last.weight *= 20.0
        network.spectra_centre.normal_()
        network.spectra_scale.uniform_(0.5, 2.0)
    return network


def test_harmonics_have_the_addition_theorem() -> None:
    """Of all degrees: sum over m of Y(u) Y(v) is the Legendre polynomial of u·v."""
    u, v = torch.nn.functional.normalize(torch.randn(2, 40, 3, dtype=torch.float64), dim=2)
    for degree, (a, b) in enumerate(zip(harmonics(u, 6), harmonics(v, 6), strict=True)):
        assert a.shape == (40, 2 * degree + 1)
        expected = legendre.legval((u * v).sum(1).numpy(), [0.0] * degree + [1.0])
        assert (a * b).sum(1).numpy() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("settings", [PLAIN, SPECIES, SIX])
def test_spectra_are_sums_over_pairs_of_neighbours(settings: SpatialSettings) -> None:
    """Without harmonics: Legendre polynomials of the angle between two neighbours."""
    given = geometry(settings)
    vectors, cut, unit, rows, species = given
    network = network_of(settings).double()
    with torch.no_grad():
        found = network.power_spectra(*tensors(given)).numpy()
    assert found.shape[1] == settings.spectra
    f = settings.kinds * settings.moments
    for i in range(len(cut)):
        d = np.linalg.norm(vectors[i], axis=1)
        there = (rows[i] >= 0) & (d < cut[i])
        s = np.where(there, (1 - (d / cut[i]) ** 2) ** 2, 0.0)
        t = np.minimum(2 * d / (settings.range * unit[i]) - 1, 1.0)
        block = species[rows[i]] if settings.kinds > 1 else np.zeros(len(d), dtype=int)
        cosine = (vectors[i] @ vectors[i].T) / np.maximum(np.outer(d, d), 1e-30)
        q = 0
        for a in range(f):
            for b in range(a, f):
                one, other = (
                    s * np.cos((x % settings.moments) * np.arccos(t))
                    * (block == x // settings.moments)
                    for x in (a, b)
                )  # fmt: skip
                for degree in range(settings.degree + 1):
                    angular = legendre.legval(cosine, [0.0] * degree + [1.0])
                    assert found[i, q] == pytest.approx(one @ angular @ other, abs=1e-10)
                    q += 1
        assert q == settings.spectra


@pytest.mark.parametrize("settings", [PLAIN, SPECIES])
def test_orientation_and_handedness_make_no_difference(settings: SpatialSettings) -> None:
    given = geometry(settings)
    network = network_of(settings).double()
    turn = random_rotations(1, torch.Generator().manual_seed(1))[0].double()
    turn = torch.linalg.qr(turn)[0]  # to the last digit
    with torch.no_grad():
        vectors, *others = tensors(given)
        p = network(vectors, *others)
        for matrix in (turn, -turn, torch.diag(torch.tensor([1.0, 1.0, -1.0]).double())):
            assert network(vectors @ matrix, *others).numpy() == pytest.approx(p.numpy(), abs=1e-9)
        # It is no constant, and angles at unchanged distances matter.
        bent = vectors.clone()
        bent[:, 0] = bent[:, 0].norm(dim=1, keepdim=True) * torch.tensor([0.0, 0.0, 1.0]).double()
        assert float((network(bent, *others) - p).abs().max()) > 1e-3


def model_of(folder: Path, settings: SpatialSettings, engine: str = "auto") -> SpatialModel:
    path = folder / "model.pt"
    card = store.Card("trial", list("abcd"), NeighborsMap(scale_free=True), spatial=settings)
    save(network_of(settings), card, path)
    model = store.load(str(path), engine=engine)
    assert isinstance(model, SpatialModel)
    return model


def test_an_artefact_with_spectra_gives_the_networks_probabilities(tmp_path: Path) -> None:
    model = model_of(tmp_path, SPECIES)
    assert model.card.spatial == SPECIES
    rng = np.random.default_rng(5)
    r, cell = lattice("bcc", 3.0, (6, 6, 6))
    r = r + 0.2 * rng.normal(size=r.shape)
    species = np.where(rng.random(len(r)) < 0.4, 14, 8)
    found = classify_with(model, r, cell, True, species).probabilities
    kinds = (species == 8).astype(np.int64)
    graph = periodic(r, cell, np.arange(len(r)), SPECIES, kinds)
    with torch.no_grad():
        expected = network_of(SPECIES)(*graph.arguments())
    assert found[graph.labels.numpy()] == pytest.approx(expected.numpy(), abs=1e-5)
    assert found.std(axis=0).max() > 0.01


def test_nothing_jumps_when_an_atom_comes_or_goes(tmp_path: Path) -> None:
    """Through the limit of the search, and through the place of the (K+1)-th neighbour."""
    settings = SpatialSettings(
        5, 4.0, "angstrom", 2, local=0, radial=4, range=4.0, degree=3, moments=2
    )
    model = model_of(tmp_path, settings)
    rng, jumps = np.random.default_rng(2), []
    for _ in range(10):
        away = rng.normal(size=(4, 3)) * [0.3, 1.0, 1.0] - [1.5, 0.0, 0.0]
        few = np.concatenate([[[0.0, 0.0, 0.0]], away])

        def found(
            *further: tuple[float, float, float], few: NDArray[np.float64] = few
        ) -> NDArray[np.float32]:
            r = np.concatenate([few, np.array(further)])
            return classify_with(model, r, None, False).probabilities

        near, far = found((4.0 - 1e-4, 0.0, 0.0)), found((4.0 + 1e-4, 0.0, 0.0))
        jumps.append(np.abs(near - far).max())
        assert np.abs(found((3.5, 0.0, 0.0)) - far).max() > 1e-3
        one, other = (
            found((3.0 + e, 0.5, 0.0), (3.0 - e, -0.5, 0.0), (0.0, 0.0, 2.0)) for e in (1e-4, -1e-4)
        )
        jumps.append(np.abs(one - other).max())
    assert max(jumps) < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degree": 7}, "degree=7 .* give 0 … 6"),
        ({"degree": 2, "moments": 0}, "moments=0 .* give 1 … 8"),
        ({"degree": 2, "radial": 0}, "give radial of 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SpatialSettings(**change)  # type: ignore[arg-type]


def test_models_from_before_the_spectra_have_none() -> None:
    card = Path(insitu.__file__).parent / "models" / "artifacts" / "sio2-local" / "card.json"
    assert "degree" not in json.loads(card.read_text())["spatial"]
    graph = store.load("sio2-local").card.spatial
    assert graph is not None
    assert graph.degree == graph.spectra == 0


def test_it_learns_stacking_and_standardises() -> None:
    """Fcc and hcp of equal density have equal first shells: angles tell them, in every orientation."""
    settings = SpatialSettings(neighbors=12, layers=2, degree=4, moments=2)
    rng, classes = np.random.default_rng(0), ("fcc", "hcp")

    def sample(label: int, noise: float) -> Whole:
        name = classes[label]
        r, cell = lattice(name, 4.0 if label == 0 else 4.0 / np.sqrt(2), (4, 4, 4))
        r = r + noise * rng.normal(size=r.shape)
        return periodic(r, cell, np.full(len(r), label), settings)

    torch.manual_seed(0)
    network = Normalised(2, settings, width=16, hidden=16)
    train = Samples([sample(k, 0.1) for _ in range(4) for k in (0, 1)])
    dgcnn.fit(network, train, Schedule(epochs=24, batch=2), 0)
    with torch.no_grad():
        p = torch.cat([network.power_spectra(*w.arguments()) for w in train.items])
    assert network.spectra_centre.numpy() == pytest.approx(p.mean(0).numpy(), abs=1e-3)
    assert network.spectra_scale.numpy() == pytest.approx(p.numpy().std(axis=0), rel=0.05, abs=1e-3)
    test = [sample(k, 0.12) for k in (0, 1)]
    probabilities, labels = dgcnn.predict_whole(network, test)
    assert dgcnn.accuracy(dgcnn.confusion(probabilities, labels)) > 0.95
    with torch.no_grad():
        plain = network.folded()
        expected = network.logits(*test[0].arguments()).numpy()
        assert plain.logits(*test[0].arguments()).numpy() == pytest.approx(expected, abs=1e-3)
