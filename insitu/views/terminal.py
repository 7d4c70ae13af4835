# SPDX-License-Identifier: BSD-3-Clause
"""What people see in a terminal: its colours, sparklines, times in words."""

from __future__ import annotations

from typing import TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import InsituError

try:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment
    from rich.text import Text
    from rich.theme import Theme
except ImportError as error:
    raise InsituError(
        "rich is not installed and tables and the live view need it; install it with pip install "
        "'insitu[read]'."
    ) from error

_BLOCKS = "▁▂▃▄▅▆▇█"
# Of the 256 colours, ones that can be read on black and on white. What has no structure keeps the
# terminal's own.
_STYLES = {
    "fcc": "color(71)",
    "hcp": "color(167)",
    "bcc": "color(69)",
    "cubic_diamond": "color(38)",
    "hexagonal_diamond": "color(172)",
    "sc": "color(135)",
    "unknown": "dim",
    "head": "bold",
    "dim": "dim",
    "good": "color(71)",
    "bad": "color(167)",
    "bar.complete": "color(71)",
    "bar.finished": "color(71)",
    "bar.back": "dim",
}
# Sign by sign, so that lines stay as long as they are.
_ASCII = str.maketrans(dict(zip("·…–−●○×µÅ±━─╸╺", "|~--*oxuA+=-==", strict=True)))
_ASCII |= str.maketrans(dict(zip(_BLOCKS, ".:-=+*#@", strict=True)))


def terminal(out: TextIO | None = None, width: int | None = None) -> Console:
    """Return where to print; what is no terminal gets neither colours nor an end of the page."""
    found = Console(
        file=out, width=width, theme=Theme(_STYLES), markup=False, emoji=False, highlight=False
    )
    if not found.is_terminal:
        found.size = found.size._replace(width=width or 100, height=1000)
    return found


def painted(text: str, name: str) -> Text:
    """Return text in the colour of a phase or a role, if it has one."""
    return Text(text, _STYLES.get(name, ""), no_wrap=True)


class Legible:
    """Something to print, without what an ASCII terminal lacks."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the content's pieces."""
        for text, style, control in console.render(self._content, options):
            if options.ascii_only and not control:
                text = text.translate(_ASCII).encode("ascii", "replace").decode()
            yield Segment(text, style, control)


def sparkline(
    values: ArrayLike, width: int, *, low: float | None = None, high: float | None = None, rows: int = 1
) -> list[str]:  # fmt: skip
    """Return a series as lines of blocks, the top line first.

    Parameters
    ----------
    values
        ``(n,)``; NaN leaves a gap.
    width
        Number of characters. More values than that are averaged, fewer are drawn out.
    low, high
        Range from the bottom to the top; the values' own where not given. Below 0.5 % of a range
        that begins at a given `low` nothing is drawn: there the phase is absent.
    rows
        Number of lines.
    """
    series = _resample(np.asarray(values, dtype=float), width)
    finite = series[np.isfinite(series)]
    bottom = low if low is not None else float(finite.min()) if finite.size else 0.0
    top = high if high is not None else float(finite.max()) if finite.size else 1.0
    span = top - bottom
    share = (series - bottom) / span if span > 0 else np.where(np.isfinite(series), 0.5, np.nan)
    steps = len(_BLOCKS) * rows
    with np.errstate(invalid="ignore"):
        level = np.clip(np.rint(share * (steps - 1)) + 1, 1, steps)
        level = np.where((share < 0.005) & (low is not None), 0, level)
    level = np.nan_to_num(level).astype(int)
    lines = []
    for row in reversed(range(rows)):
        here = np.clip(level - row * len(_BLOCKS), 0, len(_BLOCKS))
        lines.append("".join(" " if n == 0 else _BLOCKS[n - 1] for n in here))
    return lines


def duration(seconds: float) -> str:
    """Return a time in words: ``42 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    s = round(max(0.0, seconds))
    if s < 90:
        return f"{s} s"
    if s < 90 * 60:
        return f"{round(s / 60)} min"
    if s < 36 * 3600:
        return f"{s // 3600} h {s % 3600 // 60} min"
    return f"{s // 86400} d {s % 86400 // 3600} h"


def _resample(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    if len(values) <= width:
        return np.asarray(values[np.linspace(0, len(values) - 1, width).round().astype(int)])
    parts = np.array_split(values, width)
    means = [p[np.isfinite(p)].mean() if np.isfinite(p).any() else np.nan for p in parts]
    return np.array(means, dtype=float)
