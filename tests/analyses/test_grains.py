# SPDX-License-Identifier: BSD-3-Clause
"""Grains of known bicrystals: number, atoms, orientations, boundaries; the same on any ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from insitu.analyses.base import System
from insitu.analyses.grains.analysis import Grains
from insitu.analyses.lattice.analysis import Lattice
from insitu.analyses.lattice.fit import LATTICES, fit
from insitu.analyses.lattice.misorientation import angles, nearest, reduced
from insitu.analyses.requests import request
from insitu.analyses.running import local_results
from insitu.analyses.running import together as in_common
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.testing.ranks import deal, together

CLASSES = ("fcc", "bcc", "hcp", "disordered", "unknown")
REACH = 6.0
#: Basis of an orthogonal cell, and its sides, for a nearest distance of 2.8 Å; cutoff of neighbours.
CELLS: dict[str, tuple[Any, Any, float]] = {
    "fcc": ([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], [3.96] * 3, 3.4),
    "bcc": ([[0, 0, 0], [0.5, 0.5, 0.5]], [3.23] * 3, 3.9),
    "hcp": (
        [[0, 0, 0], [0.5, 0.5, 0], [0.5, 5 / 6, 0.5], [0, 1 / 3, 0.5]],
        [2.8, 2.8 * np.sqrt(3), 2.8 * np.sqrt(8 / 3)], 3.4,
    ),
}  # fmt: skip


def group(hexagonal: bool) -> Rotation:
    return Rotation.create_group("D6" if hexagonal else "O")


def wxyz(r: Rotation) -> np.ndarray:
    return np.roll(np.atleast_2d(r.as_quat()), 1, axis=1)


@pytest.mark.parametrize("hexagonal", [False, True])
def test_angles_by_the_rotations_of_scipy(hexagonal: bool) -> None:
    rng = np.random.default_rng(1)
    a, b = Rotation.random(500, rng=rng), Rotation.random(500, rng=rng)
    b = Rotation.concatenate([b[:400], a[400:] * Rotation.random(100, rng=rng) ** 0.02])
    g = group(hexagonal)
    expected = np.min([(a.inv() * b * one).magnitude() for one in g], axis=0)
    assert np.allclose(angles(wxyz(a), wxyz(b), hexagonal), expected, atol=1e-3)
    equal = nearest(wxyz(b), wxyz(a), hexagonal)
    as_rotation = Rotation.from_quat(np.roll(equal, -1, axis=1))
    assert np.allclose((a.inv() * as_rotation).magnitude(), expected, atol=1e-7)
    same = np.min([(as_rotation.inv() * b * one).magnitude() for one in g], axis=0)
    assert np.allclose(same, 0.0, atol=1e-7)
    smallest = Rotation.from_quat(np.roll(reduced(wxyz(b), hexagonal), -1, axis=1)).magnitude()
    assert np.allclose(smallest, np.min([(b * one).magnitude() for one in g], axis=0), atol=1e-7)


def bicrystal(name: str, turns: Rotation, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Return two slabs of turned crystals beside each other, and the cell; atoms near both left out."""
    basis, sides, _ = CELLS[name]
    box = np.array([44.0, 30.0, 30.0])
    n = np.ceil(40.0 / np.array(sides)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-k, k + 1) for k in n], indexing="ij"), -1)
    r = (grid.reshape(-1, 1, 3) + np.array(basis)).reshape(-1, 3) * sides
    parts = []
    for k, turn in enumerate(turns):
        x = turn.apply(r) + box / 2
        inside = (x >= 0).all(axis=1) & (x < box - 0.6 * sides[0]).all(axis=1)
        half = (x[:, 0] < 21.5) if k == 0 else (x[:, 0] >= 22.5)
        parts.append(x[inside & half])
    rng = np.random.default_rng(7)
    x = np.concatenate(parts)
    return x + rng.normal(scale=noise, size=x.shape), np.diag(box)


def found_on(
    r: np.ndarray,
    cell: np.ndarray,
    name: str,
    grid: tuple[int, int, int],
    averaged: bool = True,
    **given: Any,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the values of each rank, and the columns by atom."""
    label = CLASSES.index(name)
    words = {"phase": name, "cutoff": CELLS[name][2], "smallest": 30, "largest": 3} | given
    system = System(cell=cell, classes=CLASSES)

    def one(frame: Frame, ranks: Ranks) -> Any:
        lattice = Lattice(
            request("lattice", {"cutoff": REACH, "averaged": averaged}).settings, system
        )
        grains = Grains(request("grains", words).settings, system)
        search = Neighbors(frame, REACH)
        frame = replace(frame, results={"phase": np.full(frame.n_local, label)})
        for a in (lattice, grains):
            a.halo = Halo(frame, ranks, a.exchanged, a.rounds, None, REACH)
        own = local_results(lattice, frame, search)
        columns = {f"lattice/{c}": own[c] for c in lattice.columns}
        frame = replace(frame, results=dict(frame.results) | columns)
        assert not local_results(grains, frame, search)
        common = in_common(grains, ranks)
        return grains.finish(common), {c: common[c] for c in grains.columns}

    if grid == (1, 1, 1):
        frames = [Frame.from_arrays(r, cell, True, reach=REACH * 1.001)]
        results = [one(frames[0], Ranks())]
    else:
        frames = deal(r, cell, grid, REACH * 1.001)
        results = together(len(frames), lambda ranks: one(frames[ranks.rank], ranks))
        for result in results:
            if isinstance(result, Exception):
                raise result
    columns = {c: np.full(len(r), np.nan) for c in ("id", "size", "boundary", "identity")}
    for frame, (_, own) in zip(frames, results, strict=True):
        for c, column in columns.items():
            column[frame.ids[: frame.n_local] - 1] = own[c]
    return [v for v, _ in results], columns


@pytest.mark.parametrize("name", ["fcc", "hcp"])
def test_a_fit_does_not_depend_on_the_atoms_beside_it(name: str) -> None:
    """Several atoms share a vector; of every second one alone, bit for bit, what it is among all."""
    turns = Rotation.from_euler("xyz", [[4, 9, 11], [-13, 8, 31]], degrees=True)
    r, cell = bicrystal(name, turns, noise=0.15)
    frame = Frame.from_arrays(r, cell, True, reach=REACH * 1.001)
    search, species = Neighbors(frame, REACH), np.zeros(2, dtype=np.int32)
    kinds = np.full(len(r), LATTICES[name], dtype=np.int32)
    among_all = fit(frame, search, kinds, species, REACH, None)
    for first in (0, 1):
        some = np.where(np.arange(len(r)) % 2 == first, kinds, -1).astype(np.int32)
        alone = fit(frame, search, some, species, REACH, None)
        those = some >= 0
        assert np.array_equal(alone.values[those], among_all.values[those], equal_nan=True)
        assert np.array_equal(alone.neighbors[those], among_all.neighbors[those])


@pytest.mark.parametrize("name", CELLS)
def test_a_bicrystal(name: str) -> None:
    turns = Rotation.from_euler("xyz", [[4, 9, 11], [-13, 8, 31]], degrees=True)
    r, cell = bicrystal(name, turns)
    (values,), columns = found_on(r, cell, name, (1, 1, 1))
    left = r[:, 0] < 22
    assert values["grains/number"] == 2
    sizes = values["grains/size"]
    assert sizes[0] >= sizes[1] > 0.85 * min(left.sum(), (~left).sum())
    assert sizes[2] == 0
    assert values["grains/atoms"] == sizes.sum()
    which = [0, 1] if (columns["id"][left] == values["grains/id"][0]).mean() > 0.5 else [1, 0]
    hexagonal = name == "hcp"
    for k, turn in zip(which, turns, strict=True):
        mean = Rotation.from_quat(np.roll(values["grains/orientation"][k], -1))
        off = min((mean.inv() * turn * one).magnitude() for one in group(hexagonal))
        assert np.degrees(off) < 0.5
        assert 0.05 < values["grains/spread"][k] < 2.0
    inside = columns["id"] > 0
    assert ((columns["id"] == values["grains/id"][which[0]]) == left)[inside].mean() > 0.99
    assert (
        columns["size"][inside]
        == sizes[(columns["id"][inside] != values["grains/id"][0]).astype(int)]
    ).all()
    assert sorted(set(columns["identity"][inside])) == [1, 2]
    # Boundaries are where the slabs end (all six faces), not within them.
    middle = (np.abs(r - [10.5, 14, 14]) < [5, 8, 8]).all(axis=1)
    middle |= (np.abs(r - [32.5, 14, 14]) < [5, 8, 8]).all(axis=1)
    assert columns["boundary"][middle].mean() < 0.01
    near = (np.abs(r[:, 0] - 22) < 2.5) & (np.abs(r[:, 1:] - 14) < 8).all(axis=1)
    assert columns["boundary"][near].mean() > 0.5
    assert values["grains/boundary"] == columns["boundary"].sum()


@pytest.mark.parametrize("name", ["fcc", "hcp"])
def test_the_same_on_any_ranks(name: str) -> None:
    turns = Rotation.from_euler("xyz", [[4, 9, 11], [-13, 8, 31]], degrees=True)
    r, cell = bicrystal(name, turns)
    (alone,), columns = found_on(r, cell, name, (1, 1, 1))
    for grid in ((2, 1, 1), (1, 3, 1), (2, 2, 2)):
        values, other = found_on(r, cell, name, grid)
        for c, column in columns.items():
            assert np.array_equal(column, other[c]), (grid, c)
        for path, value in alone.items():
            assert np.allclose(values[0][path], value, atol=1e-5, equal_nan=True), (grid, path)


@pytest.mark.parametrize("noise", [0.02, 0.15])
@pytest.mark.parametrize(
    ("turn", "angle", "number"), [(10, 4.0, 2), (6, 4.0, 2), (3, 2.0, 2), (6, 8.0, 1), (3, 5.0, 1)]
)
def test_what_a_low_angle_boundary_parts(
    turn: float, angle: float, number: int, noise: float
) -> None:
    """The atoms between two crystals that are turned little are on the way from one to the other."""
    turns = Rotation.from_euler("xyz", [[0, 0, 0], [0, 0, turn]], degrees=True)
    r, cell = bicrystal("fcc", turns, noise)
    (values,), columns = found_on(r, cell, "fcc", (1, 1, 1), angle=angle)
    assert values["grains/number"] == number
    left, inside = r[:, 0] < 22, columns["id"] > 0
    assert inside.mean() > 0.95
    if number == 2:
        own = columns["id"] == columns["id"][left & inside].min()
        right = (own == left)[inside].mean()
        assert max(right, 1 - right) > 0.97
    # By any number of ranks, and in any order.
    for grid in ((3, 1, 1), (2, 2, 1)):
        assert np.array_equal(found_on(r, cell, "fcc", grid, angle=angle)[1]["id"], columns["id"])


def test_a_chain_of_atoms_joins_no_grains() -> None:
    """A crystal that is bent by 12 degrees: neighbours differ by little, its ends by much."""
    turns = Rotation.from_euler("z", [[0.0], [0.0]], degrees=True)
    r, cell = bicrystal("fcc", turns, 0.02)
    middle = cell.diagonal() / 2
    bent = np.radians(12.0) * (r[:, 0] / cell[0, 0] - 0.5)
    x = r[:, 0] - middle[0]
    y = r[:, 1] - middle[1]
    r = np.column_stack([x - bent * y, y + 0.5 * bent * x, r[:, 2] - middle[2]]) + middle
    (values,), _ = found_on(r, cell, "fcc", (1, 1, 1), angle=4.0)
    assert 2 <= values["grains/number"] <= 4
    assert values["grains/spread"][0] < 2.5


def test_small_clusters_are_no_grains() -> None:
    turns = Rotation.from_euler("xyz", [[0, 0, 0], [0, 0, 20]], degrees=True)
    r, cell = bicrystal("fcc", turns)
    (values,), columns = found_on(r, cell, "fcc", (1, 1, 1), smallest=10**6)
    assert values["grains/number"] == values["grains/atoms"] == 0
    assert values["grains/boundary"] == len(r)
    assert not columns["id"].any()
    assert np.isnan(values["grains/orientation"]).all()


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 1, 1), (1, 3, 1)])
def test_a_gas_has_no_grains(grid: tuple[int, int, int]) -> None:
    cell = np.eye(3) * 30.0
    r = np.random.default_rng(3).random((400, 3)) * 30.0
    values, columns = found_on(r, cell, "fcc", grid)
    assert all(v["grains/number"] == v["grains/atoms"] == 0 for v in values)
    assert not columns["id"].any()


def test_what_it_needs() -> None:
    system = System(classes=CLASSES)
    with pytest.raises(SettingError, match=r"phase=disordered is no lattice.*fcc, bcc, hcp"):
        Grains(request("grains", {"phase": "disordered", "cutoff": 3.4}).settings, system)
    made = Grains(
        request("grains", {"phase": "fcc", "cutoff": 3.4, "lattice": "fit"}).settings, system
    )
    assert "fit/qw" in made.reads
