# SPDX-License-Identifier: BSD-3-Clause
"""What the network of scalars sees of a crystal: its bonds, and their angles to a lattice frame.

References
----------
K. Yan, C. Fu, X. Qian, X. Qian, S. Ji, ICLR 2024, arXiv:2403.11857.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.crystal import spacegroup
from insitu.crystal.lattice_frame import frames
from insitu.crystal.tensor_graph import Graph, graph
from insitu.errors import SettingError

#: Bonds reach so far, in units of (volume an atom)^(1/3): about 14 of each atom.
REACH = 1.5
#: Gaussians: of a bond's length [Å], of its length in units of the sum of both radii, of its cosine to a
#: lattice vector, and of the logarithm of that vector's length in units of (volume an atom)^(1/3).
LENGTHS = np.linspace(1.0, 6.5, 20)
RELATIVE = np.linspace(0.5, 2.5, 14)
COSINES = np.linspace(-1.0, 1.0, 14)
LATTICE = np.linspace(-0.3, 2.3, 10)


@dataclass(frozen=True)
class FramedGraph:
    """A crystal's bonds and lattice frames.

    Parameters
    ----------
    graph
        Bonds of the primitive cell.
    frames
        ``(f, 3, 3)`` the lattice frames that differ for the crystal [Å], rows are vectors.
    """

    graph: Graph
    frames: NDArray[np.float64]


def framed_graph(
    cell: ArrayLike,
    sites: ArrayLike,
    numbers: ArrayLike,
    tolerance: float = 0.01,
    *,
    hands: int = 2,
) -> FramedGraph:
    """Return the bonds and lattice frames of a crystal's primitive cell.

    Parameters
    ----------
    cell, sites, numbers
        ``(3, 3)`` [Å], ``(n, 3)`` fractional coordinates, ``(n,)`` atomic numbers, of any cell.
    tolerance
        Of the space group, which tells the primitive cell and which frames are alike [Å].
    hands
        Of :func:`insitu.crystal.lattice_frame.frames`.

    Raises
    ------
    SettingError
        spglib is not installed, or finds no space group.
    """
    group = spacegroup.find(cell, sites, numbers, tolerance)
    if group is None:
        raise SettingError(
            f"spglib finds no space group within tolerance={tolerance:g} Å; give another tolerance"
        )
    found = graph(group.primitive, group.primitive_sites, group.primitive_numbers, REACH)
    return FramedGraph(found, frames(group.primitive, group.rotations, hands=hands))


def spread(values: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values on Gaussians, ``(…, g)``; the width is the distance of the centers."""
    width = centers[1] - centers[0]
    return np.asarray(np.exp(-(((values[..., None] - centers) / width) ** 2)))
