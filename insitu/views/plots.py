# SPDX-License-Identifier: BSD-3-Clause
"""Figures of histories; the only module that imports matplotlib.

A figure is a stack of panels (`plot_panels`) over one abscissa, and a column of them for each history.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.analyses.base import Panel
from insitu.errors import InsituError, SettingError, check_suffix, did_you_mean, writing
from insitu.history.datasets import average
from insitu.views.legend import draw_legend
from insitu.views.phase_styles import INK, STYLES, shown_phases
from insitu.views.plot_panels import View, all_panels, mark_disabled
from insitu.views.units import printed, readable

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

__all__ = ["STYLES", "check_name", "phase_history", "save", "svg"]

AXES = ("time", "step", "temperature")
_SUFFIXES = (".png", ".svg", ".pdf")
_INCH = 2.54  # cm
_MOST = 4  # histories side by side
_RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text, for editing the figure
    "svg.hashsalt": "insitu",  # the same history gives the same file
    "pdf.fonttype": 42,
}


def phase_history(
    histories: xarray.Dataset | dict[str, xarray.Dataset],
    *,
    title: str | None = None,
    x: str | None = None,
    stacked: bool = False,
    panels: Sequence[str] = (),
    reference: tuple[str, xarray.Dataset] | None = None,
    tolerance: float = 0.0,
    width: float | None = None,
) -> Figure:
    """Draw phase fractions, temperature and potential energy over time.

    Phases that never exceed 0.5 % are left out, and so are panels without data. Where the history
    has standard errors, a band shows the 95 % interval. Of an ensemble the mean is drawn, and each
    run as a thin line. A dotted line marks where the analysis was disabled. Time and pressure are in
    units that fit their size (ps or ns, GPa).

    Parameters
    ----------
    histories
        A history from `insitu.open`, or up to four by their names, drawn side by side.
    title
        Heading of the figure.
    x
        ``time``, ``step`` or ``temperature``; by default time, or the step in reduced units.
    stacked
        Areas over one another instead of lines.
    panels
        What to draw, from top to bottom: ``phases``, ``temperature``, ``energy``, ``pressure``,
        ``cost``, ``difference``, or an analysis by its name (``profile``, ``rdf`` …); by default
        phases, profile, temperature and energy.
    reference
        Name and history of another analysis of the same steps, drawn as points into the phases.
    tolerance
        Half the height of the grey band of the panel ``difference``.
    width
        Width of the figure [cm]; by default 14.7, and more for histories side by side.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        A name is not known, the history has no such data, or there are too many histories.
    """
    columns = histories if isinstance(histories, dict) else {"": histories}
    if len(columns) > _MOST:
        raise SettingError(
            f"{len(columns)} histories do not fit side by side; give up to {_MOST}, or open them as "
            "an ensemble (ensemble=True, --ensemble)."
        )
    columns = dict(zip(columns, readable(list(columns.values())), strict=True))
    means = {name: average(data) for name, data in columns.items()}
    axis = _axis(x, list(means.values()))
    known = all_panels(list(means.values()))
    chosen = _panels(known, panels, axis, list(means.values()), reference is not None)
    drawn = [known[name] for name in chosen]
    other = [reference[1]] if reference else []
    styles = shown_phases([*means.values(), *other])
    views = [
        View(
            data=means[name], axis=axis, stacked=stacked, tolerance=tolerance,
            phases={n: styles[n] for n in shown_phases([means[name], *other])},
            runs=[data.isel(run=i) for i in range(data.sizes.get("run", 0))],
            reference=reference[1] if reference else None,
            reference_name=reference[0] if reference else "",
        )
        for name, data in columns.items()
    ]  # fmt: skip
    inches = width / _INCH if width else 5.8 if len(views) == 1 else 1.0 + 2.9 * len(views)
    return _figure(views, list(columns), drawn, title, inches)


def save(
    histories: xarray.Dataset | dict[str, xarray.Dataset],
    path: str | os.PathLike[str],
    **options: Any,
) -> Path:
    """Draw `phase_history` into a file; the suffix chooses the format.

    Parameters
    ----------
    histories, **options
        As in `phase_history`.
    path
        A file ending in ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SettingError
        The suffix is another one, the file cannot be written, or as in `phase_history`.
    """
    path = check_name(path)
    figure = phase_history(histories, **options)
    with writing(path), matplotlib.rc_context(_RC):
        figure.savefig(path, metadata=_undated(path.suffix.lower()))
    return path


def svg(histories: xarray.Dataset | dict[str, xarray.Dataset], **options: Any) -> str:
    """Return `phase_history` as an SVG element without background, for a page of HTML."""
    figure = phase_history(histories, **options)
    text = io.StringIO()
    with matplotlib.rc_context(_RC):
        figure.savefig(text, format="svg", transparent=True, metadata=_undated(".svg"))
    image = text.getvalue()
    return re.sub(r"\s*<metadata>.*?</metadata>", "", image[image.index("<svg") :], flags=re.DOTALL)


def check_name(path: str | os.PathLike[str]) -> Path:
    """Return the path of a figure, if its suffix is one of those that can be written.

    Raises
    ------
    SettingError
        It is not.
    """
    path = Path(path)
    check_suffix(path, "a plot cannot be written", _SUFFIXES)
    return path


def _undated(suffix: str) -> dict[str, None]:
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})


def _axis(x: str | None, histories: list[xarray.Dataset]) -> str:
    """Return the coordinate of the abscissa: time where its unit is known, else the step."""
    if x is None:
        timed = all("time" in d.coords and d["time"].attrs.get("units") for d in histories)
        return "time" if timed else "step"
    if x not in AXES:
        raise SettingError(
            f"x='{x}' is not known; choose {', '.join(AXES[:-1])} or {AXES[-1]}."
            f"{did_you_mean(x, AXES)}"
        )
    for data in histories:
        if x not in data or not np.isfinite(data[x].values).any():
            raise SettingError(
                f"x='{x}': the history has no {x}; choose another abscissa (time, step). LAMMPS' "
                "temperature is missing where the analysis ran at post_force."
            )
    return x


def _panels(
    known: dict[str, Panel],
    names: Sequence[str],
    axis: str,
    histories: list[xarray.Dataset],
    compared: bool,
) -> list[str]:
    """Return the panels to draw."""
    if not names:
        return [
            name for name, panel in known.items()
            if panel.default and name != axis and any(map(panel.has_data, histories))
        ]  # fmt: skip
    for name in names:
        if name not in known or (name == "difference" and not compared):
            words = [n for n in known if compared or n != "difference"]
            raise SettingError(
                f"panel '{name}' is not known; choose from {', '.join(words)}."
                f"{did_you_mean(name, words)}"
            )
        if not any(map(known[name].has_data, histories)):
            raise SettingError(f"panel '{name}': the history has no such data; leave it out.")
    return list(names)


def _figure(
    views: list[View], names: list[str], panels: list[Panel], title: str | None, inches: float
) -> Figure:
    """Draw the panels of each history over one another."""
    heights = [panel.height for panel in panels]
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(inches, 0.9 + 1.15 * sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(
            len(panels), len(views), sharex="col", sharey="row", squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )  # fmt: skip
        for column, (view, name) in enumerate(zip(views, names, strict=True)):
            for row, panel in enumerate(panels):
                axes: Axes = grid[row, column]
                axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
                axes.set_axisbelow(True)
                axes.margins(x=0.0 if view.stacked else 0.01)
                if panel.has_data(view.data):
                    panel.draw(axes, view)
                mark_disabled(axes, view, named=row == 0)
                if column:
                    axes.set_ylabel("")
            axes.set_xlabel(_axis_label(view))
            if name:
                grid[0, column].set_title(name)
        figure.align_ylabels(grid[:, 0])
        draw_legend(figure, grid[0], inches)
        if title:
            figure.suptitle(title, fontsize=10)
    return figure


def _axis_label(view: View) -> str:
    unit = view.data[view.axis].attrs.get("units", "")
    return view.axis.capitalize() + (f" ({printed(unit)})" if unit else "")
