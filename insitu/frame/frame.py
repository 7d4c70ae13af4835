# SPDX-License-Identifier: BSD-3-Clause
"""Frame: one rank's atoms at one step, as every analyzer sees them (NumPy only)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import InsituError, SettingError

#: A coordinate beyond this counts as not finite: its square would overflow [Å].
FAR = 1e100


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
    members
        ``(n_local,)`` each: which owned atoms belong to further LAMMPS groups, by their names.
    thermo
        Temperature, energy and pressure of the whole simulation at this step; NaN if not known.
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
    members: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    thermo: Thermo = Thermo()
    results: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.positions, self.types, self.ids, self.cell, self.origin, self.pbc):
            if isinstance(array, np.ndarray):  # device arrays have no such flag
                array.flags.writeable = False

    @property
    def n_ghost(self) -> int:
        """Number of ghost atoms."""
        return len(self.positions) - self.n_local

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
        r = np.array(positions, dtype=np.float64, order="C", ndmin=2)
        if r.size == 0:
            r = r.reshape(0, 3)
        if r.ndim != 2 or r.shape[1] != 3:
            raise SettingError(f"positions have shape {r.shape}; give one of (n, 3)")
        n = len(r)
        flags = np.asarray(pbc, dtype=bool)
        if flags.shape not in ((), (1,), (3,)):
            raise SettingError(f"pbc has shape {flags.shape}; give one flag or three")
        periodic = np.broadcast_to(flags, (3,)).copy()
        tags = np.arange(1, n + 1) if ids is None else np.asarray(ids)
        tags = tags.astype(np.int64)
        # Before any arithmetic: wrapping would spread one bad number over the sample.
        (bad,) = np.nonzero(~(np.abs(r) < FAR).all(axis=1))
        if len(bad):
            i = int(bad[0])
            who = f"atom {int(tags[i])}" if len(tags) == n else f"row {i}"
            raise InsituError(
                f"the position of {who} is {r[i].tolist()}; only finite positions can be analysed"
            )
        box = _cell_matrix(cell, periodic, r)
        kinds = np.ones(n, dtype=np.int32) if types is None else np.asarray(types).astype(np.int32)
        for name, array in (("types", kinds), ("ids", tags)):
            if array.shape != (n,):
                raise SettingError(f"{name} have shape {array.shape}; give ({n},), one an atom")
        # A copy: a frame's arrays become read-only, the caller's must not.
        origin = np.array(more.pop("origin", np.zeros(3)), dtype=np.float64)
        r, owner = _with_images(r, box, origin, periodic, reach)
        return cls(
            positions=r,
            types=kinds[owner],
            ids=tags[owner],
            n_local=n,
            cell=box,
            origin=origin,
            pbc=periodic,
            **more,
        )

    @classmethod
    def from_atoms(cls, atoms: Any, *, reach: float, **more: Any) -> Frame:
        """Make a frame of an ``ase.Atoms``; its atomic numbers become the types."""
        return cls.from_arrays(
            atoms.positions, atoms.cell.array, atoms.pbc, reach=reach, types=atoms.numbers, **more
        )


def _cell_matrix(
    cell: ArrayLike | None, periodic: NDArray[np.bool_], r: NDArray[np.float64]
) -> NDArray[np.float64]:
    if cell is None:
        if periodic.any():
            raise SettingError("cell is None with pbc=True; give the cell, or pbc=False")
        size = np.ptp(r, axis=0) if len(r) else np.ones(3)
        return np.diag(np.maximum(size, 1.0))
    box = np.array(cell, dtype=np.float64)
    if box.shape == (3,):
        box = np.diag(box)
    if box.shape != (3, 3):
        raise SettingError(f"cell has shape {box.shape}; give (3, 3), rows are vectors, or (3,)")
    # A missing vector of a non-periodic direction (ASE gives zeros) is completed.
    for axis in range(3):
        if not box[axis].any():
            if periodic[axis]:
                raise SettingError(
                    f"cell vector {axis} is zero but pbc[{axis}] is True; give the vector, or set "
                    "that direction non-periodic"
                )
            normal = np.cross(box[(axis + 1) % 3], box[(axis + 2) % 3])
            length = np.linalg.norm(normal)
            box[axis] = normal / length if length > 0 else np.eye(3)[axis]
    if abs(np.linalg.det(box)) < 1e-12 * np.prod(np.linalg.norm(box, axis=1)):
        raise SettingError(f"cell {box.tolist()} has no volume; give three independent vectors")
    return box


def heights(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances ``(3,)`` between opposite faces of a cell ``(3, 3)`` [Å]."""
    height: NDArray[np.float64] = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return height


def _with_images(
    r: NDArray[np.float64],
    cell: NDArray[np.float64],
    origin: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    reach: float,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    inverse = np.linalg.inv(cell)
    s = (r - origin) @ inverse
    shift = np.where(periodic, np.floor(s), 0.0)
    s -= shift
    r = r - shift @ cell
    part = reach / heights(cell)
    owner = [np.arange(len(r))]
    points = [r]
    spans = [
        range(-int(np.ceil(p)), int(np.ceil(p)) + 1) if flag else range(1)
        for p, flag in zip(part, periodic, strict=True)
    ]
    for image in itertools.product(*spans):
        if image == (0, 0, 0):
            continue
        moved = s + np.array(image)
        inside = np.ones(len(r), dtype=bool)
        for axis in range(3):
            if periodic[axis]:
                inside &= (moved[:, axis] >= -part[axis]) & (moved[:, axis] <= 1 + part[axis])
        (which,) = np.nonzero(inside)
        owner.append(which)
        points.append(r[which] + np.array(image, dtype=np.float64) @ cell)
    return np.ascontiguousarray(np.concatenate(points)), np.concatenate(owner)
