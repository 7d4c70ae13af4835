# SPDX-License-Identifier: BSD-3-Clause
"""The contract of an analyzer: local sums on each rank, observables from the summed result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame
from insitu.frame.neighbors import Neighbors


@dataclass(frozen=True)
class Observable:
    """One time-dependent quantity of the history.

    Parameters
    ----------
    path
        Place below ``observables/``, for example ``phases/fraction``.
    shape
        Shape of one frame, ``()`` for a scalar.
    dtype
        NumPy type, ``"f8"`` or ``"i8"``.
    unit
        Unit as H5MD writes it, ``""`` for a dimensionless quantity.
    description
        One line for readers.
    rows
        What the first axis of `shape` runs over, if it is not the classes: the name of the
        coordinate and its values, for example ``("group", ("surface", "bulk"))``.
    axes
        What all axes run over, where none are the classes: name, values and unit of each.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    description: str
    rows: tuple[str, tuple[Any, ...]] | None = None
    axes: tuple[tuple[str, tuple[Any, ...], str], ...] = ()


class Analyzer(Protocol):
    """Turns a frame into sums; everything else (MPI, files) is the pipeline's.

    Means and errors are derived in :meth:`finish` from the sums over all ranks, so that a result
    does not depend on the decomposition.
    """

    name: str
    #: Radius [Å] that has to be complete around every owned atom.
    cutoff: float
    #: Name and shape of each local sum; known before the first frame, the same on every rank.
    sums: Mapping[str, tuple[int, ...]]
    #: What is written.
    observables: Sequence[Observable]
    #: Wall time of the stages of the last frame [s].
    timing: dict[str, float]

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return this rank's sums for one frame."""
        ...

    def finish(self, sums: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Return the values of :attr:`observables` from the sums over all ranks."""
        ...
