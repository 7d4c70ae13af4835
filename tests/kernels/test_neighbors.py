# SPDX-License-Identifier: BSD-3-Clause
"""The neighbour search against brute force, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

from insitu.errors import InsituError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import lattice

Array = NDArray[np.float64]
Sample = tuple[Array, Any, tuple[bool, bool, bool]]
ALL, NONE = (True, True, True), (False, False, False)


def samples() -> dict[str, Sample]:
    rng = np.random.default_rng(0)
    tilted = reference.triclinic(80, 0.06, seed=1)
    oblique = np.array([[3.1, 0.0, 0.0], [1.4, 2.9, 0.0], [-1.2, 0.9, 3.3]])
    return {
        "fcc": (*lattice("fcc", 4.05, (3, 3, 3)), ALL),
        "liquid": (*reference.packing(120, 0.06, seed=2), ALL),
        "triclinic": (*tilted, ALL),
        "triclinic slab": (*tilted, (True, False, True)),
        "small cell": (rng.uniform(0, 1, (2, 3)) @ oblique, oblique, ALL),
        "one atom": (np.zeros((1, 3)), np.eye(3) * 2.5, ALL),
        "outside": (rng.uniform(-50, 50, (60, 3)), np.eye(3) * 11, ALL),
        "gas": (*reference.gas(150, 50.0, seed=3), ALL),
        "cluster": (rng.normal(scale=5.0, size=(80, 3)), None, NONE),
        "line": (np.outer(np.arange(90.0), [0, 1.3, 0]), None, NONE),
        "far apart": (
            np.array([[0.0, 0, 0], [1, 0, 0], [1e7, 1e7, -1e7], [3e12, 0, 0]]),
            None,
            NONE,
        ),
    }


@pytest.mark.parametrize("cutoff", [6.0, 3.7])
@pytest.mark.parametrize("name", samples())
def test_lists_are_those_of_brute_force_nearest_first(name: str, cutoff: float) -> None:
    r, cell, pbc = samples()[name]
    frame = Frame.from_arrays(r, cell, pbc, reach=6.001)
    search = Neighbors(frame, 6.0)
    offsets, indices = search.lists(cutoff)
    assert (offsets.dtype, indices.dtype) == (np.int64, np.int32)
    assert len(offsets) == len(search.atoms) + 1
    np.testing.assert_array_equal(np.sort(search.atoms), np.arange(len(r)))
    for k, i in enumerate(search.atoms[:40]):
        mine = indices[offsets[k] : offsets[k + 1]]
        v = frame.positions[mine] - frame.positions[i]
        radius = cutoff * (1 + (1 - reference.ROUND) * reference.TIE)
        want, owner, d = reference.images_around(i, r, cell, pbc, radius)
        image = np.floor(want / (reference.TIE * cutoff) + reference.ROUND)
        keys = (image[:, 2], image[:, 1], image[:, 0], owner, reference.grid(d, cutoff))
        order = np.lexsort(keys)
        np.testing.assert_array_equal(frame.ids[mine], owner[order] + 1)
        np.testing.assert_allclose(v, want[order], atol=1e-9)
        assert i not in mine


def test_atoms_at_equal_distance_come_by_id_whatever_their_order() -> None:
    r, cell = lattice("fcc", 4.05, (3, 3, 3))
    ids = np.random.default_rng(4).permutation(len(r)) + 1
    frame = Frame.from_arrays(r, cell, True, reach=6.001, ids=ids)
    search = Neighbors(frame, 6.0)
    offsets, indices = search.lists(3.0)
    for k in range(len(search.atoms)):
        shell = frame.ids[indices[offsets[k] : offsets[k + 1]]]
        assert len(shell) == 12
        assert (np.diff(shell) > 0).all()


def test_a_larger_cutoff_than_that_of_the_search_is_refused() -> None:
    search = Neighbors(Frame.from_arrays(np.zeros((1, 3)), None, False, reach=4.0), 4.0)
    with pytest.raises(InsituError, match=r"cutoff 5\.0 exceeds the 4\.0"):
        search.lists(5.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e300])
def test_a_lost_atom_is_named_with_its_step(bad: float) -> None:
    # As a frame from LAMMPS comes: by its fields, nothing checked before.
    r = np.random.default_rng(5).uniform(0, 9, (20, 3))
    r[13, 2] = bad
    ids = np.arange(20) + 100
    frame = Frame(r, np.ones(20, dtype=np.int32), ids, 20, np.eye(3) * 9, step=1500)
    with pytest.raises(InsituError, match=r"position of atom 113 is .* at step 1500.*unstable"):
        Neighbors(frame, 6.0)


def test_only_selected_atoms_are_asked_for() -> None:
    r, cell = reference.packing(100, 0.06, seed=6)
    group = np.arange(100) % 3 == 0
    frame = Frame.from_arrays(r, cell, True, reach=6.001, selected=group)
    search, every = (
        Neighbors(frame, 6.0),
        Neighbors(Frame.from_arrays(r, cell, True, reach=6.001), 6.0),
    )
    np.testing.assert_array_equal(np.sort(search.atoms), np.nonzero(group)[0])
    # The others are neighbours all the same.
    some, many = search.lists(6.0), every.lists(6.0)
    place = {int(i): k for k, i in enumerate(every.atoms)}
    for k, i in enumerate(search.atoms):
        j = place[int(i)]
        a = some[1][some[0][k] : some[0][k + 1]]
        np.testing.assert_array_equal(a, many[1][many[0][j] : many[0][j + 1]])
    none = Neighbors(Frame.from_arrays(r, cell, True, reach=6.0, selected=np.zeros(100, bool)), 6.0)
    assert len(none.atoms) == 0
    assert none.lists(6.0)[0].tolist() == [0]


def test_no_atoms_at_all() -> None:
    search = Neighbors(Frame.from_arrays([], None, False, reach=6.0), 6.0)
    assert len(search.places) == 0
    assert search.cells.points == 0


def test_a_dense_sample_needs_36_bytes_a_point() -> None:
    r, cell = lattice("fcc", 4.05, (12, 12, 12))
    frame = Frame.from_arrays(r, cell, True, reach=6.001)
    memory = Neighbors(frame, 6.0).cells.memory
    assert 36 * len(frame.positions) <= memory <= 37 * len(frame.positions)


@pytest.mark.parametrize("side", [1e3, 1e6, 1e12])
def test_a_sparse_gas_in_a_huge_box_needs_at_most_8_bytes_a_point_more(side: float) -> None:
    r = np.random.default_rng(7).uniform(0, side, (5000, 3))
    r[1] = r[0] + 1.0
    search = Neighbors(Frame.from_arrays(r, None, False, reach=6.0), 6.0)
    assert search.cells.memory <= 44 * len(r) + 300
    offsets, _ = search.lists(6.0)
    assert offsets[-1] >= 2


def test_a_few_atoms_far_away_do_not_coarsen_the_cells_of_the_others() -> None:
    rng = np.random.default_rng(5)
    r, _ = lattice("fcc", 4.05, (8, 8, 8))
    vapour = rng.uniform(-1e6, 1e6, (9, 3))
    pair = vapour[:1] + np.array([0.5, 0.0, 0.0])  # vapour has neighbours, too
    everything = np.concatenate([r, vapour, pair])
    frame = Frame.from_arrays(everything, None, False, reach=0.0)
    search = Neighbors(frame, 6.0)
    assert np.prod(search.cells.shape) >= 5**3
    alone = Neighbors(Frame.from_arrays(r, None, False, reach=0.0), 6.0)
    offsets, indices = search.lists(6.0)
    found = {int(a): indices[offsets[k] : offsets[k + 1]] for k, a in enumerate(search.atoms)}
    offsets, indices = alone.lists(6.0)
    for k, a in enumerate(alone.atoms):
        np.testing.assert_array_equal(found[int(a)], indices[offsets[k] : offsets[k + 1]])
    assert found[len(r)].tolist() == [len(everything) - 1]
    assert [len(found[len(r) + k]) for k in range(1, 9)] == [0] * 8


def test_more_points_around_an_atom_than_the_fast_search_can_tell_apart() -> None:
    rng = np.random.default_rng(6)
    r = rng.uniform(0.0, 9.0, (5000, 3))  # one cell: all are candidates of all
    chosen = np.zeros(len(r), dtype=bool)
    chosen[::500] = True
    frame = Frame.from_arrays(r, None, False, reach=0.0, selected=chosen)
    search = Neighbors(frame, 9.0)
    offsets, indices = search.lists(9.0)
    radius = 9.0 * (1 + (1 - reference.ROUND) * reference.TIE)
    for k, a in enumerate(search.atoms):
        d = np.linalg.norm(r - r[a], axis=1)
        want = [int(i) for i in np.argsort(d, kind="stable") if d[i] <= radius and i != a]
        got = indices[offsets[k] : offsets[k + 1]].tolist()
        assert set(got) == set(want)
        # Distances within 1e-5 of the cutoff count as equal.
        assert (np.diff(d[got]) > -9.0e-5).all()
