# SPDX-License-Identifier: BSD-3-Clause
"""Tensors and their symmetry: projection onto a point group, Voigt's notation, moduli."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insitu.lazy import attribute

#: Where the names that users call are: imported on first use.
_HOME = {
    "independent": "insitu.crystal.tensors.projection",
    "project": "insitu.crystal.tensors.projection",
    "rotate": "insitu.crystal.tensors.projection",
    "symmetry_breaking": "insitu.crystal.tensors.projection",
}

__all__ = ["independent", "project", "rotate", "symmetry_breaking"]

if TYPE_CHECKING:
    from insitu.crystal.tensors.projection import independent, project, rotate, symmetry_breaking


def __getattr__(name: str) -> Any:
    return attribute(__name__, name, _HOME, __all__)
