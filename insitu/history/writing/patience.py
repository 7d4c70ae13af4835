# SPDX-License-Identifier: BSD-3-Clause
"""A limit on how long a file system is waited for.

A call to a file system that hangs (a server that went away) cannot be ended, only left alone. So calls that
may hang are made by a thread of their own; who waits for it stops waiting after a while. From then on the
thread, and the file that it was at work on, belong to nobody.
"""

from __future__ import annotations

import errno
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


class Patience:
    """Makes calls, and waits for each no longer than a limit.

    Parameters
    ----------
    limit
        [s]; None: calls are made directly, for as long as they take.

    Attributes
    ----------
    gone
        Whether a call was not back in time: nothing may be asked of the file system any more.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self.gone = False
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], list[Any], threading.Event]] | None
        self._calls = None

    def __call__(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function and return what it returns.

        Raises
        ------
        OSError
            ``ETIMEDOUT``: it takes too long, or one before it did. And what the function itself raises.
        """
        if self.limit is None or sys.is_finalizing():  # no other thread goes on then
            return function(*arguments)
        if self.gone:
            raise OSError(errno.ETIMEDOUT, "the file system has not answered before")
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            # A daemon: the end of the process does not wait for it.
            threading.Thread(
                target=_work, args=(self._calls,), name="insitu-disk", daemon=True
            ).start()
        answer: list[Any] = []
        done = threading.Event()
        self._calls.put((lambda: function(*arguments), answer, done))
        if not done.wait(self.limit):
            self.gone = True
            raise OSError(errno.ETIMEDOUT, f"the file system has not answered for {self.limit:g} s")
        result, error = answer
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


def _work(calls: queue.SimpleQueue[tuple[Callable[[], Any], list[Any], threading.Event]]) -> None:
    while True:
        function, answer, done = calls.get()
        try:
            answer += [function(), None]
        except BaseException as error:  # it is raised where it is waited for
            answer += [None, error]
        done.set()
        del function, answer, done
