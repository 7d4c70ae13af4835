# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a history; the only module that imports matplotlib.

A figure is a stack of panels over one axis of time. A panel is a function that draws into given
axes and sets their label; a further plot is one more such function.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, SettingError
from insitu.table import energy_per_atom, present_phases

try:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise InsituError(
        "matplotlib is not installed and plots need it; install it with pip install 'insitu[plot]'."
    ) from error

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_SUFFIXES = (".png", ".svg", ".pdf")
# The hues are OVITO's, darkened for white paper. The lightness alone tells fcc, hcp and bcc apart,
# for readers who do not see red and green, and so does the dash pattern.
STYLES: dict[str, tuple[str, Any]] = {
    "fcc": ("#2eb82e", "-"),
    "hcp": ("#b8141e", (0, (5, 1.5))),
    "bcc": ("#4040e0", (0, (7, 1.5, 1.5, 1.5))),
    "cubic_diamond": ("#0d86d6", "-"),
    "hexagonal_diamond": ("#e07b00", (0, (5, 1.5))),
    "sc": ("#8f10e6", (0, (2, 1.2))),
    "disordered": ("#404040", "-"),
    "unknown": ("#b3b3b3", (0, (3, 2))),
}
_FURTHER = ("#008066", "#cc5c9c", "#a6761d", "#2f9fb3", "#7a5c3a", "#7d8a00")
_INK = "#262626"
_RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text, for editing the figure
    "pdf.fonttype": 42,
}


def phase_history(dataset: xarray.Dataset, *, title: str | None = None) -> Figure:
    """Draw phase fractions, temperature and potential energy over time.

    Phases that never exceed 0.5 % are left out, and so are panels without data. Where the history
    has standard errors, a band shows the 95 % interval.

    Parameters
    ----------
    dataset
        A history from `insitu.open`.
    title
        Heading of the figure.

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels: list[Callable[[Axes, xarray.Dataset, NDArray[Any]], None]] = [_fractions]
    if "temperature" in dataset and np.isfinite(dataset["temperature"].values).any():
        panels.append(_temperature)
    if energy_per_atom(dataset) is not None:
        panels.append(_energy)
    return _stacked(dataset, panels, title)


def save(
    dataset: xarray.Dataset, path: str | os.PathLike[str], *, title: str | None = None
) -> Path:
    """Draw `phase_history` into a file; the suffix chooses the format.

    Parameters
    ----------
    dataset
        A history from `insitu.open`.
    path
        A file ending in ``.png``, ``.svg`` or ``.pdf``.
    title
        Heading of the figure.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SettingError
        The suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise SettingError(
            f"file='{path}': a plot cannot be written as '{path.suffix}'; give a name that ends in "
            f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}."
        )
    figure = phase_history(dataset, title=title)
    try:
        with matplotlib.rc_context(_RC):
            figure.savefig(path)
    except OSError as error:
        raise SettingError(
            f"file='{path}' could not be written ({error.strerror or error}); give a file name in "
            "a directory that exists and is writable."
        ) from error
    return path


def _stacked(
    dataset: xarray.Dataset,
    panels: list[Callable[[Axes, xarray.Dataset, NDArray[Any]], None]],
    title: str | None,
) -> Figure:
    """Draw the panels over one another; the first, with the phases, is twice as high."""
    heights = [2.0] + [1.0] * (len(panels) - 1)
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(5.8, 0.9 + 1.15 * sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        x, label = _abscissa(dataset)
        for axes, panel in zip(grid[:, 0], panels, strict=True):
            axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
            axes.set_axisbelow(True)
            panel(axes, dataset, x)
        axes.set_xlabel(label)
        axes.margins(x=0.01)
        figure.align_ylabels(grid[:, 0])
        if title:
            figure.suptitle(title, fontsize=10)
    return figure


def _abscissa(dataset: xarray.Dataset) -> tuple[NDArray[Any], str]:
    """Return time where its unit is known, else the step."""
    if "time" in dataset.coords and (unit := dataset["time"].attrs.get("units")):
        return np.asarray(dataset["time"].values), f"Time ({unit})"
    return np.asarray(dataset["step"].values), "Step"


def _label(name: str, unit: str) -> str:
    return f"{name}\n({unit})" if unit else name


def _line(axes: Axes, x: NDArray[Any], y: NDArray[Any], **style: Any) -> None:
    # A single frame has no line to see.
    axes.plot(x, y, marker="o" if len(x) < 2 else "", markersize=4, **style)


def _fractions(axes: Axes, dataset: xarray.Dataset, x: NDArray[Any]) -> None:
    further = iter(_FURTHER * 4)
    # Drawn last is on top: the crystals over what has no structure.
    for name in present_phases(dataset):
        color, dashes = STYLES.get(name) or (next(further, "#000000"), "-")
        y = dataset["fraction"].sel(phase=name).values
        back = name in ("unknown", "disordered")
        label = name.replace("_", " ")
        _line(axes, x, y, color=color, linestyle=dashes, label=label, zorder=2.0 if back else 2.5)
        if "standard_error" in dataset:
            half = 1.96 * np.nan_to_num(dataset["standard_error"].sel(phase=name).values)
            if half.any():
                axes.fill_between(x, y - half, y + half, color=color, alpha=0.18, linewidth=0)
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("Fraction of atoms")
    if labels := axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=_legend_columns(labels),
            frameon=False,
            borderaxespad=0.2,
            handlelength=2.6,
            columnspacing=1.4,
        )


def _legend_columns(labels: list[str]) -> int:
    """Return how many columns of a legend, filled from top to bottom, fit over the panel."""
    for columns in range(len(labels), 1, -1):
        rows = -(-len(labels) // columns)
        widest = [max(map(len, labels[i : i + rows])) for i in range(0, len(labels), rows)]
        # Inches: the line and its gaps, and 0.075 for a character of 8.5 points.
        if sum(0.55 + 0.075 * characters for characters in widest) < 4.9:
            return columns
    return 1


def _temperature(axes: Axes, dataset: xarray.Dataset, x: NDArray[Any]) -> None:
    values = dataset["temperature"]
    _line(axes, x, values.values, color=_INK, linewidth=1.1)
    axes.set_ylabel(_label("Temperature", values.attrs.get("units", "")))


def _energy(axes: Axes, dataset: xarray.Dataset, x: NDArray[Any]) -> None:
    if (energy := energy_per_atom(dataset)) is not None:
        _line(axes, x, energy[0], color=_INK, linewidth=1.1)
        axes.set_ylabel(_label("Potential energy", energy[1]))
