# SPDX-License-Identifier: BSD-3-Clause
"""Crystals of real compounds from a list, for what a model is to call `unknown`; split by structure."""

from __future__ import annotations

import ast
import csv
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.lattices.copies import Crystal, nearest, shape
from insitu.frame.species import SYMBOLS
from insitu.training.structures.sites import Prints
from insitu.training.structures.tensor_tables import poscar, rows

#: Shares of the list that are the test and the calibration part; the rest is for training.
_TEST, _CALIBRATION = 0.25, 0.15
#: Most sites of a crystal, and by how much the means of the sites' distances of two differ at least: of
#: those that differ by less the first is kept.
_MOST, _APART = 40, 0.02
#: Shortest distance of sites, in units of (volume an atom)^(1/3).
_CLOSEST = 0.4


@dataclass(frozen=True)
class Listed:
    """A crystal of the list.

    Parameters
    ----------
    name
        Its identifier in the list.
    sites, cell
        ``(n, 3)`` fractional and ``(3, 3)`` [Å].
    elements
        ``(n,)`` symbols.
    """

    name: str
    sites: NDArray[np.float64]
    cell: NDArray[np.float64]
    elements: NDArray[np.str_]

    @property
    def crystal(self) -> Crystal:
        """Sites and cell."""
        return self.sites, self.cell

    @cached_property
    def part(self) -> str:
        """``test``, ``calibration`` or ``training``, by a hash of the name."""
        at = hashlib.sha256(self.name.encode()).digest()[0] / 256
        if at < _TEST:
            return "test"
        return "calibration" if at < _TEST + _CALIBRATION else "training"

    def sublattices(self) -> Iterator[Crystal]:
        """Yield the crystals that are left where one element is taken out."""
        for element in np.unique(self.elements):
            keep = self.elements != element
            if keep.sum() > 1:
                left = self.sites[keep], self.cell
                if nearest(*left, 1).min() >= _CLOSEST:
                    yield left


def read(path: str | Path) -> list[Listed]:
    """Return the crystals of a list, of up to 40 sites, each structure once.

    Parameters
    ----------
    path
        CSV file with the columns ``material_id`` and ``structure`` (a dictionary as pymatgen writes it);
        lines that begin with # are no rows. For example matminer's ``flla_2015.csv``: 3,938 crystals of
        the Materials Project, Faber et al., Int. J. Quantum Chem. 115, 1094 (2015),
        doi:10.1002/qua.24917.

    Raises
    ------
    SettingError
        The file cannot be read or has other columns.
    """
    csv.field_size_limit(sys.maxsize)
    found = _Once()
    try:
        with Path(path).open(newline="") as file:
            for row in csv.DictReader(line for line in file if not line.startswith("#")):
                made = ast.literal_eval(row["structure"])
                sites = np.array([s["abc"] for s in made["sites"]], dtype=np.float64)
                cell = np.array(made["lattice"]["matrix"], dtype=np.float64)
                elements = np.array([s["species"][0]["element"] for s in made["sites"]])
                found.add(row["material_id"], sites, cell, elements)
    except (OSError, KeyError, ValueError, SyntaxError) as error:
        raise SettingError(
            f"the recipe's [foreign] table '{path}' cannot be read as a list of crystals ({error}); give "
            "matminer's flla_2015.csv, or leave `table` out"
        ) from None
    return found.crystals


def further(paths: Iterable[str | Path], known: Iterable[Listed]) -> list[Listed]:
    """Return the crystals of other tables, of up to 40 sites, each structure once and none that is known.

    Parameters
    ----------
    paths
        CSV files with the columns ``material_id`` and ``poscar``: matminer's ``elastic_tensor.csv`` (de
        Jong et al., Sci. Data 2, 150009 (2015), doi:10.1038/sdata.2015.9), ``dielectric_constant.csv``
        (Petousis et al., Sci. Data 4, 160134 (2017), doi:10.1038/sdata.2016.134) and
        ``piezoelectric_tensor.csv`` (de Jong et al., Sci. Data 2, 150053 (2015),
        doi:10.1038/sdata.2015.53).
    known
        Crystals whose structures are left out.

    Raises
    ------
    SettingError
        A file cannot be read or has other columns.
    """
    found = _Once()
    for c in known:
        found.add(c.name, c.sites, c.cell, c.elements)
    before = len(found.crystals)
    for path in paths:
        for row in rows(path, ("material_id", "poscar")):
            try:
                cell, sites, numbers = poscar(row["poscar"])
            except (IndexError, ValueError) as error:
                raise SettingError(
                    f"'{path}': the POSCAR of {row['material_id']} cannot be read ({error})"
                ) from None
            found.add(row["material_id"], sites, cell, np.array(SYMBOLS)[numbers])
    return found.crystals[before:]


class _Once:
    """Crystals of which each structure is kept once, the first."""

    def __init__(self) -> None:
        self.crystals: list[Listed] = []
        self._seen = np.empty((0, 38))

    def add(
        self, name: str, sites: NDArray[np.float64], cell: NDArray[np.float64],
        elements: NDArray[np.str_],
    ) -> None:  # fmt: skip
        if not 0 < len(sites) <= _MOST:
            return
        # A left-handed cell becomes the mirror image, from which no descriptor can tell it.
        cell = cell * np.sign(np.linalg.det(cell))
        about = _about(sites, cell)
        if len(self._seen) and np.abs(self._seen - about).max(axis=1).min() < _APART:
            return
        self._seen = np.vstack([self._seen, about])
        self.crystals.append(Listed(name, sites, cell, elements))


def _about(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    d = shape(sites, cell)
    found: NDArray[np.float64] = np.concatenate([d.mean(axis=0), d.std(axis=0), [d.min(), d.max()]])
    return found


def trained(crystals: Iterable[Listed], others: Prints) -> list[Listed]:
    """Return the crystals of the training part that are like none of `others`, which are held out."""
    return [c for c in crystals if c.part == "training" and c.crystal not in others]
