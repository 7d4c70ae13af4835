# SPDX-License-Identifier: BSD-3-Clause
"""Space groups, Cartesian point groups and reduced cells, by spglib (its one home).

References
----------
A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024),
doi:10.1080/27660400.2024.2384822.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError

#: Largest difference of an operation from a rotation before the lattice is symmetrized.
_TURNED = 0.2


@dataclass(frozen=True)
class SpaceGroup:
    """The symmetry of a crystal at a stated tolerance.

    Parameters
    ----------
    number, symbol, point_group
        Of International Tables: 1 … 230, Hermann-Mauguin symbols.
    tolerance
        Within which it holds [Å].
    rotations
        ``(g, 3, 3)`` Cartesian operations of the point group, exactly orthogonal, that act on columns in
        the axes of the cell that was given.
    cell, sites, numbers
        Conventional cell in the standard setting with the symmetry imposed: ``(3, 3)`` [Å], ``(m, 3)``,
        ``(m,)``. Its axes are the setting's, not those of the cell that was given.
    conventional
        ``(3, 3)`` the conventional cell as it is, in the axes of the cell that was given [Å].
    primitive, primitive_sites, primitive_numbers
        Primitive, Niggli-reduced cell in the axes of the cell that was given: ``(3, 3)`` [Å], ``(p, 3)``,
        ``(p,)``.
    equivalent
        ``(n,)`` first of the atoms that are equivalent to each atom that was given.
    """

    number: int
    symbol: str
    point_group: str
    tolerance: float
    rotations: NDArray[np.float64]
    cell: NDArray[np.float64]
    sites: NDArray[np.float64]
    numbers: NDArray[np.int64]
    conventional: NDArray[np.float64]
    primitive: NDArray[np.float64]
    primitive_sites: NDArray[np.float64]
    primitive_numbers: NDArray[np.int64]
    equivalent: NDArray[np.int64]


def available() -> bool:
    """Return whether spglib is installed; it is not imported."""
    return importlib.util.find_spec("spglib") is not None


def _spglib() -> Any:
    # What it prints on tolerances at which there is no group; we try several, and say what was found.
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    try:
        import spglib
    except ImportError:
        raise SettingError(
            "space groups are told by spglib, which is not installed: pip install 'insitu[crystal]'"
        ) from None
    return spglib


def _asked(function: str, *arguments: Any, **more: Any) -> Any:
    """Return what a function of spglib returns, None where it fails: some versions raise."""
    found = getattr(_spglib(), function)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return found(*arguments, **more)
        except Exception:  # spglib's own classes of errors differ between its versions
            return None


def find(
    cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike, tolerance: float = 0.01
) -> SpaceGroup | None:
    """Return the space group of a crystal, or None where spglib finds none at this tolerance.

    Parameters
    ----------
    cell
        ``(3, 3)`` cell vectors as rows [Å].
    sites
        ``(n, 3)`` fractional coordinates.
    numbers
        ``(n,)`` atomic numbers, or any whole numbers that tell species apart.
    tolerance
        By which atoms may be away from where the symmetry has them [Å].

    Raises
    ------
    SettingError
        spglib is not installed; the tolerance is not above 0.
    """
    if not tolerance > 0.0:
        raise SettingError(f"tolerance={tolerance} Å; give a length above 0, for example 0.01")
    lattice = np.asarray(cell, dtype=np.float64)
    inside, species = np.asarray(sites, dtype=np.float64), np.asarray(numbers, dtype=np.int64)
    if (
        np.linalg.det(lattice) < 0
    ):  # spglib wants right-handed cells: the same crystal in the opposite axes
        lattice, inside = -lattice, -inside
    given = (lattice, inside, species)
    data = _asked("get_symmetry_dataset", given, symprec=tolerance)
    if data is None:
        return None
    operations = np.unique(np.asarray(data.rotations), axis=0)
    rotations = cartesian(lattice, operations)
    if rotations is None:
        return None
    # The standard cell of the dataset is turned; these keep the axes that were given.
    kept, whole = (
        _asked("standardize_cell", given, to_primitive=p, no_idealize=True, symprec=tolerance)
        for p in (True, False)
    )
    if kept is None or whole is None:
        return None
    primitive, places, kinds = kept
    reduced = niggli(primitive)
    moved = (np.asarray(places) @ np.asarray(primitive) @ np.linalg.inv(reduced)) % 1.0
    return SpaceGroup(
        int(data.number), str(data.international), str(data.pointgroup).strip(), tolerance, rotations,
        np.asarray(data.std_lattice, dtype=np.float64),
        np.asarray(data.std_positions, dtype=np.float64) % 1.0,
        np.asarray(data.std_types, dtype=np.int64), np.asarray(whole[0], dtype=np.float64),
        reduced, moved,
        np.asarray(kinds, dtype=np.int64), np.asarray(data.equivalent_atoms, dtype=np.int64),
    )  # fmt: skip


def cartesian(cell: NDArray[np.float64], operations: ArrayLike) -> NDArray[np.float64] | None:
    r"""Return the Cartesian form of operations of a lattice, ``L W L⁻¹`` with the vectors as columns of L.

    A lattice that was measured has its symmetry but for small differences, which would make the
    operations no rotations: so it is replaced by the nearest one whose metric is the mean of
    ``Wᵀ G W`` over the group.

    Parameters
    ----------
    cell
        ``(3, 3)`` cell vectors as rows [Å].
    operations
        ``(g, 3, 3)`` matrices of whole numbers that act on columns of fractional coordinates, a group.

    Returns
    -------
    rotations
        ``(g, 3, 3)``; None: they are no rotations of this lattice.
    """
    w = np.asarray(operations, dtype=np.float64)
    columns = np.asarray(cell, dtype=np.float64).T
    metric = np.mean(w.transpose(0, 2, 1) @ (columns.T @ columns) @ w, axis=0)
    ideal = np.linalg.cholesky(metric).T
    u, _, v = np.linalg.svd(columns @ ideal.T)
    if np.linalg.det(u @ v) < 0:
        u[:, 2] *= -1
    ideal = u @ v @ ideal
    away = np.linalg.norm(ideal - columns) / np.linalg.norm(columns)
    if not away < _TURNED:
        return None
    return np.asarray(ideal @ w @ np.linalg.inv(ideal))


def niggli(cell: ArrayLike) -> NDArray[np.float64]:
    """Return the Niggli-reduced cell of a lattice ``(3, 3)``, in the same axes, right-handed."""
    lattice = np.asarray(cell, dtype=np.float64)
    found = _asked("niggli_reduce", lattice, eps=1e-5)
    reduced = lattice if found is None else np.asarray(found, dtype=np.float64)
    if np.linalg.det(reduced) < 0:
        reduced = -reduced
    return reduced


def operations_of(hall_number: int) -> tuple[NDArray[np.int64], str]:
    """Return rotations ``(g, 3, 3)`` and point group of a setting in the tables, 1 … 530.

    Raises
    ------
    SettingError
        There is no such setting.
    """
    data = _asked("get_symmetry_from_database", hall_number)
    kind = _asked("get_spacegroup_type", hall_number)
    if data is None or kind is None:
        raise SettingError(f"hall_number={hall_number} is no setting; give one of 1 … 530")
    rotations = np.unique(np.asarray(data["rotations"], dtype=np.int64), axis=0)
    return rotations, str(kind.pointgroup_international)
