# SPDX-License-Identifier: BSD-3-Clause
"""Published tensors and energies of crystals, with structures: read, checked, dealt out by composition.

Three tables are understood, as matminer 0.4.0's source distribution has them: ``elastic_tensor.csv`` (de
Jong et al.), ``dielectric_constant.csv`` (Petousis et al.) and ``flla_2015.csv`` (formation energies,
Faber et al.). They are fetched by whoever trains:
``pip download --no-deps --no-binary :all: --no-build-isolation matminer==0.4.0``.

References
----------
M. de Jong et al., Sci. Data 2, 150009 (2015), doi:10.1038/sdata.2015.9.
I. Petousis et al., Sci. Data 4, 160134 (2017), doi:10.1038/sdata.2016.134.
F. Faber, A. Lindmaa, O. A. von Lilienfeld, R. Armiento, Int. J. Quantum Chem. 115, 1094 (2015),
doi:10.1002/qua.24917.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.tensors.voigt import from_voigt
from insitu.errors import SettingError
from insitu.frame.species import SYMBOLS

#: Column of the tensor, largest norm that is kept, by kind.
COLUMNS = {"elastic": ("elastic_tensor_original", 1500.0 * 6), "dielectric": ("e_total", 100.0)}
#: Largest component of an elastic tensor that is kept [GPa].
_STIFFEST = 1500.0
#: Parts of the compositions for validation and for the test.
_PARTS = {"test": 0.1, "validation": 0.1}


@dataclass(frozen=True)
class Record:
    """A crystal and its tensor, or another property.

    Parameters
    ----------
    name, formula
        Of the table, and reduced.
    cell, sites, numbers
        ``(3, 3)`` [Å], ``(n, 3)`` fractional, ``(n,)`` atomic numbers.
    tensor
        Cartesian, in the axes of the cell; a scalar is ``(1,)``.
    """

    name: str
    formula: str
    cell: NDArray[np.float64]
    sites: NDArray[np.float64]
    numbers: NDArray[np.int64]
    tensor: NDArray[np.float64]

    @property
    def part(self) -> str:
        """Return ``train``, ``validation`` or ``test``: the same for all crystals of one composition."""
        digest = hashlib.sha256(self.formula.encode()).digest()
        at = int.from_bytes(digest[:8], "big") / 2.0**64
        for name, share in _PARTS.items():
            if at < share:
                return name
            at -= share
        return "train"


def read(path: str, kind: str) -> list[Record]:
    """Return the crystals of a table that have a usable tensor.

    Parameters
    ----------
    path
        CSV file; lines that begin with # are no rows.
    kind
        ``elastic`` or ``dielectric``.

    Raises
    ------
    SettingError
        The file cannot be read or has other columns.
    """
    column, most = COLUMNS[kind]
    records = []
    for row in rows(path, (column, "poscar", "material_id")):
        values = np.array(json.loads(row[column]), dtype=np.float64)
        tensor: NDArray[np.float64] = (
            from_voigt(0.5 * (values + values.T)) if kind == "elastic" else values
        )
        if kind == "dielectric":
            tensor = 0.5 * (values + values.T)
        if not np.isfinite(tensor).all() or np.linalg.norm(tensor) > most:
            continue
        if kind == "elastic" and (
            np.abs(values).max() > _STIFFEST or np.linalg.eigvalsh(values + values.T).min() <= 0
        ):
            continue
        cell, sites, numbers = poscar(row["poscar"])
        records.append(Record(row["material_id"], formula(numbers), cell, sites, numbers, tensor))
    return records


def read_energies(path: str | Path) -> list[Record]:
    """Return crystals and their formation energies ``(1,)`` [eV/atom].

    Parameters
    ----------
    path
        ``flla_2015.csv``.

    Raises
    ------
    SettingError
        The file cannot be read or has other columns.
    """
    records = []
    for row in rows(path, ("structure", "formation_energy_per_atom", "material_id")):
        structure = ast.literal_eval(row["structure"])
        cell = np.array(structure["lattice"]["matrix"], dtype=np.float64)
        sites = np.array([s["abc"] for s in structure["sites"]], dtype=np.float64)
        symbols = [s["species"][0]["element"] for s in structure["sites"]]
        numbers = np.array([SYMBOLS.index(s) for s in symbols], dtype=np.int64)
        energy = np.array([float(row["formation_energy_per_atom"])])
        name = row["material_id"]
        records.append(Record(name, formula(numbers), cell, sites, numbers, energy))
    return records


def rows(path: str | Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table, by column.

    Parameters
    ----------
    path
        CSV file; a first line that begins with # is no row.
    columns
        What it has to have.

    Raises
    ------
    SettingError
        The file cannot be read or has other columns.
    """
    csv.field_size_limit(sys.maxsize)
    try:
        with Path(path).open(newline="") as file:
            lines = [line for n, line in enumerate(file) if n or not line.startswith("#")]
            header, *table = csv.reader(lines)
            # One of the tables has an index before the columns that its header names.
            found = [dict(zip(header, v[len(v) - len(header) :], strict=True)) for v in table]
    except (OSError, ValueError) as error:
        raise SettingError(f"'{path}' cannot be read ({error})") from None
    if not found or not set(columns) <= set(found[0]):
        raise SettingError(f"'{path}' lacks one of the columns {', '.join(columns)}")
    return found


def poscar(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return cell ``(3, 3)`` [Å], fractional sites ``(n, 3)`` and atomic numbers ``(n,)``."""
    lines = text.replace("\\n", "\n").splitlines()
    scale = float(lines[1])
    cell = np.array([line.split() for line in lines[2:5]], dtype=np.float64) * scale
    symbols, counts = lines[5].split(), [int(c) for c in lines[6].split()]
    n = sum(counts)
    sites = np.array([line.split()[:3] for line in lines[8 : 8 + n]], dtype=np.float64)
    if not lines[7].strip().lower().startswith("d"):
        sites = sites * scale @ np.linalg.inv(cell)
    numbers = np.repeat([SYMBOLS.index(s) for s in symbols], counts)
    return cell, sites, numbers.astype(np.int64)


def formula(numbers: NDArray[np.int64]) -> str:
    """Return the reduced formula of atomic numbers ``(n,)``, elements by their numbers."""
    kinds, counts = np.unique(numbers, return_counts=True)
    common = reduce(gcd, counts.tolist())
    return "".join(f"{SYMBOLS[z]}{c // common}" for z, c in zip(kinds, counts, strict=True))
