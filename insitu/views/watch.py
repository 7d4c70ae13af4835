# SPDX-License-Identifier: BSD-3-Clause
"""``insitu watch``: a history in the terminal while its run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from insitu.views.dashboard import new_lines, view
from insitu.views.progress import Look, look
from insitu.views.terminal import Style


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

    On a terminal one view is drawn anew; elsewhere (a pipe, a file) each new frame is a line.

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
    path, out = Path(path), out or sys.stdout
    encoding = (getattr(out, "encoding", "") or "").lower().replace("-", "")
    tty = out.isatty()
    style = Style(
        tty and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb",
        encoding == "utf8",
    )

    def drawn(seen: Look) -> str:
        columns, lines = shutil.get_terminal_size((80, 40))
        return "\n".join(view(seen, width or columns, lines - 2 if tty else 60, style))

    seen = look(path, target, group, kind)
    if once:
        out.write(drawn(seen) + "\n")
        return int(seen.data is None)
    with _screen(out, tty):
        try:
            shown = -1
            while True:
                if tty:
                    hint = style.paint("Ctrl-C ends this view, not the run", "dim")
                    text = drawn(seen).replace("\n", "\x1b[K\n")
                    out.write(f"\x1b[H{text}\x1b[K\n\x1b[K{hint}\x1b[J")
                else:
                    out.writelines(f"{line}\n" for line in new_lines(seen, shown, style))
                    shown = shown if seen.data is None else int(seen.data["step"][-1])
                out.flush()
                if seen.state in ("finished", "ended"):
                    break
                time.sleep(seconds)
                seen = look(path, target, group, kind)
        except KeyboardInterrupt:
            pass
    if tty:
        out.write(drawn(seen) + "\n")
    return int(seen.data is None)


@contextmanager
def _screen(out: TextIO, tty: bool) -> Iterator[None]:
    """Take the terminal's second screen, and give the first back whatever happens."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        if tty:
            out.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        yield
    finally:
        if tty:
            out.write("\x1b[?25h\x1b[?1049l")
            out.flush()
        signal.signal(signal.SIGTERM, before)
