# SPDX-License-Identifier: BSD-3-Clause
"""Progress bars, on a terminal only (the one home of tqdm)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], what: str) -> Iterable[T]:
    """Return the items behind a progress bar if standard error is a terminal and tqdm is there."""
    if not sys.stderr.isatty():
        return items
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    wrapped: Iterable[T] = tqdm(items, desc=what, leave=False)
    return wrapped
