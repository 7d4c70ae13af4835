# SPDX-License-Identifier: BSD-3-Clause
"""The density of a sample where its atoms are: what scale-free models take their radii from.

Atoms are counted in a grid (kernels/cpu/density.hpp). The counts are whole numbers, so their sum does not
depend on how the atoms are split over ranks. The grid lies over the atoms, not over the box: a direction
that is not periodic begins and ends with its atoms, wherever they are and whatever cell vector it is given,
and where most atoms fill less than half of a direction, the grid is laid anew over that part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.cell import heights, inverse, normals, volume
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks

if TYPE_CHECKING:
    from insitu.gpu.device import Device

#: Times that the grid is laid anew: an atom far away costs one for each factor of about 8.
_PASSES = 40


class _Atoms:
    """The owned atoms of a frame, as the grid asks about them."""

    def __init__(self, frame: Frame) -> None:
        self._those = frame.positions, frame.n_local, frame.origin

    def ends(self, grid: Any) -> tuple[NDArray[np.float64], int]:
        """Return lower and upper ends ``(6,)`` of the atoms in the grid's part, and how many they are."""
        found: tuple[NDArray[np.float64], int] = grid.ends(*self._those)
        return found

    def count(self, grid: Any) -> NDArray[np.float64]:
        """Return how many atoms are in each cell of the grid."""
        counts: NDArray[np.float64] = grid.count(*self._those)
        return counts


class _DeviceAtoms:
    """The same where the positions are in a device's memory."""

    def __init__(self, frame: Frame, basis: NDArray[np.float64], device: Device) -> None:
        self._device, self._xp, self._pbc = device, device.xp, frame.pbc
        own = frame.positions[: frame.n_local] - self._there(frame.origin)
        # By direction: with three numbers a row the arithmetic takes several times as long.
        self._s = self._xp.ascontiguousarray((own @ self._there(inverse(basis))).T)

    def _there(self, values: NDArray[Any]) -> Any:
        return self._device.array(values, values.dtype)

    def _part(self, grid: Any) -> Any:
        """Return where the atoms ``(3, n)`` of the part are, in periods from its beginning on."""
        v, low, opened = self._s, np.array(grid.low), np.array(grid.open)
        if self._pbc.any():
            v = v - self._there(np.where(self._pbc, low, 0.0)[:, None])
            v -= self._xp.floor(v) * self._there(self._pbc.astype(np.float64)[:, None])
        if not all(grid.whole):
            start = np.where(self._pbc, 0.0, low)
            end = self._there(np.where(opened, np.inf, start + grid.width)[:, None])
            start = self._there(np.where(opened, -np.inf, start)[:, None])
            v = v[:, ((v >= start) & (v < end)).all(axis=0)]
        return v

    def ends(self, grid: Any) -> tuple[NDArray[np.float64], int]:
        v = self._part(grid)
        if not v.shape[1]:
            return np.repeat([np.inf, -np.inf], 3), 0
        both = [self._device.read(x) for x in (v.min(axis=1), v.max(axis=1))]
        return np.concatenate(both), v.shape[1]

    def count(self, grid: Any) -> NDArray[np.float64]:
        n = compiled().DENSITY_CELLS
        v = self._part(grid) - self._there(np.where(self._pbc, 0.0, grid.low)[:, None])
        v *= self._there((n / np.array(grid.width))[:, None])
        x, y, z = self._xp.minimum(v.astype(np.int64), n - 1)
        counts = self._xp.bincount((x * n + y) * n + z, minlength=n**3)
        return np.asarray(self._device.read(counts)).astype(np.float64)


def spacing(frame: Frame, ranks: Ranks | None = None, device: Device | None = None) -> float:
    """Return (volume an atom)^(1/3) [Å] where the atoms are: vacuum and vapour do not count.

    The density of the median atom's cell, in cells fine enough to tell a slab from the vacuum around
    it and coarse enough to hold some atoms. Collective.

    Parameters
    ----------
    frame
        This rank's frame; its owned atoms count.
    ranks
        The ranks that share the sample, all of which get the same value; None: this one has it all.
    device
        Where its positions are, if in device memory.
    """
    ranks = ranks or Ranks()
    basis = normals(frame.cell, frame.pbc)
    grid = compiled().DensityGrid(
        inverse(basis), heights(basis), volume(basis), frame.pbc.view(np.uint8)
    )
    atoms = _Atoms(frame) if device is None else _DeviceAtoms(frame, basis, device)
    if not frame.pbc.all():
        _span(grid, atoms, ranks)
    for _ in range(_PASSES):
        counts = ranks.sum(atoms.count(grid))
        if not grid.narrow(counts):
            break
        _span(grid, atoms, ranks)
    found: float = grid.spacing(counts)
    return found


def _span(grid: Any, atoms: _Atoms | _DeviceAtoms, ranks: Ranks) -> None:
    """Lay the grid over the atoms that are in its part, on all ranks."""
    ends, n = atoms.ends(grid)
    ends[:3] *= -1.0
    ends = ranks.largest(ends)
    ends[:3] *= -1.0
    grid.span(ends, float(ranks.sum(np.array([float(n)]))[0]))
