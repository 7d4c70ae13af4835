# SPDX-License-Identifier: BSD-3-Clause
"""Structures that become classes: prototypes and snapshots from files, read by ASE and checked."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.lattices.copies import Crystal, classes_of_sites, nearest

#: Shortest distance of two sites, in units of (volume an atom)^(1/3): nearer ones are one that is occupied
#: in part.
_CLOSEST = 0.35
#: Most sites of a prototype, and most added classes.
_MOST_SITES, MOST_CLASSES = 500, 40
#: Names that mean something else: to a history, to `group` and to triggers.
_TAKEN = ("unknown", "all", "temperature", "potential_energy", "pressure")
#: How far from the middle of a cluster its atoms have all their surroundings: its radius less this many
#: (volume an atom)^(1/3).
_RIM = 4.5


@dataclass(frozen=True)
class Snapshot:
    """A configuration whose atoms are of the class: hot already.

    Parameters
    ----------
    positions, cell, pbc
        ``(n, 3)``, ``(3, 3)`` [Å], ``(3,)``.
    used
        ``(n,)`` which atoms are of the class.
    """

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    used: NDArray[np.bool_]


@dataclass(frozen=True)
class Structure:
    """What a class is made of.

    Parameters
    ----------
    name
        Of the class.
    prototypes
        Perfect crystals, all of whose sites are of the class.
    snapshots
        Configurations that were given beside or in place of them.
    files
        Name and SHA-256 of each file.
    """

    name: str
    prototypes: tuple[Crystal, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


def parse(value: Any, setting: str = "classes") -> dict[str, str]:
    """Return the file of each class from ``omega=omega.cif,A15=a15.cif`` or a mapping.

    Raises
    ------
    SettingError
        It is neither; a name is no word or given twice.
    """
    how = f"give {setting} omega=omega.cif,A15=a15.cif, in Python {{'omega': 'omega.cif'}}"
    if isinstance(value, Mapping):
        pairs = [(str(k), str(v)) for k, v in value.items()]
    elif isinstance(value, str):
        pairs = [(n.strip(), f.strip()) for n, _, f in (p.partition("=") for p in value.split(","))]
    else:
        raise SettingError(f"{setting}={value!r} is not understood; {how}")
    for name, file in pairs:
        if not (name and file):
            raise SettingError(f"{setting}={value} is not understood; {how}")
        if not re.fullmatch(r"[A-Za-z][\w.+-]*", name) or name in _TAKEN:
            raise SettingError(
                f"{setting}: '{name}' cannot be the name of a class; give one that begins with a letter "
                f"and has letters, digits, _, ., + and - only, and is none of {', '.join(_TAKEN)}"
            )
    if twice := [n for n, many in Counter(n for n, _ in pairs).items() if many > 1]:
        raise SettingError(f"{setting}: class '{twice[0]}' is given twice; give each its own name")
    if len(pairs) > MOST_CLASSES:
        raise SettingError(
            f"{setting} names {len(pairs)} classes; a model takes {MOST_CLASSES} more"
        )
    return dict(pairs)


def read(classes: Mapping[str, str]) -> list[Structure]:
    """Return the structures of some classes from their files: CIF, POSCAR, LAMMPS data, what ASE reads.

    Raises
    ------
    SettingError
        ASE is not installed; a file is not there, cannot be read, or is no structure that can be a class.
    """
    return [_read(name, Path(file)) for name, file in classes.items()]


def _read(name: str, path: Path) -> Structure:
    where = f"class '{name}'"
    try:
        import ase.io
    except ImportError:
        raise SettingError(
            f"{where} is read from '{path}' by ASE, which is not installed: pip install 'insitu[ase]'"
        ) from None
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingError(
            f"{where}: '{path}' cannot be read ({error.strerror or error}); give the path of a CIF file, a "
            "POSCAR, a LAMMPS data file or another file that ASE reads"
        ) from None
    data = path.name.startswith("data.") or path.suffix in (".data", ".lmp")
    try:
        kind = "lammps-data" if data else None
        # In a process of an MPI run ASE would share what it reads with all ranks, which do not read.
        atoms: Any = ase.io.read(
            str(path), index=-1, format=kind, parallel=False, do_not_split_by_at_sign=True
        )
    except Exception as error:  # each of ASE's readers has errors of its own
        text = (str(error).strip().splitlines() or [""])[0][:160]
        raise SettingError(
            f"{where}: '{path}' cannot be read by ASE ({type(error).__name__}{text and ': '}{text}); "
            "give a CIF file, a POSCAR, a LAMMPS data file or extended XYZ"
        ) from None
    return structure(
        name, np.asarray(atoms.positions, float), np.asarray(atoms.cell.array, float),
        np.asarray(atoms.pbc, bool), (str(path), digest),
    )  # fmt: skip


def structure(
    name: str, positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_],
    file: tuple[str, str],
) -> Structure:  # fmt: skip
    """Return the class of a prototype (periodic in all directions) or of a cluster (in none).

    Raises
    ------
    SettingError
        It is neither; atoms lie on each other; a site is that of a lattice which models know.
    """
    where = f"class '{name}': '{file[0]}'"
    if not len(positions) or not np.isfinite(positions).all():
        raise SettingError(f"{where} has no atoms with coordinates; give a crystal structure")
    if not pbc.any():
        return Structure(name, (), (cluster(positions, where),), (file,))
    if not pbc.all() or abs(np.linalg.det(cell)) < 1e-6:
        raise SettingError(
            f"{where} is periodic in {int(pbc.sum())} directions; give a crystal (three) or a ball (none)"
        )
    if len(positions) > _MOST_SITES:
        raise SettingError(
            f"{where} has {len(positions)} atoms in its cell; give the primitive or conventional cell, up "
            f"to {_MOST_SITES}, or give snapshots with insitu train --few-shot"
        )
    sites = positions @ np.linalg.inv(cell)
    if float(nearest(sites, cell, 1).min()) < _CLOSEST:
        raise SettingError(
            f"{where} has sites that lie on each other (occupied in part?); give an ordered structure"
        )
    known = classes_of_sites(sites, cell)
    if any(known):
        names = ", ".join(f"{k} ({n} sites)" for k, n in Counter(k for k in known if k).items())
        own = sum(not k for k in known)
        raise SettingError(
            f"{where} has surroundings that models know already: {names}; "
            + (f"only {own} of {len(known)} sites are new. " if own else "")
            + "A class is told by positions, whatever the elements: leave it out and use the known name"
        )
    crystal = sites, cell * np.sign(np.linalg.det(cell))
    return Structure(name, (crystal,), (), (file,))


def cluster(positions: NDArray[np.float64], where: str) -> Snapshot:
    """Return a ball of atoms, of which those near its middle are used.

    Raises
    ------
    SettingError
        It is too small.
    """
    middle = 0.5 * (positions.min(axis=0) + positions.max(axis=0))
    away = np.linalg.norm(positions - middle, axis=1)
    radius = float(away.max())
    length = np.cbrt(4.0 / 3.0 * np.pi * radius**3 / len(positions))
    used = away <= max(radius - _RIM * length, 0.0)
    if radius < (_RIM + 0.5) * length or not used.any():
        raise SettingError(
            f"{where} is a cluster of {len(positions)} atoms, too few for one with all its surroundings; "
            "give a ball of 600 atoms or more, or a periodic crystal"
        )
    side = 2.0 * radius + 6.0 * length
    return Snapshot(positions - middle + 0.5 * side, side * np.eye(3), np.zeros(3, bool), used)


def with_snapshots(
    found: Iterable[Structure], more: Mapping[str, list[Structure]]
) -> list[Structure]:
    """Return structures with the snapshots of further ones of the same names, and those names' own."""
    by_name = {s.name: s for s in found}
    for name, parts in more.items():
        own = by_name.get(name, Structure(name))
        by_name[name] = Structure(
            name, own.prototypes, own.snapshots + tuple(s for p in parts for s in p.snapshots),
            own.files + tuple(f for p in parts for f in p.files),
        )  # fmt: skip
    return list(by_name.values())
