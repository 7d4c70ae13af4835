# SPDX-License-Identifier: BSD-3-Clause
"""The verb of the command line that measures: insitu bench."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]
Verb = Callable[[str, Run, str, str], argparse.ArgumentParser]


def add_bench(verb: Verb) -> None:
    """Add the verb that measures to the command line."""
    sub = verb(
        "bench", _bench, "Measure what the analysis costs on this machine.",
        "insitu bench --startup --ranks 8\n  insitu bench --memory --atoms 1000000",
    )  # fmt: skip
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--startup", action="store_true",
                      help="time, memory and file accesses of a rank's start")  # fmt: skip
    what.add_argument("--memory", action="store_true",
                      help="a rank's extra memory while it analyses, for each atom")  # fmt: skip
    sub.add_argument("--ranks", type=int, default=1, help="--startup: processes at once (1)")
    sub.add_argument("--repeats", type=int, default=5, help="--startup: the median of so many (5)")
    sub.add_argument(
        "--atoms", type=int, default=500_000, help="--memory: of the larger frame (500000)"
    )
    sub.add_argument(
        "--model", default="metals", help="--memory: shipped model or model.pt (metals)"
    )


def _bench(options: argparse.Namespace) -> int:
    from insitu.bench import memory, startup

    return startup.run(options) if options.startup else memory.run(options)
