# SPDX-License-Identifier: BSD-3-Clause
"""What training and tests see: one labelled configuration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Label of atoms that are not used.
MASKED = ""


@dataclass(frozen=True)
class Sample:
    """One labelled configuration: positions and cell [Å], class names (``""``: do not use).

    `deformed` counts the job's strains; −1: none.
    """

    material: str
    kind: str
    seed: int
    temperature: float
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    labels: NDArray[np.str_]
    deformed: int = -1
