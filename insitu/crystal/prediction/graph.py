# SPDX-License-Identifier: BSD-3-Clause
"""What the tensor network sees of a crystal: bonds with smooth ends, so that symmetry is kept exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.frame.lattices.copies import steps

#: Bonds reach so far, in units of (volume an atom)^(1/3): about 33 of each atom.
REACH = 2.0
#: Gaussians of a bond's length in that unit, and of its length in units of the sum of both radii.
CENTERS = (np.linspace(0.6, 2.0, 10), np.linspace(0.5, 2.5, 12))
#: Pairs that are looked at together: some 50 MB.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Graph:
    """A crystal's bonds.

    Parameters
    ----------
    numbers
        ``(n,)`` atomic numbers.
    first, second
        ``(e,)`` atoms of each bond.
    length, direction
        ``(e,)`` in units of `unit`, ``(e, 3)`` unit vectors.
    unit
        (Volume an atom)^(1/3) [Å].
    reach
        Bonds are shorter than this, in units of `unit`.
    """

    numbers: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    length: NDArray[np.float64]
    direction: NDArray[np.float64]
    unit: float
    reach: float = REACH

    @property
    def weight(self) -> NDArray[np.float64]:
        """``(e,)`` of each bond, which goes to 0 with its slope at the reach."""
        return np.asarray((1.0 - (self.length / self.reach) ** 2) ** 2)


def graph(cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike, reach: float = REACH) -> Graph:
    """Return the bonds of a crystal.

    Parameters
    ----------
    cell, sites, numbers
        ``(3, 3)`` [Å], ``(n, 3)`` fractional coordinates, ``(n,)`` atomic numbers.
    reach
        Bonds are shorter than this, in units of (volume an atom)^(1/3).
    """
    lattice, s = np.asarray(cell, dtype=np.float64), np.asarray(sites, dtype=np.float64)
    s = s - np.floor(s)
    unit = float(np.cbrt(abs(np.linalg.det(lattice)) / len(s)))
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    shift = steps(np.ceil(reach * unit / heights).astype(int)) @ lattice
    r = s @ lattice
    images = (r[:, None] + shift).reshape(-1, 3)
    found = []
    for begin in range(0, len(r), block := max(1, _BLOCK // len(images))):
        apart = images[None] - r[begin : begin + block, None]
        distance = np.linalg.norm(apart, axis=-1) / unit
        own, image = np.nonzero((distance < reach) & (distance > 1e-6))
        length = distance[own, image]
        direction = apart[own, image] / (length * unit)[:, None]
        found.append((own + begin, image // len(shift), length, direction))
    first, second, length, direction = (np.concatenate(part) for part in zip(*found, strict=True))
    return Graph(np.asarray(numbers, dtype=np.int64), first, second, length, direction, unit, reach)
