# SPDX-License-Identifier: BSD-3-Clause
"""A phase history as a table that fits the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from insitu.history.datasets import energy_per_atom, present_phases
from insitu.views.terminal import Legible, painted

if TYPE_CHECKING:
    import xarray

_GAP = 2


@dataclass(frozen=True)
class _Column:
    head: tuple[str, str]
    cells: list[str]
    name: str = ""  # of the phase

    @property
    def width(self) -> int:
        return max(len(cell) for cell in (*self.head, *self.cells))


def phase_table(dataset: xarray.Dataset, *, width: int, max_rows: int | None = 20) -> Legible:
    """Return the history as a table: step, time, temperature, energy, and phases in percent.

    Parameters
    ----------
    dataset
        A history from `insitu.open`.
    width
        Greatest length of a line [characters]. In a narrow terminal the rarest phases are summed
        up as ``other``, then energy, temperature and time are left out.
    max_rows
        Greatest number of frames, evenly chosen with the first and the last; None for all.

    Returns
    -------
    Legible
        To be printed by `terminal().print`.
    """
    total = dataset.sizes["step"]
    rows = np.arange(total)
    if max_rows is not None and total > max_rows:
        rows = np.unique(np.linspace(0, total - 1, max(2, max_rows)).round().astype(int))

    quantities = _quantities(dataset, rows)
    percent = 100 * dataset["fraction"].values[rows]
    names = present_phases(dataset)
    order = [str(name) for name in dataset["phase"].values]
    by_size = sorted(names, key=lambda n: -float(dataset["fraction"].sel(phase=n).max()))

    shown = len(names)
    while True:
        kept = [n for n in names if n in by_size[:shown]]
        phases = [_phase_column(n, percent[:, order.index(n)]) for n in kept]
        rest = [n for n in names if n not in kept]
        if rest:
            phases.append(_phase_column("other", percent[:, [order.index(n) for n in rest]].sum(1)))
        columns = [*quantities, *phases]
        if sum(c.width + _GAP for c in columns) - _GAP <= width:
            break
        if shown > 2:
            shown -= 1
        elif len(quantities) > 1:
            quantities.pop()  # energy, then temperature, then time
        else:
            break

    table = Table.grid()
    for i, column in enumerate(columns):
        gap = _GAP if i else 0
        table.add_column(justify="right", no_wrap=True, min_width=gap + column.width)
    for i in (0, 1):
        table.add_row(*(painted(c.head[i], c.name or "head") for c in columns))
    for i in range(len(rows)):
        table.add_row(*(c.cells[i] for c in columns))
    notes = []
    if len(rows) < total:
        notes.append(f"{len(rows)} of {total} frames shown, {total - len(rows)} thinned out.")
    if rest:
        notes.append(f"other: {', '.join(rest)}.")
    return Legible(Group(table, *map(Text, notes)))


def _quantities(dataset: xarray.Dataset, rows: NDArray[np.int64]) -> list[_Column]:
    columns = [_Column(("step", ""), [str(step) for step in dataset["step"].values[rows]])]
    if "time" in dataset.coords:
        unit = str(dataset["time"].attrs.get("units", ""))
        columns.append(_Column(("time", unit), _numbers(dataset["time"].values[rows], 5)))
    if "temperature" in dataset and np.isfinite(dataset["temperature"].values).any():
        unit = str(dataset["temperature"].attrs.get("units", ""))
        cells = _numbers(dataset["temperature"].values[rows], 4)
        columns.append(_Column(("T", unit), cells))
    if (energy := energy_per_atom(dataset)) is not None:
        columns.append(_Column(("E", energy[1]), _numbers(energy[0][rows], 5)))
    return columns


def _numbers(values: NDArray[Any], digits: int) -> list[str]:
    """Format a column with equal decimals, about `digits` significant for its largest value."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    whole = len(str(int(largest)))
    if largest and (largest < 1e-3 or whole > 9):
        return [f"{v:.{digits - 1}e}" if np.isfinite(v) else "-" for v in values]
    decimals = max(0, digits - whole)
    return [f"{v:.{decimals}f}" if np.isfinite(v) else "-" for v in values]


def _phase_column(name: str, percent: NDArray[np.float64]) -> _Column:
    first, _, second = name.rpartition("_")
    head = (first, f"{second} %") if first else (name, "%")
    return _Column(head, [f"{p:.1f}" if np.isfinite(p) else "-" for p in percent], name)
