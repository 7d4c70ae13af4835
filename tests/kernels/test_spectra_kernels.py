# SPDX-License-Identifier: BSD-3-Clause
"""Power spectra in the first layer of a network on the whole sample's graph."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import Legendre
from numpy.typing import NDArray
from spatial_networks import CLASSES, artefact_of, network_of, pair, sample

from insitu import _kernels
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.models import store
from insitu.models.engines.spatial import SpatialModel, SpatialSettings, neighbors_of, pack

Array = NDArray[np.float64]
#: Degrees and moments that do and do not fill the kernels' blocks; neighbours likewise.
SPECTRA = {
    "smallest": SpatialSettings(5, 4.0, "angstrom", 1, local=0, range=4.0, degree=1, moments=1),
    "two species": SpatialSettings(
        16, 4.5, "angstrom", 1, range=2.5, species=(14, 8), by_species=True, degree=4, moments=4
    ),
    "colour-blind": SpatialSettings(
        30, 5.0, "angstrom", 1, local=8, species=(14, 8), degree=3, moments=7
    ),
    "highest": SpatialSettings(
        18, 4.2, "angstrom", 1, species=(14, 8), by_species=True, degree=6, moments=3
    ),
    "most": SpatialSettings(9, 4.0, "angstrom", 1, local=0, range=4.0, degree=6, moments=8),
}


def reading(which: SpatialSettings, centre: Array, scale: Array, isa: str) -> SpatialModel:
    """A network whose first layer is nothing but the spectra: ReLU(x), then ReLU(-x)."""
    q = which.spectra
    zero = {
        "own.0.weight": (2 * q, which.n_species), "own.0.bias": (2 * q,),
        "other.0.weight": (2 * q, which.n_species), "edge.0.weight": (2 * q, which.features),
        "head.weight": (16, 2 * q), "head.bias": (16,), "last.weight": (len(CLASSES), 16),
        "last.bias": (len(CLASSES),),
    }  # fmt: skip
    state = {name: np.zeros(shape, dtype=np.float32) for name, shape in zero.items()}
    state["spectra.weight"] = np.concatenate([np.eye(q), -np.eye(q)]).astype(np.float32)
    state["spectra_centre"] = centre.astype(np.float32)
    state["spectra_scale"] = scale.astype(np.float32)
    packed = io.BytesIO()
    pack(state, which, packed)
    card = store.Card("trial", CLASSES, NeighborsMap(scale_free=True), spatial=which)
    return SpatialModel(card, packed.getvalue(), "", Path("model.pt"), isa)


def found_by_the_kernels(
    which: SpatialSettings, search: Neighbors, kinds: Array, isa: str
) -> Array:
    """Return the spectra (n, Q) of all atoms in cell order."""
    rng = np.random.default_rng(5)
    centre, scale = rng.uniform(0, 2, which.spectra), rng.uniform(0.5, 2, which.spectra)
    model = reading(which, centre, scale, isa)
    engine, n = model._kernels, len(search.owned[0])
    h = np.empty((n, model._widths[1]), dtype=np.float32)
    engine.begin(
        search.cells, search.owned[0], Halo.alone(search.frame).rows(search).row_of_place, kinds,
        np.empty((n, engine.padded), dtype=np.int32),
        np.empty((n, engine.edge_words), dtype=np.float32), h, np.empty_like(h),
        np.empty(n, dtype=np.int32), np.empty((n, len(CLASSES)), dtype=np.float32),
        which.reach, which.local, 1.0,
    )  # fmt: skip
    positive, negative = h[:, : which.spectra], h[:, which.spectra : 2 * which.spectra]
    return centre + scale * (positive.astype(np.float64) - negative)


def by_the_addition_theorem(which: SpatialSettings, search: Neighbors, kinds: Array) -> Array:
    """Return the same from the angles between all pairs of neighbours, without harmonics."""
    vectors, cut, unit, nearest, _ = neighbors_of(search, which, 1.0)
    row_of_place = Halo.alone(search.frame).rows(search).row_of_place
    there = nearest >= 0
    d = np.linalg.norm(vectors.astype(np.float64), axis=2)
    s = np.where(there, np.maximum(1 - (d / cut[:, None]) ** 2, 0) ** 2, 0)
    t = np.minimum(2 * d / (which.range * unit[:, None]) - 1, 1)
    angles = np.arange(which.moments) * np.arccos(np.clip(t, -1, 1))[..., None]
    kind = kinds[row_of_place[nearest]] if which.by_species else np.zeros_like(nearest)
    functions = np.concatenate(
        [(s * (kind == b))[..., None] * np.cos(angles) for b in range(which.kinds)], axis=2
    )
    u = vectors / np.maximum(d, 1e-9)[..., None]
    cosine = np.einsum("ijx,ikx->ijk", u, u)
    a, b = np.triu_indices(which.kinds * which.moments)
    p = np.empty((len(d), len(a), which.degree + 1))
    for degree in range(which.degree + 1):
        between = Legendre.basis(degree)(cosine)
        p[:, :, degree] = np.einsum("ija,ijk,ikb->iab", functions, between, functions)[:, a, b]
    return p.reshape(len(d), -1)


@pytest.mark.parametrize("name", list(SPECTRA))
def test_spectra_are_sums_of_legendre_polynomials_of_the_angles(name: str) -> None:
    """On every instruction set; with an atom that has no neighbour and one that has a single one."""
    which = SPECTRA[name]
    r, cell, species = sample(noise=0.3)
    r = np.concatenate([r, [cell.sum(axis=0) * 3 + k for k in ([0, 0, 0], [9, 0, 0], [9, 2, 0])]])
    species = np.append(species, [8, 14, 8])
    frame = Frame.from_arrays(r, None, False, reach=which.reach * 1.001, types=species)
    search = Neighbors(frame, which.reach)
    kinds = np.where(species == 14, 0, 1)[search.owned[1]].astype(np.int32)
    if not which.species:
        kinds[:] = 0
    want = by_the_addition_theorem(which, search, kinds)
    neighbours = neighbors_of(search, which, 1.0)[4]
    assert set(neighbours[search.owned[1] >= len(r) - 3]) == {0, 1}
    assert not want[neighbours == 0].any()
    assert (np.abs(want).max(axis=0) > 1e-2).all()
    for isa in _kernels.isa_available():
        found = found_by_the_kernels(which, search, kinds, isa)
        assert found.shape == want.shape
        assert np.abs(found - want).max() < 3e-6 * np.abs(want).max()


@pytest.mark.parametrize("name", list(SPECTRA))
@pytest.mark.parametrize("layers", [1, 3])
def test_the_kernels_agree_with_torchscript(tmp_path: Path, name: str, layers: int) -> None:
    which = replace(SPECTRA[name], layers=layers)
    models = pair(artefact_of(tmp_path, which))
    r, cell, species = sample(noise=0.25)
    few = np.array([[0.0, 0.0, 0.0], [2.5, 0.0, 0.0], [30.0, 0.0, 0.0]])
    for atoms in ((r, cell, True, species), (few, None, False, species[:3])):
        native, torchs = (classify_with(m, *atoms).probabilities for m in models)
        assert np.abs(native - torchs).max() < 1e-5
    assert classify_with(models[0], r, cell, True, species).probabilities.std(axis=0).max() > 0.003


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpatialModel:
    which = replace(SPECTRA["two species"], layers=2)
    loaded = store.load(str(artefact_of(tmp_path_factory.mktemp("model"), which)))
    assert isinstance(loaded, SpatialModel)
    return loaded


@settings(
    max_examples=15, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(seed=st.integers(0, 10**6), mirror=st.booleans(), shift=st.floats(-50, 50))
def test_nothing_depends_on_orientation_handedness_place_or_order(
    model: SpatialModel, seed: int, mirror: bool, shift: float
) -> None:
    r, cell = reference.triclinic(90, 0.06, seed)
    rng = np.random.default_rng(seed)
    species = np.where(rng.random(len(r)) < 0.4, 14, 8)
    q, order = reference.rotation(seed, mirror=mirror), rng.permutation(len(r))
    moved = (r @ q + shift * np.array([1.0, -0.7, 0.3]))[order]
    before = classify_with(model, r, cell, True, species).probabilities
    after = classify_with(model, moved, cell @ q, True, species[order]).probabilities
    assert np.abs(after - before[order]).max() < 1e-5
    assert before.std(axis=0).max() > 0.01


def test_weights_without_spectra_have_no_further_widths() -> None:
    """So artefacts from before there were any are read."""
    for degree, widths in ((0, 8), (3, 10)):
        which = SpatialSettings(degree=degree)
        packed = io.BytesIO()
        state = {k: v.numpy() for k, v in network_of(which).state_dict().items()}
        pack(state, which, packed)
        packed.seek(0)
        with np.load(packed) as archive:
            assert len(archive["widths"]) == widths
