# SPDX-License-Identifier: BSD-3-Clause
"""Layout of the file of a run's atoms: H5MD 1.1 that MDAnalysis, pyh5md, ZnH5MD and we ourselves read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.frame.species import SYMBOLS
from insitu.history.elements import fixed, text
from insitu.history.layout import head, store

#: Atoms in a piece of the file that is compressed and read at once.
_CHUNK = 1 << 16
#: Where there are fewer in the first frame; there may be more in a later one.
_LEAST = 1 << 10
_PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
GROUP = "particles/all"
#: What an atom is: what is stored, and as what of an unknown atom (one that is not there).
ATOM = np.dtype(
    [("id", "i8"), ("position", "f4", 3), ("phase", "i2"), ("confidence", "u1"), ("type", "u2")]
)
ABSENT = {"id": -1, "position": np.nan, "phase": -1, "confidence": 0, "type": 0, "species": 0}


@dataclass(frozen=True)
class About:
    """What is the same in all frames.

    Parameters
    ----------
    history
        Name of the history.
    pbc
        Which directions are periodic.
    length_unit, time_unit
        ``Angstrom`` and for example ``ps``; empty in reduced units.
    classes, codes
        Names of the phases and their integers, ``unknown`` last.
    species
        Element of each atom type in their order; none: not known.
    model_sha256
        Of the model that labelled them.
    writers
        Files that the atoms are in.
    """

    history: str
    pbc: Sequence[bool]
    length_unit: str
    time_unit: str
    classes: Sequence[str]
    codes: Sequence[int]
    species: Sequence[str] = ()
    model_sha256: str = ""
    writers: int = 1

    @property
    def must_agree(self) -> dict[str, str]:
        """What a run that continues the file must have in common with it, as text."""
        return {
            "history": self.history, "classes": ",".join(self.classes),
            "codes": ",".join(map(str, self.codes)), "species": ",".join(self.species),
            "model_sha256": self.model_sha256, "length_unit": self.length_unit,
            "time_unit": self.time_unit, "writers": str(self.writers),
        }  # fmt: skip


def steps(file: h5py.File) -> NDArray[np.int64]:
    """Return the steps of the frames."""
    found: NDArray[np.int64] = file[f"{GROUP}/box/edges/step"][()]
    return found


def growing(file: h5py.File) -> list[h5py.Dataset]:
    """Return all datasets that have a first axis of frames, each once."""
    group = file[GROUP]
    edges = group["box/edges"]
    values = [group["box/offset/value"], *(group[n]["value"] for n in ABSENT if n in group)]
    return [edges["value"], edges["step"], edges["time"], *values]


def lay_out(file: h5py.File, about: About) -> None:
    """Create what does not depend on the number of atoms."""
    head(file, [about.time_unit, about.length_unit])
    group = file.create_group(GROUP)
    box = group.create_group("box")
    box.attrs["dimension"] = 3
    # Strings of any length here, and in units: MDAnalysis does not take those of fixed length.
    box.attrs["boundary"] = ["periodic" if p else "none" for p in about.pbc]
    for name, shape in (("edges", (3, 3)), ("offset", (3,))):
        value = box.create_group(name).create_dataset(
            "value", (0, *shape), "f8", chunks=(64, *shape), maxshape=(None, *shape)
        )
        if about.length_unit:
            value.attrs["unit"] = about.length_unit
    for name, kind in (("step", "i8"), ("time", "f8")):
        clock = box["edges"].create_dataset(name, (0,), kind, chunks=(64,), maxshape=(None,))
        if name == "time" and about.time_unit:
            clock.attrs["unit"] = about.time_unit
        box[f"offset/{name}"] = clock
    store(file.create_group("parameters/insitu_atoms"), about.must_agree)


def add_atoms(file: h5py.File, n: int) -> None:
    """Create what each atom has, once it is known how many there are."""

    def create(group: h5py.Group, name: str, base: Any, shape: tuple[int, ...]) -> h5py.Dataset:
        packed = {} if name == "position" else _PACKED
        return group.create_dataset(
            "value", (0, n, *shape), base, chunks=(1, min(max(n, _LEAST), _CHUNK), *shape),
            maxshape=(None, None, *shape), fillvalue=ABSENT[name], **packed,
        )  # fmt: skip

    add_values(file, create)


def add_values(
    file: h5py.File,
    create: Callable[[h5py.Group, str, Any, tuple[int, ...]], h5py.Dataset],
) -> None:
    """Create what each atom has, with its attributes.

    Parameters
    ----------
    file
        Of :func:`lay_out`.
    create
        Makes the dataset ``value`` in a group, of a name in `ABSENT`, of a type and of a shape an atom.
    """
    about = file["parameters/insitu_atoms"].attrs
    group, clock = file[GROUP], file[f"{GROUP}/box/edges"]
    symbols = [s for s in text(about["species"]).split(",") if s]
    codes = [int(c) for c in text(about["codes"]).split(",")]
    kinds: dict[str, Any] = {name: ATOM.fields[name][0] for name in ATOM.names or ()}  # type: ignore[index]
    if max(codes) < 128:
        kinds["phase"] = np.dtype("i1")
    if symbols:
        # Numbers for readers that take them for atomic numbers, with their names for all others.
        numbers = [SYMBOLS.index(s) for s in symbols]
        group.attrs["atomic_numbers"] = np.array([0, *numbers], dtype="i4")
        names = {"X": 0} | dict(zip(symbols, numbers, strict=True))
        kinds["species"] = h5py.enum_dtype(names, basetype="i2")
    for name, kind in kinds.items():
        base, shape = kind.subdtype or (kind, ())
        value = create(group.create_group(name), name, base, shape)
        group[f"{name}/step"], group[f"{name}/time"] = clock["step"], clock["time"]
        if name == "position" and (unit := text(about["length_unit"])):
            value.attrs["unit"] = unit
        if name == "confidence":
            value.attrs["scale_factor"] = 1.0 / 255.0
        if name == "phase":
            value.attrs["classes"] = fixed(text(about["classes"]).split(","))
            value.attrs["codes"] = np.array(codes, dtype="i4")
    if not symbols:  # types are all that is known of them
        group["species"] = group["type"]
