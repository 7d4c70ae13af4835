# SPDX-License-Identifier: BSD-3-Clause
"""Bond-orientational order of each atom, averaged over its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting
from insitu.analyses.bond_order import bonds, lengths
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors

if TYPE_CHECKING:
    import xarray

#: Atoms whose bonds are in memory at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class SteinhardtSettings:
    """What a deck says of the order parameters."""

    cutoff: float = setting("bonds are not longer", unit="Å", low=0.1, high=30.0)
    number: int | None = setting(
        "only the nearest ones up to the cutoff; atoms with fewer have no value", default=None, low=1,
        high=200,
    )  # fmt: skip
    degrees: tuple[int, ...] = setting("which q_l", default=(4, 6), low=1, high=12)
    averaged: bool = setting("over the neighbours, as Lechner and Dellago do", default=True)
    bins: int = setting("of the histograms, from 0 to 1", default=100, low=1, high=10_000)

    def __post_init__(self) -> None:
        if len(set(self.degrees)) != len(self.degrees) or not self.degrees:
            raise SettingError(f"degrees={','.join(map(str, self.degrees))}; give each once")


class Steinhardt(Analysis[SteinhardtSettings]):
    r"""Steinhardt's order parameters q_l of each atom, by default averaged over its neighbours.

    ``q_lm(i)`` is the mean of ``Y_lm`` over the bonds of atom i, and
    ``q̄_lm(i)`` its mean over the atom and its neighbours;
    ``q_l = sqrt(4π/(2l+1) Σ_m |q_lm|²)``, and the same of the mean (Lechner and Dellago,
    J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970). Where the `number` of nearest ones ends
    among neighbours at the same distance, these share the places that are left: no order of the atoms
    decides. Neighbours' values come from the ranks that own them (single precision), so ghost atoms
    have to reach one cutoff only. Atoms without a bond have no value and are not counted.
    """

    name = "steinhardt"
    Settings = SteinhardtSettings

    def __init__(self, settings: SteinhardtSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        self.cutoff, self._degrees = settings.cutoff, settings.degrees
        if settings.averaged:
            self.exchanged, self.rounds = sum(2 * d + 1 for d in self._degrees), 1
        quantities = tuple(f"q{degree}" for degree in self._degrees)
        n, bins = len(quantities), settings.bins
        words = "averaged " if settings.averaged else ""
        self.columns = {q: Column("", f"{words}{q} of the atom") for q in quantities}
        self.sums = {"histogram": (n, bins), "total": (n,), "atoms": ()}
        centres = tuple(((np.arange(bins) + 0.5) / bins).tolist())
        order = (self.axis("order"), quantities, "")
        self.observables = (
            Observable(
                self.path("histogram"), (n, bins), "f4", "", f"density of the atoms' {words}q_l",
                axes=(order, (self.axis("q"), centres, "")),
            ),
            Observable(
                self.path("mean"), (n,), "f8", "", f"mean of the atoms' {words}q_l", axes=(order,)
            ),
            Observable(self.path("count"), (), "i8", "", "atoms with a value"),
        )  # fmt: skip

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's histograms, totals, and the value of each of its atoms."""
        places, atoms = neighbors.owned
        moments = np.zeros((frame.n_local, sum(2 * degree + 1 for degree in self._degrees)))
        bonded = np.zeros(frame.n_local, dtype=bool)
        kept = []
        for at in range(0, len(atoms), _BLOCK):
            those = atoms[at : at + _BLOCK]
            b = bonds(neighbors, self.cutoff, places[at : at + _BLOCK], those, self.settings.number)
            bonded[those] = b.total > 0
            moments[those] = b.moments(self._degrees)
            kept.append((those, b))
        if self.settings.averaged:
            everywhere = self.with_ghosts(moments.astype(np.float32), neighbors)
            for those, b in kept:
                moments[those] = b.averaged(moments[those], everywhere)
        values = lengths(moments, self._degrees)
        values[~bonded] = np.nan
        if frame.selected is not None:
            values[~frame.selected] = np.nan
        return self._local(values)

    def _local(self, values: NDArray[np.float64]) -> dict[str, Any]:
        known = values[np.isfinite(values[:, 0])]
        bins = self.settings.bins
        at = np.minimum((known * bins).astype(np.int64), bins - 1)
        n = len(self._degrees)
        histogram = [np.bincount(at[:, k], minlength=bins) for k in range(n)]
        return {
            "histogram": np.array(histogram).reshape(n, bins),
            "total": known.sum(axis=0),
            "atoms": len(known),
            **{q: values[:, k] for k, q in enumerate(self.columns)},
        }

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return histograms as densities, means, and the number of atoms that have a value."""
        atoms = float(sums["atoms"])
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                self.path("histogram"): sums["histogram"] * self.settings.bins / atoms,
                self.path("mean"): sums["total"] / atoms,
                self.path("count"): round(atoms),
            }

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the means over the abscissa."""

        def draw(axes: Any, view: Any) -> None:
            mean = view.data[f"{name}_mean"]
            order = mean.dims[1]
            for k, quantity in enumerate(mean[order].values):
                style = ("-", (0, (5, 1.5)), (0, (1, 1)))[k % 3]
                y = mean.isel({order: k}).values
                view.path(
                    axes, y, color="#262626", linestyle=style, linewidth=1.1, label=str(quantity)
                )
            axes.set_ylabel("Mean bond order")
            axes.legend(frameon=False, fontsize=8)

        return Panel(draw, 1.0, lambda data: f"{name}_mean" in data, default=False)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return the means of the last frame."""
        mean = history[f"{name}_mean"].isel(step=-1)
        pairs = zip(mean[mean.dims[0]].values, mean.values, strict=True)
        return "mean " + ", ".join(f"{q} {v:.4f}" for q, v in pairs)
