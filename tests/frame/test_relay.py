# SPDX-License-Identifier: BSD-3-Clause
"""Work in a thread: its exchanges are those of the ranks, and its failure is the main thread's."""

import inspect
import threading
import time
from typing import Any

import numpy as np
import pytest

from insitu.errors import InsituError
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.ranks.relay import Beside, Relay
from insitu.testing.ranks import ThreadRanks, together


def exchanges(ranks: Ranks) -> list[Any]:
    """Return what every kind of exchange gives a rank."""
    mine, other = float(ranks.rank), (ranks.rank + 1) % ranks.size
    before = (ranks.rank - 1) % ranks.size
    row = np.array([[mine, 2 * mine]])
    ranks.agree(None)
    return [
        ranks.sum(np.array([1.0, mine])), ranks.largest(np.array([mine, -mine])),
        ranks.any(ranks.rank == 1), ranks.gather(row), ranks.everyones(row),
        ranks.from_first([b"text" if ranks.rank == 0 else b"no"]),
        ranks.deliver({other: np.array([mine])}, np.float64),
        ranks.trade({other: np.array([mine])}, {before: 1}, np.float64),
    ]  # fmt: skip


def test_a_relay_has_every_exchange_of_its_own() -> None:
    """One that it does not have would be made by the thread, beside those of the main thread."""
    exchanging = {
        name
        for name, method in vars(Ranks).items()
        if callable(method) and not name.startswith("_") and "_comm" in inspect.getsource(method)
    }
    assert len(exchanging) > 8
    # for the main thread only
    assert exchanging - set(vars(Relay)) == {"lasting", "give_back", "local_rank", "come"}


def test_a_thread_exchanges_as_its_rank_does() -> None:
    def work(ranks: ThreadRanks) -> tuple[list[Any], list[Any], bool]:
        beside: Beside[list[Any]] = Beside(ranks)
        thread = []

        def carry_out() -> list[Any]:
            thread.append(threading.current_thread())
            time.sleep(0.05 * ranks.rank)
            return exchanges(beside.ranks)

        beside.start(carry_out)
        calls = 1
        while not beside.advance(wait=False):
            calls += 1
        found = beside.result()
        assert not beside.busy
        return found, exchanges(ranks), thread[0] is not threading.current_thread() and calls > 1

    for found in together(3, work):
        assert not isinstance(found, Exception), found
        own, there, elsewhere = found
        assert repr(own) == repr(there)
        assert elsewhere


def test_a_problem_of_one_rank_is_raised_on_all() -> None:
    def work(ranks: ThreadRanks) -> str:
        beside: Beside[None] = Beside(ranks)
        beside.start(lambda: beside.ranks.agree("a bad atom" if ranks.rank == 2 else None))
        assert beside.advance(wait=True)
        with pytest.raises(InsituError, match="a bad atom"):
            beside.result()
        assert not beside.busy
        return "raised"

    assert together(3, work) == ["raised"] * 3


def test_a_rank_that_ends_alone_ends_the_run() -> None:
    def work(ranks: ThreadRanks) -> None:
        beside: Beside[Any] = Beside(ranks)
        beside.start(lambda: 1 / 0 if ranks.rank == 0 else beside.ranks.sum(np.ones(1)))
        beside.advance(wait=True)

    for error in together(2, work):
        assert "ended on some ranks and not on others" in str(error)


def test_one_rank_needs_no_main_thread() -> None:
    beside: Beside[list[Any]] = Beside(Ranks())
    beside.start(lambda: [beside.ranks.sum(np.ones(2)), beside.ranks.any(True)])
    assert beside.advance(wait=True)
    total, flag = beside.result()
    assert total.tolist() == [1.0, 1.0]
    assert flag
    beside.start(lambda: 1 / 0)  # type: ignore[return-value, arg-type]
    assert beside.advance(wait=True)
    with pytest.raises(ZeroDivisionError):
        beside.result()
