# SPDX-License-Identifier: BSD-3-Clause
"""Progress bars, on a terminal only (the home of rich in training)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], what: str) -> Iterable[T]:
    """Return the items with a progress bar if standard error is a terminal and rich is there."""
    if not sys.stderr.isatty():
        return items
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        return items
    return track(items, what, console=Console(stderr=True), transient=True)
