# SPDX-License-Identifier: BSD-3-Clause
"""Weights of the networks that are shipped for crystals, and the layers by which NumPy runs them."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import ModelError, SettingError
from insitu.frame.lattices.copies import nearest_distance
from insitu.frame.species import SYMBOLS

#: Where the shipped models are.
FOLDER = Path(__file__).parent / "models"
Weights = dict[str, NDArray[np.float64]]
#: What is raised where a file is none of NumPy's archives, is cut, or was changed.
_DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


@cache
def loaded(kind: str, file: str | None = None) -> tuple[list[Weights], dict[str, Any]]:
    """Return the networks of a model, and what is known of it; a file is read once in a process.

    Parameters
    ----------
    kind
        ``elastic``, ``dielectric`` or ``formation_energy``.
    file
        Of a model of that kind; None: the shipped one.

    Raises
    ------
    ModelError
        The file cannot be read, or is no model of that kind.
    """
    path = FOLDER / f"{kind}.npz" if file is None else Path(file)
    todo = (
        "install insitu anew" if file is None else "give a file of benchmarks/potential_tensors.py"
    )
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # NumPy looks at few of its checksums
            if changed := archive.testzip():
                raise ValueError(f"'{changed}' in it was changed")
        with np.load(io.BytesIO(content)) as stored:
            arrays = {name: stored[name] for name in stored.files}
        notes = json.loads(str(arrays.pop("notes", "null")))
    except _DAMAGED as error:
        raise ModelError(f"the model '{path}' cannot be read ({error}); {todo}") from None
    if not isinstance(notes, dict) or not isinstance(notes.get("networks"), int):
        raise ModelError(f"the model '{path}' is no model of crystals; {todo}")
    if file is not None and notes.get("kind") != kind:
        raise ModelError(f"the model '{path}' is of '{notes.get('kind')}', not '{kind}'; {todo}")
    nets: list[Weights] = [{} for _ in range(notes["networks"])]
    for name, value in arrays.items():
        k, _, key = name.partition("/")
        if not k.isdecimal() or int(k) >= len(nets):
            raise ModelError(f"the model '{path}' has '{name}', which is of no network; {todo}")
        nets[int(k)][key] = value.astype(np.float64)
    if file is not None and (lacking := set(loaded(kind)[0][0]) - set(*nets[:1])):
        raise ModelError(f"the model '{path}' lacks {', '.join(sorted(lacking))}; {todo}")
    for net in nets[1:]:
        net |= {key: nets[0][key] for key in ("radius", "properties")}
    return nets, notes


def checked(
    cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike, most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return cell, sites and numbers as arrays.

    Parameters
    ----------
    cell, sites, numbers
        ``(3, 3)`` [Å], ``(n, 3)`` fractional coordinates, ``(n,)`` atomic numbers.
    most
        Elements have lower numbers.

    Raises
    ------
    SettingError
        A shape is wrong, a number is not finite, an element has no place in the tables, or atoms lie on
        each other.
    """
    lattice, s = np.asarray(cell, dtype=np.float64), np.asarray(sites, dtype=np.float64)
    z = np.asarray(numbers, dtype=np.int64)
    if lattice.shape != (3, 3) or s.ndim != 2 or s.shape[1:] != (3,) or z.shape != (len(s),):
        raise SettingError(
            f"cell, sites and numbers have shapes {lattice.shape}, {s.shape} and {z.shape}; give (3, 3), "
            "(n, 3) and (n,)"
        )
    if not (np.isfinite(lattice).all() and np.isfinite(s).all()):
        raise SettingError("cell or sites hold what is no finite number; give a unit cell")
    if not len(s) or abs(np.linalg.det(lattice)) < 1e-6:
        raise SettingError("the crystal has no atoms or no volume; give a unit cell")
    if not (z.min() > 0 and z.max() < most):
        raise SettingError(
            f"numbers has {int(z.min())} … {int(z.max())}; give atomic numbers of H … {SYMBOLS[most - 1]}"
        )
    if nearest_distance(s, lattice) < 0.3:
        raise SettingError(
            "two atoms of the cell are less than 0.3 Å apart; give an ordered structure"
        )
    return lattice, s, z
