# SPDX-License-Identifier: BSD-3-Clause
"""One configuration of a file: what a reader hands to the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.species import SYMBOLS


@dataclass
class Configuration:
    """A frame of a file, in the file's own units, with what the file says of it and nothing else.

    Parameters
    ----------
    positions
        ``(n, 3)`` in `units`.
    cell, origin, pbc
        ``(3, 3)`` cell vectors as rows, ``(3,)`` corner, ``(3,)`` which directions are periodic.
    step, time
        Of the simulation; None: the file does not say.
    units
        LAMMPS unit style; ``""``: the file does not say.
    ids, types
        ``(n,)`` each, or None.
    names
        ``(n,)`` elements or labels of the types as the file has them, or None.
    columns
        ``(n,)`` each: further columns of numbers.
    boundary_known
        Whether the file says in which directions it is periodic; if not, `pbc` has all of them.
    """

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    origin: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    step: int | None = None
    time: float | None = None
    units: str = ""
    ids: NDArray[np.int64] | None = None
    types: NDArray[np.int32] | None = None
    names: NDArray[np.str_] | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    boundary_known: bool = True

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def numbers(self) -> NDArray[np.int64] | None:
        """Atomic numbers ``(n,)``, where the names are elements, all of them."""
        if self.names is None:
            return None
        kinds, which = np.unique(self.names, return_inverse=True)
        if not all(k in _NUMBER for k in kinds.tolist()):
            return None
        return np.array([_NUMBER[k] for k in kinds.tolist()], dtype=np.int64)[which]

    def take(self, kept: NDArray[np.bool_]) -> Configuration:
        """Return the configuration of some of its atoms."""

        def part(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[kept]

        return Configuration(
            self.positions[kept], self.cell, self.origin, self.pbc, self.step, self.time, self.units,
            part(self.ids), part(self.types), part(self.names),
            {k: v[kept] for k, v in self.columns.items()}, self.boundary_known,
        )  # fmt: skip


_NUMBER = {symbol: z for z, symbol in enumerate(SYMBOLS) if z}
