# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that ASE reads and writes (its one home)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.species import SYMBOLS
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import Tell, Wanted
from insitu.offline.readers.soundness import shown, whole
from insitu.offline.readers.text_ends import check_data, cut_text, whole_frames

#: What ASE's readers may call the step.
_STEPS = ("step", "timestep", "Timestep", "Step")


def by_ase(path: str, wanted: Wanted, kind: str, tell: Tell) -> Iterator[Configuration | None]:
    """Yield the configurations of a file that ASE reads; None for one that is not wanted.

    Parameters
    ----------
    path
        The file.
    wanted
        Whether frame k is wanted.
    kind
        ``data``: a LAMMPS data file.
    tell
        Is told of a frame that was cut (XYZ).

    Raises
    ------
    SettingError
        ASE is not installed, or cannot read it.
    """
    try:
        import ase.io
        from ase.io.formats import UnknownFileTypeError
    except ImportError:
        raise SettingError(
            f"'{path}' is no LAMMPS dump; reading it needs ASE: pip install 'insitu[ase]'"
        ) from None
    number = 0
    index = ":"
    if ".xyz" in path or ".extxyz" in path:
        index = f":{whole_frames(path, tell)}"
    elif kind != "data" and (line := cut_text(path)):
        tell(
            f"'{path}' ends within the line '{shown(line)}', shorter than those before it: it may have "
            "been cut, and its last number with it"
        )
    try:
        if kind == "data":
            style = check_data(path)
            known: dict[str, Any] = {} if style is None else {"atom_style": style}
            frames: Any = iter([ase.io.read(path, format="lammps-data", **known)])
        else:
            frames = iter(ase.io.iread(path, index=index))
        while True:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                atoms = next(frames, None)
            for text in {shown(str(w.message), 160) for w in said if w.category is UserWarning}:
                tell(f"'{path}', frame {number}: ASE says: {text}")
            if atoms is None:
                break
            where = f"'{path}', frame {number}"
            yield from_atoms(atoms, where) if wanted(number) else None
            number += 1
    except SettingError:
        raise
    except UnknownFileTypeError:
        raise SettingError(
            f"'{path}' is of no format that insitu or ASE tells by the file; name it with its usual ending "
            "(.xyz, .cif, .vasp …), or convert it to extended XYZ"
        ) from None
    except Exception as error:  # each of ASE's readers has errors of its own
        text = shown((str(error).strip().splitlines() or [""])[0], 160)
        if number and path.lower().endswith(".traj"):  # binary: what follows is lost
            tell(
                f"'{path}': frame {number} is cut or damaged ({text}) and left out, with what follows it; "
                "the frames before it are complete"
            )
            return
        after = f"after {number} frame{'s' * (number > 1)} " if number else ""
        raise SettingError(
            f"'{path}' cannot be read by ASE {after}({type(error).__name__}: {text}); copy it anew if it "
            "was cut, else compare it with its format's description, or convert it to a LAMMPS dump or "
            "extended XYZ"
        ) from None
    if not number:
        raise SettingError(
            f"'{path}' has no frames that ASE can read; give a file with configurations"
        )


def from_atoms(atoms: Any, where: str = "ase.Atoms") -> Configuration:
    """Return what an ``ase.Atoms`` says; atomic numbers of 0 (X) are no elements; `where` for messages."""
    arrays, info = atoms.arrays, atoms.info
    numbers = np.asarray(atoms.numbers)
    step = next((int(info[k]) for k in _STEPS if k in info and np.ndim(info[k]) == 0), None)
    time = info.get("time", info.get("Time"))
    return Configuration(
        np.asarray(atoms.positions, dtype=np.float64),
        np.asarray(atoms.cell.array),
        np.ravel(atoms.get_celldisp()),
        np.asarray(atoms.pbc, dtype=bool),
        step,
        float(time) if isinstance(time, int | float | np.number) else None,
        "",
        whole(arrays["id"], "id", where, np.int64) if "id" in arrays else None,
        whole(arrays["type"], "type", where, np.int32) if _whole(arrays.get("type")) else None,
        np.array(SYMBOLS)[numbers] if len(numbers) and numbers.all() else None,
        {k: v for k, v in arrays.items() if v.ndim == 1 and v.dtype.kind in "iuf"},
    )


def _whole(values: Any) -> bool:
    return values is not None and values.ndim == 1 and values.dtype.kind in "iu"


def to_atoms(c: Configuration) -> Any:
    """Return a configuration as ``ase.Atoms``; X where it does not say which element an atom is."""
    import ase

    numbers = c.numbers
    atoms = ase.Atoms(
        numbers=np.zeros(len(c), dtype=int) if numbers is None else numbers,
        positions=c.positions, cell=c.cell, pbc=c.pbc, celldisp=c.origin,
    )  # fmt: skip
    for name, values in (("id", c.ids), ("type", c.types)):
        if values is not None:
            atoms.arrays[name] = values
    for name, values in c.columns.items():
        atoms.arrays.setdefault(name, values)
    if c.names is not None and numbers is None:
        atoms.arrays["label"] = c.names
    for key, value in (("step", c.step), ("time", c.time)):
        if value is not None:
            atoms.info[key] = value
    return atoms


def write_labels(
    path: str, c: Configuration, columns: dict[str, NDArray[Any]], *, append: bool
) -> None:
    """Write a configuration with further columns as extended XYZ, which OVITO and ASE read.

    Raises
    ------
    SettingError
        ASE is not installed, or the file cannot be written.
    """
    try:
        import ase.io
    except ImportError:
        raise SettingError("--labels needs ASE: pip install 'insitu[ase]'") from None
    atoms = to_atoms(c)
    for name in set(atoms.arrays) - {"numbers", "positions", "id", "type", "label"}:
        del atoms.arrays[name]
    atoms.arrays |= columns
    try:
        ase.io.write(path, atoms, format="extxyz", append=append)
    except OSError as error:
        raise SettingError(f"--labels {path} cannot be written ({error.strerror})") from None
