# SPDX-License-Identifier: BSD-3-Clause
"""The crystal that each phase is: cell parameters, space group, density, from its hot atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Observable, Panel, System, setting
from insitu.analyses.crystal import panels as crystal_panels
from insitu.analyses.crystal.properties import Properties
from insitu.crystal.files import write
from insitu.crystal.finding.ball_lattice import LEAST, Ball, Lattice, lattice_of, pairs_of
from insitu.crystal.finding.found import Crystal, assemble
from insitu.crystal.finding.region import RADIUS, Box, around, densest, octant
from insitu.crystal.spacegroup import available
from insitu.crystal.tensors.symmetry_distance import SYSTEMS
from insitu.errors import SettingError, did_you_mean
from insitu.frame.frame import Frame
from insitu.frame.lattices.perfect import LATTICES
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.species import SYMBOLS, elements_of_masses

if TYPE_CHECKING:
    import xarray


#: How far translations of an unknown crystal are looked for [Å].
_FAR = 8.0


@dataclass(frozen=True)
class CrystalSettings:
    """What a deck says of the crystals."""

    phase: tuple[str, ...] = setting(
        "classes whose crystals are looked for, also unknown; by default those that are lattices",
        default=(),
    )
    cutoff: float | None = setting(
        "pairs of atoms are known within; by default as far as the model looks, with phase unknown "
        f"{_FAR:g}", default=None, unit="Å", low=0.1, high=30.0,
    )  # fmt: skip
    least: int = setting("atoms that a phase has to have", default=200, low=LEAST, high=10**9)
    elastic: bool = setting(
        "also predict the elastic tensor, by a network that was trained on DFT at 0 K",
        default=False,
    )
    elastic_model: str | None = setting(
        "file of the model that predicts it, of one potential in place of DFT (docs/crystal.md); by "
        "default the shipped one", default=None,
    )  # fmt: skip
    dielectric: bool = setting(
        "also predict the static dielectric tensor, which an insulator has, by a network that was trained "
        "on DFPT", default=False,
    )  # fmt: skip
    energy: bool = setting(
        "also predict the formation energy, by a network that was trained on DFT at 0 K",
        default=False,
    )
    parent: str | None = setting(
        "also tell how far the predicted elastic tensor is from the symmetry of this crystal system, "
        "||C - P C|| / ||C|| with the projector P in the orientation in which that is least",
        default=None, allowed=SYSTEMS,
    )  # fmt: skip
    tolerance: float | None = setting(
        "of the space group; by default 9 standard errors of a site, at least 1 % of the nearest "
        "distance", default=None, unit="Å", low=1e-6, high=5.0,
    )  # fmt: skip
    cif: str | None = setting(
        "beginning of the names of CIF files that hold the latest crystal of each phase, NAME.PHASE.cif",
        default=None,
    )


@dataclass(frozen=True)
class _Looked:
    """What was found of a phase: on rank 0."""

    lattice: Lattice | None
    sums: NDArray[np.float64]
    ball: Ball | None
    atoms: int
    total: int


class CrystalAnalysis(Analysis[CrystalSettings]):
    """Cell parameters, space group and density of the crystal that each phase is.

    Where the atoms of a phase are densest, a ball of about 3,000 of them is taken; in its middle the
    translations that (nearly) all atoms have are looked for, whatever the crystal is, with the species
    told apart. All atoms of the phase that have these translations make up the crystal; means over their
    pairs give the lattice, the ball folded into one cell gives the sites, and spglib tells the space group
    within `tolerance`. Parameters are those of the conventional cell in the standard setting, with the
    symmetry imposed; their errors are from eight parts of the sample. Where no crystal is found (a liquid,
    grains smaller than the ball), the space group is 0 and the rest NaN. A phase of several grains has the
    parameters of the grain in which its atoms are densest: `share` says how much of the phase that is.

    With phase `unknown` it finds out what the model does not know: the structure that `cif` writes is a
    class of the next run (setting `classes`).
    """

    name = "crystal"
    Settings = CrystalSettings
    reads = ("phase",)

    def __init__(self, settings: CrystalSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        if not available():
            raise SettingError(
                "analyze crystal tells space groups by spglib, which is not installed: pip install "
                "'insitu[crystal]'"
            )
        known = list(system.classes)
        for phase in settings.phase:
            if phase not in known:
                raise SettingError(
                    f"phase={','.join(settings.phase)}: the model has no class '{phase}'; it has "
                    f"{', '.join(known)}.{did_you_mean(phase, known)}"
                )
        #: Classes whose crystals are looked for.
        self.phases = settings.phase or tuple(c for c in known if c in LATTICES)
        if not self.phases:
            raise SettingError(
                f"the model's phases ({', '.join(system.classes) or 'none'}) are no lattices; say with "
                "phase which are crystals"
            )
        self._columns = [-1 if p == "unknown" else known.index(p) for p in self.phases]
        if settings.cutoff is not None:
            self.cutoff = settings.cutoff
        elif "unknown" in self.phases:
            if system.units == "lj":
                raise SettingError(
                    "phase=unknown: how far translations are looked for is not known with units lj; give "
                    "cutoff, twice the longest that is expected"
                )
            self.cutoff = _FAR
        #: Symbol of each species; X: not known.
        self._names: dict[int, str] = {}
        found = system.species or elements_of_masses(system.masses) or ("",) * system.n_types
        # Species are told apart also where the elements are not known.
        names = tuple(name or str(k) for k, name in enumerate(found, 1))
        #: Number of each type's species: its atomic number, or that of the first type of its kind.
        self._species = np.array(
            [0, *(SYMBOLS.index(s) if s in SYMBOLS else names.index(s) + 1 for s in names)]
        )
        for kind, name in zip(self._species[1:].tolist(), names, strict=True):
            self._names.setdefault(kind, name if name in SYMBOLS else "X")
        s = settings
        self._properties = Properties(s.elastic, s.dielectric, s.energy, s.parent, s.elastic_model)
        self._properties.check(names)
        masses = system.masses if system.units != "lj" else None
        #: Mass of each species [g/mol].
        self._mass = dict(zip(self._species[1:].tolist(), masses, strict=True)) if masses else {}
        self._kept: tuple[Frame, Neighbors] | None = None
        length = system.length_unit
        phases = (self.axis("crystal_phase"), self.phases, "")

        def of(
            quantity: str,
            dtype: str,
            unit: str,
            about: str,
            *more: tuple[str, tuple[str, ...], str],
        ) -> Observable:
            axes = (phases, *more)
            shape = tuple(len(values) for _, values, _ in axes)
            return Observable(self.path(quantity), shape, dtype, unit, about, axes=axes)

        vectors, angles = ("vector", ("a", "b", "c"), ""), ("angle", ("alpha", "beta", "gamma"), "")
        volume = "Angstrom+3" if length else ""
        self.observables = (
            of("length", "f8", length, "a, b, c of the conventional cell", vectors),
            of("length_error", "f8", length, "their standard errors", vectors),
            of("angle", "f8", "degree", "angles of the conventional cell", angles),
            of("space_group", "i8", "", "number of the space group; 0: no crystal was found"),
            of("volume", "f8", volume, "volume of a site"),
            of("volume_error", "f8", volume, "its standard error"),
            of("density", "f8", "g cm-3", "density of the crystal"),
            of("displacement", "f8", length, "root mean square displacement from the sites"),
            of("sites", "i8", "", "sites of the primitive cell"),
            of("atoms", "i8", "", "atoms that belong to the crystal"),
            of("share", "f8", "", "part of the phase's atoms that belongs to it"),
            of("tolerance", "f8", length, "tolerance of the space group"),
            of("purity", "f8", "", "part of the atoms that are of the species of most on their site"),
            of("cell", "f8", length, "primitive, Niggli-reduced cell in the axes of the box",
               vectors, ("direction", ("x", "y", "z"), "")),
        )  # fmt: skip
        self.observables += self._properties.observables(of, self.axis)

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Keep the frame; nothing is summed yet."""
        self._kept = frame, neighbors
        return {}

    def together(self, ranks: Ranks) -> dict[str, Any]:
        """Look for the crystals of all phases."""
        assert self._kept is not None
        (frame, neighbors), self._kept = self._kept, None
        species = self._species[np.asarray(frame.types)]
        return {"found": [self._look(c, frame, neighbors, species, ranks) for c in self._columns]}

    def _look(
        self,
        column: int,
        frame: Frame,
        neighbors: Neighbors,
        species: NDArray[np.int64],
        ranks: Ranks,
    ) -> _Looked:
        """Return what the ranks find of one phase; collective."""
        those = frame.results["phase"][neighbors.atoms] == column
        places, atoms = neighbors.places[those], neighbors.atoms[those]
        r = np.asarray(frame.positions)[atoms]
        box = Box(np.asarray(frame.cell), np.asarray(frame.origin), np.asarray(frame.pbc))
        place = densest(r, box, ranks)
        nothing = _Looked(None, np.zeros((8, 0, 4)), None, 0, 0 if place is None else place[2])
        if place is None or place[2] < self.settings.least:
            return nothing
        center, length, total = place
        inside, vectors = around(r, box, center, RADIUS * length)
        mine = atoms[inside]
        table = np.column_stack([frame.ids[mine], species[mine], vectors])
        tables = ranks.gather(table.astype(np.float64))
        ball, told = None, np.zeros(0)
        if tables:
            rows = np.concatenate(tables)
            ball = Ball.of(
                rows[:, 2:], rows[:, 1].astype(np.int64), length, rows[:, 0].astype(np.int64)
            )
            lattice = lattice_of(ball, self.cutoff or neighbors.cutoff)
            if isinstance(lattice, Lattice):
                told = lattice.packed()
        (text,) = ranks.from_first([told.tobytes()])
        if not text:
            return nothing
        known = Lattice.unpacked(np.frombuffer(text))
        of = np.zeros_like(species) if known.blind else species
        pairs = pairs_of(frame, neighbors, places, atoms, of, known.cutoff)
        sums, members = known.sums(pairs, octant(r, box, center))
        summed = ranks.sum(np.append(sums.ravel(), float(members.sum())))
        return _Looked(
            known, summed[:-1].reshape(sums.shape), ball, round(float(summed[-1])), total
        )

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the crystals."""
        values: dict[str, NDArray[Any]] = {
            o.path: np.full(o.shape, np.nan if o.dtype == "f8" else 0).astype(o.dtype)
            for o in self.observables
        }
        for k, looked in enumerate(sums["found"]):
            if looked.lattice is None or looked.ball is None:
                continue
            made = assemble(
                looked.lattice, looked.sums, looked.ball, looked.atoms, looked.total,
                self.settings.tolerance,
            )  # fmt: skip
            if isinstance(made, Crystal):
                for quantity, value in self._values(made).items():
                    values[self.path(quantity)][k] = value
                if self.settings.cif is not None:
                    write(Path(f"{self.settings.cif}.{self.phases[k]}.cif"), made, self._names)
        return values

    def _values(self, c: Crystal) -> dict[str, Any]:
        return {
            **self._properties.of(c),
            "length": c.parameters[:3], "length_error": c.errors[:3], "angle": c.parameters[3:],
            "space_group": c.group.number if c.group else 1, "volume": c.volume,
            "volume_error": c.volume_error, "density": c.density(self._mass),
            "displacement": c.deviation, "sites": len(c.kinds), "atoms": c.atoms, "share": c.share,
            "tolerance": c.tolerance, "cell": c.cell, "purity": c.purity,
        }  # fmt: skip

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the volume of a site of each phase over the abscissa."""
        return crystal_panels.volume(name)

    @classmethod
    def more_panels(cls, name: str) -> dict[str, Panel]:
        """Return the panels of lattice parameters, moduli, symmetry breaking."""
        return crystal_panels.further(name)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return space group, parameters, density and properties of the last frame, phase by phase."""
        return crystal_panels.last_frame(name, history)
