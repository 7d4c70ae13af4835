# SPDX-License-Identifier: BSD-3-Clause
"""Radial distribution function of a sample, in all and of each pair of atom types."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Observable, Panel, System, setting
from insitu.frame.frame import Frame
from insitu.frame.neighbors.pairs import count_pairs, rows_of_pairs
from insitu.frame.neighbors.search import Neighbors

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class RdfSettings:
    """What a deck says of g(r)."""

    cutoff: float = setting("largest distance", unit="Å", low=0.1, high=100.0)
    bins: int = setting("bins up to there", default=160, low=1, high=10_000)


class Rdf(Analysis[RdfSettings]):
    r"""Radial distribution function g(r), in all and of each pair of atom types.

    Pairs are counted by their distance, ``g_ab(r) = n_ab(r) V / (N_ab 4π r² dr)``.
    ``n_ab`` are the ordered pairs of a bin, ``N_ab`` all such pairs of the sample:
    ``N_a (N_a - 1)`` of one type, ``2 N_a N_b`` of two. First atoms are those analysed (a
    group), second atoms are all. The shell's volume is exact, and V is the volume of the box: where
    it holds vacuum, g does not go to 1.
    """

    name = "rdf"
    Settings = RdfSettings
    samples = True

    def __init__(self, settings: RdfSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        self.cutoff = radius = settings.cutoff
        self.bins = bins = settings.bins
        self.n_types = n_types = system.n_types
        edges = np.linspace(0.0, radius, bins + 1)
        self._shells: NDArray[np.float64] = 4.0 / 3.0 * np.pi * np.diff(edges**3)
        #: ``(bins,)`` middle of each bin [Å].
        self.radii: NDArray[np.float64] = 0.5 * (edges[1:] + edges[:-1])
        # Ordered pair of types (from 0) → row of the counts.
        self._pairs, self._row = rows_of_pairs(n_types)
        #: What each row of g is: all atoms, then pairs of types where there is more than one.
        self.pairs = ("all", *(f"{a + 1}-{b + 1}" for a, b in self._pairs if n_types > 1))
        self.sums: Mapping[str, tuple[int, ...]] = {
            "pairs": (len(self._pairs), bins), "centres": (n_types,), "atoms": (n_types,),
            "volume": (), "ranks": (),
        }  # fmt: skip
        radii = (self.axis("radius"), tuple(self.radii.tolist()), system.length_unit)
        self.observables = (
            Observable(
                self.path(), (len(self.pairs), bins), "f4", "", "radial distribution function g(r)",
                axes=(("pair", self.pairs, ""), radii),
            ),
        )  # fmt: skip

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's pairs ``(pairs, bins)``, its first atoms and its atoms by type."""
        kinds = np.asarray(frame.types, dtype=np.int64) - 1
        mine = kinds[: frame.n_local]
        return {
            "pairs": count_pairs(frame, neighbors, self._row, self.cutoff, self.bins),
            "centres": np.bincount(kinds[neighbors.atoms], minlength=self.n_types),
            "atoms": np.bincount(mine, minlength=self.n_types),
            "volume": abs(float(np.linalg.det(frame.cell))),
            "ranks": 1.0,
        }

    def finish(self, sums: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Return g(r) ``(pairs, bins)``: NaN for pairs that the sample does not have."""
        centres, atoms = np.rint(sums["centres"]), np.rint(sums["atoms"])
        volume = float(sums["volume"]) / float(sums["ranks"])
        possible = np.zeros(len(self._pairs))
        for a, b in itertools.product(range(self.n_types), repeat=2):
            possible[self._row[a, b]] += centres[a] * (atoms[b] - (a == b))
        count = sums["pairs"]
        if self.n_types > 1:
            count = np.concatenate([count.sum(axis=0, keepdims=True), count])
            possible = np.concatenate([[possible.sum()], possible])
        with np.errstate(invalid="ignore", divide="ignore"):
            return {self.path(): count * volume / (possible[:, None] * self._shells)}

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return g(r) of all atoms as a map: distance over the abscissa."""

        def draw(axes: Any, view: Any) -> None:
            g = view.data[name].isel(pair=0)
            order = np.argsort(view.x, kind="stable")
            radius = g[g.dims[-1]]
            r = radius.values
            # Up to the height of a liquid's first peak: a crystal's shells would leave nothing else.
            drawn = axes.pcolormesh(
                view.x[order].astype(float), r, g.values[order].T, vmin=0.0, vmax=3.0, cmap="magma_r",
                shading="nearest", rasterized=True,
            )  # fmt: skip
            axes.figure.colorbar(drawn, ax=axes, pad=0.01, extend="max", label="g(r)")
            unit = str(radius.attrs.get("units", ""))
            axes.set_ylabel(f"Distance\n({unit})" if unit else "Distance")
            axes.set_ylim(bottom=1.5 if r[-1] > 4 else 0.0)

        return Panel(draw, 1.6, lambda d: name in d and d.sizes["step"] > 1, default=False)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return where the highest peak of the last frame is."""
        g = history[name].isel(pair=0, step=-1)
        if not np.isfinite(g.values).any():
            return ""
        radius = g[g.dims[-1]]
        at = int(np.nanargmax(g.values))
        unit = str(radius.attrs.get("units", ""))
        where = f"{float(radius[at]):.3g} {unit}".rstrip()
        return f"highest peak of g(r) {float(g[at]):.3g} at {where}"
