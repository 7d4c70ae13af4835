# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS' C library in the running process, and one instance of LAMMPS as it gives it.

No ``lammps`` module is involved, so there is no version skew between that module and the program
that called us.
"""

from __future__ import annotations

import ctypes as c
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError

_GLOBAL, _SCALAR = 0, 0  # LMP_STYLE_GLOBAL, LMP_TYPE_SCALAR of the C library


@functools.cache
def library() -> Any:
    """Return LAMMPS' C library with its signatures.

    Raises
    ------
    DeckError
        It is not visible in this process.
    """
    found = c.CDLL(None)
    if not hasattr(found, "lammps_extract_atom"):
        raise DeckError(
            "the C library of LAMMPS is not visible in this process; start LAMMPS with its `lmp` "
            "program, or from Python with the lammps module"
        )
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "lammps_extract_setting": (c.c_int, [c.c_void_p, c.c_char_p]),
        "lammps_extract_global": (c.c_void_p, [c.c_void_p, c.c_char_p]),
        "lammps_extract_atom": (c.c_void_p, [c.c_void_p, c.c_char_p]),
        "lammps_extract_compute": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_int, c.c_int]),
        "lammps_get_mpi_comm": (c.c_int, [c.c_void_p]),
        "lammps_get_natoms": (c.c_double, [c.c_void_p]),
        "lammps_version": (c.c_int, [c.c_void_p]),
        "lammps_force_timeout": (None, [c.c_void_p]),
        "lammps_has_id": (c.c_int, [c.c_void_p, c.c_char_p, c.c_char_p]),
        "lammps_id_name": (c.c_int, [c.c_void_p, c.c_char_p, c.c_int, c.c_char_p, c.c_int]),
        string_setter(found): (c.c_int, [c.c_void_p, c.c_char_p, c.c_char_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def string_setter(library: Any) -> str:
    """Return the name of the function that sets a string variable; the older is deprecated."""
    new = "lammps_set_string_variable"
    return new if hasattr(library, new) else "lammps_set_variable"


class Instance:
    """A LAMMPS instance by its address: numbers and arrays as they are in its memory."""

    def __init__(self, handle: int) -> None:
        self._lib = library()
        self._handle, self._lmp = handle, c.c_void_p(handle)

    def _pointer(self, name: str) -> int:
        address: int | None = self._lib.lammps_extract_global(self._lmp, name.encode())
        if not address:
            raise DeckError(f"this LAMMPS (version {self.version}) does not give '{name}'")
        return address

    def _double(self, name: str) -> float:
        return float(c.c_double.from_address(self._pointer(name)).value)

    def _bigint(self, name: str) -> int:
        kind = c.c_int64 if self.setting("bigint") == 8 else c.c_int32
        return int(kind.from_address(self._pointer(name)).value)

    def setting(self, name: str) -> int:
        """Return an integer setting of LAMMPS (``lammps_extract_setting``), -1 if unknown."""
        return int(self._lib.lammps_extract_setting(self._lmp, name.encode()))

    @property
    def version(self) -> int:
        """Release as LAMMPS numbers it, for example 20250722."""
        return int(self._lib.lammps_version(self._lmp))

    def _compute(self, name: str) -> float:
        address = self._lib.lammps_extract_compute(self._lmp, name.encode(), _GLOBAL, _SCALAR)
        return float(c.c_double.from_address(address).value) if address else float("nan")

    def _positions(self, n: int) -> NDArray[np.float64]:
        rows = self._lib.lammps_extract_atom(self._lmp, b"x")
        if not rows or not n:
            return np.zeros((0, 3))
        first = c.c_void_p.from_address(rows).value  # LAMMPS keeps the rows in one block
        assert first is not None
        return in_place(first, (n, 3), np.float64)

    def _array(self, name: bytes, n: int, dtype: Any) -> NDArray[Any]:
        address = self._lib.lammps_extract_atom(self._lmp, name)
        return in_place(address, (n,), dtype) if address and n else np.zeros(0, dtype=dtype)


class _Place:
    """An array in memory, as NumPy asks for it: ctypes' own way takes ten times as long."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.__array_interface__ = {
            "data": (address, False), "shape": shape, "typestr": np.dtype(dtype).str, "version": 3,
        }  # fmt: skip


def in_place(address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return what is at an address as an array; nobody keeps it alive."""
    return np.asarray(_Place(address, shape, dtype))
