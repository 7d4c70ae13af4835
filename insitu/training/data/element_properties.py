# SPDX-License-Identifier: BSD-3-Clause
"""Properties of the elements by which a network knows them, from pymatgen's and ASE's tables."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.species import SYMBOLS

#: Elements that are told apart.
MOST = 95
#: Names of the columns, the radius [Å] first.
NAMES = (
    "covalent radius", "electronegativity", "row", "group", "log mass", "atomic radius", "ionic radius",
    "melting point", "log bulk modulus", "log density", "s", "p", "d", "f", "affinity", "ionization",
    "Mendeleev number",
)  # fmt: skip


def table() -> NDArray[np.float64]:
    """Return the properties ``(95, 17)`` by atomic number; all but the radius have mean 0 and width 1.

    Raises
    ------
    SettingError
        pymatgen or ASE is not installed.
    """
    try:
        from ase.data import covalent_radii
        from pymatgen.core.periodic_table import Element
    except ImportError:
        raise SettingError(
            "the elements' properties are pymatgen's and ASE's: pip install 'insitu[ase]' pymatgen"
        ) from None
    rows = np.full((MOST, len(NAMES)), np.nan)
    for z in range(1, MOST):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows[z] = [float(covalent_radii[z]), *_of(Element(SYMBOLS[z]))]
    known = rows[1:]
    mean = np.nanmean(known, axis=0)
    known = np.where(np.isfinite(known), known, mean)
    rows[1:, 0] = known[:, 0]
    rows[1:, 1:] = (known[:, 1:] - mean[1:]) / known[:, 1:].std(axis=0)
    rows[0] = 0.0
    return rows


def _of(element: Any) -> list[float]:
    shells = dict.fromkeys("spdf", 0.0)
    core = 0 if element.Z <= 2 else max(z for z in (2, 10, 18, 36, 54, 86, 0) if z < element.Z)
    left = element.Z - core
    for _, kind, count in reversed(element.full_electronic_structure):
        take = min(left, count)
        shells[kind] += take
        left -= take

    def number(name: str, scale: Any = float) -> float:
        value = getattr(element, name, None)
        try:
            return float(scale(float(value)))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return math.nan

    return [
        number("X"), number("row"), number("group"), number("atomic_mass", math.log),
        number("atomic_radius"), number("average_ionic_radius"), number("melting_point"),
        number("bulk_modulus", math.log), number("density_of_solid", math.log), *shells.values(),
        number("electron_affinity"), number("ionization_energy"), number("mendeleev_no"),
    ]  # fmt: skip
