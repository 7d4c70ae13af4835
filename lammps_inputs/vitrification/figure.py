# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a vitrification, as in the Neighbors Map paper (figures 5 and 7), from its history.

example:
  python figure.py vitrification_ni.h5 vitrification_ni.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import insitu
from insitu.transitions import (
    Estimate,
    heating,
    kink,
    melting,
    midpoint,
    on_ramp,
    quench,
    slowest,
)  # fmt: skip
from insitu.views.plots import STYLES

INK = "#262626"


def energy_per_atom(history: Any) -> Any:
    """Return potential energy an atom ``(n,)`` [eV]."""
    return history["potential_energy"].values / history["atoms"].values


def fractions(axes: Any, history: Any, temperature: Any) -> None:
    """Draw the fractions against temperature, as points: the paper's panels e and f."""
    for name in history["phase"].values:
        f = history["fraction"].sel(phase=name).values
        if f.max() > 0.005:
            color = STYLES[str(name)][0]
            axes.plot(temperature, f, "o", color=color, markersize=2.8, label=str(name))
    axes.set(xlabel="Temperature (K)", ylabel="Fraction of atoms", ylim=(-0.03, 1.03))
    axes.legend(frameon=False, fontsize=8)


def mark(axes: Any, found: Estimate, words: str, height: float = 0.04, left: bool = False) -> None:
    """Mark a temperature, with words on its right or left."""
    axes.axvline(found.temperature, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
    error = f" ± {max(found.error, 1.0):.0f}" if np.isfinite(found.error) else ""
    axes.text(
        found.temperature, height, f" {words} \n {found.temperature:.0f}{error} K ", color=INK,
        fontsize=8, transform=axes.get_xaxis_transform(), va="bottom", ha="right" if left else "left",
    )  # fmt: skip


def g_of_r(axes: Any, history: Any, temperatures: list[float]) -> None:
    """Draw g(r) of all atoms, mean of the five frames nearest to each temperature."""
    t = history["temperature"].values
    for k, at in enumerate(temperatures):
        near = np.argsort(np.abs(t - at))[:5]
        g = history["rdf"].isel(pair=0, step=near).mean("step")
        color = plt.get_cmap("coolwarm")(k / max(1, len(temperatures) - 1))
        axes.plot(g["radius"], g + 0.6 * k, color=color, linewidth=1.1, label=f"{at:.0f} K")
    axes.set(xlabel="Distance (Å)", ylabel="g(r), shifted", xlim=(1.8, 8.0))
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, fontsize=8, reverse=True, ncols=3, loc="upper center")


def draw(history: Any, out: Path) -> dict[str, Estimate]:
    """Draw the figure; return the transitions."""
    warm, cold = heating(history), slowest(quench(history))
    melts = warm.sizes["step"] > 8
    figure, grid = plt.subplots(2, 3 if melts else 2, figsize=(10.5 if melts else 7.2, 5.6))
    plt.rcParams["axes.spines.top"] = plt.rcParams["axes.spines.right"] = False
    found: dict[str, Estimate] = {}

    axes = grid[0, 0]
    axes.plot(history["time"], history["temperature"], color=INK, linewidth=1.0)
    axes.set(xlabel="Time (ps)", ylabel="Temperature (K)")

    line, total = on_ramp(cold["time"], cold["temperature"], energy_per_atom(cold))
    window = (float(line.min()), min(float(line.max()), 1700.0))
    found["kink of the energy"] = k = kink(line, total, window)
    both = cold["fraction"].sel(phase=["liquid", "amorphous"])
    share = (both.sel(phase="amorphous") / both.sum("phase")).values
    found["half amorphous by the model"] = glass = midpoint(line, share)

    axes = grid[0, 1]
    axes.plot(line, total, "o", color=INK, markersize=2.6)
    inside = (line >= window[0]) & (line <= window[1])
    t = np.array([window[0], k.temperature, window[1]])
    height = np.mean(total[inside] - _lines(k, line[inside]))
    for part, slope in (((0, 2), k.slopes[0]), ((0, 2), k.slopes[1])):
        ends = t[list(part)]
        axes.plot(ends, height + slope * (ends - k.temperature), linewidth=0.9, color="#999999")
    axes.set(xlabel="Temperature (K)", ylabel="Energy (eV/atom)", title="quench")
    mark(axes, k, "kink")

    axes = grid[1, 1]
    fractions(axes, cold, line)
    axes.set_title("quench")
    mark(axes, glass, "model", height=0.5)

    hottest = 100 * np.floor(float(line.max()) / 100)
    g_of_r(grid[1, 0], cold, [300, 600, round(k.temperature, -2), 1300, hottest])
    if melts:
        t, total = on_ramp(warm["time"], warm["temperature"], energy_per_atom(warm))
        found["energy step"] = melting(warm)
        fcc = warm["fraction"].sel(phase="fcc").values
        found["half molten by the model"] = midpoint(t, fcc)
        grid[0, 2].plot(t, total, "o", color=INK, markersize=2.6)
        grid[0, 2].set(xlabel="Temperature (K)", ylabel="Energy (eV/atom)", title="heating")
        fractions(grid[1, 2], warm, t)
        grid[1, 2].set_title("heating")
        for axes, height in ((grid[0, 2], 0.05), (grid[1, 2], 0.35)):
            mark(axes, found["energy step"], "energy step", height=height, left=True)
    for letter, axes in zip("abcdef", grid.ravel(), strict=False):
        axes.set_title(f"({letter})", loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(out, dpi=150)
    return found


def _lines(k: Estimate, t: Any) -> Any:
    below, above = k.slopes
    return np.where(t < k.temperature, below, above) * (t - k.temperature)


def main() -> None:
    """Draw the figure of a history and print its transitions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("history", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    options = parser.parse_args()
    out = options.out or options.history.with_suffix(".png")
    for name, e in draw(insitu.open(options.history), out).items():
        error = f" ± {max(e.error, 1.0):.0f}" if np.isfinite(e.error) else ""
        print(f"{name:28s}{e.temperature:5.0f}{error} K")
    print(out)


if __name__ == "__main__":
    main()
