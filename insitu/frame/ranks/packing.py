# SPDX-License-Identifier: BSD-3-Clause
"""Named arrays in the one vector of an all-reduce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Packing:
    """Puts several named arrays into the one vector of an all-reduce, and takes them out again."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = dict(shapes)
        sizes = [int(np.prod(s)) for s in self._shapes.values()]
        self.length = sum(sizes)
        self._ends = np.cumsum(sizes).tolist()

    def pack(self, arrays: Mapping[str, Any] | None) -> NDArray[np.float64]:
        """Return the arrays as one vector; zeros for a rank that failed (None)."""
        if arrays is None:
            return np.zeros(self.length)
        parts = [np.asarray(arrays[k], dtype=np.float64).reshape(-1) for k in self._shapes]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unpack(self, vector: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the named arrays of a packed vector."""
        found, at = {}, 0
        for (name, shape), end in zip(self._shapes.items(), self._ends, strict=True):
            found[name] = vector[at:end].reshape(shape)
            at = end
        return found
