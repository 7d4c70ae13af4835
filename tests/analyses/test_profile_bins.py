# SPDX-License-Identifier: BSD-3-Clause
"""Profiles along any direction, about a point or an axis, and moving: against NumPy, image by image."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.analyses.base import System
from insitu.analyses.profile.analysis import Profile
from insitu.analyses.profile.bins import Slabs
from insitu.analyses.requests import request
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.testing import check_analysis
from insitu.testing.ranks import deal, together

CELL = np.array([[20.0, 0, 0], [3.0, 15.0, 0], [2.0, -4.0, 30.0]])
ORIGIN = np.array([1.0, 2.0, -5.0])
CLASSES = ("fcc", "disordered", "unknown")
IMAGES = np.array(list(product((-2, -1, 0, 1, 2), repeat=3)))


def atoms(n: int = 4000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return ORIGIN + rng.random((n, 3)) @ CELL, rng.integers(-1, 2, n)


def profile(frame: Frame, **words: Any) -> Profile:
    system = System(cell=frame.cell, origin=frame.origin, pbc=frame.pbc, classes=CLASSES)
    return Profile(request("profile", words).settings, system)


def found(p: Profile, frame: Frame, label: np.ndarray, **more: Any) -> dict[str, Any]:
    """Return the values of one rank that has all atoms."""
    labelled = replace(frame, results={"phase": label[frame.ids - 1]}, **more)
    sums = p(labelled, Neighbors(frame, 1.0))
    return p.finish({**sums, **p.together(Ranks())})


def counted(label: np.ndarray, at: np.ndarray, bins: int) -> np.ndarray:
    table = np.zeros((bins, 3), dtype=int)
    inside = (at >= 0) & (at < bins)
    np.add.at(table, (at[inside], np.where(label[inside] < 0, 2, label[inside])), 1)
    return table


@pytest.mark.parametrize("pbc", [True, [True, False, True], False])
@pytest.mark.parametrize("direction", [(1.0, 1.0, 0.0), (0.3, -1.0, 2.0), (0.0, 0.0, -1.0)])
def test_slabs_along_any_direction(pbc: Any, direction: tuple[float, ...]) -> None:
    """Counts by the projection of the wrapped atoms; volumes by points that fill the box."""
    r, label = atoms()
    frame = Frame.from_arrays(r, CELL, pbc, reach=0.0, origin=ORIGIN)
    p = profile(frame, direction=direction, bins=9)
    values = found(p, frame, label)
    u = np.array(direction) / np.linalg.norm(direction)
    corners = (ORIGIN + np.array(list(product((0, 1), repeat=3))) @ CELL) @ u
    edges = np.linspace(corners.min(), corners.max(), 10)
    at = np.searchsorted(edges, r @ u, side="right") - 1
    assert (values["phases/profile_count"] == counted(label, at, 9)).all()
    assert np.allclose(p.positions, 0.5 * (edges[1:] + edges[:-1]))
    grid = (np.stack(np.meshgrid(*[np.arange(90)] * 3, indexing="ij"), -1) + 0.5) / 90
    inside = (ORIGIN + grid.reshape(-1, 3) @ CELL) @ u
    volumes = np.histogram(inside, edges)[0] * (np.linalg.det(CELL) / 90**3)
    expected = counted(label, at, 9).sum(axis=1) / volumes
    assert np.allclose(values["phases/profile_density"], expected, rtol=0.03)
    exact = p._bins.volumes(frame, None)
    assert np.isclose(exact.sum(), np.linalg.det(CELL))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_volumes_of_slabs_make_up_the_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(5, 50, 3)) + np.tril(rng.uniform(-4, 4, (3, 3)), -1)
    u = rng.normal(size=3) * (rng.random(3) > 0.3) + [0, 0, 1e-3]
    slabs = Slabs(System(cell=cell), None, u, 7)
    frame = Frame.from_arrays(rng.random((3000, 3)) @ cell, cell, True, reach=0.0)
    volumes = slabs.volumes(frame, None)
    assert np.isclose(volumes.sum(), np.linalg.det(cell))
    share = np.bincount(slabs.of(frame), minlength=7) / 3000
    error = np.sqrt(share * (1 - share) / 3000) + 1e-3
    assert (np.abs(volumes / np.linalg.det(cell) - share) < 5 * error).all()


@pytest.mark.parametrize("pbc", [True, [True, True, False], False])
@pytest.mark.parametrize("shape", ["sphere", "cylinder"])
def test_shells_about_a_point(pbc: Any, shape: str) -> None:
    """The nearest of 125 images of each atom; near a corner of the box."""
    r, label = atoms()
    frame = Frame.from_arrays(r, CELL, pbc, reach=0.0, origin=ORIGIN)
    point = ORIGIN + np.array([0.05, 0.9, 0.97]) @ CELL
    words = {"axis": "z"} if shape == "cylinder" else {}
    p = profile(
        frame, shape=shape, bins=6, low=0, high=6, origin="point", point=tuple(point), **words
    )
    values = found(p, frame, label)
    shifts = IMAGES[(IMAGES[:, ~frame.pbc] == 0).all(axis=1)] @ CELL
    x = (r - point)[:, None] + shifts
    if shape == "cylinder":
        x -= (x @ CELL[2])[..., None] * CELL[2] / (CELL[2] @ CELL[2])
    d = np.linalg.norm(x, axis=2).min(axis=1)
    count = counted(label, np.floor(d).astype(int), 6)
    assert (values["phases/profile_count"] == count).all()
    volume = 4 / 3 * np.pi * np.diff(np.arange(7.0) ** 3)
    if shape == "cylinder":
        volume = np.pi * np.diff(np.arange(7.0) ** 2) * np.linalg.norm(CELL[2])
    assert np.allclose(values["phases/profile_density"], count.sum(axis=1) / volume)
    # In a uniform gas it is the gas' own, wherever the shells are whole.
    if pbc is True:
        mean = values["phases/profile_density"] @ volume / volume.sum()
        assert mean == pytest.approx(4000 / np.linalg.det(CELL), rel=0.2)


def test_shells_end_at_half_of_the_present_box() -> None:
    r, label = atoms()
    frame = Frame.from_arrays(r, CELL, True, reach=0.0, origin=ORIGIN)
    half = 0.5 / np.linalg.norm(np.linalg.inv(CELL), axis=0).max()
    assert profile(frame, shape="sphere", bins=5).positions[-1] == pytest.approx(0.9 * half)
    with pytest.raises(SettingError, match="beyond half of the periodic box"):
        profile(frame, shape="sphere", bins=5, low=0, high=1.01 * half)
    p = profile(frame, shape="sphere", bins=10)
    small = Frame.from_arrays(0.85 * r, 0.85 * CELL, True, reach=0.0, origin=0.85 * ORIGIN)
    values = found(p, small, label)
    assert np.isnan(values["phases/profile_density"]).tolist() == [False] * 8 + [True] * 2
    assert np.isnan(values["phases/profile"][8:]).all()
    assert np.isfinite(values["phases/profile"][3:8]).all()


def test_center_of_a_drop_across_the_corner_of_the_box() -> None:
    """The mean of atoms that hang together, with masses; shells about it."""
    rng = np.random.default_rng(3)
    whole = ORIGIN + np.array([0.98, 0.03, 0.5]) @ CELL + rng.normal(scale=1.2, size=(300, 3))
    gas, _ = atoms(500)
    r = np.concatenate([whole, gas])
    label = np.r_[np.zeros(300, int), np.ones(500, int)]
    types = rng.integers(1, 3, 800)
    frame = Frame.from_arrays(r, CELL, True, reach=0.0, origin=ORIGIN, types=types)
    p = profile(frame, shape="sphere", bins=5, low=0, high=5, origin="center", phase="fcc")
    p.system = replace(p.system, masses=(27.0, 108.0))
    values = found(p, frame, label)
    mass = np.where(types[:300] == 1, 27.0, 108.0)
    center = mass @ whole / mass.sum()
    apart = (values["phases/profile_origin"] - center) @ np.linalg.inv(CELL)
    assert np.allclose(apart, np.rint(apart), atol=1e-9)
    d = np.linalg.norm(whole - center, axis=1)
    assert (values["phases/profile_count"][:, 0] == np.histogram(d, np.arange(6.0))[0]).all()
    nothing = found(p, frame, np.ones(800, int))
    assert np.isnan(nothing["phases/profile_origin"]).all()
    assert nothing["phases/profile_count"].sum() == 0


def test_a_piston_of_a_group_takes_the_bins_along() -> None:
    r, label = atoms(1000)
    z = r[:, 2]
    piston = z < z.min() + 3.0
    for periodic in (True, False):
        frame = Frame.from_arrays(r, CELL, [True, True, periodic], reach=0.0, origin=ORIGIN)
        for shift in (0.0, 7.0, 29.0):
            moved = Frame.from_arrays(
                r + np.array([0, 0, shift]), CELL, [True, True, periodic], reach=0.0, origin=ORIGIN
            )
            p = profile(frame, axis="z", bins=12, low=0, high=12, origin="high", members="piston")
            assert p.groups == ("piston",)
            values = found(p, moved, label, members={"piston": piston})
            face = z[piston].max()
            end = values["phases/profile_origin"][2] - face - shift
            assert np.isclose(end - (30.0 * np.rint(end / 30.0) if periodic else 0.0), 0.0)
            at = np.floor(np.round(z - face, 9)).astype(int)
            if periodic:
                at = np.floor(np.round((z - face + 15.0) % 30.0 - 15.0, 9)).astype(int)
            assert (values["phases/profile_count"] == counted(label, at, 12)).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_front_is_followed_across_the_border(sign: float) -> None:
    """A slab of crystal whose upper face moves by 2 Å a frame, once around the box."""
    r, _ = atoms(6000)
    frame = Frame.from_arrays(r, CELL, True, reach=0.0, origin=ORIGIN)
    words: dict[str, Any] = {"axis": "z"} if sign > 0 else {"direction": (0, 0, -1)}
    p = profile(frame, bins=20, low=-10, high=10, origin="front", phase="fcc", **words)
    z = (r[:, 2] - ORIGIN[2]) * sign % 30.0
    before = None
    for k in range(16):
        face = (12.0 + 2 * k) % 30.0
        behind = (face - z) % 30.0  # the slab is 12 Å thick
        label = np.where(behind < 12.0, 0, 1)
        values = found(p, frame, label)
        front = values["phases/profile_front"] * 1.0
        apart = (front * sign - ORIGIN[2]) * sign if sign < 0 else front - ORIGIN[2]
        off = (apart - face + 15.0) % 30.0 - 15.0
        assert abs(off) < 0.5, (k, front, face)
        share = values["phases/profile"][:, 0]
        assert share[:9].min() == 1.0 or share[1:9].min() == 1.0
        assert share[11:].max() == 0.0
        if k == 1:
            before = {path: values[path] for path in p.state}
    again = profile(frame, bins=20, low=-10, high=10, origin="front", phase="fcc", **words)
    assert before is not None
    again.restore(before)
    # Two slabs: it stays with the one that it knows.
    face = 16.0
    label = np.where(((face - z) % 30.0 < 6.0) | ((face + 10.0 - z) % 30.0 < 6.0), 0, 1)
    one = found(again, frame, label)["phases/profile_front"]
    other = found(profile(frame, bins=20, low=-10, high=10, origin="front", phase="fcc", **words),
                  frame, label)["phases/profile_front"]  # fmt: skip
    kept = before["phases/profile_front"]
    assert abs((one - kept + 15.0) % 30.0 - 15.0) < 4.0
    assert abs((other - kept + 15.0) % 30.0 - 15.0) > 8.0


@pytest.mark.parametrize("hkl", [(1, 1, 0), (1, -1, 0), (2, 0, -1), (1, 1, 1)])
def test_a_front_across_several_vectors_of_a_periodic_box(hkl: tuple[int, ...]) -> None:
    """A crystal between planes (hkl) of a triclinic box, once around it; also when the box is strained."""
    r, _ = atoms(8000)
    first = Frame.from_arrays(r, CELL, True, reach=0.0, origin=ORIGIN)
    strained = CELL @ (np.eye(3) + np.array([[0.03, 0.02, 0], [0, -0.02, 0.01], [0.02, 0, 0.04]]))
    s = (r - ORIGIN) @ np.linalg.inv(CELL)
    phase = s @ hkl % 1.0
    for cell in (CELL, strained):
        frame = Frame.from_arrays(ORIGIN + s @ cell, cell, True, reach=0.0, origin=ORIGIN)
        normal = np.linalg.inv(CELL) @ hkl
        p = profile(first, bins=8, direction=tuple(3.0 * normal), origin="front", phase="fcc")
        d = 1.0 / np.linalg.norm(np.linalg.inv(cell) @ hkl)  # distance of the planes
        for k in range(12):
            face = (0.45 + 0.13 * k) % 1.0
            label = np.where((face - phase) % 1.0 < 0.45, 0, 1)
            values = found(p, frame, label)
            at = (values["phases/profile_origin"] - ORIGIN) @ np.linalg.inv(cell) @ hkl
            assert abs((at - face + 0.5) % 1.0 - 0.5) < 0.04
            # Positions are heights above that plane, of the nearest image.
            height = ((s @ hkl - at + 0.5) % 1.0 - 0.5) * d
            bins = np.floor(
                (height + 1e-9 - p.positions[0]) / (p.positions[1] - p.positions[0]) + 0.5
            )
            assert (values["phases/profile_count"] == counted(label, bins.astype(int), 8)).all()
            density = values["phases/profile_density"][1:-1]
            assert density == pytest.approx(8000 / np.linalg.det(cell), rel=0.25)
            share = values["phases/profile"][:, 0]
            assert share[1:3].min() > 0.9
            assert share[5:7].max() < 0.1


def test_a_direction_near_a_plane_of_the_box() -> None:
    """A box that is not quite square: the front lies in its planes, not across the direction itself."""
    cell = np.diag([40.0, 40.4, 20.0])
    frame = Frame.from_arrays(np.ones((1, 3)), cell, True, reach=0.0)
    near = profile(frame, bins=4, direction=(1, 1, 0), origin="front", phase="fcc")
    exact = profile(frame, bins=4, direction=(1 / 40, 1 / 40.4, 0), origin="front", phase="fcc")
    assert np.allclose(near.positions, exact.positions)
    with pytest.raises(SettingError, match=r"direction=1,0.93,0: .*for example direction="):
        profile(frame, bins=4, direction=(1, 0.93, 0), origin="front", phase="fcc")
    # Where the box ends a tilted plane does not go on.
    frame = Frame.from_arrays(np.ones((1, 3)), cell, [True, False, True], reach=0.0)
    with pytest.raises(SettingError, match="does not meet itself"):
        profile(frame, bins=4, direction=(1, 1, 0), origin="front", phase="fcc")


def test_the_front_of_what_is_dense() -> None:
    """A bar, dense behind a shock, with vacuum before it."""
    rng = np.random.default_rng(5)
    cell = np.diag([10.0, 10.0, 100.0])
    for face in (20.0, 35.0, 60.0):
        dense, thin = rng.random((int(face * 170), 3)), rng.random((int((80 - face) * 100), 3))
        r = np.concatenate([dense * [10, 10, face], thin * [10, 10, 80 - face] + [0, 0, face]])
        frame = Frame.from_arrays(r, cell, [True, True, False], reach=0.0)
        p = profile(frame, axis="z", bins=40, low=-20, high=20, origin="front", density=1.35)
        values = found(p, frame, np.zeros(len(r), int))
        assert values["phases/profile_front"] == pytest.approx(face, abs=1.5)
        density = values["phases/profile_density"]
        inside = np.abs(p.positions) > 2
        expected = np.where(p.positions < 0, 1.7, np.where(p.positions < 80 - face, 1.0, 0.0))
        assert density[inside] == pytest.approx(expected[inside], abs=0.5)


VARIANTS: list[dict[str, Any]] = [
    {"direction": (1.0, 2.0, 0.5), "bins": 7},
    {"shape": "sphere", "bins": 5, "low": 0, "high": 5, "origin": "center", "phase": "fcc"},
    {"shape": "cylinder", "axis": "z", "bins": 5},
    {"axis": "z", "bins": 8, "origin": "front", "density": 0.03},
    {"axis": "x", "bins": 6, "origin": "high"},
    {"axis": "y", "bins": 6, "origin": "point", "point": (1.0, 2.0, 3.0)},
]


@pytest.mark.parametrize("words", VARIANTS, ids=lambda w: w.get("shape", "") + w.get("origin", ""))
def test_contract(words: dict[str, Any]) -> None:
    check_analysis(Profile, words, invariant=("order",))


#: A front in planes of that box.
TILTED: dict[str, Any] = {
    "direction": tuple(np.linalg.inv(CELL) @ (1, -1, 0)), "bins": 8, "origin": "front", "density": 0.03,
}  # fmt: skip


@pytest.mark.parametrize(
    "words", [*VARIANTS, TILTED], ids=lambda w: w.get("shape", "") + w.get("origin", "")
)
def test_the_same_on_any_ranks_in_a_skewed_box(words: dict[str, Any]) -> None:
    r, label = atoms(1500)

    def one(frame: Frame, ranks: Ranks) -> Any:
        system = System(cell=CELL, origin=np.zeros(3), classes=CLASSES)
        p = Profile(request("profile", words).settings, system)
        labelled = replace(frame, results={"phase": label[frame.ids[: frame.n_local] - 1]})
        assert p(labelled, Neighbors(frame, 1.0)) == {}
        return p.finish(p.together(ranks))

    alone = one(deal(r, CELL, (1, 1, 1), 1.1)[0], Ranks())
    frames = deal(r, CELL, (2, 1, 3), 1.1)
    for values in together(6, lambda ranks: one(frames[ranks.rank], ranks)):
        for path, value in alone.items():
            assert np.allclose(values[path], value, equal_nan=True, atol=1e-9), path
            if path.endswith("count"):
                assert (values[path] == value).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"bins": 5}, "shape=slab needs an axis"),
        ({"bins": 5, "axis": "z", "direction": (1, 0, 0)}, "give one of them"),
        ({"bins": 5, "direction": (0, 0, 0)}, "direction=0,0,0 is none"),
        ({"bins": 5, "direction": (1, 0)}, "is no vector"),
        ({"bins": 5, "shape": "sphere", "axis": "z"}, "a sphere has no axis"),
        ({"bins": 5, "shape": "cylinder", "direction": (1, 0, 0)}, "a vector of the box"),
        ({"bins": 5, "axis": "z", "origin": "point"}, "go together"),
        ({"bins": 5, "shape": "sphere", "origin": "front", "phase": "fcc"}, "is a plane"),
        ({"bins": 5, "axis": "z", "origin": "front"}, "needs `phase`"),
        ({"bins": 5, "axis": "z", "density": 0.1}, "belongs to origin=front"),
        ({"bins": 5, "axis": "z", "phase": "fcc"}, "phase and members say whose"),
        ({"bins": 5, "axis": "z", "origin": "center", "phase": "ffc"}, "no class 'ffc'.*fcc"),
        (
            {"bins": 5, "direction": (1, 1, 0), "origin": "front", "phase": "fcc"},
            "does not meet itself.*direction=",
        ),
        ({"bins": 5, "shape": "sphere", "low": -1, "high": 3}, "low=-1 is no distance"),
    ],
)
def test_what_is_no_profile_is_refused(words: dict[str, Any], message: str) -> None:
    r, _ = atoms(10)
    frame = Frame.from_arrays(r, CELL, True, reach=0.0, origin=ORIGIN)
    with pytest.raises(SettingError, match=message):
        profile(frame, **words)
