# SPDX-License-Identifier: BSD-3-Clause
"""Names and colours of the phases as OVITO has them, where it has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RGB = tuple[float, float, float]
#: Of OVITO's polyhedral template matching, by the integers of the phases (:mod:`insitu.models.card`).
_OF_OVITO: dict[int, tuple[str, RGB]] = {
    1: ("FCC", (0.4, 1.0, 0.4)),
    2: ("HCP", (1.0, 0.4, 0.4)),
    3: ("BCC", (0.4, 0.4, 1.0)),
    5: ("Simple cubic", (0.627, 0.078, 0.996)),
    6: ("Cubic diamond", (0.075, 0.627, 0.996)),
    7: ("Hexagonal diamond", (0.996, 0.537, 0.0)),
}
_OWN: dict[int, RGB] = {
    -1: (0.45, 0.45, 0.45), 0: (0.95, 0.95, 0.95), 100: (0.7, 0.7, 0.7), 101: (0.65, 0.75, 0.8),
    102: (0.8, 0.7, 0.6),
}  # fmt: skip
#: Of further classes in their order.
_FURTHER: tuple[RGB, ...] = (
    (0.95, 0.8, 0.2), (0.9, 0.45, 0.75), (0.3, 0.75, 0.7), (0.6, 0.5, 0.9), (0.75, 0.85, 0.3),
    (0.55, 0.35, 0.25), (0.2, 0.5, 0.35), (0.85, 0.6, 0.5),
)  # fmt: skip
NOT_ANALYSED = -1


def structure_types(classes: Sequence[str], codes: Sequence[int]) -> dict[int, tuple[str, RGB]]:
    """Return name and colour of each integer that an atom can have, also of those not analysed.

    Parameters
    ----------
    classes, codes
        Names of the phases and their integers, ``unknown`` among them.
    """
    found: dict[int, tuple[str, RGB]] = {NOT_ANALYSED: ("not analysed", _OWN[NOT_ANALYSED])}
    further = 0
    for name, code in zip(classes, codes, strict=True):
        if code in _OF_OVITO:
            found[code] = _OF_OVITO[code]
        elif code in _OWN:
            found[code] = (name, _OWN[code])
        else:
            found[code] = (name, _FURTHER[further % len(_FURTHER)])
            further += 1
    return found


def colors(types: dict[int, tuple[str, RGB]], codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the colour ``(n, 3)`` of atoms with these integers ``(n,)``."""
    kinds, which = np.unique(codes, return_inverse=True)
    table = np.array([types[int(k)][1] for k in kinds], dtype=np.float64).reshape(-1, 3)
    return table[which]
