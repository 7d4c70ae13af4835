# SPDX-License-Identifier: BSD-3-Clause
"""Classes of a snapshot's atoms without a user's eye: by PTM, a-CNA, a column of the file, or all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError, did_you_mean
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors

#: Structures by the integers of LAMMPS' computes. An atom outside of the compute's group has none.
_PTM_ATOM = {
    0: "other", 1: "fcc", 2: "hcp", 3: "bcc", 4: "icosahedral", 5: "sc", 6: "cubic_diamond",
    7: "hexagonal_diamond", 8: "graphene",
}  # fmt: skip
_CNA_ATOM = {1: "fcc", 2: "hcp", 3: "bcc", 4: "icosahedral", 5: "other"}
#: Structures that a method can name; None: integers of the user's own.
STRUCTURES: dict[str, tuple[str, ...] | None] = {
    "ptm": (*list(_PTM_ATOM.values())[:8],),
    "cna": ("other", "fcc", "hcp", "bcc", "icosahedral", "cubic_diamond", "hexagonal_diamond"),
    "ptm/atom": tuple(_PTM_ATOM.values()),
    "cna/atom": tuple(_CNA_ATOM.values()),
    "column": None,
    "model": None,
}
#: Neighbours that are asked whether they agree, and how far they are looked for [(volume/atom)^(1/3)].
_ASKED, _REACH = 12, 3.0
#: What an atom that is not used is called.
NOT_USED = ""

_EXAMPLES = (
    "give a class (liquid), or ptm:hcp, cna:fcc,hcp, ptm:other=liquid, ptm/atom=c_ptm:hcp, "
    "cna/atom=c_cna:fcc, column=c_mine:1=fcc,2=melt, model:hcp"
)
_PATTERN = re.compile(r"(?P<method>[\w/-]+)(=(?P<column>[^:=]+))?(:(?P<names>.*))?", re.ASCII)


@dataclass(frozen=True)
class Annotation:
    """How the atoms of a snapshot get their classes.

    Parameters
    ----------
    text
        As the user wrote it.
    method
        ``ptm``, ``cna`` (OVITO), ``ptm/atom``, ``cna/atom``, ``column`` (of the file), ``model``
        (what the neighbours are by a model), or ``all``: every atom has the one class.
    column
        Of the file; of ``model`` the artefact, ``""``: the one that the other sources have trained.
    classes
        Class by structure, or by integer of the column; atoms of all others are not used.
    """

    text: str
    method: str
    column: str
    classes: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The classes, each once."""
        return list(dict.fromkeys(self.classes.values()))


def parse(text: str) -> Annotation:
    """Return what a user's words mean.

    Parameters
    ----------
    text
        A class name, or ``METHOD[=COLUMN]:STRUCTURE[=CLASS],…``.

    Raises
    ------
    SettingError
        They are not understood.

    Examples
    --------
    >>> parse("ptm:hcp,other=liquid").classes
    {'hcp': 'hcp', 'other': 'liquid'}
    """
    found = _PATTERN.fullmatch(text.strip())
    if not found:
        raise SettingError(f"labels '{text}' are not understood; {_EXAMPLES}")
    method, column, names = found["method"], found["column"] or "", found["names"]
    if method not in STRUCTURES:
        if column or names is not None:
            known = ", ".join(STRUCTURES)
            raise SettingError(
                f"labels '{text}' name the method '{method}'; known: {known}."
                f"{did_you_mean(method, STRUCTURES)}"
            )
        return Annotation(text, "all", "", {"all": _checked(method, text)})
    if not names:
        raise SettingError(
            f"labels '{text}' do not say which structures to take, for example {method}:hcp; {_EXAMPLES}"
        )
    of_file = method in ("ptm/atom", "cna/atom", "column")
    if method != "model" and of_file != bool(column):
        raise SettingError(
            f"labels '{text}' name no column of the file; give {method}=c_NAME:…" if of_file
            else f"labels '{text}' name a column, but {method} is computed by OVITO; give {method}:…"
        )  # fmt: skip
    known_structures, classes = STRUCTURES[method], {}
    for word in names.split(","):
        structure, _, name = (part.strip() for part in word.partition("="))
        if method == "model":
            _checked(structure, text)
        elif known_structures is None:
            if not re.fullmatch(r"-?\d+", structure) or not name:
                raise SettingError(
                    f"labels '{text}': '{word}' does not say which class an integer of the column "
                    "is; give 1=fcc,2=melt"
                )
            structure = str(int(structure))
        elif structure not in known_structures:
            raise SettingError(
                f"labels '{text}': {method} has no structure '{structure}'; known: "
                f"{', '.join(known_structures)}.{did_you_mean(structure, known_structures)}"
            )
        elif structure == "other" and not name:
            raise SettingError(
                f"labels '{text}': atoms of no structure need a class of their own, for example "
                "other=liquid"
            )
        if structure in classes:
            raise SettingError(f"labels '{text}' name '{structure}' twice; name it once")
        classes[structure] = _checked(name or structure, text)
    return Annotation(text, method, column.strip(), classes)


def _checked(name: str, text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII) or name == "unknown":
        raise SettingError(
            f"labels '{text}': '{name}' cannot be a class; give letters, digits, _ and -, a letter "
            "first, and not 'unknown', which models use themselves"
        )
    return name


def annotate(
    atoms: Any, how: Annotation, *, rmsd: float, agreement: float, model: str = ""
) -> NDArray[np.str_]:
    """Return the class of each atom ``(n,)`` of a snapshot; ``""``: it is not used.

    Parameters
    ----------
    atoms
        ``ase.Atoms``, with the file's further columns in ``arrays``.
    how
        What says it.
    rmsd
        Largest deviation from PTM's template [nearest-neighbour distances].
    agreement
        Share of the 12 nearest neighbours that must have the same class as the atom, 0 … 1. Not
        asked for where all atoms have one class, nor by the method ``model``: there most of the
        neighbours decide, and the atom's own class does not count, as phases have some extent.
    model
        Artefact of the method ``model`` that names none.

    Raises
    ------
    SettingError
        The file has no such column, or the model no such class.
    InsituError
        OVITO is needed and not installed.
    """
    n = len(atoms)
    if how.method == "all":
        return np.full(n, how.classes["all"])
    if how.method == "model":
        return _by_vote(atoms, how, how.column or model)
    if how.method in ("ptm", "cna"):
        from insitu.offline.ptm import structures

        found = structures(
            atoms.positions, atoms.cell.array, atoms.pbc, how.method, sought=list(how.classes),
            rmsd=rmsd,
        )  # fmt: skip
    else:
        found = _of_column(atoms, how, rmsd)
    classes = np.full(n, NOT_USED, dtype="<U64")
    for structure, name in how.classes.items():
        classes[found == structure] = name
    if agreement > 0:
        around = neighbors_classes(atoms.positions, atoms.cell.array, atoms.pbc, classes)
        classes[(around == classes[:, None]).mean(axis=1) < agreement] = NOT_USED
    return classes


def _by_vote(atoms: Any, how: Annotation, model: str) -> NDArray[np.str_]:
    """Return the class ``(n,)`` that a model gives to most of each atom's neighbours."""
    from insitu.offline.classify import classify

    r, cell, pbc = atoms.positions, atoms.cell.array, atoms.pbc
    labels = classify(r, cell, pbc, atoms.numbers, model=model)
    if odd := [c for c in how.classes if c not in labels.classes]:
        raise SettingError(
            f"labels '{how.text}': model {model} has no class '{odd[0]}'; it has: "
            f"{', '.join(labels.classes)}.{did_you_mean(odd[0], labels.classes)}"
        )
    own = np.array([how.classes.get(c, NOT_USED) for c in labels.classes] + [NOT_USED])
    around = neighbors_classes(r, cell, pbc, own[labels.labels])
    classes = np.full(len(r), NOT_USED, dtype="<U64")
    for name in how.names:
        classes[(around == name).mean(axis=1) > 0.5] = name
    return classes


def _of_column(atoms: Any, how: Annotation, rmsd: float) -> NDArray[np.str_]:
    """Return the structure of each atom by the integers in a column of its file."""
    arrays = atoms.arrays
    name = how.column
    whole = f"{name}[1]" if how.method == "ptm/atom" and f"{name}[1]" in arrays else name
    if whole not in arrays or arrays[whole].ndim != 1:
        usual = {"numbers", "positions", "momenta", "initial_charges"}
        there = sorted(k for k in arrays if k not in usual and arrays[k].ndim == 1)
        raise SettingError(
            f"labels '{how.text}': the file has no column '{whole}'; it has: "
            f"{', '.join(there) or 'none'}.{did_you_mean(whole, there)} In a LAMMPS dump custom write "
            f"it after the positions: x y z {name if how.method != 'ptm/atom' else name + '[*]'}"
        )
    values = arrays[whole]
    codes = np.rint(values).astype(int)
    if how.method == "column":
        named: NDArray[np.str_] = codes.astype(str)
        return named
    table = _PTM_ATOM if how.method == "ptm/atom" else _CNA_ATOM
    found = np.full(len(codes), NOT_USED, dtype="<U17")
    for code, structure in table.items():
        found[codes == code] = structure
    if how.method == "ptm/atom":
        second = f"{name}[2]"
        if second not in arrays:
            raise SettingError(
                f"labels '{how.text}': the file has no column '{second}', PTM's RMSD, by which sure "
                f"labels are told from others; write both: dump … x y z {name}[*]"
            )
        crystal = (found != "other") & (found != NOT_USED)
        found[crystal & (arrays[second] > rmsd)] = "other"
    return found


def neighbors_classes(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: Any, classes: NDArray[np.str_]
) -> NDArray[np.str_]:
    """Return the classes ``(n, 12)`` of each atom's nearest neighbours.

    A neighbour that is not there, or not used, is ``"?"``: it agrees with none.
    """
    bare = Frame.from_arrays(positions, cell, pbc, reach=0.0)
    radius = _REACH * spacing(bare)
    frame = bare.with_images(radius * 1.0001)
    search = Neighbors(frame, radius)
    ball = (radius, _ASKED, _ASKED)
    places = search.nearest(search.places, ball, _ASKED, radius, whole=False)
    of_place = np.where(classes == NOT_USED, "?", classes)[frame.ids[search.index] - 1]
    around = np.empty((len(classes), _ASKED), dtype=of_place.dtype)
    around[search.atoms] = np.where(places >= 0, of_place[np.maximum(places, 0)], "?")
    return around
