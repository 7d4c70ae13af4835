# SPDX-License-Identifier: BSD-3-Clause
"""What the analysis `diffraction` shows of itself: its panel, and its line of `insitu show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Panel
from insitu.analyses.diffraction.symmetry import KNOWN
from insitu.diffraction.symmetry.known_cell import indices_on_cell

if TYPE_CHECKING:
    import xarray

_COLORS = dict(
    zip(
        KNOWN,
        ("#7f7f7f", "#bcbd22", "#17a2b8", "#9467bd", "#2ca02c", "#ff7f0e", "#1f77b4", "#dddddd"),
        strict=True,
    )
)


def panel(name: str) -> Panel:
    """Return the pattern over the abscissa as an image, and the first and the last one beside it."""

    def draw(axes: Any, view: Any) -> None:
        pattern = view.data[f"{name}_intensity"]
        order = np.argsort(view.x, kind="stable")
        angles, x = pattern[pattern.dims[-1]].values, view.x[order].astype(float)
        # The square root, as in plots of diffractometers: weak peaks are seen beside strong ones.
        shown = np.sqrt(np.maximum(pattern.values[order], 0.0))
        axes.pcolormesh(
            x, angles, shown.T, cmap="magma_r", vmin=0.0, shading="nearest", rasterized=True,
            vmax=float(np.nanmax(shown, initial=1e-12)),
        )  # fmt: skip
        axes.set_ylabel("2θ\n(degrees)")
        axes.grid(visible=False)
        beside = axes.inset_axes((1.02, 0.0, 0.22, 1.0), sharey=axes)
        for k, color in ((0, "#999999"), (-1, "#c0392b")):
            beside.plot(shown[k], angles, color=color, linewidth=0.8)
        beside.set_xticks([])
        beside.set_xlim(left=0.0)
        beside.tick_params(labelleft=False)
        beside.set_title("√I, first, last", fontsize=7)
        axes.set_ylim(angles[0], angles[-1])
        if f"{name}_system" in view.data:
            ticks = [t for t in axes.get_yticks() if angles[0] <= t <= angles[-1]]
            # Room above the image, within the panel.
            axes.set_ylim(angles[0], angles[-1] + 0.22 * (angles[-1] - angles[0]))
            axes.set_yticks(ticks)
            strip = axes.inset_axes((0.0, 0.84, 1.0, 0.08), sharex=axes)
            draw_systems(strip, view.data[f"{name}_system"].values[order], x)

    def has_data(history: xarray.Dataset) -> bool:
        return f"{name}_intensity" in history and history.sizes["step"] > 1

    return Panel(draw, 2.4, has_data, default=False)


def show(name: str, history: xarray.Dataset) -> str:
    """Return the Bragg peaks of the last frame, and the symmetry where it was read."""
    if f"{name}_position" not in history:
        return ""
    last = history.isel(step=-1)
    at, area = last[f"{name}_position"].values, last[f"{name}_area"].values
    known = np.isfinite(at)
    if not known.any():
        return "; ".join(filter(None, ["no Bragg peaks in the last frame", said(name, last)]))
    highest = float(np.nanmax(area))
    words = [f"{t:.2f}° ({a / highest:.0%})" for t, a in zip(at[known], area[known], strict=True)]
    hkl, of = _indices(name, last)
    if hkl is not None:
        hkl = hkl[known]
        words = [
            f"{''.join(map(str, index))} {text}" if index.any() else text
            for index, text in zip(hkl, words, strict=True)
        ]
    peaks = f"Bragg peaks of the last frame at {', '.join(words)} of the largest area{of}"
    return "; ".join(filter(None, [peaks, said(name, last)]))


def _indices(name: str, last: xarray.Dataset) -> tuple[NDArray[np.int64] | None, str]:
    """Return indices of the peaks ``(peaks, 3)`` and whose cell they are on, where a cell is known.

    That of the symmetry that was read; else that of the largest crystal of an analysis `crystal`.
    """
    if f"{name}_hkl" in last and last[f"{name}_hkl"].values.any():
        return last[f"{name}_hkl"].values, ""
    at, width = last[f"{name}_position"].values, last[f"{name}_width"].values
    factor = last[f"{name}_structure_factor"]
    q, angles = (d[d.dims[0]].values for d in (factor, last[f"{name}_intensity"]))
    q = np.interp([at - 0.5 * width, at, at + 0.5 * width], angles, q)
    for variable in map(str, last.data_vars):
        crystal = variable.removesuffix("_space_group")
        if crystal == variable or f"{crystal}_angle" not in last:
            continue
        atoms = np.where(last[variable] > 0, last[f"{crystal}_atoms"], 0)
        largest = int(atoms.argmax())
        if atoms[largest] == 0:
            continue
        parameters = [
            *last[f"{crystal}_length"].values[largest],
            *last[f"{crystal}_angle"].values[largest],
        ]
        number = int(last[variable][largest])
        phase = str(last[last[variable].dims[0]].values[largest])
        hkl = indices_on_cell(q[1], q[2] - q[0], parameters, number)
        return hkl, f", indices on the cell of {phase} ({crystal}, space group {number})"
    return None, ""


def said(name: str, last: xarray.Dataset) -> str:
    """Return what `insitu show` says of the symmetry in a frame of a history; "" if it was not read."""
    if f"{name}_system" not in last:
        return ""
    systems = last[f"{name}_system"]
    best = int(np.argmax(systems.values))
    word, p = KNOWN[best], float(systems[best])
    if word == "unknown":
        return f"symmetry unknown ({p:.0%}): no single crystal"
    groups = last[f"{name}_group"]
    order = np.argsort(-groups.values)[:3]
    listed = ", ".join(f"{groups[groups.dims[-1]].values[k]} {float(groups[k]):.0%}" for k in order)
    cell = " ".join(f"{v:.4g}" for v in last[f"{name}_cell"].values)
    beta = float(last[f"{name}_beta"])
    angle = f", β {beta:.2f}°" if abs(beta - 90) > 1e-3 else ""
    where = "" if "nan" in cell else f", cell {cell} Å{angle}"
    return f"symmetry {word} {p:.0%}{where}; extinction groups {listed}"


def draw_systems(axes: Any, systems: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Draw the probabilities of the systems as areas over one another, and name those that are likely once.

    Parameters
    ----------
    axes
        Of matplotlib.
    systems
        ``(n, 8)``.
    x
        ``(n,)`` the abscissa, increasing.
    """
    edges = np.concatenate(
        [[1.5 * x[0] - 0.5 * x[1]], 0.5 * (x[1:] + x[:-1]), [1.5 * x[-1] - 0.5 * x[-2]]]
    )
    below = np.zeros(len(x))
    for k, name in enumerate(KNOWN):
        above = below + np.nan_to_num(systems[:, k])
        axes.stairs(
            above, edges, baseline=below, fill=True, color=_COLORS[name],
            label=name if np.nanmax(systems[:, k], initial=0.0) > 0.5 else None,
        )  # fmt: skip
        below = above
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    axes.tick_params(labelbottom=False, bottom=False)
    axes.legend(
        frameon=False, fontsize=6.5, ncols=len(KNOWN), loc="lower left", bbox_to_anchor=(0, 0.98),
        borderaxespad=0.1, handlelength=0.9, handletextpad=0.4, columnspacing=0.9,
    )  # fmt: skip
