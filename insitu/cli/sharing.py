# SPDX-License-Identifier: BSD-3-Clause
"""Verbs whose work the other ranks of a program share, when it was started on several."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from insitu.errors import launched


def shared(work: Callable[[Executor | None], int]) -> int:
    """Do the work of a verb on rank 0, and return its exit code; 0 on all others.

    Parameters
    ----------
    work
        Takes an executor, whose tasks the other ranks carry out; None: there is one process only.
    """
    if launched()[0] == 1:
        return work(None)
    from insitu.frame.ranks.launch import workers

    with workers() as executor:
        return 0 if executor is None else work(executor)
