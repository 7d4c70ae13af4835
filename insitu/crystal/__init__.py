# SPDX-License-Identifier: BSD-3-Clause
"""Crystals found in a frame: lattice, basis, space group; tensors and their symmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insitu.lazy import attribute

#: Where the names that users call are: imported on first use.
_HOME = {
    "closest_symmetry": "insitu.crystal.tensors.symmetry_distance",
    "dielectric_tensor": "insitu.crystal.prediction.tensors",
    "elastic_tensor": "insitu.crystal.prediction.tensors",
    "find_crystals": "insitu.crystal.finding.search",
    "formation_energy": "insitu.crystal.prediction.scalars",
}

__all__ = [
    "closest_symmetry",
    "dielectric_tensor",
    "elastic_tensor",
    "find_crystals",
    "formation_energy",
]

if TYPE_CHECKING:
    from insitu.crystal.finding.search import find_crystals
    from insitu.crystal.prediction.scalars import formation_energy
    from insitu.crystal.prediction.tensors import dielectric_tensor, elastic_tensor
    from insitu.crystal.tensors.symmetry_distance import closest_symmetry


def __getattr__(name: str) -> Any:
    return attribute(__name__, name, _HOME, __all__)
