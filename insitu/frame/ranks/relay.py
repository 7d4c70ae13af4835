# SPDX-License-Identifier: BSD-3-Clause
"""Work in a thread beside the simulation, whose exchanges between ranks the main thread carries out.

MPI is the main thread's alone, as LAMMPS has started it. So what is collective is handed over: the thread
waits, and the main thread does it when LAMMPS next calls, on all ranks together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from insitu.frame.ranks.reduce import Ranks

#: How long a call that does not wait listens for the thread [s]: as long as it takes from one exchange to
#: the next, and to get from one kernel into the next where LAMMPS keeps Python's lock between its calls.
_GRACE = 1e-4

T = TypeVar("T")


class Relay(Ranks):
    """The ranks of a simulation as a thread sees them.

    Parameters
    ----------
    ranks
        Those that the main thread has.
    ask
        Has the main thread carry something out, and returns what comes of it.
    """

    def __init__(self, ranks: Ranks, ask: Callable[[Callable[[], Any]], Any]) -> None:
        super().__init__()
        self.rank, self.size = ranks.rank, ranks.size
        self._ranks, self._ask = ranks, ask

    def agree(self, problem: str | None) -> None:
        """Raise on all ranks if any rank has a problem; collective."""
        self._ask(lambda: self._ranks.agree(problem))

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the element-wise sum over the ranks, on every rank."""
        found: NDArray[np.float64] = self._ask(lambda: self._ranks.sum(values))
        return found

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the element-wise maximum over the ranks, on every rank."""
        found: NDArray[np.float64] = self._ask(lambda: self._ranks.largest(values))
        return found

    def from_first(self, texts: list[bytes]) -> list[bytes]:
        """Return what rank 0 has, on every rank; all have as many; collective."""
        found: list[bytes] = self._ask(lambda: self._ranks.from_first(texts))
        return found

    def gather(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return every rank's table ``(k, width)`` on rank 0, nothing elsewhere; collective."""
        found: list[NDArray[np.float64]] = self._ask(lambda: self._ranks.gather(values))
        return found

    def everyones(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows ``(k, width)`` of all ranks, in their order, on every rank; collective."""
        found: NDArray[np.float64] = self._ask(lambda: self._ranks.everyones(values))
        return found

    def deliver(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Send arrays to some ranks, which do not know that they will get one; collective."""
        found: dict[int, NDArray[Any]] = self._ask(lambda: self._ranks.deliver(sent, dtype))
        return found

    def between(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Exchange arrays with some ranks that exchange with this one, too."""
        found: dict[int, NDArray[Any]] = self._ask(lambda: self._ranks.between(sent, dtype))
        return found

    def trade(
        self, sent: Mapping[int, NDArray[Any]], most: Mapping[int, int], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Send arrays to some ranks and receive from some, and from no others."""
        found: dict[int, NDArray[Any]] = self._ask(lambda: self._ranks.trade(sent, most, dtype))
        return found

    def abort(self, message: str) -> NoReturn:
        """End the run: when LAMMPS next calls."""
        self._ask(lambda: self._ranks.abort(message))
        raise AssertionError


class Beside(Generic[T]):
    """One piece of work at a time, in a thread of its own; methods that say so are collective.

    All ranks begin together, and each asks for the same exchanges in the same order, as it would without a
    thread.

    Parameters
    ----------
    ranks
        The ranks of the simulation.

    Attributes
    ----------
    ranks
        What the work is to use in their place.
    busy
        Whether there is a work whose result was not taken.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._main = ranks
        # One rank exchanges with none: it needs neither MPI nor the main thread.
        self.ranks: Ranks = Relay(ranks, self._ask) if ranks.size > 1 else Ranks()
        self.busy = False
        self._turn = threading.Condition()
        self._asked: Callable[[], Any] | None = None
        self._answer: tuple[Any, Exception | None] | None = None
        self._outcome: tuple[T | None, BaseException | None] | None = None
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], T]) -> None:
        """Begin; not collective, but to be called on all ranks.

        Parameters
        ----------
        work
            It uses :attr:`ranks` for all that is collective, and nothing that changes meanwhile.
        """
        self._outcome = None
        # A program that ends badly does not wait for it.
        self._thread = threading.Thread(target=self._run, args=(work,), name="insitu", daemon=True)
        self._thread.start()
        self.busy = True

    def _run(self, work: Callable[[], T]) -> None:
        found: T | None = None
        trouble: BaseException | None = None
        try:
            found = work()
        except BaseException as error:  # the main thread raises it
            trouble = error
        with self._turn:
            self._outcome = found, trouble
            self._turn.notify_all()

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Have something carried out by the main thread; called in the thread."""
        with self._turn:
            self._asked = question
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._answer is not None)
            assert self._answer is not None
            (found, trouble), self._answer = self._answer, None
        if trouble is not None:
            raise trouble
        return found

    def advance(self, wait: bool) -> bool:
        """Carry out what the threads of all ranks ask for, and return whether they are done; collective.

        Parameters
        ----------
        wait
            Until they are. Else only what they ask for now.
        """
        while True:
            with self._turn:
                self._turn.wait_for(
                    lambda: self._asked is not None or self._outcome is not None,
                    None if wait else _GRACE,
                )
                asked, done = self._asked, self._outcome is not None
            if self._main.size == 1:
                return done
            counts = self._main.sum(np.array([asked is not None, done], dtype=float))
            if counts[1] == self._main.size:
                return True
            if counts.sum() < self._main.size:
                return False  # where all wait each is asking or done
            if counts[1]:
                self._main.abort("the analysis ended on some ranks and not on others")
            assert asked is not None
            self._reply(asked)

    def _reply(self, asked: Callable[[], Any]) -> None:
        found: Any = None
        trouble: Exception | None = None
        try:
            found = asked()
        except Exception as error:  # the thread raises it, as if it had been there
            trouble = error
        with self._turn:
            self._asked, self._answer = None, (found, trouble)
            self._turn.notify_all()

    def result(self) -> T:
        """Return what came of the work, once :meth:`advance` has said that it is done.

        Raises
        ------
        BaseException
            Of the work.
        """
        assert self._outcome is not None
        assert self._thread is not None
        self._thread.join()
        (found, trouble), self._outcome, self.busy = self._outcome, None, False
        if trouble is not None:
            raise trouble
        return found  # type: ignore[return-value]
