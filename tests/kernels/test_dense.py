# SPDX-License-Identifier: BSD-3-Clause
"""Samples that leave the fast paths: dense ones, droplets far apart, vapour far away, damaged weights."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import reference

import insitu
from insitu import _kernels
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models import store
from insitu.models.weights import read_weights
from insitu.testing import lattice


@pytest.mark.parametrize("isa", _kernels.isa_available())
@pytest.mark.parametrize("scale_free", [False, True])
@pytest.mark.parametrize("beside", [0, 60])
def test_images_where_a_cell_has_more_candidates_than_keys(
    isa: str, scale_free: bool, beside: int
) -> None:
    """`beside`: dilute atoms in the same group of centres, which have keys."""
    rng = np.random.default_rng(8)
    dense = rng.uniform(0.0, 9.0, (4500, 3))
    r = np.concatenate([dense, rng.uniform(0.0, 9.0, (beside, 3)) + np.array([40.0, 0.0, 0.0])])
    chosen = np.zeros(len(r), dtype=bool)
    chosen[:20] = True
    chosen[len(dense) :] = True
    kind = NeighborsMap(cutoff=9.0, scale_free=scale_free)
    frame = Frame.from_arrays(r, None, False, reach=0.0, selected=chosen)
    search = Neighbors(frame, 9.0)
    (atoms, images, _), *rest = [
        (a.copy(), m.copy(), f.copy()) for a, m, f in kind.batches(search, batch=200, isa=isa)
    ]
    assert not rest
    want = reference.neighbors_map(
        r, None, False, indices=atoms[:6].tolist(), **kind.as_dict()
    ).images
    np.testing.assert_allclose(images[:6], want, rtol=3e-4)
    want = reference.neighbors_map(r, None, False, indices=atoms[-3:].tolist(), **kind.as_dict())
    np.testing.assert_allclose(images[-3:], want.images, rtol=3e-4)


def test_droplets_far_apart_have_cells_of_their_own() -> None:
    r, _ = lattice("fcc", 4.05, (6, 6, 6))
    far = np.concatenate([r, r + 4000.0, r + np.array([9000.0, 100.0, -500.0])])
    search = Neighbors(Frame.from_arrays(far, None, False, reach=0.0), 6.0)
    occupied = len(np.unique(np.floor((r - r.min(axis=0)) / 6.0), axis=0))
    assert np.prod(search.cells.shape) >= 3 * occupied
    offsets, indices = search.lists(6.0)
    alone = Neighbors(Frame.from_arrays(r, None, False, reach=0.0), 6.0)
    one, neighbors = alone.lists(6.0)
    expected = {int(a): neighbors[one[k] : one[k + 1]] for k, a in enumerate(alone.atoms)}
    for k, a in enumerate(search.atoms):
        drop, i = divmod(int(a), len(r))
        np.testing.assert_array_equal(
            np.sort(indices[offsets[k] : offsets[k + 1]]), np.sort(expected[i]) + drop * len(r)
        )
    labels = insitu.classify(far, None, False).labels.reshape(3, -1)
    assert (labels == labels[0]).all()


def test_colours_of_vapour_far_away_follow_its_distance() -> None:
    rng = np.random.default_rng(9)
    near = rng.uniform(0.0, 4.0, (20, 3))
    directions = rng.normal(size=(30, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    far = directions * np.geomspace(30.0, 3000.0, 30)[rng.permutation(30)][:, None]
    r = np.concatenate([near, far])
    weights = rng.choice([-1.0, 1.0], len(r))
    found = insitu.neighbors_map(r, None, False, weights=weights, scale_free=True, cutoff=900.0)[0]
    want = reference.neighbors_map(
        r, None, False, indices=[0], weights=weights[None], scale_free=True, cutoff=4000.0
    )
    # Distances to the cluster's atoms differ by more than what the keys resolve, in row 0.
    np.testing.assert_allclose(found[1, 0], want.images[0, 1, 0], rtol=1e-4)


def test_a_sparse_sample_widens_its_search_without_a_limit() -> None:
    image = insitu.neighbors_map([[0, 0, 0], [5000.0, 0, 0]], None, False, scale_free=True, size=4)
    assert image[0, 0, 0, 0] == pytest.approx(1.0)  # in units of the mean distance
    assert (image[:, 0, 2:] == 0).all()


@pytest.mark.parametrize("name", ["metals", "crystals-cnn"])
def test_damaged_weights_are_said(name: str, tmp_path: Path) -> None:
    _, content = store._inside(store.locate(name), store.locate(name).read_bytes())
    assert content is not None
    for bad in (content[: len(content) // 2], b"", b"garbage", content[:100] + bytes(200)):
        with pytest.raises(
            ModelError, match=r"weights inside model trial are damaged .*; train or"
        ):
            read_weights(bad, Path("trial"))
    arrays = {k: v.astype(np.float32) for k, v in read_weights(content, Path("trial")).items()}
    first = max(arrays, key=lambda k: arrays[k].size)
    arrays[first].flat[3] = np.nan
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=f"not finite \\({first}\\)"):
        read_weights(file.getvalue(), Path("trial"))


def test_an_unknown_instruction_set_is_not_the_models_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INSITU_ISA", "avx")
    with pytest.raises(SettingError, match=r"instruction set 'avx'.*this machine has"):
        store.load("metals")
