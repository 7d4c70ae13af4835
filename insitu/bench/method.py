# SPDX-License-Identifier: BSD-3-Clause
"""A method that a benchmark runs: of this package, or of its peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One repetition: its time [s], and the fraction found in the sample's structure, if it says."""

    seconds: float
    fraction: float | None = None


@dataclass(frozen=True)
class Method:
    """Something that analyses a sample.

    Parameters
    ----------
    name
        What the table shows.
    family
        Word of ``--only``: insitu, ovito, lammps, numpy or torch.
    atoms
        Atoms that one repetition analyses.
    run
        One repetition.
    note
        What a reader has to know of it.
    close
        Ends its process, if it has one.
    """

    name: str
    family: str
    atoms: int
    run: Callable[[], Result]
    note: str = ""
    close: Callable[[], None] = lambda: None


#: Families of methods, in the order of the table.
FAMILIES = ("insitu", "ovito", "lammps", "numpy", "torch")
