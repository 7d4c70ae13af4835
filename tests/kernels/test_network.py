# SPDX-License-Identifier: BSD-3-Clause
"""The sorting networks and the instruction sets: every one gives the same images, and the right ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from insitu import _kernels
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import lattice

Array = NDArray[np.float64]
ISAS: list[str] = _kernels.isa_available()


def images(
    r: Array, cell: Any, pbc: Any, kind: NeighborsMap, isa: str, weights: Any = None, batch: int = 7
) -> tuple[Any, Any]:
    frame = Frame.from_arrays(r, cell, pbc, reach=kind.cutoff * 1.001)
    color = None if weights is None else weights[:, frame.ids - 1].astype(np.float32)
    channels = 1 if weights is None else 1 + len(weights)
    out = np.full((len(r), channels, kind.size, kind.size), np.nan, dtype=np.float32)
    found = np.full(len(r), -1)
    search = Neighbors(frame, kind.cutoff)
    for atoms, some, n in kind.batches(search, weights=color, batch=batch, isa=isa):
        out[atoms], found[atoms] = some, n
    return out, found


def check(r: Array, cell: Any, pbc: Any, kind: NeighborsMap, weights: Any = None) -> None:
    """All instruction sets: equal to rounding; the first channel, and the ball, as the reference."""
    best, found = images(r, cell, pbc, kind, ISAS[0], weights)
    settings = kind.as_dict()
    want = reference.neighbors_map(r, cell, pbc, weights=weights, **settings)
    for isa in ISAS[1:]:
        other, count = images(r, cell, pbc, kind, isa, weights)
        np.testing.assert_allclose(other[:, 0], best[:, 0], rtol=2e-6, atol=0, err_msg=isa)
        np.testing.assert_array_equal(other == 0.0, best == 0.0)  # padding
        same = np.isclose(other[:, 1:], best[:, 1:], rtol=2e-6, atol=0)
        assert (same | want.blurred[:, None]).all()
        np.testing.assert_array_equal(count, found)
    np.testing.assert_allclose(best[:, 0], want.images[:, 0], rtol=1e-5, atol=0)
    colored = np.isclose(best[:, 1:], want.images[:, 1:], rtol=1e-5, atol=0)
    assert (colored | want.blurred[:, None]).all()
    assert (~colored).sum() <= 0.001 * colored.size
    if not kind.scale_free:
        np.testing.assert_array_equal(found, want.found)


@pytest.mark.parametrize("size", [2, 5, 16, 17, 32, 33, 48])
def test_every_size_of_ball_and_image(size: int) -> None:
    r, _ = reference.packing(70, 0.06, seed=size)
    for n in range(1, 70, 1 if size in (5, 32) else 7):
        # All atoms see each other: a ball of n atoms; the images of two of them will do.
        frame = Frame.from_arrays(r[:n], None, False, reach=40.0)
        object.__setattr__(frame, "selected", np.arange(n) < 2)
        search = Neighbors(frame, 40.0)
        kind = NeighborsMap(cutoff=40.0, size=size)
        want = reference.neighbors_map(
            r[:n], None, False, cutoff=40.0, size=size, indices=list(range(min(n, 2)))
        )
        for isa in ISAS:
            for atoms, some, found in kind.batches(search, isa=isa):
                assert (found == n - 1).all()
                np.testing.assert_allclose(some, want.images[atoms], rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
@pytest.mark.parametrize(("gamma", "size"), [(2.0, 32), (1.0, 20), (3.3, 16)])
def test_instruction_sets_agree_on_a_liquid(gamma: float, size: int, scale_free: bool) -> None:
    r, cell = reference.triclinic(60, 0.06, seed=size)
    weights = np.random.default_rng(0).normal(size=(2, len(r)))
    kind = NeighborsMap(cutoff=7.0, size=size, gamma=gamma, scale_free=scale_free)
    check(r, cell, True, kind)
    check(r, cell, True, kind, weights)


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
def test_instruction_sets_agree_on_a_gas_a_crystal_and_a_small_cell(scale_free: bool) -> None:
    kind = NeighborsMap(scale_free=scale_free)
    r, _ = reference.gas(50, 25.0, seed=1)
    # A scale-free ball has to find its 32 neighbours: here the search is as wide as the gas.
    check(r, None, False, NeighborsMap(cutoff=45.0, scale_free=True) if scale_free else kind)
    check(*lattice("hcp", 3.2, (3, 2, 2)), True, kind)
    check(*lattice("bcc", 2.87, (1, 1, 1)), True, kind, np.array([[1.0, -0.5]]))


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("isa", ISAS)
def test_what_floats_cannot_tell_is_decided_in_double_precision(isa: str, batch: int) -> None:
    """Neighbours about equally far, and about as far as the radius, in a sample far from the origin."""
    rng = np.random.default_rng(3)
    radius = 6.0 * (1 + (1 - reference.ROUND) * reference.TIE)
    closer = np.array([0.0, 1e-9, 1e-7, 1e-6, 3e-6, 1e-5, 3e-5, 6e-5, 1e-4, 1e-3])
    edge = radius * (1 + np.array([-1e-5, -1e-6, -1e-7, -1e-9, 1e-9, 1e-7, 1e-6, 1e-5]))
    points = []
    for k in range(40):
        d = rng.uniform(2.0, 5.9, 22)
        d = np.concatenate([d, d + rng.choice(closer, 22), rng.choice(edge, 8)])
        u = rng.normal(size=(len(d), 3))
        here = np.array([1e4, -3e3, 77.7]) + 40.0 * np.array([k % 4, k // 4 % 4, k // 16])
        u *= (d / np.linalg.norm(u, axis=1))[:, None]
        points.append(here + np.concatenate([[[0.0, 0.0, 0.0]], u]))
    r = np.concatenate(points)
    centres = np.arange(40) * len(points[0])
    kind = NeighborsMap()
    frame = Frame.from_arrays(r, None, False, reach=6.001)
    object.__setattr__(frame, "selected", np.isin(np.arange(len(r)), centres))
    want = reference.neighbors_map(r, None, False, indices=list(centres))
    place = dict(zip(centres, range(40), strict=True))
    for atoms, some, found in kind.batches(Neighbors(frame, 6.0), batch=batch, isa=isa):
        at = [place[a] for a in atoms]
        np.testing.assert_array_equal(found, want.found[at])
        np.testing.assert_allclose(some, want.images[at], rtol=1e-5, atol=0)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("side", [1e5, 1e9])
def test_clusters_in_a_void_too_wide_for_floats(isa: str, side: float) -> None:
    """Cells grow with the void: coordinates within one are then too coarse to tell any distance."""
    rng = np.random.default_rng(1)
    where = rng.uniform(0.0, side, (100, 1, 3))
    r = (where + rng.uniform(-5.0, 5.0, (100, 6, 3))).reshape(-1, 3)
    search = Neighbors(Frame.from_arrays(r, None, False, reach=6.001), 6.0)
    for atoms, _, found in NeighborsMap().batches(search, isa=isa):
        distances = np.linalg.norm(r[atoms, None] - r, axis=2)
        np.testing.assert_array_equal(found, (distances <= 6.0).sum(axis=1) - 1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("unit", [1e-4, 1e-2, 1e20])
@pytest.mark.parametrize("n", [12, 31, 60])
def test_scale_free_images_do_not_depend_on_the_unit_of_length(
    isa: str, unit: float, n: int
) -> None:
    """Down to lengths in µm, and up to where floats do not hold a square of them."""
    r, _ = reference.packing(70, 0.06, seed=4)
    kind = NeighborsMap(scale_free=True).searching(60.0)
    want, found = images(r[:n], None, False, kind, isa)
    other, count = images(r[:n] * unit, None, False, kind.searching(60.0 * unit), isa)
    np.testing.assert_allclose(other, want, rtol=1e-5, atol=0)
    np.testing.assert_array_equal(count, found)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [3, 20, 29, 40])
def test_images_of_atoms_on_one_spot_are_finite_anywhere(isa: str, n: int) -> None:
    r, _ = reference.packing(70, 0.06, seed=5)
    r = 0.3 * r[:n]
    r[1] = r[0]
    kind = NeighborsMap()
    want = reference.neighbors_map(r, None, False).images
    some, found = images(r, None, False, kind, isa)
    # The reference weights rows by distances in order, which differ from the atoms' within a tie.
    np.testing.assert_allclose(some, want, rtol=1e-4, atol=0)
    assert (found == n - 1).all()
    far, found = images(np.concatenate([r, [[1e60, 0, 0], [1e60, 0, 0]]]), None, False, kind, isa)
    assert (found[-2:] == 1).all()
    assert np.isfinite(far).all()


@pytest.mark.parametrize("batch", [1, 64, 1000])
def test_images_do_not_depend_on_the_batch(batch: int) -> None:
    r, cell = reference.packing(90, 0.06, seed=8)
    kind = NeighborsMap()
    some, found = images(r, cell, True, kind, "", batch=batch)
    want, count = images(r, cell, True, kind, "", batch=13)
    np.testing.assert_array_equal(some, want)
    np.testing.assert_array_equal(found, count)


def test_the_best_instruction_set_is_the_default_and_plain_is_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("INSITU_ISA", raising=False)
    assert ISAS[-1] == "plain"
    assert _kernels.isa_default() == ISAS[0]
    monkeypatch.setenv("INSITU_ISA", "plain")
    assert _kernels.isa_default() == "plain"


def test_an_unknown_instruction_set_is_refused_with_those_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    r = np.zeros((1, 3))
    with pytest.raises(ValueError, match=r"'sse9'.*INSITU_ISA.*this machine has: .*plain"):
        images(r, None, False, NeighborsMap(), "sse9")
    monkeypatch.setenv("INSITU_ISA", "altivec")
    with pytest.raises(ValueError, match=r"'altivec'.*plain"):
        images(r, None, False, NeighborsMap(), "")
