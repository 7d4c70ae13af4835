# SPDX-License-Identifier: BSD-3-Clause
"""In-situ structural analysis of LAMMPS simulations.

The public names are imported on first use, so that ``import insitu`` costs nothing on the
thousands of ranks of a run: no NumPy, no torch, no h5py, no mpi4py until they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insitu.lazy import attribute

__version__ = "0.1.0"

_HOME = {
    "InsituError": "insitu.errors",
    "Frame": "insitu.frame.frame",
    "barriers": "insitu.offline.barriers",
    "classify": "insitu.offline.classify",
    "monitor": "insitu.lammps.monitor",
    "neighbors_map": "insitu.descriptors.sample_maps",
    "open": "insitu.history.reader",
    "symmetry": "insitu.diffraction.symmetry.classification",
}

__all__ = [
    "Frame", "InsituError", "__version__", "barriers", "classify", "monitor", "neighbors_map", "open",
    "symmetry",
]  # fmt: skip

if TYPE_CHECKING:
    from insitu.descriptors.sample_maps import neighbors_map
    from insitu.diffraction.symmetry.classification import symmetry
    from insitu.errors import InsituError
    from insitu.frame.frame import Frame
    from insitu.history.reader import open
    from insitu.lammps.monitor import monitor
    from insitu.offline.barriers import barriers
    from insitu.offline.classify import classify


def __getattr__(name: str) -> Any:
    return attribute(__name__, name, _HOME, __all__)


def __dir__() -> list[str]:
    return sorted(__all__)
