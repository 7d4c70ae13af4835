# SPDX-License-Identifier: BSD-3-Clause
"""Decks that nobody wrote: every frame as the offline analysis has it, which is as plain NumPy has it."""

from __future__ import annotations

import os
import sys
import time

import pytest
from conftest import BUILT, Host, require
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from random_decks import Case, cases
from random_runs import Tally, run_all

#: Decks of one LAMMPS process.
BATCH = 8
MINUTES = float(os.environ.get("INSITU_FUZZ_MINUTES", "10"))
SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # a deck that fails is named; shrinking would run hundreds
)  # fmt: skip
#: Hypothesis begins with the simplest: no deck at all.
DECKS = st.sampled_from([0, *[BATCH] * 19]).flatmap(
    lambda n: st.lists(cases(), min_size=n, max_size=n)
)


def run_random(host: Host, ranks: int, number: int, batches: int, tally: Tally) -> None:
    """Run as many batches of decks as are asked for; the same number gives the same decks."""

    @seed(number)
    @settings(SETTINGS, max_examples=batches)
    @given(DECKS)
    def some(decks: list[Case]) -> None:
        run_all(host, ranks, decks, tally)

    some()


@pytest.mark.parametrize(("name", "ranks"), [("wheel", 2), ("debian", 3)])
def test_a_few(name: str, ranks: int) -> None:
    """The same decks each time."""
    tally = Tally()
    run_random(require(name), ranks, ranks, 2, tally)
    assert tally.counts["cases"] > BATCH // 2
    assert tally.counts["images"] > BATCH


@pytest.mark.full
@pytest.mark.timeout(0)
def test_others_for_some_minutes() -> None:
    """Others each time, for INSITU_FUZZ_MINUTES (10); INSITU_FUZZ_SEED says with which to begin."""
    tally, end = Tally(), time.monotonic() + 60 * MINUTES
    number = int(os.environ.get("INSITU_FUZZ_SEED", time.time_ns() // 10**9))
    hosts = [require(name) for name in ("wheel", "debian", *BUILT)]
    while time.monotonic() < end:
        host, ranks = hosts[number % len(hosts)], 1 + number // len(hosts) % 3

        sys.stdout.write(f"seed {number}, {host.name}, {ranks} ranks: {dict(tally.counts)}\n")
        sys.stdout.flush()
        run_random(host, ranks, number, 10, tally)
        number += 1
    assert tally.counts["cases"] > 0
