# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that ASE reads and writes (its one home)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.species import SYMBOLS
from insitu.offline.configuration import Configuration
from insitu.offline.dump_frame import Tell, Wanted
from insitu.offline.streams import Stream

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
        index = f":{_whole_frames(path, tell)}"
    try:
        if kind == "data":
            frames: Any = [ase.io.read(path, format="lammps-data", **_style(path))]
        else:
            frames = ase.io.iread(path, index=index)
        for atoms in frames:
            yield from_atoms(atoms) if wanted(number) else None
            number += 1
    except SettingError:
        raise
    except UnknownFileTypeError:
        raise SettingError(
            f"'{path}' is of no format that insitu or ASE tells by the file; name it with its usual ending "
            "(.xyz, .cif, .vasp …), or convert it to extended XYZ"
        ) from None
    except Exception as error:  # each of ASE's readers has errors of its own
        after = f"after {number} frames " if number else ""
        text = (str(error).strip().splitlines() or [""])[0][:160]
        raise SettingError(
            f"'{path}' cannot be read by ASE {after}({type(error).__name__}: {text}); compare the file "
            "with its format's description, or convert it to a LAMMPS dump or extended XYZ"
        ) from None
    if not number:
        raise SettingError(
            f"'{path}' has no frames that ASE can read; give a file with configurations"
        )


def _whole_frames(path: str, tell: Tell) -> str | int:
    """Return how many frames of an XYZ file are complete, ``""`` where it cannot be told."""
    stream, frames, left, text = Stream(path), 0, -1, b""
    try:
        while more := stream.read():
            lines = (text + more).split(b"\n")
            text = lines.pop()
            for line in lines:
                if left > 0:
                    left -= 1
                elif line.strip():
                    left = int(line) + 1
                frames += left == 0
                left = -1 if left == 0 else left
        if left == 1 and not frames and text.strip():
            return 1  # a file of one frame need not end with a newline
        if left > 0 or text.strip():
            tell(
                f"'{path}': frame {frames} is incomplete (the file ends in it) and left out; the "
                "frames before it are complete"
            )
        return frames
    except (ValueError, SettingError):
        return ""
    finally:
        stream.close()


def _style(path: str) -> dict[str, Any]:
    """Return the atom style that a data file names, `atomic` or `molecular` … by its columns if not."""
    rows = Path(path).read_text(errors="replace").splitlines()
    at = next((k for k, row in enumerate(rows) if re.match(r"\s*Atoms\b", row)), None)
    if at is None or "#" in rows[at]:
        return {}
    first = next((row.split("#")[0].split() for row in rows[at + 1 :] if row.strip()), [])
    styles = {5: "atomic", 8: "atomic", 6: "charge", 9: "charge", 7: "full", 10: "full"}
    return {"atom_style": styles.get(len(first), "atomic")}


def from_atoms(atoms: Any) -> Configuration:
    """Return what an ``ase.Atoms`` says; atomic numbers of 0 (X) are no elements."""
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
        np.asarray(arrays["id"], dtype=np.int64) if "id" in arrays else None,
        np.asarray(arrays["type"], dtype=np.int32) if _whole(arrays.get("type")) else None,
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
