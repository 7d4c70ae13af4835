# SPDX-License-Identifier: BSD-3-Clause
"""Powder pattern of the running sample: X-rays, neutrons or electrons, averaged over frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Observable, Panel, System, setting
from insitu.analyses.diffraction import views as diffraction_views
from insitu.analyses.diffraction.symmetry import ReadSymmetry
from insitu.diffraction.powder import METHODS, RESOLUTION, bins_of, pattern_of, period, room
from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.form_factors import (
    RADIATION,
    elements_of_types,
    scattering_factors,
)
from insitu.diffraction.scattering.instrument import Instrument
from insitu.diffraction.scattering.intensities import WINDOWS, from_pairs, from_rings, rings
from insitu.errors import InsituError, SettingError, describe
from insitu.frame.cell import heights
from insitu.frame.frame import Frame
from insitu.frame.neighbors.pairs import count_pairs, rows_of_pairs
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.threads import thread_count

if TYPE_CHECKING:
    import xarray

#: Radius of the pairs [Å] where the deck does not say it.
_CUTOFF = 15.0


@dataclass(frozen=True)
class DiffractionSettings:
    """What a deck says of a powder pattern."""

    method: str = setting(
        "nodes of the box's reciprocal lattice, or pairs within a cutoff", default="mesh", allowed=METHODS
    )  # fmt: skip
    radiation: str = setting("what is scattered", default="xray", allowed=tuple(RADIATION))
    wavelength: float = setting("its wavelength", default=1.5406, unit="Å", low=0.01, high=20.0)
    two_theta: tuple[float, ...] = setting(
        "first and last angle 2θ", default=(10.0, 90.0), unit="degrees", low=0.1, high=175.0
    )  # fmt: skip
    spacing: float = setting(
        "step of the angles", default=0.05, unit="degrees", low=0.005, high=2.0
    )
    size: float | None = setting(
        "size of crystallites that broadens the peaks (Scherrer); without it that of the box",
        default=None, unit="Å", low=1.0,
    )  # fmt: skip
    caglioti: tuple[float, ...] = setting(
        "U,V,W of the instrument that broadens the peaks", default=(), unit="degrees²"
    )  # fmt: skip
    lorentz_polarization: bool = setting("whether these factors are in the intensity", default=True)
    frames: int = setting(
        "the pattern is the mean of this many last frames", default=10, low=1, high=10_000
    )
    peaks: int = setting("how many of the highest peaks are listed", default=12, low=1, high=100)
    least: float = setting(
        "height of the lowest peak, in units of the highest", default=0.01, low=1e-6, high=1.0
    )  # fmt: skip
    cutoff: float | None = setting(
        f"method histogram: largest distance of pairs (default {_CUTOFF:g})", default=None, unit="Å",
        low=3.0, high=100.0,
    )  # fmt: skip
    window: str = setting(
        "method histogram: what damps the cutoff's ripples", default="lorch", allowed=WINDOWS
    )
    symmetry: bool = setting(
        "method mesh: also read crystal system and extinction group from the reflections; needs torch",
        default=False,
    )
    memory: float = setting(
        "method mesh: largest that it may take on a rank", default=2000.0, unit="MB", low=1.0
    )

    def __post_init__(self) -> None:
        self.instrument  # noqa: B018 - its own checks
        if self.cutoff is not None and self.method == "mesh":
            raise SettingError(
                f"cutoff={self.cutoff:g} is of method histogram; give method histogram too, or leave it out"
            )
        if self.symmetry and self.method != "mesh":
            raise SettingError(
                "symmetry=yes is read from the nodes of the mesh, which method histogram has not; take "
                "method mesh, or leave it out"
            )

    @property
    def instrument(self) -> Instrument:
        """The diffractometer."""
        return Instrument(
            self.wavelength, self.two_theta, self.spacing, self.radiation, self.size, self.caglioti,
            self.lorentz_polarization,
        )  # fmt: skip


class Diffraction(Analysis[DiffractionSettings]):
    """Powder pattern of the sample, its structure factor S(Q) and its Bragg peaks.

    The intensity is that of an atom in units of one electron's (X-rays), in fm² (neutrons) or Å²
    (electrons), averaged over all directions and over the last frames. Elements are those of `species`, or
    told by the masses.

    With method `mesh` the nodes of the box's reciprocal lattice are summed, by a non-uniform FFT: exact, as
    sharp as the box is large, whatever its angles. Each rank that transforms gets the positions of all
    atoms and some slabs of the mesh, as thin as `memory` asks for. With `histogram` pairs within `cutoff`
    are counted on the ranks where they are, for any number of atoms: peaks are then as broad as 5.4/cutoff
    in Q (3.8 without a window).

    A peak is a maximum over the background, at most 1.5 times as broad as the resolution, that stands
    out of its scatter: a melt has none. With `symmetry` the reflections of the sample, which are sharp
    however small the box is, are read as by `insitu.symmetry`: probabilities of the crystal systems and
    extinction groups, or of `unknown`; it costs more than the pattern. Of a group its own atoms scatter;
    with `histogram` also their pairs with others.
    """

    name = "diffraction"
    Settings = DiffractionSettings

    def __init__(self, settings: DiffractionSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        if system.units == "lj":
            raise SettingError(
                "units lj has no Å, which diffraction needs; use units metal or real"
            )
        s = settings
        types = elements_of_types(system.species, system.masses, system.n_types)
        #: Symbols, and which of them each atom type (from 0) is.
        self.elements = tuple(dict.fromkeys(types))
        self._element = np.array([self.elements.index(e) for e in types])
        self.instrument = s.instrument
        scattering_factors(self.elements, [1.0], s.radiation)  # does the table have them?
        self._pairs = s.method == "histogram"
        n = len(self.elements)
        self.sums: Mapping[str, tuple[int, ...]] = {"centres": (n,), "volume": (), "ranks": ()}
        if self._pairs:
            self.cutoff = s.cutoff or _CUTOFF
            _, self._row = rows_of_pairs(n)
            rows, self._bins = int(self._row.max()) + 1, bins_of(self.cutoff)
            self.sums = {**self.sums, "atoms": (n,), "pairs": (rows, self._bins)}
        else:
            mesh.library()
            mesh.slabs(period(system.cell, system.pbc), self.instrument.q_max, room(0, s.memory), n)
        #: Where the clock is set back the mean begins anew.
        self.state = (self.path("frames"),)
        self._seen: deque[NDArray[np.float64]] = deque(maxlen=s.frames)
        # Of the present frame: this rank's fractional coordinates and elements, box, smallest height.
        self._mine, self._box, self._size = np.zeros((0, 4)), np.eye(3), 0.0
        angles = self.instrument.angles
        self._symmetry = (
            ReadSymmetry(self.path, self.axis, s.frames, s.peaks) if s.symmetry else None
        )
        unit = {"xray": "", "neutron": "fm+2", "electron": "Angstrom+2"}[s.radiation]
        along = ((self.axis("two_theta"), tuple(angles.tolist()), "degree"),)
        q = (
            (
                self.axis("scattering_vector"),
                tuple(self.instrument.q(angles).tolist()),
                "Angstrom-1",
            ),
        )
        peak = ((self.axis("peak"), tuple(range(1, s.peaks + 1)), ""),)
        n, mean = len(angles), "mean of the last frames"

        def of_peaks(quantity: str, unit: str, about: str) -> Observable:
            return Observable(self.path(quantity), (s.peaks,), "f8", unit, about, axes=peak)

        self.observables = (
            Observable(self.path("intensity"), (n,), "f4", unit, f"of an atom, {mean}", axes=along),
            Observable(self.path("structure_factor"), (n,), "f4", "", f"S(Q), {mean}", axes=q),
            Observable(self.path("frames"), (), "i8", "", "frames of the mean"),
            of_peaks("position", "degree", "2θ of the highest peaks, by their angle"),
            of_peaks("area", f"degree {unit}".strip(), "their area over the background"),
            of_peaks("width", "degree", "their full width at half maximum"),
            *(self._symmetry.observables if self._symmetry else ()),
        )

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's atoms of each element, and its pairs."""
        kinds = self._element[np.asarray(frame.types, dtype=np.int64) - 1]
        n = len(self.elements)
        found: dict[str, Any] = {
            "centres": np.bincount(kinds[neighbors.atoms], minlength=n),
            "volume": abs(float(np.linalg.det(frame.cell))),
            "ranks": 1.0,
        }
        self._size = float(heights(frame.cell).min())
        if self._pairs:
            found["atoms"] = np.bincount(kinds[: frame.n_local], minlength=n)
            of_types = self._row[np.ix_(self._element, self._element)]
            found["pairs"] = count_pairs(frame, neighbors, of_types, self.cutoff, self._bins)
            return found
        self._box = period(frame.cell, frame.pbc)
        inside = (frame.positions[neighbors.atoms] - frame.origin) @ np.linalg.inv(self._box)
        self._mine = np.column_stack([inside, kinds[neighbors.atoms]])
        return found

    def together(self, ranks: Ranks) -> dict[str, Any]:
        """Return the sums over the nodes of the mesh, each rank those of its slabs; and what went wrong.

        A failure must end on all ranks alike, so it is handed on to :meth:`finish`.
        """
        if self._pairs:
            return {}
        atoms = int(ranks.sum(np.array([float(len(self._mine))]))[0])
        own, bright, text = np.zeros(len(self.instrument.fine)), np.zeros((0, 4)), None
        try:  # the same on all ranks
            slabs = mesh.slabs(self._box, self.instrument.q_max, room(atoms, self.settings.memory))
        except InsituError as error:
            return {"rings": own, "trouble": str(error)}
        everyone = ranks.everyones(self._mine)
        try:
            share = mesh.deal(slabs, ranks.size)[ranks.rank]
            own = rings(
                everyone[:, :3], everyone[:, 3].astype(np.int64), self.elements, self._box, share,
                self.instrument, thread_count(None),
            )  # fmt: skip
            if self._symmetry:
                bright = self._symmetry.nodes(
                    everyone, self._box, self.elements, self.settings.radiation, self.settings.memory,
                    ranks.rank, ranks.size,
                )  # fmt: skip
        except Exception as error:
            text = describe(error)
        try:
            ranks.agree(text)
        except InsituError as error:
            return {"rings": own, "trouble": str(error)}
        tables = ranks.gather(bright) if self._symmetry else []
        return {"rings": ranks.sum(own), "trouble": "", "bright": tables}

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return the mean pattern, its structure factor and its peaks.

        Raises
        ------
        InsituError
            The mesh could not be summed.
        """
        if sums.get("trouble"):
            raise InsituError(f"analyze {self.name}: {sums['trouble']}")
        centres = np.rint(sums["centres"])
        volume = float(sums["volume"]) / float(sums["ranks"])
        s, instrument = self.settings, self.instrument
        if centres.sum():
            if self._pairs:
                seen = from_pairs(
                    sums["pairs"], self._row, centres, np.rint(sums["atoms"]), volume, self.cutoff,
                    self.elements, instrument, s.window,
                )  # fmt: skip
            else:
                volume = abs(float(np.linalg.det(self._box)))
                seen = from_rings(sums["rings"], float(centres.sum()), volume, instrument)
            self._seen.append(seen)
            if self._symmetry:
                self._symmetry.add(sums["bright"], self._box)
        angles = instrument.angles
        nothing, listed = np.full(len(angles), np.nan), np.full((3, s.peaks), np.nan)
        values: dict[str, Any] = {
            self.path("intensity"): nothing, self.path("structure_factor"): nothing,
            self.path("frames"): len(self._seen),
        }  # fmt: skip
        if centres.sum():
            blur = RESOLUTION[s.window] / self.cutoff if self._pairs else 0.0
            pattern = pattern_of(
                np.mean(self._seen, axis=0), centres, self.elements, instrument, size=self._size,
                volume=volume, blur=blur, least=s.least,
            )  # fmt: skip
            values[self.path("intensity")] = pattern.intensity
            values[self.path("structure_factor")] = pattern.structure_factor
            highest = sorted(pattern.peaks, key=lambda p: -p.height)[: s.peaks]
            for k, p in enumerate(sorted(highest, key=lambda p: p.position)):
                listed[:, k] = p.position, p.area, p.width
        values |= {
            self.path(n): v for n, v in zip(("position", "area", "width"), listed, strict=True)
        }
        if self._symmetry:
            q = instrument.q(
                np.array([listed[0] - 0.5 * listed[2], listed[0], listed[0] + 0.5 * listed[2]])
            )
            values |= self._symmetry.values(q[1], q[2] - q[0])
        return values

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Begin the mean anew: the patterns of earlier frames are not in the history one by one."""
        self._seen.clear()
        if self._symmetry:
            self._symmetry.forget()

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the pattern over the abscissa as an image, and the first and the last one beside it."""
        return diffraction_views.panel(name)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return the Bragg peaks of the last frame, and the symmetry where it was read."""
        return diffraction_views.show(name, history)
