# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that an engine keeps from frame to frame: new memory costs more than it seems."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rooms:
    """Named arrays, one set for each thread that calls."""

    def __init__(self) -> None:
        self._held = threading.local()

    def __call__(
        self, name: str, rows: int, columns: int, dtype: type[Any] = np.float32
    ) -> NDArray[Any]:
        """Return an array ``(rows, columns)`` with whatever it held before."""
        held: NDArray[Any] | None = getattr(self._held, name, None)
        if held is None or len(held) < rows:
            held = np.empty((rows + rows // 16, columns), dtype=dtype)
            setattr(self._held, name, held)
        return held[:rows]
