# SPDX-License-Identifier: BSD-3-Clause
"""The kernels' images against the plain reference: every structure, setting and boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

import insitu
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import lattice

Array = NDArray[np.float64]

#: Lattice constant [Å] and repeats: about as many atoms as the reference can do in a moment.
CRYSTALS: dict[str, tuple[float, tuple[int, int, int]]] = {
    "bcc": (2.87, (4, 4, 4)),
    "fcc": (4.05, (3, 3, 3)),
    "hcp": (3.2, (4, 2, 2)),
    "cubic_diamond": (5.43, (2, 2, 2)),
    "hexagonal_diamond": (3.84, (3, 2, 2)),
    "sc": (3.0, (4, 4, 4)),
}


def sample(name: str, state: str) -> tuple[Array, Array]:
    a, repeat = CRYSTALS[name]
    r, cell = lattice(name, a, repeat)
    rng = np.random.default_rng(len(name))
    if state == "vacancies":
        r = r[rng.permutation(len(r))[: len(r) // 2]]
    if state != "perfect":
        r = r + rng.normal(scale=0.12, size=r.shape)
    return r, cell


def agrees(images: Any, want: reference.Reference, blurred_share: float = 0.0) -> None:
    """To 1e-5 and exact zeros; coloured pixels that hang on a float32 rounding are counted."""
    assert images.shape == want.images.shape
    assert images.dtype == np.float32
    error = np.abs(images - want.images) / np.where(want.images == 0, 1.0, np.abs(want.images))
    assert not images[want.images == 0].any()
    assert (error[:, 0] <= 1e-5).all(), f"first channel off by {error[:, 0].max():.2e}"
    rest = error[:, 1:] > 1e-5
    outside = rest & ~want.blurred[:, None]
    assert not outside.any(), (
        f"{outside.sum()} coloured pixels off, first {np.argwhere(outside)[0]}"
    )
    assert rest.sum() <= blurred_share * max(rest.size, 1), f"{rest.sum()} of {rest.size} pixels"


def compare(
    r: Array,
    cell: Array | None,
    pbc: Any,
    *,
    atoms: int = 10,
    blurred: float = 0.0,
    **settings: Any,
) -> reference.Reference:
    flags = pbc if isinstance(pbc, bool) else tuple(bool(p) for p in pbc)
    chosen = np.unique(np.linspace(0, len(r) - 1, atoms).astype(int))
    images = insitu.neighbors_map(r, cell, pbc, indices=chosen, **settings)
    plain = dict(settings, ball=settings.get("ball") or settings.get("size", 32))
    want = reference.neighbors_map(r, cell, flags, indices=chosen, **plain)
    agrees(images, want, blurred)
    return want


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
@pytest.mark.parametrize("state", ["perfect", "noisy", "vacancies"])
@pytest.mark.parametrize("name", CRYSTALS)
def test_crystals_agree_with_the_reference(name: str, state: str, scale_free: bool) -> None:
    r, cell = sample(name, state)
    compare(r, cell, True, scale_free=scale_free)


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
@pytest.mark.parametrize(
    "settings",
    [
        {"size": 16},
        {"size": 20, "gamma": 1.0},
        {"gamma": 3.3, "beta": 1.5},
        {"size": 2, "gamma": 2.0},
        {"size": 64, "cutoff": 4.5, "beta": 7.0},
        {"size": 128, "cutoff": 7.0},
    ],
    ids=str,
)
def test_other_settings_agree_with_the_reference(
    settings: dict[str, Any], scale_free: bool
) -> None:
    r, cell = reference.packing(120, 0.06, seed=1)
    compare(
        r, cell, True, scale_free=scale_free, local=min(14, settings.get("size", 32)), **settings
    )


@pytest.mark.parametrize("ball", [1, 5, 14, 33, 90])
@pytest.mark.parametrize("local", [1, 12, 40])
def test_scale_free_ball_and_unit_of_length_are_numbers_of_neighbours(
    ball: int, local: int
) -> None:
    r, cell = reference.packing(120, 0.06, seed=2)
    # The search starts at 3 Å, with fewer neighbours than either number.
    want = compare(r, cell, True, scale_free=True, ball=ball, local=local, cutoff=3.0)
    assert (want.found == ball).all()


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("kind", ["fcc perfect", "hcp noisy", "bcc vacancies", "liquid", "gas"])
def test_colours_of_species_agree_with_the_reference(
    kind: str, channels: int, scale_free: bool
) -> None:
    if kind == "liquid":
        r, cell = reference.packing(120, 0.06, seed=3)
    elif kind == "gas":
        r, cell = reference.gas(120, 40.0, seed=3)
    else:
        r, cell = sample(*kind.split())
    rng = np.random.default_rng(channels)
    weights = rng.choice([-1.0, 0.5, 1.0, 2.0], size=(channels - 1, len(r)))
    compare(r, cell, True, weights=weights, scale_free=scale_free, blurred=0.001)


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
def test_sparse_gas_agrees_with_the_reference_and_is_padded_with_zeros(scale_free: bool) -> None:
    r, cell = reference.gas(200, 55.0, seed=4)
    want = compare(r, cell, True, atoms=200 if not scale_free else 8, scale_free=scale_free)
    if not scale_free:
        assert set(np.unique(want.found)) >= {0, 1, 2, 3}


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
@pytest.mark.parametrize(
    "pbc", [False, True, (True, False, False), (True, True, False), (False, True, True)], ids=str
)
def test_triclinic_cells_and_boundaries_agree_with_the_reference(
    pbc: Any, scale_free: bool
) -> None:
    r, cell = reference.triclinic(90, 0.06, seed=5)
    compare(r, cell, pbc, scale_free=scale_free)


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_cells_smaller_than_the_cutoff_agree_with_the_reference(n: int, scale_free: bool) -> None:
    # An oblique cell of 3 … 5 Å: the same atom is in a ball many times.
    cell = np.array([[3.1, 0.0, 0.0], [1.4, 2.9, 0.0], [-1.2, 0.9, 3.3]]) * n ** (1 / 3)
    r = np.random.default_rng(n).uniform(0, 1, (n, 3)) @ cell
    compare(r, cell, True, scale_free=scale_free)
    compare(r, cell, True, scale_free=scale_free, weights=np.linspace(-1, 2, n), blurred=0.001)
    compare(r, cell, (True, False, True), scale_free=scale_free)


def test_a_one_atom_cell_gives_the_image_of_its_crystal() -> None:
    one = insitu.neighbors_map([[0.0, 0, 0]], np.eye(3) * 3.0, True)
    r, cell = lattice("sc", 3.0, (5, 5, 5))
    many = insitu.neighbors_map(r, cell, True, indices=[0])
    np.testing.assert_allclose(np.sort(one[0, 0, 0]), np.sort(many[0, 0, 0]), rtol=1e-6)


def test_atoms_outside_of_the_cell_are_wrapped_or_left_where_they_are() -> None:
    r, cell = reference.triclinic(80, 0.06, seed=6)
    far = r + np.random.default_rng(0).integers(-3, 4, r.shape) @ cell
    compare(far, cell, True)
    images = insitu.neighbors_map(far, cell, True)
    np.testing.assert_allclose(images, insitu.neighbors_map(r, cell, True), rtol=1e-5)
    compare(far, cell, False)
    compare(far, cell, (True, True, False))


@pytest.mark.parametrize("cutoff", [6.0, 3.0])
def test_a_shell_at_the_cutoff_is_inside_as_a_whole(cutoff: float) -> None:
    r, cell = lattice("sc", 3.0, (5, 5, 5))
    want = compare(r, cell, True, cutoff=cutoff, atoms=125)
    assert set(want.found) == {32 if cutoff == 6.0 else 6}


def test_empty_input_and_one_atom() -> None:
    assert insitu.neighbors_map(np.zeros((0, 3)), None, False).shape == (0, 1, 32, 32)
    assert insitu.neighbors_map([], np.eye(3), True, scale_free=True).shape == (0, 1, 32, 32)
    for scale_free in (False, True):
        one = insitu.neighbors_map([[1.0, 2, 3]], None, False, scale_free=scale_free, size=8)
        assert one.shape == (1, 1, 8, 8)
        assert not one.any()


def test_two_atoms_on_one_spot_give_a_finite_image() -> None:
    r = np.array([[0.0, 0, 0], [0, 0, 0], [2.0, 0, 0]])
    images = insitu.neighbors_map(r, None, False, size=4)
    assert np.isfinite(images).all()
    assert images[0, 0, 0, 0] == pytest.approx(1e4, rel=1e-5)


@pytest.mark.parametrize(("gamma", "beta"), [(19.0, 3.0), (2.0, 0.06), (18.0, 1.0)])
def test_steep_settings_stay_finite_and_padded_with_zeros_or_are_refused(
    gamma: float, beta: float
) -> None:
    r = np.array([[0.0, 0, 0], [0, 0, 0], [2.0, 0, 0]])
    try:
        images = insitu.neighbors_map(r, None, False, size=32, gamma=gamma, beta=beta)
    except SettingError as error:
        assert "gamma" in str(error)  # noqa: PT017
        return
    assert np.isfinite(images).all()
    assert not images[:, :, 3:].any()


def test_indices_choose_images_in_their_order() -> None:
    r, cell = sample("fcc", "noisy")
    every = insitu.neighbors_map(r, cell, True)
    for chosen in ([5, 3, 3, -1], [], np.arange(len(r)) % 2 == 0):
        some = insitu.neighbors_map(r, cell, True, indices=chosen)
        want = every[np.asarray(chosen, dtype=None if len(chosen) else int)]
        np.testing.assert_array_equal(some, want)


def test_a_single_row_of_weights_is_a_second_channel() -> None:
    r, cell = sample("bcc", "noisy")
    w = np.linspace(0.5, 2, len(r))
    a = insitu.neighbors_map(r, cell, True, weights=w, indices=[0])
    b = insitu.neighbors_map(r, cell, True, weights=w[None], indices=[0])
    assert a.shape == (1, 2, 32, 32)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cutoff", 0.0), ("cutoff", -1.0), ("cutoff", float("nan")), ("cutoff", 1e9),
        ("size", 1), ("size", 129), ("size", 16.5), ("gamma", 0), ("gamma", float("inf")),
        ("beta", 0.0), ("beta", -3), ("ball", 0), ("ball", 5000), ("local", 0), ("local", 2.5),
        ("cutoff", "six"), ("gamma", None),
    ],
)  # fmt: skip
def test_errors_name_the_setting_and_its_value(setting: str, value: Any) -> None:
    with pytest.raises(SettingError) as error:
        NeighborsMap(**{setting: value})
    assert setting in str(error.value)
    assert str(value) in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"positions": np.zeros((5, 2))}, "positions have shape (5, 2)"),
        ({"positions": np.zeros((3, 2))}, "positions have shape (3, 2)"),
        ({"cell": None}, "cell is None"),
        ({"cell": np.zeros((3, 3))}, "cell vector 0 is zero"),
        ({"cell": np.ones((3, 3))}, "no volume"),
        ({"cell": np.ones(2)}, "cell has shape (2,)"),
        ({"pbc": (True, False)}, "pbc"),
        ({"device": "cuda"}, "device='cuda'"),
        ({"weights": np.ones(3)}, "weights have shape (3,)"),
        ({"weights": np.array([1.0, np.nan, 1, 1])}, "weights"),
        ({"indices": [4]}, "indices"),
    ],
)
def test_errors_of_the_call_say_what_was_given(arguments: dict[str, Any], text: str) -> None:
    call: dict[str, Any] = {"positions": np.eye(4, 3), "cell": np.eye(3) * 9, "pbc": True}
    with pytest.raises(SettingError) as error:
        insitu.neighbors_map(**(call | arguments))
    assert text in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_a_position_that_is_not_finite_names_the_atom(bad: float) -> None:
    r, cell = sample("bcc", "noisy")
    r[17, 1] = bad
    with pytest.raises(InsituError, match="position of atom 18 "):
        insitu.neighbors_map(r, None, False)
    if not np.isfinite(bad):
        with pytest.raises(InsituError, match="position of atom 18 "):
            insitu.neighbors_map(r, cell, True)


def test_a_search_that_is_too_short_is_refused() -> None:
    r, cell = sample("bcc", "noisy")
    search = Neighbors(Frame.from_arrays(r, cell, True, reach=5.0), 5.0)
    with pytest.raises(InsituError, match=r"cutoff.*6\.0"):
        next(NeighborsMap(cutoff=6.0).batches(search))


def test_a_ball_of_more_atoms_than_16_bits_can_count() -> None:
    r, cell = lattice("sc", 1.0, (41, 41, 41))
    (image,) = insitu.neighbors_map(r, cell, False, cutoff=100.0, indices=[0])
    nearest = np.sort((r[1:] ** 2).sum(axis=1))[:32]
    np.testing.assert_allclose(image[0, 0], 1 / nearest, rtol=1e-5)


def test_a_coloured_ball_beyond_the_kernels_limit_is_refused() -> None:
    few, cell = lattice("sc", 1.0, (11, 11, 11))
    weights = np.ones(len(few))
    with pytest.raises(ValueError, match=r"more than one channel.*reduce the cutoff"):
        insitu.neighbors_map(few, cell, False, cutoff=30.0, weights=weights, indices=[0])
