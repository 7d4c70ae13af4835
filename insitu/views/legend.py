# SPDX-License-Identifier: BSD-3-Clause
"""The legend of a figure: over its panels, in as many columns as fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_legend(figure: Figure, top: Any, inches: float) -> None:
    """Name the lines once, over the panels."""
    entries: dict[str, Any] = {}
    for axes in top:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if not entries:
        return
    style: Any = {"frameon": False, "handlelength": 2.6, "columnspacing": 1.4,
                  "ncols": _columns(list(entries), inches - 0.9)}  # fmt: skip
    if len(top) > 1:
        figure.legend(list(entries.values()), list(entries), loc="outside upper left", **style)
        return
    top[0].legend(
        list(entries.values()), list(entries), loc="lower left", bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2, **style,
    )  # fmt: skip


def _columns(labels: list[str], inches: float) -> int:
    """Return how many columns of a legend, filled from top to bottom, fit over the panel."""
    for columns in range(len(labels), 1, -1):
        rows = -(-len(labels) // columns)
        widest = [max(map(len, labels[i : i + rows])) for i in range(0, len(labels), rows)]
        # Inches: the line and its gaps, and 0.075 for a character of 8.5 points.
        if sum(0.55 + 0.075 * characters for characters in widest) < inches:
            return columns
    return 1
