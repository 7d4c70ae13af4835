# SPDX-License-Identifier: BSD-3-Clause
"""Perfect crystals in orthogonal cells: what checks and benchmarks are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError, did_you_mean

_SQRT3 = np.sqrt(3.0)
_Basis = list[list[float]]
_FCC: _Basis = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
_HCP: _Basis = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 5 / 6, 0.5], [0, 1 / 3, 0.5]]
_HEX_UP: _Basis = [[x, y, z + 3 / 8] for x, y, z in _HCP]

#: Orthogonal cells: lengths in units of the lattice constant (hcp, hexagonal diamond: of a, with
#: the ideal c/a), and fractional coordinates.
LATTICES: dict[str, tuple[list[float], _Basis]] = {
    "sc": ([1, 1, 1], [[0, 0, 0]]),
    "bcc": ([1, 1, 1], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "fcc": ([1, 1, 1], _FCC),
    "hcp": ([1, _SQRT3, np.sqrt(8 / 3)], _HCP),
    "cubic_diamond": ([1, 1, 1], _FCC + [[x + 0.25, y + 0.25, z + 0.25] for x, y, z in _FCC]),
    "hexagonal_diamond": ([1, _SQRT3, np.sqrt(8 / 3)], _HCP + _HEX_UP),
}


def lattice(
    name: str, a: float, repeat: tuple[int, int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a perfect crystal in an orthogonal periodic cell.

    Parameters
    ----------
    name
        Key of :data:`LATTICES`.
    a
        Lattice constant [Å].
    repeat
        Copies of the orthogonal cell in each direction.

    Returns
    -------
    positions, cell
        ``(n, 3)`` and ``(3, 3)`` [Å].

    Raises
    ------
    SettingError
        Unknown name.

    Examples
    --------
    >>> positions, cell = lattice("bcc", 2.87, (2, 2, 2))
    >>> len(positions)
    16
    """
    if name not in LATTICES:
        hint = did_you_mean(name, LATTICES)
        raise SettingError(f"lattice '{name}' is not known; allowed: {list(LATTICES)}.{hint}")
    lengths, basis = LATTICES[name]
    size = a * np.asarray(lengths)
    grid = np.stack(np.meshgrid(*[np.arange(k) for k in repeat], indexing="ij"), axis=-1)
    points = (grid.reshape(-1, 1, 3) + np.asarray(basis)).reshape(-1, 3) * size
    return points, np.diag(size * np.asarray(repeat))
