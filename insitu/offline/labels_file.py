# SPDX-License-Identifier: BSD-3-Clause
"""Files with the phase of each atom: extended XYZ, or a LAMMPS dump, with the columns that OVITO knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.models.structure_types import RGB, colors
from insitu.offline.readers.ase_files import write_labels
from insitu.offline.readers.configuration import Configuration

#: Endings of LAMMPS dumps; all others are extended XYZ.
DUMPS = (".dump", ".lammpstrj", ".lammpsdump")
_ROWS = 20_000


def write(
    path: str, c: Configuration, codes: NDArray[np.integer[Any]], confidence: NDArray[np.float64],
    types: dict[int, tuple[str, RGB]], step: int, *, append: bool,
) -> None:  # fmt: skip
    """Write a configuration with the phases of its atoms.

    Structure type and colour are what OVITO shows a file with, without a modifier.

    Parameters
    ----------
    path
        The file; a LAMMPS dump by its ending, else extended XYZ.
    c
        The configuration.
    codes, confidence
        ``(n,)`` integer of the phase, and its probability.
    types
        Names and colours of the integers.
    step
        Of the frame, where `c` does not say it.
    append
        The file has frames already.

    Raises
    ------
    SettingError
        It cannot be written; ASE is not installed (extended XYZ).
    """
    rgb = colors(types, codes)
    if Path(path).suffix not in DUMPS:
        columns: dict[str, NDArray[Any]] = {
            "phase": codes, "confidence": confidence, "structure_type": codes, "color": rgb,
        }  # fmt: skip
        write_labels(path, c, columns, append=append)
        return
    try:
        with open(path, "a" if append else "w") as file:
            file.write(_head(c, step, append))
            _rows(file, c, codes, confidence, rgb)
    except OSError as error:
        raise SettingError(f"--labels {path} cannot be written ({error.strerror})") from None


def _head(c: Configuration, step: int, later: bool) -> str:
    cell, low = c.cell, c.origin.copy()
    if not cell.any():  # no box: one around the atoms
        low = c.positions.min(axis=0) if len(c) else np.zeros(3)
        cell = np.diag(np.maximum(np.ptp(c.positions, axis=0), 1.0) if len(c) else np.ones(3))
    sides = " ".join("pp" if p else "ff" for p in c.pbc)
    lines = ["ITEM: UNITS", c.units] if c.units and not later else []
    if c.time is not None:
        lines += ["ITEM: TIME", f"{c.time:.16g}"]
    lines += ["ITEM: TIMESTEP", str(step if c.step is None else c.step), "ITEM: NUMBER OF ATOMS"]
    lines += [str(len(c))]
    if not (cell - np.diag(np.diag(cell))).any() and (np.diag(cell) > 0).all():
        lines += [f"ITEM: BOX BOUNDS {sides}"]
        lines += [f"{a:.16g} {a + b:.16g}" for a, b in zip(low, np.diag(cell), strict=True)]
    else:
        lines += [f"ITEM: BOX BOUNDS abc origin {sides}"]
        lines += [
            " ".join(f"{v:.16g}" for v in [*row, corner])
            for row, corner in zip(cell, low, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _rows(
    file: Any, c: Configuration, codes: NDArray[Any], confidence: NDArray[Any], rgb: NDArray[Any]
) -> None:
    n = len(c)
    ids = np.arange(1, n + 1) if c.ids is None else c.ids
    columns: dict[str, NDArray[Any]] = {"id": ids}
    if c.types is not None:
        columns["type"] = c.types
    if c.names is not None:
        columns["element"] = c.names
    columns |= dict(zip(("x", "y", "z"), c.positions.T, strict=True))
    columns |= {"phase": codes, "confidence": confidence, "StructureType": codes}
    columns |= dict(zip(("ColorR", "ColorG", "ColorB"), rgb.T, strict=True))
    form = {"i": "%d", "u": "%d", "f": "%.8g", "U": "%s"}
    line = " ".join(form[v.dtype.kind] for v in columns.values()) + "\n"
    file.write(f"ITEM: ATOMS {' '.join(columns)}\n")
    for k in range(0, n, _ROWS):
        some = [v[k : k + _ROWS].tolist() for v in columns.values()]
        file.write("".join(line % row for row in zip(*some, strict=True)))
