# SPDX-License-Identifier: BSD-3-Clause
"""Structure types, their colours and counts in a data collection, as OVITO's own modifiers leave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, ElementType

from insitu.models.structure_types import NOT_ANALYSED, colors, structure_types


def show(
    data: DataCollection, codes: NDArray[np.integer[Any]], confidence: NDArray[np.floating[Any]],
    classes: Sequence[str], integers: Sequence[int], *, color: bool,
) -> None:  # fmt: skip
    """Write what is known of each particle into a data collection.

    Parameters
    ----------
    data
        Has particles.
    codes, confidence
        ``(n,)`` integer of each particle's phase, and its probability.
    classes, integers
        Names of the phases and their integers, ``unknown`` among them.
    color
        Also give the particles the colours of their types.
    """
    types = structure_types(classes, integers)
    particles = data.particles_
    written = particles.create_property("Structure Type", data=codes.astype(np.int32))
    written.types.clear()
    for code, (name, rgb) in types.items():
        written.types.append(ElementType(id=code, name=name, color=rgb))
    particles.create_property("Confidence", data=confidence.astype(np.float64))
    if color:
        particles.create_property("Color", data=colors(types, codes))
    analysed = int((codes != NOT_ANALYSED).sum())
    for name, code in zip(classes, integers, strict=True):
        count = int((codes == code).sum())
        data.attributes[f"insitu.counts.{name}"] = count
        data.attributes[f"insitu.fractions.{name}"] = count / analysed if analysed else float("nan")
