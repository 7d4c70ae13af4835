# SPDX-License-Identifier: BSD-3-Clause
"""The density of a sample where its atoms are: what scale-free models take their radii from.

Atoms are counted in a grid. The counts are whole numbers, so their sum does not depend on how the
atoms are split over ranks. The grid lies over the atoms, not over the box: a direction that is not
periodic begins and ends with its atoms, wherever they are and whatever cell vector it is given, and
where most atoms fill less than half of a direction, the grid is laid anew over that part.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame, heights, inverse, normals
from insitu.frame.reduce import Ranks

if TYPE_CHECKING:
    from insitu.gpu.device import Device

#: Cells along each side of the grid.
_GRID = 16
#: Atoms that the cells in which a density is read off hold on average, at least.
_POPULATED = 32.0
#: Keeps the planes of a perfect crystal off the limits of the cells.
_OFFSET = 0.0137931
#: Share of the atoms that has to lie in half of a direction for the grid to leave the rest out.
_MOST = 0.75
#: Density of a plane, of the densest one's, at which what most atoms belong to ends.
_THIN = 0.02
#: Empty space is left out if it is wider than this, in spacings of the atoms in it: a cell of one
#: atom is not one atom in a vacuum.
_GAP = 2.0
#: Cells are at least so wide [spacings of the atoms in the grid].
_WIDE = 3.0
#: Share of the cells that hold atoms where a sample without voids is.
_FILLED = 0.9
#: Volume that counts as none [Å³].
_NOTHING = 1e-9
#: Times that the grid is laid anew: an atom far away costs one for each factor of about 8.
_PASSES = 40


class _Grid:
    """Where atoms are counted: a part of each direction, in fractions of a basis."""

    def __init__(self, frame: Frame, xp: Any, there: Callable[[NDArray[Any]], Any]) -> None:
        basis = normals(frame.cell, frame.pbc)
        self.box = float(abs(np.linalg.det(basis)))
        self.heights = heights(basis)
        self.pbc = frame.pbc
        self.low, self.width = np.where(frame.pbc, -_OFFSET, 0.0), np.ones(3)
        #: Directions that are counted in their whole period: what leaves on one side enters on the
        #: other. And those that have no ends yet.
        self.whole, self.open = frame.pbc.copy(), ~frame.pbc
        self._xp, self._there = xp, there
        own = frame.positions[: frame.n_local] - there(frame.origin)
        # By direction: with three numbers a row the arithmetic takes several times as long.
        self._s = xp.ascontiguousarray((own @ there(inverse(basis))).T)

    @property
    def volume(self) -> float:
        """Of the part [Å³]."""
        return self.box * float(np.prod(self.width))

    def _part(self) -> Any:
        """Return where the atoms ``(3, n)`` of the part are, in periods from its beginning on."""
        v = self._s
        if self.pbc.any():
            v = v - self._there(np.where(self.pbc, self.low, 0.0)[:, None])
            v -= self._xp.floor(v) * self._there(self.pbc.astype(np.float64)[:, None])
        if not self.whole.all():
            low = np.where(self.pbc, 0.0, self.low)
            start = self._there(np.where(self.open, -np.inf, low)[:, None])
            end = self._there(np.where(self.open, np.inf, low + self.width)[:, None])
            v = v[:, ((v >= start) & (v < end)).all(axis=0)]
        return v

    def span(self, ranks: Ranks, here: Callable[[Any], NDArray[Any]]) -> None:
        """Lay the grid over the atoms that are in the part, which own half a spacing beyond them."""
        v = self._part()
        ends = np.full(6, -np.inf)
        n = v.shape[1]
        if n:
            ends = np.concatenate([-here(v.min(axis=1)), here(v.max(axis=1))])
        ends = ranks.largest(ends)
        low, high, atoms = -ends[:3], ends[3:], ranks.sum(np.array([float(n)]))[0]
        self.open[:] = False
        if not atoms:
            return
        axes = ~self.whole
        sizes = np.where(axes, high - low, self.width)
        more = np.array(self._rim(sizes.tolist(), axes.tolist(), float(atoms)))
        fits = axes & ~(self.pbc & (sizes + more >= 1.0))
        start = np.where(self.pbc, self.low, 0.0) + low - (0.5 + _OFFSET) * more
        self.low = np.where(fits, start, np.where(self.pbc, -_OFFSET, self.low))
        self.width = np.where(fits, np.maximum(sizes + more, 1e-9), 1.0)
        self.whole = self.pbc & ~fits

    def _rim(self, sizes: list[float], axes: list[bool], atoms: float) -> list[float]:
        """Return the spacing of the atoms along the axes that have ends: they own half of it beyond."""
        high, more = self.heights.tolist(), [0.0] * 3
        for _ in range(60):  # three numbers: without NumPy
            a, b, c = (s + m for s, m in zip(sizes, more, strict=True))
            spacing = float(np.cbrt(self.box * (a * b * c) / atoms))
            before = more
            more = [spacing / h if axis else 0.0 for h, axis in zip(high, axes, strict=True)]
            if more == before:  # it stays what it is
                break
        return more

    def count(self) -> Any:
        """Return how many atoms are in each cell of the grid."""
        v = self._part() - self._there(np.where(self.pbc, 0.0, self.low)[:, None])
        v *= self._there((_GRID / self.width)[:, None])
        x, y, z = self._xp.minimum(v.astype(np.int64), _GRID - 1)
        return self._xp.bincount((x * _GRID + y) * _GRID + z, minlength=_GRID**3)

    def narrow(self, counts: NDArray[np.float64]) -> bool:
        """Leave out the part of each direction that holds few atoms; return whether there is one."""
        grid = counts.reshape(_GRID, _GRID, _GRID)
        total = grid.sum()
        gap = _GAP * np.cbrt(self.volume / max(total, 1.0))
        before, narrowed = self.width.copy(), False
        for axis in range(3):
            planes = grid.sum(axis=tuple(k for k in range(3) if k != axis))
            first, length = _shortest(planes.tolist(), _MOST * total, bool(self.whole[axis]))
            empty = (_GRID - length) / _GRID * before[axis] * self.heights[axis]
            if 2 * length > _GRID or empty <= gap:
                continue
            narrowed = True
            # With what goes on without a gap on both sides, and a plane more.
            while length < _GRID - 2 and planes[(first - 1) % _GRID] > _THIN * planes.max():
                first, length = first - 1, length + 1
            while length < _GRID - 2 and planes[(first + length) % _GRID] > _THIN * planes.max():
                length += 1
            self.low[axis] += (first - 1) / _GRID * before[axis]
            self.width[axis] *= (length + 2) / _GRID
            self.whole[axis] = False
        return narrowed


def _shortest(planes: Sequence[float], wanted: float, circular: bool) -> tuple[int, int]:
    """Return first and number of the fewest neighbouring planes that hold the wanted atoms."""
    n = len(planes)
    # So few numbers are summed faster without NumPy.
    running = [0.0, *accumulate([*planes, *planes] if circular else planes)]

    def held(length: int) -> list[float]:
        return [b - a for a, b in zip(running[:n] if circular else running, running[length:])]  # noqa: B905

    # The more planes, the more they hold.
    length = 1 + bisect.bisect_left(range(1, n), wanted, key=lambda k: max(held(k)))
    if length == n:
        return 0, n
    most = held(length)
    return most.index(max(most)), length


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
    xp: Any = np if device is None else device.xp
    ranks = ranks or Ranks()

    def there(values: NDArray[Any]) -> Any:
        return values if device is None else device.array(values, values.dtype)

    def here(values: Any) -> NDArray[Any]:
        return np.asarray(
            values if device is None or isinstance(values, np.ndarray) else device.read(values)
        )

    grid = _Grid(frame, xp, there)
    if not frame.pbc.all():
        grid.span(ranks, here)
    for _ in range(_PASSES):
        counts = ranks.sum(here(grid.count()).astype(np.float64))
        if not grid.narrow(counts):
            break
        grid.span(ranks, here)
    return _median(counts, grid)


def _median(counts: NDArray[np.float64], grid: _Grid) -> float:
    """Return the spacing in the cell of the median atom."""
    if grid.volume <= _NOTHING:
        return 1.0  # one atom alone, or all at one place: any radius will do
    cells = counts.reshape(_GRID, _GRID, _GRID)
    average = np.cbrt(grid.volume / max(cells.sum(), 1.0))
    size = grid.width * grid.heights  # of the part, then of a cell
    # Cells are wide enough for their limits between the planes of a crystal not to matter.
    shape = [_GRID] * 3
    for axis in range(3):
        while shape[axis] > 1 and size[axis] / shape[axis] < _WIDE * average:
            shape[axis] //= 2
    cells = _merged(cells, shape)
    while cells.size > 1 and cells.sum() < _POPULATED * np.count_nonzero(cells):
        cells = _merged(cells, [max(n // 2, 1) for n in cells.shape])
    cells = _uniform(cells, grid.whole)
    occupied = np.sort(cells[cells > 0])
    if not len(occupied):
        return float(np.cbrt(grid.volume))
    running = np.cumsum(occupied)
    median = occupied[np.searchsorted(running, 0.5 * running[-1])]
    return float(np.cbrt(grid.volume / cells.size / median))


def _merged(cells: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the counts in a coarser grid; numbers of cells are powers of 2."""
    if tuple(shape) == cells.shape:
        return cells
    parts = [k for n, m in zip(shape, cells.shape, strict=True) for k in (n, m // n)]
    found: NDArray[np.float64] = cells.reshape(parts).sum(axis=(1, 3, 5))
    return found


def _uniform(cells: NDArray[np.float64], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the grid with one cell along the periods that are filled evenly.

    Where they begin does not matter then: the density is exact, and the same for any origin.
    """
    axes = [
        axis
        for axis in np.flatnonzero(whole).tolist()
        if _even(cells.sum(axis=tuple(k for k in range(3) if k != axis)))
    ]
    merged = cells.sum(axis=tuple(axes), keepdims=True)
    filled = np.count_nonzero(merged) * (cells.size // merged.size)
    # Even in each direction, and still empty between them: a foam, or droplets.
    return merged if np.count_nonzero(cells) >= _FILLED * filled else cells


def _even(planes: NDArray[np.float64]) -> bool:
    return bool(planes.min() >= 0.6 * planes.mean() and planes.max() <= 1.5 * planes.mean())
