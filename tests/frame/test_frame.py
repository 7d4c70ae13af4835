# SPDX-License-Identifier: BSD-3-Clause
"""Frames of whole samples: periodic images are complete, wrong input is named, nothing is written to."""

from __future__ import annotations

import itertools
from typing import Any

import ase
import numpy as np
import pytest
import reference
from ase.build import bulk
from numpy.typing import NDArray

from insitu.errors import InsituError, SettingError
from insitu.frame.cell import heights
from insitu.frame.frame import Frame

Array = NDArray[np.float64]
OBLIQUE = np.array([[4.0, 0.0, 0.0], [2.2, 3.6, 0.0], [-1.7, 1.1, 4.4]])


def samples() -> list[Any]:
    rng = np.random.default_rng(0)
    wide = 6.0 * OBLIQUE
    return [
        pytest.param(rng.uniform(0, 12, (40, 3)), np.eye(3) * 12, id="cube"),
        pytest.param(rng.uniform(0, 1, (80, 3)) @ wide, wide, id="triclinic"),
        pytest.param(rng.uniform(0, 1, (3, 3)) @ OBLIQUE, OBLIQUE, id="small triclinic"),
        pytest.param(rng.uniform(0, 1, (2, 3)) @ -OBLIQUE, -OBLIQUE, id="left-handed"),
        pytest.param(np.zeros((1, 3)), np.eye(3) * 2.5, id="one atom"),
        pytest.param(rng.uniform(-40, 40, (30, 3)), np.eye(3) * 9, id="outside"),
    ]


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 0, 1), (0, 0, 1), (0, 0, 0)], ids=str)
@pytest.mark.parametrize(("r", "cell"), samples())
def test_every_neighbour_within_reach_is_a_point_of_the_frame(
    r: Array, cell: Array, pbc: tuple[int, int, int]
) -> None:
    reach = 7.0
    frame = Frame.from_arrays(r, cell, pbc, reach=reach * 1.0001)
    flags = (bool(pbc[0]), bool(pbc[1]), bool(pbc[2]))
    for i in range(0, len(r), 7):
        v, owner, _ = reference.images_around(i, r, cell, flags, reach)
        d = frame.positions - frame.positions[i]
        near = np.linalg.norm(d, axis=1) <= reach
        near[i] = False
        have = np.column_stack([frame.ids[near], d[near]])
        want = np.column_stack([owner + 1, v])
        assert len(have) == len(want)
        rounded = (np.round(have, 6) + 0.0, np.round(want, 6) + 0.0)
        have, want = (a[np.lexsort(b.T[::-1])] for a, b in zip((have, want), rounded, strict=True))
        np.testing.assert_allclose(have, want, atol=1e-9)


def test_atoms_are_wrapped_in_periodic_directions_only() -> None:
    r = np.random.default_rng(1).uniform(-30, 30, (50, 3))
    frame = Frame.from_arrays(r, OBLIQUE, (True, False, True), reach=3.0, origin=[1.0, 2.0, 3.0])
    own = frame.positions[: frame.n_local]
    s = np.linalg.solve(OBLIQUE.T, (own - [1.0, 2.0, 3.0]).T).T
    assert (s[:, [0, 2]] >= -1e-12).all()
    assert (s[:, [0, 2]] <= 1 + 1e-12).all()
    moved = np.linalg.solve(OBLIQUE.T, (own - r).T).T
    np.testing.assert_allclose(moved, np.rint(moved), atol=1e-9)
    np.testing.assert_allclose(moved[:, 1], 0, atol=1e-9)


def test_owned_atoms_come_first_and_ghosts_carry_their_owners_id_and_type() -> None:
    r = np.random.default_rng(2).uniform(0, 8, (20, 3))
    ids = np.random.default_rng(3).permutation(20) + 100
    types = np.arange(20) % 3 + 1
    frame = Frame.from_arrays(r, np.eye(3) * 8, True, reach=5.0, ids=ids, types=types, step=7)
    assert (frame.n_local, frame.n_ghost, frame.step) == (20, len(frame.positions) - 20, 7)
    np.testing.assert_array_equal(frame.ids[:20], ids)
    np.testing.assert_array_equal(frame.types[:20], types)
    owner = np.argsort(ids)[np.searchsorted(np.sort(ids), frame.ids)]
    np.testing.assert_array_equal(frame.types, types[owner])
    image = (frame.positions - r[owner]) / 8
    np.testing.assert_allclose(image, np.rint(image), atol=1e-12)
    points = np.column_stack([frame.ids, np.rint(image)])
    assert len(np.unique(points, axis=0)) == len(points)
    assert frame.ids.dtype == np.int64
    assert frame.positions.flags.c_contiguous


def test_arrays_are_read_only_and_the_callers_stay_writeable() -> None:
    r, cell, origin = np.zeros((1, 3)), np.eye(3) * 5, np.zeros(3)
    pbc, ids, types = np.ones(3, dtype=bool), np.array([4]), np.array([2])
    frame = Frame.from_arrays(r, cell, pbc, reach=2.0, ids=ids, types=types, origin=origin)
    for name in ("positions", "types", "ids", "cell", "origin", "pbc"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(frame, name)[...] = 0
    for mine in (r, cell, origin, pbc, ids, types):
        mine[...] = 1
    assert not frame.positions[0].any()
    with pytest.raises(AttributeError):
        frame.step = 3  # type: ignore[misc]


def test_without_periodicity_there_are_no_images_and_no_cell_is_needed() -> None:
    r = np.random.default_rng(4).normal(scale=20, size=(30, 3))
    frame = Frame.from_arrays(r, None, False, reach=6.0)
    np.testing.assert_array_equal(frame.positions, r)
    assert abs(np.linalg.det(frame.cell)) > 0
    empty = Frame.from_arrays([], None, False, reach=6.0)
    assert (empty.n_local, empty.n_ghost, empty.positions.shape) == (0, 0, (0, 3))


def test_three_lengths_are_an_orthogonal_cell() -> None:
    r = np.random.default_rng(5).uniform(0, 5, (9, 3))
    a = Frame.from_arrays(r, [5.0, 6.0, 7.0], True, reach=3.0)
    b = Frame.from_arrays(r, np.diag([5.0, 6.0, 7.0]), True, reach=3.0)
    np.testing.assert_array_equal(a.positions, b.positions)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"positions": np.zeros((4, 2))}, "positions have shape (4, 2)"),
        ({"positions": np.zeros((2, 2, 3))}, "positions have shape (2, 2, 3)"),
        ({"cell": np.eye(2)}, "cell has shape (2, 2)"),
        ({"cell": None}, "cell is None"),
        ({"cell": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "no volume"),
        ({"cell": np.diag([5.0, 0, 5])}, "cell vector 1 is zero but pbc[1] is True"),
        ({"pbc": [True, True]}, "pbc has shape (2,)"),
        ({"types": [1, 2, 3]}, "types have shape (3,)"),
        ({"ids": np.ones((4, 1))}, "ids have shape (4, 1)"),
    ],
)
def test_errors_name_what_is_wrong(change: dict[str, Any], text: str) -> None:
    call: dict[str, Any] = {"positions": np.zeros((4, 3)), "cell": np.eye(3) * 5, "pbc": True}
    with pytest.raises(SettingError) as error:
        Frame.from_arrays(**(call | change), reach=2.0)
    assert text in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_a_position_that_is_not_finite_names_its_atom(bad: float) -> None:
    r = np.zeros((4, 3))
    r[2, 0] = bad
    with pytest.raises(
        InsituError, match=r"position of atom 30 is \[(nan|inf|1e\+200), 0.0, 0.0\]"
    ):
        Frame.from_arrays(r, np.eye(3), True, reach=1.0, ids=[10, 20, 30, 40])


def test_a_copy_has_arrays_of_its_own() -> None:
    """What LAMMPS' memory is used for next does not show in it."""
    memory, kinds = np.arange(30.0), np.ones(12, dtype=np.int32)
    frame = Frame(
        positions=memory.reshape(10, 3), types=kinds[:10], ids=np.arange(1, 11), n_local=8,
        cell=np.eye(3) * 40,
    )  # fmt: skip
    own = frame.copied()
    before = own.positions.copy()
    memory += 5.0
    kinds += 1
    np.testing.assert_array_equal(own.positions, before)
    assert (own.types == 1).all()
    np.testing.assert_array_equal(frame.positions, before + 5.0)


def test_heights_are_the_distances_of_opposite_faces() -> None:
    volume = np.linalg.det(OBLIQUE)
    for a, h in enumerate(heights(OBLIQUE)):
        face = np.cross(OBLIQUE[(a + 1) % 3], OBLIQUE[(a + 2) % 3])
        assert h == pytest.approx(volume / np.linalg.norm(face))


def test_from_atoms_takes_cell_boundaries_and_numbers_of_ase() -> None:
    atoms = bulk("CuZr", "cesiumchloride", a=3.26) * (2, 1, 1)
    atoms.rattle(0.05, seed=1)
    frame = Frame.from_atoms(atoms, reach=6.0, step=3)
    same = Frame.from_arrays(atoms.positions, atoms.cell.array, True, reach=6.0)
    np.testing.assert_array_equal(frame.positions, same.positions)
    np.testing.assert_array_equal(frame.types[:4], atoms.numbers)
    assert frame.step == 3
    atoms.positions[:] += 1.0  # ASE's own arrays stay the user's


@pytest.mark.parametrize("cell", [None, [20.0, 0, 0], [[0, 0, 0], [9, 9, 0], [0, 0, 0]]], ids=str)
def test_missing_vectors_of_free_directions_are_completed(cell: Any) -> None:
    atoms = ase.Atoms("H2", positions=[[0, 0, 0], [0, 0.7, 0]], cell=cell, pbc=False)
    atoms.pbc = atoms.cell.array.any(axis=1)
    frame = Frame.from_atoms(atoms, reach=6.0)
    assert abs(np.linalg.det(frame.cell)) > 0
    assert frame.n_ghost == 0 or atoms.pbc.any()
    pairs = itertools.combinations(range(len(frame.positions)), 2)
    near = [p for p in pairs if np.linalg.norm(np.diff(frame.positions[list(p)], axis=0)) < 1.0]
    assert (0, 1) in near
