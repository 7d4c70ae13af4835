# SPDX-License-Identifier: BSD-3-Clause
"""Profiles: the phases counted in bins along a direction or a radius, at rest or moving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Observable, Panel, System
from insitu.analyses.phases.counts import fractions, standard_error
from insitu.analyses.profile.bins import Shells, Slabs
from insitu.analyses.profile.origin import Front, center, end, masses
from insitu.analyses.profile.planes import BoxPlanes, planes_across
from insitu.analyses.profile.settings import AXES, MOST_BINS, ProfileSettings
from insitu.errors import SettingError, did_you_mean
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

if TYPE_CHECKING:
    import xarray


class Profile(Analysis[ProfileSettings]):
    """The phases in bins of equal width: slabs along a vector of the box or any direction, or shells.

    `axis z bins 50`: along a periodic axis the bins are parts of the present box; along another one they
    do not move where they were at the first step, whatever the box does. Atoms outside of all bins are
    not counted. `direction 1,1,0` (x, y, z) gives the normal of the bins instead; where the box is
    periodic its atoms are taken in the box itself. `shape sphere` counts in shells about the origin, at
    first the middle of the box, `shape cylinder axis z` about an axis through it; they end at half of a
    periodic box.

    `origin` moves the bins: to a `point`, to the `center` of mass of the atoms of a `phase` or of a LAMMPS
    group (`members`; all atoms without either), to the `low` or `high` end of these along the bins (a
    piston), or to the `front`, the plane at which the share of a `phase` falls below `level`, or the
    number density below `density`: of several the one nearest to that of the frame before, at first the
    last one. Then positions are relative to the origin, with the nearest periodic image of each atom.
    Without such atoms, or a front, there are no counts and the fractions are NaN. All but the plain
    profile along an axis also have the number density in each bin: atoms by the volume that the bin has
    within the box (of spheres and cylinders, by all of it).
    """

    name = "profile"
    Settings = ProfileSettings
    reads = ("phase",)
    stage = "model"  # a few counts, as those of groups and types
    samples = True

    def __init__(self, settings: ProfileSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        s, self._n_phases = settings, len(system.classes)
        self._axis = None if s.axis is None else AXES.index(s.axis)
        #: Along an axis of the box, which is all that the sums of all ranks take.
        self._plain = s.shape == "slab" and s.axis is not None and s.origin == "box"
        self._moves = s.origin not in ("box", "point")
        low, high = (None if v is None else system.length * v for v in (s.low, s.high))
        normal = None if s.direction is None else np.array(s.direction)
        self._slabs: Slabs | None = None
        self._planes = self._planes_of_front(normal)
        moving = s.origin != "box"
        self._bins: Slabs | BoxPlanes | Shells
        if self._planes is not None:
            self._bins = BoxPlanes(system, self._planes, s.bins, low, high, moving)
        elif s.shape == "slab":
            self._bins = self._slabs = Slabs(system, self._axis, normal, s.bins, low, high, moving)
        else:
            self._bins = Shells(system, self._axis, s.bins, low, high)
        #: ``(bins,)`` middle of each bin [Å].
        self.positions: NDArray[np.floating[Any]] = self._bins.positions
        self._chosen = np.array([c in (s.phase or ()) for c in system.classes])
        for phase in s.phase or ():
            if phase not in system.classes:
                raise SettingError(
                    f"phase={','.join(s.phase or ())}: the model has no class '{phase}'; it has "
                    f"{', '.join(system.classes)}.{did_you_mean(phase, system.classes)}"
                )
        self.groups = (s.members,) if s.members not in (None, "all") else ()
        self._point = None if s.point is None else system.length * np.array(s.point)
        self._front = self._made_front(system, normal) if s.origin == "front" else None
        self._kept: tuple[Frame, NDArray[np.int64]] | None = None
        sums: dict[str, tuple[int, ...]] = {"by_bin": (s.bins, self._n_phases)}
        sums |= {"population": (s.bins,)} if system.sampled else {}
        self.sums = sums if self._plain else {}
        self.observables = self._observables()
        if self._front is not None:
            self.state = (self._path("front"),)

    def _planes_of_front(self, normal: NDArray[np.float64] | None) -> NDArray[np.int64] | None:
        """Return the planes of the box (hkl) that a front is one of, where a direction crosses its periods.

        Raises
        ------
        SettingError
            The box is periodic, and none of its planes lies across the direction.
        """
        if self.settings.origin != "front" or normal is None:
            return None
        crossed = Slabs(self.system, None, normal, 1).weights(self.system.cell)[1] != 0.0
        if not self.system.pbc[crossed].any():
            return None
        return planes_across(self.system, normal)

    def _made_front(self, system: System, normal: NDArray[np.float64] | None) -> Front:
        s = self.settings

        def fixed(bins: int) -> Slabs | BoxPlanes:
            if self._planes is not None:
                return BoxPlanes(system, self._planes, bins)
            return Slabs(system, self._axis, normal, bins)

        bins = int(np.clip(round(fixed(1).width / self._bins.width), 3, MOST_BINS))
        dense = s.density is not None
        level = s.level if s.density is None else s.density / system.length**3
        return Front(fixed(bins), level, dense)

    def _path(self, quantity: str = "") -> str:
        """Return a place beside the other fractions and counts of the phases."""
        return f"phases/{self.name}_{quantity}" if quantity else f"phases/{self.name}"

    def _observables(self) -> tuple[Observable, ...]:
        s, system = self.settings, self.system
        shape = (s.bins, self._n_phases)
        bins = (self.axis("bin"), tuple(self.positions.tolist()), system.length_unit)
        among = ",".join(s.phase or ()) or s.members or "all atoms"
        if s.density is not None:
            among = "what is dense"
        begin = {"box": "", "point": " from a point", "center": f" from the center of {among}"}
        start = begin.get(s.origin, f" from the {s.origin} end of {among}")
        if s.origin == "front":
            start = f" from the front of {among}"
        along = s.axis or ",".join(f"{v:g}" for v in s.direction or ())
        about = {
            "slab": f"of the atoms in each bin along {along}{start}",
            "sphere": f"of the atoms in each shell by distance{start or ' from the middle of the box'}",
            "cylinder": f"of the atoms in each shell by distance from the axis {along}{start}",
        }[s.shape]
        found = [
            Observable(self._path(), shape, "f8", "", f"fractions {about}", axes=(bins,)),
            Observable(self._path("count"), shape, "i8", "", f"numbers {about}", axes=(bins,)),
        ]
        if system.sampled:
            words = f"sampling errors of the fractions {about}"
            found.append(
                Observable(self._path("standard_error"), shape, "f8", "", words, axes=(bins,))
            )
        if not self._plain:
            unit = f"{system.length_unit}-3" if system.length_unit else ""
            words = f"number density {about}"
            found.append(
                Observable(self._path("density"), (s.bins,), "f8", unit, words, axes=(bins,))
            )
        if self._moves:
            words = f"where the profile begins,{start}; NaN: nowhere"
            xyz = ("direction", ("x", "y", "z"), "")
            found.append(
                Observable(self._path("origin"), (3,), "f8", system.length_unit, words, axes=(xyz,))
            )
        if self._front is not None:
            words = f"position of the front along {along}; NaN: nowhere"
            found.append(Observable(self._path("front"), (), "f8", system.length_unit, words))
        return tuple(found)

    def bins_of(self, frame: Frame) -> NDArray[np.int64]:
        """Return the bin ``(n_local,)`` of each owned atom, −1 where it is in none; bins do not move."""
        return self._bins.of(frame, self._point)

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return one rank's numbers ``(bins, phases)``, where they can be counted without the others."""
        label = frame.results["phase"]
        column = np.where(label < 0, self._n_phases - 1, label).astype(np.int64)
        if self._plain:
            return self._counts(frame, column, self._bins.of(frame))
        self._kept = (frame, column)
        return {}

    def _counts(
        self, frame: Frame, column: NDArray[np.int64], at: NDArray[np.int64]
    ) -> dict[str, Any]:
        those = at >= 0 if frame.selected is None else frame.selected & (at >= 0)
        shape = (self.settings.bins, self._n_phases)
        flat = at[those] * self._n_phases + column[those]
        by_bin = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        if not self.system.sampled:
            return {"by_bin": by_bin}
        of = at[frame.sampled_from & (at >= 0)]
        return {"by_bin": by_bin, "population": np.bincount(of, minlength=shape[0])}

    def together(self, ranks: Ranks) -> dict[str, Any]:
        """Find the origin, then count; collective."""
        if self._kept is None:
            return {}
        (frame, column), self._kept = self._kept, None
        found: dict[str, Any] = {}
        origin = self._point
        if self._moves:
            origin = self._origin(frame, column, ranks)
            found["origin"] = origin
        if self._front is not None:
            found["front"] = self._now
        lost = origin is not None and not np.isfinite(origin).all()
        at = np.full(frame.n_local, -1) if lost else self._bins.of(frame, origin)
        own = self._counts(frame, column, at)
        names, parts = list(own), [np.asarray(v, dtype=np.float64) for v in own.values()]
        total = ranks.sum(np.concatenate([p.ravel() for p in parts]))
        cut = np.cumsum([p.size for p in parts])[:-1]
        found |= {
            k: v.reshape(p.shape)
            for k, v, p in zip(names, np.split(total, cut), parts, strict=True)
        }
        volume = np.full(self.settings.bins, np.nan)
        if not lost:
            volume = self._bins.volumes(frame, origin)
        atoms = found["by_bin"].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            of = atoms if not self.system.sampled else found["population"]
            found["density"] = np.where(volume > 0, of / volume, np.nan)
        return found

    def _origin(self, frame: Frame, column: NDArray[np.int64], ranks: Ranks) -> NDArray[np.float64]:
        s = self.settings
        analysed = np.ones(frame.n_local, bool) if frame.selected is None else frame.selected
        chosen = np.ones(frame.n_local, bool)
        if s.members not in (None, "all"):
            chosen &= frame.members[str(s.members)]
        if s.phase:
            chosen &= analysed & self._chosen[column]
        if self._front is not None:
            counted = frame.sampled_from if s.density is not None else analysed
            self._now = self._front(frame, counted, chosen, ranks)
            if not np.isfinite(self._now):
                return np.full(3, np.nan)
            return self._front.slabs.point(frame, self._now)
        if s.origin == "center":
            weights = np.where(chosen, masses(self.system, frame), 0.0)
            return center(frame, weights, ranks)[0]
        assert self._slabs is not None
        return end(frame, chosen, self._slabs, s.origin == "high", ranks)

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return numbers and fractions of the phases in each bin; NaN in an empty one."""
        count = np.rint(sums["by_bin"]).astype(np.int64)
        found = {self._path("count"): count, self._path(): fractions(count)}
        if self.system.sampled:
            error = standard_error(count, np.rint(sums["population"]))
            found[self._path("standard_error")] = error
        for quantity in ("density", "origin", "front"):
            if quantity in sums:
                found[self._path(quantity)] = sums[quantity]
        return found

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Look for the front where it was."""
        if self._front is not None:
            self._front.last = float(values[self._path("front")]) if values else float("nan")

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return where the profile's front, or its origin, is in the last frame."""
        last = history.isel(step=-1)
        for quantity in ("front", "origin"):
            if (variable := f"{name}_{quantity}") in last:
                values = np.atleast_1d(last[variable].values)
                unit = " Å" if last[variable].attrs.get("units") == "Angstrom" else ""
                where = ", ".join(f"{v:.5g}" for v in values)
                return (
                    f"{quantity} at {where}{unit}"
                    if np.isfinite(values).all()
                    else f"no {quantity}"
                )
        return ""

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return position over the abscissa, coloured by phase: colours mix as phases do in a bin."""

        def draw(axes: Any, view: Any) -> None:
            part = view.data[name]
            order = np.argsort(view.x, kind="stable")
            along = part[part.dims[1]]
            x, z = view.x[order].astype(float), along.values
            known = [view.color(n) for n in part["phase"].values]
            colors = np.array([[int(c[k : k + 2], 16) / 255.0 for k in (1, 3, 5)] for c in known])
            shares = part.values[order]
            empty = ~np.isfinite(shares).all(axis=2)
            image = np.nan_to_num(shares) @ colors
            image[empty] = 1.0
            if len(x) == 1:  # an area needs two sides
                x, image = x[0] + np.array([-0.5, 0.5]), np.repeat(image, 2, axis=0)
            axes.pcolormesh(x, z, image.swapaxes(0, 1), shading="nearest", rasterized=True)
            for phase in view.phases:  # for the legend
                axes.plot(
                    [], [], linewidth=5, color=view.color(phase), label=phase.replace("_", " ")
                )
            axes.grid(visible=False)
            about = str(part.attrs.get("long_name", ""))
            axis = about.rpartition(" along ")[2].partition(" from ")[0]
            words = f"Position along {axis}" if axis else "Position"
            start = about.rpartition(" from the ")[2] if " from the " in about else ""
            if " by distance" in about:
                words, start = "Distance", start or "point"
            if start:
                words += f" from the\n{start}"
            unit = str(along.attrs.get("units", ""))
            axes.set_ylabel(f"{words}\n({unit})" if unit else words)

        def has_data(history: xarray.Dataset) -> bool:
            return name in history and history[name].ndim == 3 and "phase" in history[name].dims

        return Panel(draw, 2.0, has_data)
