# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that an engine keeps from frame to frame: new memory costs more than it seems."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rooms:
    """Named arrays, one set for each thread that calls.

    Several models may share them, as long as they work one after the other.
    """

    def __init__(self) -> None:
        self._held = threading.local()

    def __call__(
        self, name: str, rows: int, columns: int, dtype: type[Any] = np.float32
    ) -> NDArray[Any]:
        """Return an array ``(rows, columns)`` with whatever it held before."""
        key, kept = (name, columns, np.dtype(dtype)), self._kept
        if key not in kept or len(kept[key]) < rows:
            kept.pop(key, None)
            kept[key] = np.empty((rows + rows // 16, columns), dtype=dtype)
        return kept[key][:rows]

    def give_back(self, most: int) -> None:
        """Give the memory of this thread back if it is more than so many bytes."""
        if sum(a.nbytes for a in self._kept.values()) > most:
            self._kept.clear()

    @property
    def _kept(self) -> dict[tuple[str, int, np.dtype[Any]], NDArray[Any]]:
        """The arrays of the thread that calls, by name, columns and type."""
        kept: dict[tuple[str, int, np.dtype[Any]], NDArray[Any]]
        kept = self._held.__dict__.setdefault("arrays", {})
        return kept
