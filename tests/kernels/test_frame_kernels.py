# SPDX-License-Identifier: BSD-3-Clause
"""The passes over a frame's positions against plain NumPy, for any cell."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from insitu.frame.cell import heights, inverse
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.neighbors.images import images, periods_outside

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def sample(rng: np.random.Generator, most: int = 40) -> tuple[Array, Array, Array, Array, Array]:
    """Return positions, origin, cell, pbc and fractional coordinates of a random sample."""
    cell = np.diag(rng.uniform(2, 30, 3)) + np.tril(rng.normal(scale=2.0, size=(3, 3)), -1)
    pbc = rng.random(3) < 0.6
    origin = rng.normal(scale=10.0, size=3)
    s = rng.uniform(-1.5, 2.5, (int(rng.integers(0, most)), 3))
    return s @ cell + origin, origin, cell, pbc, s


@given(seed=seeds)
@settings(max_examples=150, deadline=None)
def test_where_atoms_are_and_which_lie_in_a_region(seed: int) -> None:
    rng = np.random.default_rng(seed)
    r, origin, cell, pbc, s = sample(rng)
    n = int(rng.integers(0, len(r) + 1))
    found = compiled().bounds(r, n, origin, inverse(cell))
    if n:
        np.testing.assert_allclose(
            found, [*s[:n].min(axis=0), *s[:n].max(axis=0)], rtol=1e-12, atol=1e-12
        )
    else:
        assert np.isnan(found).all()
    ends = np.sort(rng.uniform(-2.5, 3.5, (5, 2, 3)) * rng.choice([0.3, 1.0]), axis=1)
    regions = ends.reshape(5, 6)
    regions[4] = np.nan
    counts = compiled().count_inside(r, n, origin, inverse(cell), pbc.view(np.uint8), regions)
    shifts = np.array(list(itertools.product(*[range(-9, 10) if p else [0] for p in pbc])))
    for region, count in zip(regions, counts, strict=True):
        every = (s[:n, None] + shifts).reshape(-1, 3)
        assert count == ((every >= region[:3]) & (every <= region[3:])).all(axis=1).sum()


@given(seed=seeds)
@settings(max_examples=100, deadline=None)
def test_wrapped_positions_and_their_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    r, origin, cell, pbc, s = sample(rng)
    reach = float(rng.uniform(0.1, 12.0))
    frame = Frame.from_arrays(r, cell, pbc, reach=reach, origin=origin)
    inside = s - periods_outside(s, pbc, np)
    n = len(r)
    np.testing.assert_allclose(frame.positions[:n], inside @ cell + origin, rtol=0, atol=1e-9)
    unmoved = (np.floor(s) * pbc == 0).all(axis=1)
    np.testing.assert_array_equal(frame.positions[:n][unmoved], r[unmoved])
    owner, shift = images(inside, pbc, reach / heights(cell), np)
    np.testing.assert_array_equal(frame.ids[n:], owner + 1)
    np.testing.assert_allclose(
        frame.positions[n:], (inside[owner] + shift) @ cell + origin, rtol=0, atol=1e-9
    )


def test_what_is_on_the_border_stays() -> None:
    """An atom at the lower end but for rounding is not moved to the upper one."""
    cell = np.diag([4.0, 5.0, 6.0])
    frame = Frame.from_arrays([[-1e-13, 5.0, 3.0], [4.0, -1e-9, 0.0]], cell, True, reach=0.0)
    np.testing.assert_allclose(
        frame.positions, [[-1e-13, 0.0, 3.0], [0.0, 5.0 - 1e-9, 0.0]], atol=1e-12
    )


@given(seed=seeds)
@settings(max_examples=50, deadline=None)
def test_outermost_atoms_and_places_of_ids(seed: int) -> None:
    rng = np.random.default_rng(seed)
    r, origin, cell, _, s = sample(rng)
    first = int(rng.integers(0, len(r) + 1))
    some = compiled().outermost(r, first, len(r), origin, inverse(cell), 8)
    away = np.abs(s - 0.5).sum(axis=1)
    assert len(some) == len(set(some.tolist())) == min(8, len(r) - first)
    np.testing.assert_allclose(
        np.sort(away[some]), np.sort(away[first:])[-8:], rtol=1e-9, atol=1e-9
    )
    ids = rng.permutation(200)[: len(r)].astype(np.int64) * rng.choice([1, 4096])
    wanted = rng.choice(200, 30).astype(np.int64) * rng.choice([1, 4096])
    found = compiled().places_of_ids(ids, first, wanted)
    for one, at in zip(wanted.tolist(), found.tolist(), strict=True):
        assert at == (ids[:first].tolist().index(one) if one in ids[:first] else -1)


@given(seed=seeds, spread=st.sampled_from([1, 3, 10**6]))
@settings(max_examples=60, deadline=None)
def test_owners_of_ghosts(seed: int, spread: int) -> None:
    """Ids that are dense, and those of a rank that has few of a large sample."""
    rng = np.random.default_rng(seed)
    n, ghosts = (int(k) for k in rng.integers(0, 60, 2))
    own = rng.permutation(80)[:n].astype(np.int64) * spread + 1
    ids = np.concatenate([own, rng.integers(0, 80, ghosts) * spread + 1])
    owners, others = compiled().owners_of_ghosts(ids, n)
    place = {int(i): k for k, i in enumerate(own)}
    seen: list[int] = []
    for one, owner in zip(ids[n:].tolist(), owners.tolist(), strict=True):
        if one not in place and one not in seen:
            seen.append(one)
        assert owner == (place[one] if one in place else n + seen.index(one))
    assert others.tolist() == seen


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bounds_tell_of_a_position_that_is_not_finite(bad: float) -> None:
    r = np.ones((5, 3))
    r[3, 1] = bad
    assert np.isnan(compiled().bounds(r, 5, np.zeros(3), np.eye(3))).all()
    assert np.isfinite(compiled().bounds(r, 3, np.zeros(3), np.eye(3))).all()
