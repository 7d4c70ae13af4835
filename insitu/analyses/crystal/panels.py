# SPDX-License-Identifier: BSD-3-Clause
"""What is drawn and printed of the crystals in a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.analyses.base import Panel
from insitu.crystal.finding.found import PURE

if TYPE_CHECKING:
    import xarray

#: Quantities with a panel of their own, one line for each phase: label of the axis.
_QUANTITIES = {
    "symmetry_breaking": "Symmetry\nbreaking",
    "formation_energy": "Formation energy\n(eV/atom)",
}
#: Moduli and the style of their lines.
_MODULI = {"bulk_modulus": "-", "shear_modulus": "--"}


def volume(name: str) -> Panel:
    """Return the panel of the volume of a site of each phase."""
    return _of_phases(f"{name}_volume", "Volume of\na site (Å³)")


def further(name: str) -> dict[str, Panel]:
    """Return the panels of lattice parameters, symmetry breaking, formation energy and moduli."""
    panels = {f"{name}_length": _lengths(name)}
    for quantity, label in _QUANTITIES.items():
        panels[f"{name}_{quantity}"] = _of_phases(f"{name}_{quantity}", label)
    panels[f"{name}_moduli"] = _moduli(name)
    return panels


def _of_phases(variable: str, label: str) -> Panel:
    def draw(axes: Any, view: Any) -> None:
        _lines(axes, view, variable)
        _finish(axes, label)

    return Panel(draw, 1.0, lambda data: variable in data, default=False)


def _lines(axes: Any, view: Any, variable: str, style: str = "-", more: str = "") -> None:
    """Draw one line for each phase of which there is something."""
    values = view.data[variable]
    for k, phase in enumerate(values[values.dims[1]].values):
        if np.isfinite(values.values[:, k]).any():
            view.path(
                axes, values.values[:, k], linewidth=1.1, color=view.color(str(phase)),
                linestyle=style, label=f"{phase}{more}",
            )  # fmt: skip


def _lengths(name: str) -> Panel:
    def draw(axes: Any, view: Any) -> None:
        values = view.data[f"{name}_length"]
        for k, phase in enumerate(values[values.dims[1]].values):
            colour = view.color(str(phase))
            lengths = values.values[:, k]
            for n, style in enumerate(("-", "--", ":")):
                if not np.isfinite(lengths[:, n]).any():
                    continue
                if n and np.allclose(lengths[:, n], lengths[:, 0], rtol=1e-6, equal_nan=True):
                    continue
                text = f"{phase} {'abc'[n]}"
                view.path(
                    axes, lengths[:, n], linewidth=1.1, color=colour, linestyle=style, label=text
                )
        _finish(axes, "Lattice\nparameters (Å)")

    return Panel(draw, 1.2, lambda data: f"{name}_length" in data, default=False)


def _moduli(name: str) -> Panel:
    def draw(axes: Any, view: Any) -> None:
        for quantity, style in _MODULI.items():
            _lines(axes, view, f"{name}_{quantity}", style, f" {quantity.split('_')[0]}")
        _finish(axes, "Moduli\n(GPa)")

    return Panel(draw, 1.0, lambda data: f"{name}_bulk_modulus" in data, default=False)


def _finish(axes: Any, label: str) -> None:
    axes.set_ylabel(label)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)


def last_frame(name: str, history: xarray.Dataset) -> str:
    """Return space group, parameters, density and properties of the last frame, phase by phase."""
    last = history.isel(step=-1)
    groups = last[f"{name}_space_group"]
    parts = []
    for k, phase in enumerate(groups[groups.dims[0]].values):
        if not int(groups[k]):
            continue
        a, b, c = last[f"{name}_length"].values[k]
        alpha, beta, gamma = last[f"{name}_angle"].values[k]
        text = f"{phase}: space group {int(groups[k])}, a {a:.4f}"
        text += f", b {b:.4f}" if abs(b - a) > 1e-4 else ""
        text += f", c {c:.4f}" if abs(c - a) > 1e-4 else ""
        odd = [
            (n, v) for n, v in zip("αβγ", (alpha, beta, gamma), strict=True) if abs(v - 90) > 0.01
        ]
        text += "".join(f", {n} {v:.2f}°" for n, v in odd)
        density = float(last[f"{name}_density"].values[k])
        text += f", {density:.4g} g/cm³" if np.isfinite(density) else ""
        pure = float(last[f"{name}_purity"].values[k]) if f"{name}_purity" in last else 1.0
        text += f", species share sites ({100 * pure:.0f} % on their own)" if pure < PURE else ""
        text += "".join(_predicted(name, last, k))
        parts.append(f"{text} ({100 * float(last[f'{name}_share'].values[k]):.0f} % of its atoms)")
    return "; ".join(parts) or "no crystal"


def _predicted(name: str, last: xarray.Dataset, k: int) -> list[str]:
    """Return what is predicted of the crystal of a phase."""
    found = []
    for quantity, text in (
        ("bulk_modulus", "predicted bulk {:.0f} GPa"), ("shear_modulus", "shear {:.0f} GPa"),
        ("formation_energy", "formation energy {:.2f} eV/atom"),
        ("formation_alike", "by one alike to {:.2f}"),
        ("symmetry_breaking", "symmetry breaking {:.3f}"),
    ):  # fmt: skip
        variable = f"{name}_{quantity}"
        if variable in last and np.isfinite(last[variable].values[k]):
            found.append(", " + text.format(float(last[variable].values[k])))
    variable = f"{name}_dielectric"
    if variable in last and np.isfinite(last[variable].values[k]).all():
        found.append(
            f", dielectric constant if an insulator {np.trace(last[variable].values[k]) / 3:.1f}"
        )
    return found
