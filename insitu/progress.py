# SPDX-License-Identifier: BSD-3-Clause
"""Progress bars, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

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


class Meter:
    """A bar of the bytes that were read, with lines above it.

    Parameters
    ----------
    total
        Bytes of all files.
    what
        What is read.
    """

    def __init__(self, total: int, what: str) -> None:
        self._bar: Any = None
        if not sys.stderr.isatty():
            return
        try:
            from rich import progress
            from rich.console import Console
        except ImportError:
            return
        columns = (
            progress.TextColumn("{task.description}"), progress.BarColumn(),
            progress.DownloadColumn(), progress.TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(what, total=total)
        self._bar.start()

    def reached(self, position: int) -> None:
        """Say how many bytes were read."""
        if self._bar is not None:
            self._bar.update(self._task, completed=position)

    def write(self, line: str, file: Any = None) -> None:
        """Write a line to standard output, or another file."""
        file = file or sys.stdout
        if self._bar is not None and file.isatty():
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        file.write(line + "\n")
        file.flush()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
