# SPDX-License-Identifier: BSD-3-Clause
"""Energy barriers of the atoms of a glass, predicted from its inherent structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.species import MASSES, SYMBOLS, check_species, from_masses
from insitu.models.barriers import load
from insitu.models.engines.barriers import Pairs

if TYPE_CHECKING:
    import xarray

#: Percentiles in the history.
_PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
#: Atoms of a rank from which on their composition, and their surroundings, speak for the sample.
_ENOUGH_TO_TELL = (1000, 100)


@dataclass(frozen=True)
class BarriersSettings:
    """What a deck says of the barriers."""

    model: str = setting("shipped model of energy barriers, or path", default="cuzr-barriers")
    hottest: float = setting(
        "temperature above which positions are no inherent structure: the run stops", default=1.0,
        unit="K", low=0.0, high=1e6,
    )  # fmt: skip
    bins: int = setting("of the histogram", default=400, low=10, high=10_000)
    highest: float = setting(
        "where the histogram, which begins at 0, ends", default=4.0, unit="eV", low=0.1, high=100.0
    )


class Barriers(Analysis[BarriersSettings]):
    """Mean energy barrier that each atom of a glass has to cross to rearrange, by a trained model.

    The model takes inherent structures: the deck has to minimise before the step that is analysed, and to
    stand still there (``minimize``, ``velocity all set 0 0 0``, ``run 1`` without an integrator;
    lammps_inputs/in.barriers). At a temperature above `hottest` the run stops with a sentence, because
    barriers from thermal positions are wrong. Elements are those of `species`, else told by masses.

    Atoms with a number of neighbours that no atom had in training (surfaces, voids) are counted in
    `outside`. Percentiles are those of the histogram, whose first and last bin hold what is beyond it.
    `correlation` is Moran's I: how alike the barriers of neighbours in the first shell are, 1 for equal
    ones and 0 for atoms that know nothing of each other.

    References
    ----------
    Moran, Biometrika 37, 17 (1950), doi:10.2307/2332142, for the correlation.
    """

    name = "barriers"
    Settings = BarriersSettings
    thermo = ("temperature",)

    def __init__(self, settings: BarriersSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        if system.units == "lj":
            raise SettingError(
                "analyze barriers: a model of energy barriers knows lengths in Å, and the deck has units "
                "lj; use units metal or real"
            )
        self.model = load(settings.model)
        known = self.model.card.settings.species
        species = system.species
        if species and any(species):
            check_species(species, system.n_types, dict.fromkeys(known))
        else:
            masses = None if system.masses is None else np.array(system.masses)
            species = from_masses(masses, {s: MASSES[SYMBOLS.index(s)] for s in known})
        #: Number of each type's species in the model; type 0 there is none.
        self._kinds = np.array([-1, *(known.index(s) for s in species)], dtype=np.int64)
        self.cutoff = self.model.card.settings.cutoff
        self.exchanged, self.rounds = 2, 6
        bins, edge = settings.bins, settings.highest
        self.sums = {
            "histogram": (bins,), "total": (), "squares": (), "atoms": (), "outside": (), "shell": (3,),
        }  # fmt: skip
        self.columns = {"barrier": Column("eV", "energy barrier of the atom")}
        centres = tuple(((np.arange(bins) + 0.5) * (edge / bins)).tolist())
        percentiles = (self.axis("percentile"), _PERCENTILES, "")
        self.observables = (
            Observable(self.path("mean"), (), "f8", "eV", "mean energy barrier of an atom"),
            Observable(self.path("deviation"), (), "f8", "eV", "standard deviation over the atoms"),
            Observable(
                self.path("percentiles"), (len(_PERCENTILES),), "f8", "eV",
                "barrier below which that percentage of the atoms is", axes=(percentiles,),
            ),
            Observable(
                self.path("histogram"), (bins,), "f4", "1/eV", "density of the atoms' barriers",
                axes=((self.axis("barrier"), centres, "eV"),),
            ),
            Observable(
                self.path("correlation"), (), "f8", "",
                "correlation of the barriers of neighbours in the first shell (Moran's I)",
            ),
            Observable(
                self.path("outside"), (), "f8", "",
                "part of the atoms whose number of neighbours the model never saw",
            ),
            Observable(self.path("count"), (), "i8", "", "atoms with a barrier"),
        )  # fmt: skip

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's histogram, totals, and the barrier of each of its atoms."""
        if frame.thermo.temperature > self.settings.hottest:
            raise InsituError(
                f"analyze {self.name}: step {frame.step} has a temperature of "
                f"{frame.thermo.temperature:.4g} K, and hottest is {self.settings.hottest:g} K: the model "
                "takes inherent structures; minimise, set the velocities to zero and run one step "
                "(lammps_inputs/in.barriers), or give a larger hottest where thermal motion does not matter"
            )
        network = self.model.network
        pairs, atoms = self._pairs(frame, neighbors)
        kinds = self._kinds[frame.types]
        self._check(kinds[: frame.n_local], np.diff(pairs.offsets))
        own = kinds[atoms]
        e = network.terms(network.described(pairs, kinds), own)
        z = e[:, 3]
        for more in (0.0, 0.0, e[:, 2], e[:, 1]):
            z = network.average(self._everywhere(z + more, atoms, neighbors), z + more, pairs)
        given = self._everywhere(e[:, 4], atoms, neighbors)
        barriers = np.full(frame.n_local, np.nan)
        barriers[atoms] = e[:, 0] + z + network.shells(given, kinds, pairs)
        outside = np.zeros(frame.n_local, dtype=bool)
        outside[atoms] = self.model.outside(np.diff(pairs.offsets))
        if frame.selected is not None:
            barriers[~frame.selected] = np.nan
        of_all = self._everywhere(barriers[atoms], atoms, neighbors)
        return self._local(barriers, outside) | {"shell": _alike(barriers[atoms], of_all, pairs)}

    def _pairs(self, frame: Frame, neighbors: Neighbors) -> tuple[Pairs, NDArray[np.int32]]:
        """Return the pairs of all owned atoms, and the atom of each row."""
        places, atoms = neighbors.owned
        offsets, others, _, vectors = neighbors.vectors(self.cutoff, places, atoms)
        return Pairs.make(self.model.card.settings, offsets, others, vectors), atoms

    def _everywhere(
        self, values: NDArray[np.float64], atoms: NDArray[np.int32], neighbors: Neighbors
    ) -> NDArray[np.float64]:
        """Return values ``(n_local + n_ghost,)`` from those of the rows."""
        own = np.empty((len(values), 1))
        own[atoms, 0] = values
        found: NDArray[np.float64] = self.with_ghosts(own, neighbors)[:, 0]
        return found

    def _check(self, kinds: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        enough, some = _ENOUGH_TO_TELL
        if len(kinds) >= enough:
            self.model.check_composition(kinds)
        if len(counts) >= some and (outside := self.model.outside(counts)).all():
            self.model.check_density(float(outside.mean()))

    def _local(self, barriers: NDArray[np.float64], outside: NDArray[np.bool_]) -> dict[str, Any]:
        have = np.isfinite(barriers)
        known, bins = barriers[have], self.settings.bins
        at = np.clip((known * (bins / self.settings.highest)).astype(np.int64), 0, bins - 1)
        return {
            "histogram": np.bincount(at, minlength=bins),
            "total": known.sum(),
            "squares": (known**2).sum(),
            "atoms": len(known),
            "outside": outside[have].sum(),
            "barrier": barriers,
        }

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return mean, deviation, percentiles and histogram."""
        n, bins = float(sums["atoms"]), self.settings.bins
        width = self.settings.highest / bins
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.float64(sums["total"]) / n
            spread = np.sqrt(np.maximum(np.float64(sums["squares"]) / n - mean**2, 0.0))
            below = np.concatenate([[0.0], np.cumsum(sums["histogram"])]) / n
            percentiles = np.full(len(_PERCENTILES), np.nan)
            if n:
                rising = np.concatenate([[True], np.diff(below) > 0])
                edges = np.arange(bins + 1) * width
                last = np.append(rising[1:], True)  # the lower edge of what follows empty bins
                keep = rising | last
                percentiles = np.interp(np.array(_PERCENTILES) / 100, below[keep], edges[keep])
            return {
                self.path("mean"): mean,
                self.path("deviation"): spread,
                self.path("percentiles"): percentiles,
                self.path("histogram"): sums["histogram"] / (n * width),
                self.path("correlation"): _moran(sums["shell"], mean, spread),
                self.path("outside"): np.float64(sums["outside"]) / n,
                self.path("count"): round(n),
            }

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return mean, percentiles, and the correlation of neighbours over the abscissa."""

        def draw(axes: Any, view: Any) -> None:
            mean, percentiles = view.data[f"{name}_mean"], view.data[f"{name}_percentiles"]
            view.path(axes, mean.values, color="#262626", linewidth=1.1, label="mean")
            dim = percentiles.dims[1]
            for k, style in ((0, (0, (1, 1))), (-1, (0, (5, 1.5)))):
                label = f"{float(percentiles[dim][k]):g} %"
                y = percentiles.isel({dim: k}).values
                view.path(axes, y, color="#2f7fb3", linestyle=style, linewidth=1.1, label=label)
            axes.set_ylabel("Energy barrier (eV)")
            axes.legend(frameon=False, fontsize=8)
            if (alike := f"{name}_correlation") in view.data:
                other = axes.twinx()
                view.path(other, view.data[alike].values, color="#9a5b00", linewidth=1.1)
                other.set_ylabel("Correlation of neighbours", color="#9a5b00")
                other.grid(visible=False)

        return Panel(draw, 1.0, lambda data: f"{name}_mean" in data, default=False)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return mean, deviation, percentiles and correlation of the last frame."""
        last = history.isel(step=-1)
        low, *_, high = last[f"{name}_percentiles"].values
        alike = f"{name}_correlation"  # histories of earlier versions have none
        return (
            f"mean {float(last[f'{name}_mean']):.3f} eV, standard deviation "
            f"{float(last[f'{name}_deviation']):.3f} eV, 5 % below {low:.3f}, 5 % above {high:.3f}"
            + (f", correlation of neighbours {float(last[alike]):.2f}" if alike in last else "")
        )


def _alike(
    own: NDArray[np.float64], of_all: NDArray[np.float64], pairs: Pairs
) -> NDArray[np.float64]:
    """Return sums ``(3,)`` over pairs of the first shell: weights, barriers of both atoms, products.

    Parameters
    ----------
    own, of_all
        ``(rows,)`` and ``(n_local + n_ghost,)`` [eV]; pairs of atoms without a barrier (NaN) do not count.
    pairs
        Neighbours, and their weights.
    """
    near = np.flatnonzero(pairs.shell > 0)
    one = np.repeat(own, np.diff(pairs.offsets))[near]
    other, weight = of_all[pairs.other[near]], pairs.shell[near]
    have = np.isfinite(one) & np.isfinite(other)
    one, other, weight = one[have], other[have], weight[have]
    return np.array([weight.sum(), weight @ (one + other), weight @ (one * other)])


def _moran(shell: NDArray[np.float64], mean: np.float64, spread: np.float64) -> np.float64:
    """Return the correlation of sums of :func:`_alike`, of barriers with a mean and a deviation [eV]."""
    weight, both, products = shell
    if not spread > 1e-6 * abs(mean):  # all alike: nothing to be correlated
        return np.float64(np.nan)
    found: np.float64 = (products - mean * both + weight * mean**2) / (weight * spread**2)
    return found
