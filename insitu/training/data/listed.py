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
from insitu.frame.crystals import Crystal, nearest, shape
from insitu.training.data.sites import Prints

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
    found: list[Listed] = []
    seen = np.empty((0, 38))
    try:
        with Path(path).open(newline="") as file:
            for row in csv.DictReader(line for line in file if not line.startswith("#")):
                made = ast.literal_eval(row["structure"])
                sites = np.array([s["abc"] for s in made["sites"]], dtype=np.float64)
                cell = np.array(made["lattice"]["matrix"], dtype=np.float64)
                if len(sites) > _MOST:
                    continue
                # A left-handed cell becomes the mirror image, from which no descriptor can tell it.
                cell = cell * np.sign(np.linalg.det(cell))
                about = _about(sites, cell)
                if len(seen) and np.abs(seen - about).max(axis=1).min() < _APART:
                    continue
                seen = np.vstack([seen, about])
                elements = np.array([s["species"][0]["element"] for s in made["sites"]])
                found.append(Listed(row["material_id"], sites, cell, elements))
    except (OSError, KeyError, ValueError, SyntaxError) as error:
        raise SettingError(
            f"the recipe's [foreign] table '{path}' cannot be read as a list of crystals ({error}); give "
            "matminer's flla_2015.csv, or leave `table` out"
        ) from None
    return found


def _about(sites: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    d = shape(sites, cell)
    found: NDArray[np.float64] = np.concatenate([d.mean(axis=0), d.std(axis=0), [d.min(), d.max()]])
    return found


def trained(crystals: Iterable[Listed], others: Prints) -> list[Listed]:
    """Return the crystals of the training part that are like none of `others`, which are held out."""
    return [c for c in crystals if c.part == "training" and c.crystal not in others]
