# SPDX-License-Identifier: BSD-3-Clause
"""The panels of a figure: of the phases and of what LAMMPS knows here, others by their analysis.

A panel draws one history into axes and sets their label; `plots` stacks panels over one abscissa.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Panel
from insitu.history.datasets import energy_per_atom, notes
from insitu.views.analyses import panels_of
from insitu.views.phase_styles import INK, STYLES
from insitu.views.units import printed

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class View:
    """One history as a figure shows it.

    Parameters
    ----------
    data
        The history; of an ensemble the mean.
    axis
        What the abscissa is: ``time``, ``step`` or ``temperature``.
    phases
        Colour and dashes of each phase to draw.
    runs
        The runs of an ensemble.
    stacked
        Areas over one another instead of lines.
    reference
        Another history of the same steps, drawn as points; `reference_name` is what it is called.
    tolerance
        A difference from `reference` that is let pass.
    """

    data: xarray.Dataset
    axis: str
    phases: dict[str, tuple[str, Any]]
    runs: list[xarray.Dataset] = field(default_factory=list)
    stacked: bool = False
    reference: xarray.Dataset | None = None
    reference_name: str = ""
    tolerance: float = 0.0

    @property
    def x(self) -> NDArray[Any]:
        """Abscissa of the frames ``(n_steps,)``."""
        return np.asarray(self.data[self.axis].values)

    def at(self, steps: NDArray[Any]) -> NDArray[Any]:
        """Return the abscissa of steps, which need not be frames."""
        known, x = self.data["step"].values.astype(float), self.x.astype(float)
        found = np.interp(steps, known, x)
        if len(known) > 1 and self.axis != "temperature":
            beyond = np.asarray(steps) > known[-1]
            slope = (x[-1] - x[-2]) / (known[-1] - known[-2])
            found = np.where(beyond, x[-1] + slope * (np.asarray(steps) - known[-1]), found)
        return np.asarray(found)

    def color(self, phase: str) -> str:
        """Return the colour of a phase."""
        found: str = self.phases.get(phase, STYLES["unknown"])[0]
        return found

    def path(
        self, axes: Axes, y: NDArray[Any], x: NDArray[Any] | None = None, **style: Any
    ) -> None:
        """Draw a line; points where there is no order in time to follow, or nothing but a point."""
        x = self.x if x is None else x
        if self.axis == "temperature":
            style |= {"linewidth": 0.7, "marker": "o", "markersize": 2.8, "markeredgewidth": 0}
        axes.plot(x, y, **{"marker": "o" if len(x) < 2 else "", "markersize": 4, **style})


def phases(axes: Axes, view: View) -> None:
    """Fractions of the atoms: lines with the 95 % interval, or areas."""
    if view.stacked:
        _areas(axes, view)
    else:
        # Drawn last is on top: the crystals over what has no structure.
        for name, (color, dashes) in view.phases.items():
            if name not in view.data["phase"].values:
                continue
            back = {"zorder": 2.0 if name in ("unknown", "disordered", "other") else 2.5}
            style = {"color": color, "linestyle": dashes, **back}
            for run in view.runs:
                y = run["fraction"].sel(phase=name).values
                view.path(axes, y, np.asarray(run[view.axis].values), **style | _THIN)
            y = view.data["fraction"].sel(phase=name).values
            view.path(axes, y, label=_words(name), **style)
            # The runs of an ensemble show their scatter themselves.
            if "standard_error" in view.data and not view.runs and view.axis != "temperature":
                half = 1.96 * np.nan_to_num(view.data["standard_error"].sel(phase=name).values)
                if half.any():
                    low, high = np.clip(y - half, 0, 1), np.clip(y + half, 0, 1)
                    axes.fill_between(view.x, low, high, color=color, alpha=0.18, linewidth=0)
        _reference(axes, view)
    axes.set_ylim(*((0, 1) if view.stacked else (-0.02, 1.02)))
    axes.set_ylabel("Fraction of atoms")


def difference(axes: Axes, view: View) -> None:
    """Fractions less those of the reference, and the tolerance."""
    if view.reference is None:
        return
    common = np.intersect1d(view.data["step"], view.reference["step"])
    both = [d["fraction"].sel(step=common) for d in (view.data, view.reference)]
    for name, (color, dashes) in view.phases.items():
        if all(name in part["phase"].values for part in both):
            y = both[0].sel(phase=name).values - both[1].sel(phase=name).values
            view.path(axes, y, view.at(common), color=color, linestyle=dashes)
    if view.tolerance:
        axes.axhspan(-view.tolerance, view.tolerance, color="#000000", alpha=0.06, linewidth=0)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_ylabel("Difference")


def temperature(axes: Axes, view: View) -> None:
    """Temperature, as LAMMPS has it."""
    _quantity(axes, view, "temperature", "Temperature")


def pressure(axes: Axes, view: View) -> None:
    """Pressure, as LAMMPS has it."""
    _quantity(axes, view, "pressure", "Pressure")


def energy(axes: Axes, view: View) -> None:
    """Potential energy per atom."""
    for data, style in [(run, _THIN) for run in view.runs] + [(view.data, {})]:
        if (found := energy_per_atom(data)) is not None:
            x = np.asarray(data[view.axis].values)
            view.path(axes, found[0], x, **{"color": INK, "linewidth": 1.1, **style})
            axes.set_ylabel(_label("Potential energy", found[1]))


def cost(axes: Axes, view: View) -> None:
    """Wall time of the analysis in percent of that of the simulation."""
    if (share := analysis_share(view.data)) is not None:
        view.path(axes, 100 * share, color=INK, linewidth=1.1)
        axes.set_ylabel("Cost of analysis\n(% of simulation)")
        axes.set_ylim(bottom=0)


def budget(axes: Axes, view: View) -> None:
    """Share of the wall time so far, and of the atoms, that the setting `overhead` led to."""
    view.path(axes, 100 * view.data["budget_share"].values, color=INK, linewidth=1.1)
    axes.set_ylabel("Analysis\n(% of wall time)")
    axes.set_ylim(bottom=0)
    sampled = view.data["budget_sampled"].values
    if (sampled < 1.0).any():
        style: dict[str, Any] = {"color": "#808080", "linewidth": 0.9, "linestyle": (0, (4, 1.5))}
        view.path(axes.twinx(), 100 * sampled, **style)
        axes.figure.axes[-1].set_ylabel("Atoms analysed (%)", color="#808080")
        axes.figure.axes[-1].set_ylim(0, 105)


def overlap(axes: Axes, view: View) -> None:
    """Wall time of the analysis beside the simulation, and what the simulation waited for."""
    simulation = np.asarray(view.data["timing_simulation"].values, dtype=float)
    usable = simulation > 1e-3 * np.nanmedian(simulation)
    time = np.where(usable, simulation, np.nan)
    view.path(axes, 100 * view.data["overlap_beside"].values / time, color=INK, linewidth=1.1)
    if (waited := analysis_share(view.data)) is not None:
        style: dict[str, Any] = {"color": "#808080", "linewidth": 0.9, "linestyle": (0, (4, 1.5))}
        view.path(axes, 100 * waited, label="waited for", **style)
        axes.lines[0].set_label("beside")
        axes.legend(frameon=False, fontsize=8)
    axes.set_ylabel("Analysis\n(% of simulation)")
    axes.set_ylim(bottom=0)


def analysis_share(dataset: xarray.Dataset) -> NDArray[np.float64] | None:
    """Return the wall time of the analysis over that of the simulation, `(n_steps,)`, or None.

    None also for a `rerun`, where LAMMPS only reads.
    """
    if "timing_simulation" not in dataset:
        return None
    simulation = np.asarray(dataset["timing_simulation"].values, dtype=float)
    stages = [n for n in dataset.data_vars if str(n).startswith("timing_")]
    total = np.sum([np.asarray(dataset[n].values, dtype=float) for n in stages], axis=0)
    if np.nansum(simulation) < 1e-3 * np.nansum(total):
        return None
    # The first frame may come before any step of the simulation.
    usable = simulation > 1e-3 * np.nanmedian(simulation)
    return np.where(usable, (total - simulation) / np.where(usable, simulation, 1.0), np.nan)


def mark_disabled(axes: Axes, view: View, *, named: bool) -> None:
    """Mark from where on the analysis was disabled, and up to where if a later run resumed it."""
    if view.axis == "temperature":
        return
    for note in notes(view.data):
        later = view.data["step"].values[view.data["step"].values > note["step"]]
        begin = float(view.at(np.array([note["step"]]))[0])
        if later.size:
            end = float(view.at(later[:1])[0])
            axes.axvspan(begin, end, facecolor="#000000", alpha=0.07, linewidth=0, zorder=0)
        axes.axvline(begin, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1.5)
        if named:
            run = f" ({note['run']})" if "run" in note else ""
            axes.annotate(
                f"analysis disabled{run}", (begin, 0.5), (-3, 0), ("data", "axes fraction"),
                textcoords="offset points", rotation=90, ha="right", va="center", fontsize=7.5,
                color=INK, bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
            )  # fmt: skip


def _finite(name: str) -> Callable[[xarray.Dataset], bool]:
    return lambda data: name in data and bool(np.isfinite(data[name].values).any())


#: Panels by their names; those of `default` are drawn where they have data.
_PANELS = {
    "phases": Panel(phases, 2.0, lambda _: True),
    "difference": Panel(difference, 1.0, lambda _: True, default=False),
    "temperature": Panel(temperature, 1.0, _finite("temperature")),
    "energy": Panel(energy, 1.0, lambda data: energy_per_atom(data) is not None),
    "pressure": Panel(pressure, 1.0, _finite("pressure"), default=False),
    "budget": Panel(budget, 1.0, _finite("budget_share"), default=False),
    "overlap": Panel(overlap, 1.0, _finite("overlap_beside"), default=False),
    "cost": Panel(cost, 1.0, lambda data: analysis_share(data) is not None, default=False),
}


def all_panels(histories: Sequence[xarray.Dataset]) -> dict[str, Panel]:
    """Return every panel by its name, from top to bottom.

    Those of analyses come after the phases, and before the cost where they are not drawn by default.
    """
    further = panels_of(histories)
    ordered: dict[str, Panel] = {}
    for name, panel in _PANELS.items():
        if name in ("temperature", "cost"):
            ordered |= {n: p for n, p in further.items() if p.default == (name == "temperature")}
        ordered[name] = panel
    return ordered


_THIN: dict[str, Any] = {"alpha": 0.5, "linewidth": 0.7, "label": "_"}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _label(name: str, unit: str) -> str:
    return f"{name}\n({printed(unit)})" if unit else name


def _quantity(axes: Axes, view: View, name: str, words: str) -> None:
    for data, style in [(run, _THIN) for run in view.runs] + [(view.data, {})]:
        x = np.asarray(data[view.axis].values)
        view.path(axes, data[name].values, x, **{"color": INK, "linewidth": 1.1, **style})
    axes.set_ylabel(_label(words, str(view.data[name].attrs.get("units", ""))))


def _areas(axes: Axes, view: View) -> None:
    names = [n for n in view.phases if n in view.data["phase"].values]
    order = np.argsort(view.x, kind="stable")
    shares = [np.nan_to_num(view.data["fraction"].sel(phase=n).values)[order] for n in names]
    x = view.x[order].astype(float)
    if len(x) == 1:  # an area needs two sides
        x, shares = x[0] + np.array([-0.5, 0.5]), [np.repeat(share, 2) for share in shares]
    axes.stackplot(
        x, shares, colors=[view.phases[n][0] for n in names],
        labels=[_words(n) for n in names], edgecolor="white", linewidth=0.6, alpha=0.9,
    )  # fmt: skip


def _reference(axes: Axes, view: View) -> None:
    if view.reference is None:
        return
    x = view.at(view.reference["step"].values)
    for name, (color, _) in view.phases.items():
        if name in view.reference["phase"].values:
            y = view.reference["fraction"].sel(phase=name).values
            axes.plot(
                x, y, linestyle=(0, (1, 1.5)), linewidth=0.8, marker="o", markersize=3.4,
                markerfacecolor="white", markeredgewidth=0.9, color=color, zorder=3,
            )  # fmt: skip
    axes.plot(
        [], [], linestyle=(0, (1, 1.5)), linewidth=0.8, marker="o", markersize=3.4, color="#808080",
        markerfacecolor="white", label=view.reference_name,
    )  # fmt: skip
