# SPDX-License-Identifier: BSD-3-Clause
"""The lattice of its label fitted to each atom: residual, orientation, strain, chemical order, defects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting
from insitu.analyses.lattice.fit import LATTICES, ORDERS, Fits, fit, orient
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors

if TYPE_CHECKING:
    import xarray

#: Where an atom is: values of the column `place`.
PLACES = ("interior", "surface", "defect")
#: Residual where the histogram ends.
_WIDEST = 0.5
#: Length of the sum of the empty sites (their mean distance is 1) from which on they are on one side.
_ONE_SIDED = 1.5


@dataclass(frozen=True)
class LatticeSettings:
    """What a deck says of the fit."""

    cutoff: float | None = setting(
        "neighbours are searched within; by default as far as the model looks", default=None,
        unit="Å", low=0.1, high=30.0,
    )  # fmt: skip
    averaged: bool = setting("orientations are means over like neighbours", default=True)
    distance: float | None = setting(
        "nearest distance of the unstrained lattice; without it the strain has no volume part",
        default=None, unit="Å", low=0.1, high=30.0,
    )  # fmt: skip
    limit: float = setting(
        "residual above which an atom is a defect", default=0.2, low=0.0, high=1.0
    )
    alike: float = setting(
        "part of its neighbours that has to have an atom's label in the interior", default=0.6, low=0.0,
        high=1.0,
    )  # fmt: skip
    bins: int = setting("of the histograms, from 0 to 0.5", default=100, low=1, high=10_000)


class Lattice(Analysis[LatticeSettings]):
    """Fit of the ideal lattice of its label to each atom, as polyhedral template matching gives it.

    Of an atom that is labelled fcc, bcc, hcp, cubic or hexagonal diamond, or sc, the neighbours are laid
    on the 12, 14, 12, 16, 16 or 6 sites of the ideal lattice by least squares. `residual` is the RMSD of
    Larsen et al., Modelling Simul. Mater. Sci. Eng. 24, 055007 (2016), with the atom itself, in units of
    the mean distance of the sites; the orientation ``(qw, qx, qy, qz)`` turns the crystal's axes to those
    of the box, the one of the smallest angle among those that the lattice's rotations make equal;
    `exx` … `eyz` are Euler-Almansi strains in the box' axes. The label says which lattice it is, so that
    atoms have a fit up to melting.

    `place` is 2, at a surface, where two or more sites lack a neighbour and all on one side; else 3, a
    defect, where a site of the first shell is empty, the residual is above `limit`, less than the part
    `alike` of the neighbours has the atom's label, or most of those have another orientation; else 1, the
    interior. `order` is the chemical order of an atom and its neighbours: 0 none, 1 pure, 2 L1_0, 3 and 4
    L1_2 (atoms of the majority, of the minority), 5 B2, 6 zincblende, 7 wurtzite, 8 rocksalt.
    """

    name = "lattice"
    Settings = LatticeSettings
    reads = ("phase",)

    def __init__(self, settings: LatticeSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        #: Names of the phases that have a lattice, and the lattice of each class (−1: none).
        self.phases = tuple(c for c in system.classes if c in LATTICES)
        if not self.phases:
            raise SettingError(
                f"the model's phases ({', '.join(system.classes) or 'none'}) are no lattices; use a model "
                f"that has one of {', '.join(LATTICES)}"
            )
        self._kinds = np.array([LATTICES.get(c, -1) for c in system.classes] + [-1], dtype=np.int32)
        self._phase_of = np.full(len(LATTICES), -1)
        for k, phase in enumerate(self.phases):
            self._phase_of[LATTICES[phase]] = k
        #: Species of each type: types of one element are one.
        kinds = system.species or tuple(map(str, range(system.n_types)))
        self._species = np.array([0, *(kinds.index(s) for s in kinds)], dtype=np.int32)
        if settings.cutoff is not None:
            self.cutoff = settings.cutoff
        self.exchanged, self.rounds = 5, 1
        p, bins = len(self.phases), settings.bins
        self.sums = {
            "histogram": (p, bins), "residuals": (p,), "distances": (p,), "fitted": (p,),
            "places": (p, len(PLACES)), "orders": (len(ORDERS),),
        }  # fmt: skip
        self.columns = {
            "residual": Column("", "root mean squared distance of the neighbours from their sites"),
            **{f"q{c}": Column("", f"quaternion of the orientation, {c}") for c in "wxyz"},
            "distance": Column(system.length_unit, "nearest distance of the lattice that fits"),
            **{f"e{c}": Column("", f"strain {c}") for c in ("xx", "yy", "zz", "xy", "xz", "yz")},
            "shear": Column("", "von Mises shear strain"),
            "missing": Column("", "sites without a neighbour"),
            "like": Column("", "neighbours on sites with the atom's label"),
            "place": Column("", "1 interior, 2 surface, 3 defect"),
            "order": Column("", "chemical order"),
        }
        self.observables = self._observables()

    def _observables(self) -> tuple[Observable, ...]:
        p, bins = len(self.phases), self.settings.bins
        # The phases of the history are all classes: these are the lattices among them.
        phases = (self.axis("lattice_phase"), self.phases, "")
        centres = tuple(((np.arange(bins) + 0.5) * (_WIDEST / bins)).tolist())
        unit = self.system.length_unit
        return (
            Observable(
                self.path("residual"), (p,), "f8", "", "mean residual of the lattice's fit",
                axes=(phases,),
            ),
            Observable(
                self.path("histogram"), (p, bins), "f4", "", "density of the residuals",
                axes=(phases, (self.axis("rmsd"), centres, "")),
            ),
            Observable(
                self.path("distance"), (p,), "f8", unit, "mean nearest distance of the lattice",
                axes=(phases,),
            ),
            Observable(
                self.path("atoms"), (p, len(PLACES)), "i8", "",
                "atoms in the interior, at surfaces and in defects",
                axes=(phases, (self.axis("place"), PLACES, "")),
            ),
            Observable(
                self.path("order"), (len(ORDERS),), "f8", "",
                "fraction of the atoms on lattices with that chemical order",
                axes=((self.axis("ordering"), ORDERS, ""),),
            ),
        )  # fmt: skip

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's sums, and the fit of each of its atoms."""
        found = fit(
            frame, neighbors, self._kinds[frame.results["phase"]], self._species,
            self.cutoff or neighbors.cutoff, self.settings.distance,
        )  # fmt: skip
        everywhere = self.with_ghosts(found.shared(), neighbors)
        orient(found, everywhere, neighbors, self._species, self.settings.averaged)
        place = self._place(found)
        return self._local(found, place)

    def _place(self, found: Fits) -> NDArray[np.int64]:
        """Return where the atoms are ``(n_local,)``: 1 …, by :data:`PLACES`; any without a lattice."""
        s = self.settings
        surface = (found.missing >= 2) & (found.lacking >= _ONE_SIDED)
        defect = found.empty > 0
        analysed, like, agreeing = found.counts.T
        defect |= (like < s.alike * analysed) | (2 * agreeing < like)
        with np.errstate(invalid="ignore"):
            defect |= ~(found.residual <= s.limit)
        return np.where(surface, 2, np.where(defect, 3, 1))

    def _local(self, found: Fits, place: NDArray[np.int64]) -> dict[str, Any]:
        atoms = found.atoms
        phase = self._phase_of[found.kinds[atoms]]
        p, bins = len(self.phases), self.settings.bins
        residual, distance = found.residual[atoms], found.distance[atoms]
        fitted = np.isfinite(residual)
        residual, distance, of = residual[fitted], distance[fitted], phase[fitted]
        at = np.minimum((residual * (bins / _WIDEST)).astype(np.int64), bins - 1)
        places = np.bincount(phase * len(PLACES) + place[atoms] - 1, minlength=p * len(PLACES))
        return {
            "histogram": np.bincount(of * bins + at, minlength=p * bins).reshape(p, bins),
            "residuals": np.bincount(of, weights=residual, minlength=p),
            "distances": np.bincount(of, weights=distance, minlength=p),
            "fitted": np.bincount(of, minlength=p),
            "places": places.reshape(p, len(PLACES)),
            "orders": np.bincount(found.order[atoms], minlength=len(ORDERS)),
            **found.columns(place),
        }

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return means, densities, counts, and the fractions of each chemical order."""
        fitted, bin_width = sums["fitted"], _WIDEST / self.settings.bins
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                self.path("residual"): sums["residuals"] / fitted,
                self.path("histogram"): sums["histogram"] / fitted[:, None] / bin_width,
                self.path("distance"): sums["distances"] / fitted,
                self.path("atoms"): np.rint(sums["places"]).astype(np.int64),
                self.path("order"): sums["orders"] / sums["orders"].sum(),
            }  # fmt: skip

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the parts of the atoms on lattices that are at surfaces and in defects."""

        def draw(axes: Any, view: Any) -> None:
            atoms = view.data[f"{name}_atoms"]
            phase, place = atoms.dims[1:]
            total = atoms.sum((phase, place))
            for kind, colour in zip(PLACES[1:], ("#2f7fb3", "#c0392b"), strict=True):
                part = atoms.sel({place: kind}).sum(phase) / total.where(total > 0)
                view.path(axes, 100 * part.values, color=colour, linewidth=1.1, label=kind)
            axes.set_ylabel("Atoms on lattices (%)")
            axes.legend(frameon=False, fontsize=8)

        return Panel(draw, 1.0, lambda data: f"{name}_atoms" in data, default=False)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return mean residual and places of the last frame, phase by phase."""
        last = history.isel(step=-1)
        residual, atoms = last[f"{name}_residual"], last[f"{name}_atoms"]
        parts = []
        for k, phase in enumerate(atoms[atoms.dims[0]].values):
            counts = atoms.values[k]
            if counts.sum():
                where = ", ".join(f"{n:,} {p}" for n, p in zip(counts, PLACES, strict=True) if n)
                parts.append(f"{phase} residual {float(residual[k]):.3f} ({where})")
        return "; ".join(parts)
