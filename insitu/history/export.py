# SPDX-License-Identifier: BSD-3-Clause
"""A history as a table for other programs: CSV, columns for gnuplot and NumPy, JSON."""

from __future__ import annotations

import csv
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from insitu.errors import check_suffix, did_you_mean, writing

if TYPE_CHECKING:
    import xarray


def export(dataset: xarray.Dataset, path: str | os.PathLike[str], *, tidy: bool = False) -> Path:
    """Write a history into a table.

    Parameters
    ----------
    dataset
        A history from :func:`insitu.open`.
    path
        A file ending in ``.csv`` (comma-separated, missing numbers are empty), ``.dat`` (columns of
        equal width under a ``#`` line, for gnuplot and ``numpy.loadtxt``; missing numbers are
        ``nan``), or ``.json`` (a list for each column, missing numbers are null, and the attributes).
        ``-`` writes CSV to the standard output.
    tidy
        One row for each number instead of one for each frame: columns ``step``, ``time``,
        ``variable``, ``unit``, those of ``run``, ``group``, ``type`` and ``phase`` that the history
        has, ``value``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SettingError
        The suffix is another one, or the file cannot be written.

    Notes
    -----
    A row is a frame. The columns are ``step``, ``time (ps)`` and every variable with its unit in
    brackets; where a variable has further dimensions there is a column for each entry, such as
    ``fraction fcc`` or ``count_by_group left fcc``. Numbers have all their digits.
    """
    path = Path(path)
    if str(path) != "-":
        allowed = list(_WRITERS)
        check_suffix(
            path, "a history cannot be exported", allowed, did_you_mean(path.suffix, allowed)
        )
    head, rows = _tidy(dataset) if tidy else _wide(dataset)
    with _written(path) as stream:
        _WRITERS[path.suffix.lower() or ".csv"](stream, head, rows, dataset.attrs)
    return path


def _wide(dataset: xarray.Dataset) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns and the rows, one for each frame."""
    columns: dict[str, Any] = {"step": dataset["step"].values}
    for name in ("time", *sorted(dataset.data_vars, key=_place)):
        values = dataset[name]
        unit = f" ({values.attrs['units']})" if values.attrs.get("units") else ""
        values = values.transpose("step", ...)
        for at, words in _entries(values):
            columns[" ".join([str(name), *words]) + unit] = values.values[:, *at]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _place(name: Any) -> tuple[int, str]:
    """Put first what is looked at first; what the analysis cost is last."""
    first = ("temperature", "potential_energy", "pressure", "fraction", "standard_error", "confidence",
             "count")  # fmt: skip
    if name in first:
        return first.index(name), ""
    return len(first) + str(name).startswith("timing_"), str(name)


def _tidy(dataset: xarray.Dataset) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns and the rows, one for each number."""
    dims = {str(d) for v in dataset.data_vars.values() for d in v.dims} - {"step"}
    keys: list[str] = [d for d in ("run", "group", "type", "phase") if d in dims]
    keys += sorted(dims - set(keys))
    unit = dataset["time"].attrs.get("units")
    head = ["step", f"time ({unit})" if unit else "time", "variable", "unit", *keys, "value"]
    rows = []
    for name in sorted(dataset.data_vars, key=_place):
        values = dataset[name].transpose("step", ...)
        own = [str(d) for d in values.dims[1:]]
        for at, words in _entries(values):
            where = dict(zip(own, words, strict=True))
            times = dataset["time"]
            if "run" in times.dims:
                times = times.isel(run=at[own.index("run")])
            about = [str(name), values.attrs.get("units", ""), *(where.get(k, "") for k in keys)]
            numbers = values.values[:, *at]
            for step, time, number in zip(
                dataset["step"].values, times.values, numbers, strict=True
            ):
                rows.append([step, time, *about, number])
    return head, rows


def _entries(values: xarray.DataArray) -> Iterator[tuple[Any, list[str]]]:
    """Yield each place in the dimensions after the first, as an index and in words."""
    labels = [
        [str(v) for v in values[d].values] if d in values.coords else [str(i) for i in range(n)]
        for d, n in zip(values.dims[1:], values.shape[1:], strict=True)
    ]
    for at in itertools.product(*(range(len(names)) for names in labels)):
        yield at, [names[i] for names, i in zip(labels, at, strict=True)]


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python; None for NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _csv(stream: TextIO, head: list[str], rows: list[list[Any]], attrs: Any) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_plain(value) for value in row] for row in rows)


def _dat(stream: TextIO, head: list[str], rows: list[list[Any]], attrs: Any) -> None:
    # Blanks separate columns here: none inside a name or a unit.
    names = [name.replace(" (", "(").replace(" ", "_") for name in head]
    cells = [
        [
            "nan" if (v := _plain(value)) is None else str(v).replace(" ", "_") or "-"
            for value in row
        ]
        for row in rows
    ]
    names[0] = "# " + names[0]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    for row in (names, *cells):
        line = "  ".join(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))
        stream.write(f"{row[0].ljust(widths[0])}  {line}\n")


def _json(stream: TextIO, head: list[str], rows: list[list[Any]], attrs: Any) -> None:
    columns = zip(*rows, strict=True)
    table = {name: [_plain(v) for v in c] for name, c in zip(head, columns, strict=True)}
    json.dump({"attributes": dict(attrs), "columns": table}, stream, indent=1)
    stream.write("\n")


_WRITERS: dict[str, Callable[[TextIO, list[str], list[list[Any]], Any], None]] = {
    ".csv": _csv,
    ".dat": _dat,
    ".json": _json,
}


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    if str(path) == "-":
        yield sys.stdout
        return
    with writing(path), path.open("w", encoding="utf-8", newline="") as stream:
        yield stream
