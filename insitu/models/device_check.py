# SPDX-License-Identifier: BSD-3-Clause
"""Does a device give what the CPU gives? Asked once, when a model is moved to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from insitu.errors import SettingError
from insitu.species import SYMBOLS

if TYPE_CHECKING:
    from insitu.models.store import AnyModel

#: Largest difference of a probability (design: between engines 1e-3 may change a label).
_ALLOWED = 1e-3


def compare_with_cpu(model: AnyModel) -> None:
    """Classify a small sample on both: a hot crystal with vacancies and a free surface.

    Raises
    ------
    SettingError
        Probabilities differ by more than 1e-3: driver, compiler or GPU are not to be trusted.
    """
    from insitu.offline import classify_with
    from insitu.testing import lattice

    there = model.on_device
    if there is None:
        return
    r, cell = lattice("fcc", 4.05, (3, 3, 3))
    noise = np.random.default_rng(0)
    r = (r + noise.normal(scale=0.1, size=r.shape))[noise.random(len(r)) > 0.05]
    known = [SYMBOLS.index(e) for e in model.card.elements] or [1]
    sample = (r, cell, (True, True, False), np.resize(known, len(r)))
    here = model.on_device = None
    try:
        here = classify_with(model, *sample)
    finally:
        model.on_device = there
    difference = float(
        np.abs(classify_with(model, *sample).probabilities - here.probabilities).max()
    )
    if not difference <= _ALLOWED:
        raise SettingError(
            f"{there.device.name} gives other probabilities than the CPU (by {difference:.2g}, allowed "
            f"{_ALLOWED:g}): update driver and CuPy, report it, or give device=cpu"
        )
