# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that a caller gives: what NumPy would turn into other numbers without a word is refused."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError

_ANGSTROM = ("å", "a", "angstrom", "angstroms", "ångström", "")
_KINDS = {
    "c": "complex numbers", "b": "truth values", "S": "text", "U": "text", "M": "times", "m": "times",
    "V": "records",
}  # fmt: skip


def _array(name: str, values: Any, wanted: str = "real numbers") -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hidden = int(np.ma.getmaskarray(values).sum())
        raise SettingError(
            f"{name} are a masked array, {hidden} of its values are masked; give values for all (of some "
            "atoms: values[mask])"
        )
    unit = getattr(values, "units", getattr(values, "unit", None))
    if unit is not None and hasattr(values, "shape") and str(unit).lower() not in _ANGSTROM:
        raise SettingError(f"{name} have a unit ({unit}); give plain numbers, lengths in Å")
    try:
        found = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths
        raise SettingError(f"{name} are no array ({error}); give one of numbers") from None
    if found.dtype.kind == "O":
        if not all(
            isinstance(v, numbers.Real | np.floating | np.integer) and not isinstance(v, bool)
            for v in found.ravel()
        ):
            raise SettingError(f"{name} hold objects that are no real numbers; give {wanted}")
        found = found.astype(np.float64)
    if found.size and (what := _KINDS.get(found.dtype.kind)):
        raise SettingError(f"{name} are {what} ({found.dtype}); give {wanted}")
    return found


def real(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return a copy of what is given as real numbers.

    Parameters
    ----------
    name
        What the caller calls it, in the plural, for messages.
    values
        Integers and floating-point numbers of any kind.

    Raises
    ------
    SettingError
        They are complex, text, truth values, masked, have a unit, or are no array.
    """
    return np.array(_array(name, values), dtype=np.float64, order="C")


def integers(name: str, values: ArrayLike, wanted: str = "real numbers") -> NDArray[np.int64]:
    """Return what is given as whole numbers, `wanted` in messages; else as :func:`real`."""
    found = _array(name, values, wanted)
    if found.dtype.kind in "iu":
        return found.astype(np.int64)
    if not (np.isfinite(found).all() and (np.floor(found) == found).all()):
        raise SettingError(f"{name} are not all whole numbers; give integers")
    return found.astype(np.int64)


def flags(name: str, values: ArrayLike | bool) -> NDArray[np.bool_]:
    """Return what is given as truth values.

    Raises
    ------
    SettingError
        They are neither truth values nor 0 and 1.
    """
    found = np.asarray(values)
    if found.dtype.kind == "b" or (
        found.dtype.kind in "iuf" and ((found == 0) | (found == 1)).all()
    ):
        return found.astype(bool)
    raise SettingError(
        f"{name}={values!r}: give True or False, for each of the three directions or for all"
    )
