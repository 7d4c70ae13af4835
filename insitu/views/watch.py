# SPDX-License-Identifier: BSD-3-Clause
"""``insitu watch``: a history in the terminal while its run goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.live import Live
from rich.text import Text

from insitu.views.dashboard import View, new_lines
from insitu.views.progress import Look, look
from insitu.views.terminal import Legible, terminal


def watch(
    path: str | os.PathLike[str],
    *,
    seconds: float = 2.0,
    once: bool = False,
    target: int | None = None,
    group: str | None = None,
    kind: int | None = None,
    width: int | None = None,
    out: TextIO | None = None,
) -> int:
    """Show a history until its run ends, or until Ctrl-C.

    On a terminal one view is drawn again; elsewhere (a pipe, a file) each new frame is a line.

    Parameters
    ----------
    path
        The history; it need not exist yet.
    seconds
        Time between two looks [s].
    once
        Show the view as it is now and return.
    target, group, kind
        As in `look`.
    width
        Columns of the view; by default the terminal's.
    out
        Where to write; by default the standard output.

    Returns
    -------
    int
        Exit code: 1 if there was no frame to show, else 0.

    Raises
    ------
    HistoryError
        As in `look`.
    """
    console = terminal(out, width)
    again = partial(look, Path(path), target, group, kind)
    seen = again()
    drawn = console.is_terminal and not console.is_dumb_terminal
    if once:
        console.print(View(seen))
        return int(seen.data is None)
    shown = -1

    def lines(seen: Look) -> None:
        nonlocal shown
        for line in new_lines(seen, shown):
            console.print(Legible(Text(line)), soft_wrap=True)
        shown = shown if seen.data is None else int(seen.data["step"][-1])

    with _ended_by_signals():
        if drawn:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                hint = "Ctrl-C ends this view, not the run"
                seen = _follow(
                    seen, lambda now: live.update(View(now, hint), refresh=True), again, seconds
                )
            console.print(View(seen))
        else:
            seen = _follow(seen, lines, again, seconds)
    return int(seen.data is None)


def _follow(
    seen: Look, show: Callable[[Look], None], again: Callable[[], Look], seconds: float
) -> Look:
    """Show a history again and again; return the last look."""
    try:
        while True:
            show(seen)
            if seen.state in ("finished", "ended"):
                break
            time.sleep(seconds)
            seen = again()
    except KeyboardInterrupt:
        pass
    return seen


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that the terminal is given back."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
