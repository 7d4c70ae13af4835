# SPDX-License-Identifier: BSD-3-Clause
"""Powder patterns of samples, and what symmetry they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insitu.lazy import attribute

_HOME = {
    "Pattern": "insitu.diffraction.powder",
    "indices_on_cell": "insitu.diffraction.symmetry.known_cell",
    "powder_pattern": "insitu.diffraction.powder",
    "zone_pattern": "insitu.diffraction.zone",
    "sample_symmetry": "insitu.diffraction.sample",
    "scattering_factors": "insitu.diffraction.scattering.form_factors",
}

__all__ = [
    "Pattern", "indices_on_cell", "powder_pattern", "sample_symmetry", "scattering_factors", "zone_pattern",
]  # fmt: skip

if TYPE_CHECKING:
    from insitu.diffraction.powder import Pattern, powder_pattern
    from insitu.diffraction.sample import sample_symmetry
    from insitu.diffraction.scattering.form_factors import scattering_factors
    from insitu.diffraction.symmetry.known_cell import indices_on_cell
    from insitu.diffraction.zone import zone_pattern


def __getattr__(name: str) -> Any:
    return attribute(__name__, name, _HOME, __all__)
