# SPDX-License-Identifier: BSD-3-Clause
"""The setting `overhead`: the account of times, the sample of atoms, and the error that it has."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.analyses.phases.counts import standard_error
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline.budget import FEWEST, Budget, drawn
from insitu.pipeline.given_settings import from_words


def spent(
    budget: Budget, step: float, fixed: float, atoms: float, every: int, steps: int, population: int,
    extra: tuple[int, ...] = (),
) -> tuple[float, list[tuple[int, float]]]:  # fmt: skip
    """Return the share of the time that a simulated run spends, and its frames with their samples.

    The start of a run, its first frame, is left out.
    """
    frames: list[tuple[int, float]] = []
    simulated = analysed = 0.0
    last = 0
    for now in range(every, steps + 1, every):
        if not (budget.is_due(now) or now in extra):
            continue
        cost = fixed + atoms * budget.sampled
        if frames:
            simulated += (now - last) * step
            analysed += cost
        frames.append((now, budget.sampled))
        budget.spend(now, (now - last) * step, cost, atoms * budget.sampled, population)
        last = now
    return analysed / (simulated + analysed), frames


@given(
    overhead=st.floats(0.002, 0.2), step=st.floats(1e-5, 1e-2), fixed=st.floats(1e-5, 3e-2),
    atoms=st.floats(1e-5, 0.3), every=st.integers(1, 50),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_share_that_can_be_kept_is_kept(
    overhead: float, step: float, fixed: float, atoms: float, every: int
) -> None:
    rate = overhead / (1.0 - overhead)
    longest = every * 40
    enough = fixed + atoms * FEWEST / 50_000 < 0.8 * rate * step * longest
    share, frames = spent(
        Budget(overhead, longest, True, Ranks()), step, fixed, atoms, every, 4000 * every, 50_000
    )
    apart = np.diff([at for at, _ in frames][1:])
    assert (apart <= longest).all()
    sampled = np.array([s for _, s in frames])
    assert ((sampled >= FEWEST / 50_000) & (sampled <= 1.0)).all()
    # Atoms are left out only where the interval cannot grow.
    assert (apart[sampled[2:] < 1.0] == longest).all()
    if enough:
        one = (fixed + atoms) / (step * 4000 * every)  # the frame that is not yet paid back
        assert share <= overhead + one + 1e-9
        free = (fixed + atoms) / step / rate  # steps that earn a frame
        if every < free < longest:  # and no time is left unused
            assert np.mean(apart[2:]) < 1.05 * free + every


def test_all_that_can_be_analysed_is_where_it_is_cheap() -> None:
    _, frames = spent(Budget(0.1, None, True, Ranks()), 1e-3, 1e-5, 1e-5, 10, 1000, 100)
    assert [at for at, _ in frames] == list(range(10, 1001, 10))


def test_frames_of_an_event_are_paid_back() -> None:
    extra = tuple(range(1000, 1200, 10))
    costs = {
        "step": 1e-3,
        "fixed": 1e-3,
        "atoms": 1e-3,
        "every": 10,
        "steps": 20_000,
        "population": 10,
    }
    share, frames = spent(Budget(0.02, 4000, False, Ranks()), **costs, extra=extra)
    steps = np.array([at for at, _ in frames])
    assert set(extra) <= set(steps.tolist())
    after = np.diff(steps[steps >= 1190])
    assert after[0] > 10 * after[-1]  # a long pause, then as before
    assert share <= 0.0201
    # With a shorter longest interval it takes more frames to pay back.
    share, frames = spent(Budget(0.02, 200, False, Ranks()), **costs, extra=extra)
    assert np.diff([at for at, _ in frames]).max() == 200
    assert share <= 0.0201


def test_what_cannot_be_kept_is_said() -> None:
    budget = Budget(0.01, 100, True, Ranks())
    spent(budget, 1e-4, 1e-2, 1e-2, 10, 1000, 4000)
    assert (
        "overhead=0.01 cannot be kept: a frame with 0.25 of the atoms every 100 steps"
        in budget.advice
    )
    assert budget.sampled == FEWEST / 4000
    budget = Budget(0.01, 100, False, Ranks())
    spent(budget, 1e-4, 1e-2, 1e-2, 10, 1000, 4000)
    assert "a frame of all atoms every 100 steps takes 0.667 of the wall time" in budget.advice
    assert budget.sampled == 1.0
    budget = Budget(0.5, 100, True, Ranks())
    spent(budget, 1e-4, 1e-3, 1e-3, 10, 1000, 4000)
    assert budget.advice == ""


def test_a_clock_that_is_set_back_begins_again() -> None:
    budget = Budget(0.01, 1000, True, Ranks())
    spent(budget, 1e-3, 1e-2, 1e-2, 10, 1000, 4000)
    assert not budget.is_due(1010)
    assert budget.is_due(10)  # reset_timestep 0, run
    budget.spend(10, 0.01, 0.02, 0.01, 4000)
    assert budget.is_due(20)


def test_the_sample_is_of_ids_and_steps_alone() -> None:
    ids = np.arange(1, 200_001)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(ids))
    for share in (0.003, 0.1, 0.5, 0.99):
        mine = drawn(ids, 700, share)
        assert (drawn(ids[order], 700, share) == mine[order]).all()
        error = np.sqrt(share * (1 - share) * len(ids))
        assert abs(mine.sum() - share * len(ids)) < 4 * error
        # Neighbouring ids, and the samples of two steps, have nothing to do with one another.
        for other in (np.roll(mine, 1), drawn(ids, 701, share), drawn(ids, 800, share)):
            both = share**2 * len(ids)
            assert abs((mine & other).sum() - both) < 4 * np.sqrt(both) + 4
        # A smaller share is a part of a larger one.
        assert not (drawn(ids, 700, share / 2) & ~mine).any()
    assert drawn(ids, 0, 1.0).all()
    assert not drawn(ids, 0, 0.0).any()
    large = ids + 2**62
    assert abs(drawn(large, 5, 0.5).mean() - 0.5) < 0.005


def test_the_standard_error_is_the_scatter_of_samples() -> None:
    rng = np.random.default_rng(2)
    phase = rng.choice(3, size=4000, p=[0.7, 0.25, 0.05])
    truth = np.bincount(phase, minlength=3) / len(phase)
    for share in (0.1, 0.6):
        found, errors = [], []
        for step in range(1500):
            mine = phase[drawn(np.arange(4000), step, share)]
            count = np.bincount(mine, minlength=3)
            found.append(count / count.sum())
            errors.append(standard_error(count, 4000.0))
        scatter, told = np.std(found, axis=0), np.sqrt(np.mean(np.square(errors), axis=0))
        assert np.abs(np.mean(found, axis=0) - truth).max() < 4 * scatter.max() / np.sqrt(1500)
        assert np.abs(told / scatter - 1.0).max() < 0.08


def test_the_standard_error_at_the_edges() -> None:
    count = np.array([[3, 1], [0, 0], [1, 0], [4, 0]])
    error = standard_error(count, np.array([4.0, 0.0, 5.0, 8.0]))
    assert error[0].tolist() == [0.0, 0.0]  # all of them
    assert np.isnan(error[1]).all()  # none
    assert np.isnan(error[2]).all()  # one of five says nothing
    assert error[3].tolist() == [0.0, 0.0]


def test_a_sample_of_a_group() -> None:
    r = np.arange(30.0).reshape(10, 3)
    frame = Frame.from_arrays(r, None, False, reach=1.0, selected=np.arange(10) < 6)
    half = frame.sample(np.arange(10) % 2 == 0)
    assert np.flatnonzero(half.selected).tolist() == [0, 2, 4]
    assert np.flatnonzero(half.sampled_from).tolist() == list(range(6))
    # Drawn again from what it is a sample of, not from the sample.
    assert np.flatnonzero(half.sample(np.arange(10) % 2 == 1).selected).tolist() == [1, 3, 5]
    left = half.only(np.arange(10) >= 1)
    assert np.flatnonzero(left.sampled_from).tolist() == list(range(5))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("overhead 0", "overhead=0.0 is not a share of the wall time; give for example 0.02"),
        ("overhead nan", "overhead=nan is not a share"),
        ("overhead 1", "overhead=1.0 is not a share"),
        ("every_max 100", "every_max=100 has no effect without `overhead`"),
        (
            "overhead 0.1 every 50 every_max 20",
            "every_max=20 is not a number of steps .* give 50 … ",
        ),
        ("overhead 0.1 every_max 0", "every_max=0 is not a number of steps"),
        ("overhead 0.1 every 50 every_max 120", "every_max=120 is not a multiple of 50"),
    ],
)
def test_settings_that_mean_nothing(words: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_words(words.split())


def test_words_of_a_fix_line() -> None:
    s = from_words(["overhead", "0.02", "every_max", "1000", "every", "100"])
    assert (s.overhead, s.every_max, s.every) == (0.02, 1000, 100)
