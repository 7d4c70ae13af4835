# SPDX-License-Identifier: BSD-3-Clause
"""How many threads the analysis of a rank uses."""

from __future__ import annotations

import os

from insitu.errors import SettingError

#: More threads than any node has cores: a mistyped number must not exhaust the machine.
MOST_THREADS = 1024


def check_threads(threads: int | None) -> None:
    """Raise SettingError if that many threads cannot be meant."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise SettingError(
            f"threads={threads} is not usable; give 1 … {MOST_THREADS}, as many as cores of a rank"
        )


def thread_count(threads: int | None, otherwise: int = 1) -> int:
    """Return how many threads to use: the setting, else OMP_NUM_THREADS, else `otherwise`."""
    if threads is not None:
        return threads
    # OMP_NUM_THREADS=4,2 gives the numbers of nested levels; ours is the first.
    word = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    given = int(word) if word.isascii() and word.isdigit() else 0
    return given if 1 <= given <= MOST_THREADS else otherwise
