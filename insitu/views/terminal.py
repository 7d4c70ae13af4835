# SPDX-License-Identifier: BSD-3-Clause
"""A history as a picture of text: sparklines, a bar of progress, colours of a terminal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = ".:-=+*#@"
# Of the 256 colours, ones that can be read on black and on white. What has no structure keeps the
# terminal's own.
_COLORS = {
    "fcc": "38;5;71",
    "hcp": "38;5;167",
    "bcc": "38;5;69",
    "cubic_diamond": "38;5;38",
    "hexagonal_diamond": "38;5;172",
    "sc": "38;5;135",
    "unknown": "2",
    "head": "1",
    "dim": "2",
    "good": "38;5;71",
    "bad": "38;5;167",
}


@dataclass(frozen=True)
class Style:
    """What a terminal can show: colours, and more than ASCII."""

    color: bool = False
    unicode: bool = True

    def paint(self, text: str, name: str) -> str:
        """Return text in the colour of a phase or a role."""
        code = _COLORS.get(name)
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code and text else text

    def words(self, text: str) -> str:
        """Return text without what an ASCII terminal lacks."""
        if self.unicode:
            return text
        for sign, plain in (
            ("·", "|"),
            ("…", "..."),
            ("–", "-"),
            ("−", "-"),
            ("●", "*"),
            ("○", "o"),
        ):
            text = text.replace(sign, plain)
        return text.encode("ascii", "replace").decode()


def sparkline(
    values: ArrayLike, width: int, style: Style, *, low: float | None = None,
    high: float | None = None, rows: int = 1,
) -> list[str]:  # fmt: skip
    """Return a series as lines of blocks, the top line first.

    Parameters
    ----------
    values
        ``(n,)``; NaN leaves a gap.
    width
        Number of characters. More values than that are averaged, fewer are drawn out.
    style
        Of the terminal.
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
    blocks = _BLOCKS if style.unicode else _PLAIN
    steps = len(blocks) * rows
    with np.errstate(invalid="ignore"):
        level = np.clip(np.rint(share * (steps - 1)) + 1, 1, steps)
        level = np.where((share < 0.005) & (low is not None), 0, level)
    level = np.nan_to_num(level).astype(int)
    lines = []
    for row in reversed(range(rows)):
        here = np.clip(level - row * len(blocks), 0, len(blocks))
        lines.append("".join(" " if n == 0 else blocks[n - 1] for n in here))
    return lines


def bar(share: float, width: int, style: Style) -> str:
    """Return a bar of progress."""
    done = int(np.clip(share, 0, 1) * width)
    full, empty = ("━", "─") if style.unicode else ("=", "-")
    return style.paint(full * done, "good") + style.paint(empty * (width - done), "dim")


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
