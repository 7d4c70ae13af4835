# SPDX-License-Identifier: BSD-3-Clause
"""Frame: one rank's atoms at one step, as every analyzer sees them (NumPy only)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError
from insitu.frame.cell import completed, heights, inverse
from insitu.frame.compiled import compiled
from insitu.frame.given import flags, integers, real
from insitu.frame.neighbors.images import check_finite, check_images, check_length, check_positions


@dataclass(frozen=True)
class Thermo:
    """Temperature, potential energy and pressure of LAMMPS at a step, in the deck's units."""

    temperature: float = float("nan")
    potential_energy: float = float("nan")
    pressure: float = float("nan")


@dataclass(frozen=True)
class Frame:
    """One rank's atoms for one step. Arrays from LAMMPS are views that die with the callback.

    Parameters
    ----------
    positions
        ``(n_local + n_ghost, 3)`` float64 [Å; reduced length with ``units="lj"``], owned atoms
        first. Periodic images within the interaction range are ghosts: points of their own. For an
        analysis on a GPU positions and ids may be arrays in its memory.
    types
        ``(n_local + n_ghost,)`` integers, LAMMPS atom types or atomic numbers.
    ids
        ``(n_local + n_ghost,)`` int64, a ghost carries its owner's id.
    n_local
        Number of owned atoms.
    cell
        ``(3, 3)`` rows are the cell vectors [Å].
    origin
        ``(3,)`` corner of the cell [Å].
    pbc
        ``(3,)`` which directions are periodic.
    step, time
        Step of the simulation and its time in ``time_unit`` of the unit style.
    units
        LAMMPS unit style of the deck.
    selected
        ``(n_local,)`` which owned atoms are to be analysed (a LAMMPS group), or None for all.
    population
        ``(n_local,)`` owned atoms that `selected` is a random sample of; None: it is no sample.
    members
        ``(n_local,)`` each: which owned atoms belong to further LAMMPS groups, by their names.
    thermo
        Temperature, energy and pressure of the whole simulation at this step; NaN if not known.
    belongs
        ``(n_local,)`` which owned atoms make up the surroundings, where that is not all and the others
        are still here; None otherwise.
    kept
        ``(n,)`` which of the rank's atoms the owned atoms of this frame are, where atoms that do not
        belong to the surroundings were left out (setting `neighbors`); None: all of them.
    results
        ``(n_local,)`` each: what earlier analyses of this frame found atom by atom; ``"phase"`` is an
        index into the classes (−1 unknown), ``"confidence"`` its probability.
    """

    positions: NDArray[np.float64]
    types: NDArray[np.integer[Any]]
    ids: NDArray[np.int64]
    n_local: int
    cell: NDArray[np.float64]
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.ones(3, dtype=bool))
    step: int = 0
    time: float = 0.0
    units: str = "metal"
    selected: NDArray[np.bool_] | None = None
    population: NDArray[np.bool_] | None = None
    members: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    thermo: Thermo = Thermo()
    belongs: NDArray[np.bool_] | None = None
    kept: NDArray[np.bool_] | None = None
    results: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.positions, self.types, self.ids, self.cell, self.origin, self.pbc):
            if isinstance(array, np.ndarray):  # device arrays have no such flag
                array.flags.writeable = False

    @property
    def n_ghost(self) -> int:
        """Number of ghost atoms."""
        return len(self.positions) - self.n_local

    @property
    def sampled_from(self) -> NDArray[np.bool_]:
        """Owned atoms ``(n_local,)`` that the analysed ones stand for."""
        those = self.selected if self.population is None else self.population
        return np.ones(self.n_local, dtype=bool) if those is None else those

    def sample(self, drawn: NDArray[np.bool_]) -> Frame:
        """Return the frame with those of the atoms to be analysed that were drawn ``(n_local,)``."""
        those = self.sampled_from
        return replace(self, selected=those & drawn, population=those)

    def copied(self) -> Frame:
        """Return the frame with arrays of its own, which LAMMPS does not change."""
        own = {name: getattr(self, name) for name in ("positions", "types", "ids")}
        return replace(self, **{n: a if a.base is None else a.copy() for n, a in own.items()})

    @property
    def n_of_rank(self) -> int:
        """Number of the rank's atoms, also of those that were left out."""
        return self.n_local if self.kept is None else len(self.kept)

    def only(self, belong: NDArray[np.bool_]) -> Frame:
        """Return the frame of some atoms, as if there were no others.

        Parameters
        ----------
        belong
            ``(n_local + n_ghost,)`` which atoms stay, a ghost where its owner does; or ``(n_local,)``:
            all ghosts go.
        """
        here = slice(len(belong))
        own = belong[: self.n_local]
        return replace(
            self,
            positions=self.positions[here][belong],
            types=self.types[here][belong],
            ids=self.ids[here][belong],
            n_local=int(own.sum()),
            selected=None if self.selected is None else self.selected[own],
            population=None if self.population is None else self.population[own],
            members={name: flags[own] for name, flags in self.members.items()},
            belongs=None,
            kept=own,
        )

    def of_rank(self, values: NDArray[Any], left_out: float) -> NDArray[Any]:
        """Return values ``(n_local,)`` as values of all of the rank's atoms, also of those left out."""
        if self.kept is None:
            return values
        everyone = np.full(len(self.kept), left_out, dtype=values.dtype)
        everyone[self.kept] = values
        return everyone

    @functools.cached_property
    def bounds(self) -> NDArray[np.float64]:
        """Fractional coordinates ``(6,)`` between which the owned atoms lie: lower ends, then upper ends.

        NaN without atoms, or if a position is not finite.
        """
        found: NDArray[np.float64] = compiled().bounds(
            self.positions, self.n_local, self.origin, inverse(self.cell)
        )
        return found

    def fractional(self, atoms: slice | NDArray[np.intp] = slice(None)) -> NDArray[np.float64]:
        """Return fractional coordinates ``(k, 3)`` of some atoms, given by index; of all by default."""
        s: NDArray[np.float64] = (self.positions[atoms] - self.origin) @ inverse(self.cell)
        return s

    @classmethod
    def from_arrays(
        cls,
        positions: ArrayLike,
        cell: ArrayLike | None,
        pbc: ArrayLike | bool,
        *,
        reach: float,
        types: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        **more: Any,
    ) -> Frame:
        """Make a frame of a whole sample, with the periodic images that LAMMPS would give as ghosts.

        Parameters
        ----------
        positions
            ``(n, 3)`` [Å]; atoms outside a periodic cell are wrapped into it.
        cell
            ``(3, 3)`` cell vectors as rows or ``(3,)`` lengths [Å]; None if nothing is periodic.
        pbc
            One flag or three: which directions are periodic.
        reach
            Images are made for all points within this distance of the cell [Å].
        types, ids
            ``(n,)`` each; all 1, and 1 … n, if not given.
        **more
            Further fields of :class:`Frame`.

        Raises
        ------
        SettingError
            Wrong shapes, or a cell without volume in a periodic direction.
        InsituError
            A position is not finite.
        """
        r = np.atleast_2d(real("positions", positions))
        if r.size == 0:
            r = r.reshape(0, 3)
        check_positions(r)
        n = len(r)
        given_pbc = flags("pbc", pbc)
        if given_pbc.shape not in ((), (1,), (3,)):
            raise SettingError(f"pbc has shape {given_pbc.shape}; give one flag or three")
        periodic = np.broadcast_to(given_pbc, (3,)).copy()
        tags = np.arange(1, n + 1) if ids is None else integers("ids", ids)
        # Before any arithmetic: wrapping would spread one bad number over the sample.
        check_finite(r, tags)
        kinds = np.ones(n, dtype=np.int32)
        if types is not None:
            kinds = integers("types", types).astype(np.int32)
        check_length("types", kinds, n)
        check_length("ids", tags, n)
        # A copy: a frame's arrays become read-only, the caller's must not.
        given = real("coordinates of the origin", more.pop("origin", np.zeros(3)))
        box, origin = completed(cell, periodic, r, given)
        compiled().wrap(r, origin, inverse(box), box, periodic.view(np.uint8))
        bare = cls(
            positions=r,
            types=kinds,
            ids=tags,
            n_local=n,
            cell=box,
            origin=origin,
            pbc=periodic,
            **more,
        )
        return bare.with_images(reach) if reach else bare

    def with_images(self, reach: float) -> Frame:
        """Return a frame without ghosts with the periodic images that LAMMPS would give as ghosts.

        Parameters
        ----------
        reach
            Images are made for all points within this distance of the cell [Å].
        """
        assert not self.n_ghost
        part = reach / heights(self.cell)
        check_images(self.n_local, self.pbc, part)
        owner, ghosts = compiled().images(
            self.positions,
            self.origin,
            inverse(self.cell),
            self.cell,
            self.pbc.view(np.uint8),
            part,
        )
        return replace(
            self,
            positions=np.concatenate([self.positions, ghosts.reshape(-1, 3)]),
            types=np.concatenate([self.types, self.types[owner]]),
            ids=np.concatenate([self.ids, self.ids[owner]]),
        )

    @classmethod
    def from_atoms(cls, atoms: Any, *, reach: float, **more: Any) -> Frame:
        """Make a frame of an ``ase.Atoms``; its atomic numbers become the types."""
        more = {"origin": np.ravel(atoms.get_celldisp())} | more
        return cls.from_arrays(
            atoms.positions, atoms.cell.array, atoms.pbc, reach=reach, types=atoms.numbers, **more
        )
