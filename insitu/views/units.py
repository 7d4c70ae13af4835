# SPDX-License-Identifier: BSD-3-Clause
"""Units as people write them: picoseconds where LAMMPS counts femtoseconds, Å for Angstrom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

_TIMES = {"fs": 1e-15, "ps": 1e-12, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_PRESSURES = {"Pa": 1.0, "kPa": 1e3, "MPa": 1e6, "GPa": 1e9, "TPa": 1e12}
_ALL_PRESSURES = {**_PRESSURES, "bar": 1e5, "atm": 101325.0}  # as LAMMPS counts
_LARGE = 1e4  # numbers beyond it are no good on an axis
_SUPERSCRIPTS = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def readable(histories: Sequence[xarray.Dataset]) -> list[xarray.Dataset]:
    """Return histories with time and pressure in units that fit their size, the same for all.

    Time is in the largest unit of which at least one has passed, pressure from 10,000 bar on in GPa.
    A unit that is not known (reduced units) stays. All units are as they are printed.
    """
    histories = _converted(histories, "time", _TIMES, _TIMES, 0.0)
    histories = _converted(histories, "pressure", _ALL_PRESSURES, _PRESSURES, _LARGE)
    found = [data.copy() for data in histories]
    for variable in (v for data in found for v in data.variables.values()):
        if "units" in variable.attrs:
            variable.attrs["units"] = printed(str(variable.attrs["units"]))
    return found


def _converted(
    histories: Sequence[xarray.Dataset], name: str, known: Mapping[str, float],
    wanted: Mapping[str, float], least: float,
) -> list[xarray.Dataset]:  # fmt: skip
    """Return histories with a quantity in one of the `wanted` units, if it reaches `least` in its own."""
    parts = [data[name] for data in histories if name in data]
    if not parts or any(part.attrs.get("units") not in known for part in parts):
        return list(histories)
    sizes = [
        float(np.nanmax(np.abs(p.values), initial=0.0, where=np.isfinite(p.values))) for p in parts
    ]
    size = max(s * known[p.attrs["units"]] for s, p in zip(sizes, parts, strict=True))
    unit = max((u for u in wanted if size >= wanted[u]), key=wanted.__getitem__, default="")
    if not unit or max(sizes) < least:
        return list(histories)
    found = []
    for data in histories:
        if name in data:
            part = data[name]
            factor = known[part.attrs["units"]] / known[unit]
            new = part.copy(data=part.values * factor) if factor != 1.0 else part.copy()
            data = (
                data.assign_coords({name: new}) if name in data.coords else data.assign({name: new})
            )
            data[name].attrs["units"] = unit
        found.append(data)
    return found


def printed(unit: str) -> str:
    """Return a unit of the file (H5MD's notation, ``kcal mol-1``) as it is printed: ``kcal mol⁻¹``."""
    unit = re.sub(r"\bAngstrom\b", "Å", unit)
    unit = re.sub(r"\bu(?=[sm](?![a-z]))", "µ", unit)
    return re.sub(
        r"(?<=[A-Za-zÅ])([+-]\d+)", lambda m: m[1].removeprefix("+").translate(_SUPERSCRIPTS), unit
    )
