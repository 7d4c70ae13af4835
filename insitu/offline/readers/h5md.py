# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories in H5MD: LAMMPS' `dump h5md`, MDAnalysis, pyh5md, ZnH5MD.

Libraries that read H5MD want more of a file than the format does (MDAnalysis a topology and units, ZnH5MD
species in each frame), so it is read as the format has it (https://www.nongnu.org/h5md/h5md.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.history.atoms.parts import absent, damaged
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import Tell, Wanted
from insitu.offline.readers.soundness import shown, whole

#: Units that files name [Å] and [ps]; these are the units of `metal`.
_LENGTH = {"Angstrom": 1.0, "angstrom": 1.0, "Å": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}
_TIME = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "s": 1e12}


def is_h5md(path: str) -> bool:
    """Return whether an HDF5 file says that it is H5MD."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "h5md" in file
    except (OSError, RuntimeError, KeyError, ValueError):
        return True  # damaged: reading it says how


class Element:
    """A quantity of the particles: fixed, or with a value for each frame.

    Parameters
    ----------
    item
        Dataset, or group of ``value``, ``step`` and maybe ``time``.
    """

    def __init__(self, item: Any) -> None:
        self.fixed = isinstance(item, h5py.Dataset)
        self.value: h5py.Dataset = item if self.fixed else item["value"]
        self._step = None if self.fixed else item["step"]
        self._time = None if self.fixed else item.get("time")
        self.frames = len(self.value) if not self.fixed else 0
        if self._step is not None and self._step.shape:
            self.frames = min(self.frames, len(self._step))

    def step(self, k: int) -> int | None:
        """Return the step of frame `k`: listed, or as increment and offset."""
        return None if self._step is None else round(_along(self._step, k))

    def time(self, k: int) -> float | None:
        """Return the time of frame `k`, in the file's unit."""
        return None if self._time is None else _along(self._time, k)

    @property
    def time_unit(self) -> str:
        """Unit of the time, ``""`` if the file does not say."""
        return "" if self._time is None else _text(self._time.attrs.get("unit", ""))

    def at(self, k: int, step: int | None) -> NDArray[Any] | None:
        """Return the value of frame `k` of the positions, which has that step; None: there is none."""
        if self.fixed:
            return np.asarray(self.value[()])
        if k < self.frames and self.step(k) == step:
            return np.asarray(self.value[k])
        # Sampled at other steps than the positions: the last one before.
        found = [j for j in range(self.frames) if (self.step(j) or 0) <= (step or 0)]
        return np.asarray(self.value[found[-1]]) if found else None


def _along(clock: h5py.Dataset, k: int) -> float:
    if clock.shape:
        return float(clock[k])
    return float(clock.attrs.get("offset", 0)) + k * float(clock[()])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class H5MDFile:
    """The particles of an H5MD file.

    Parameters
    ----------
    path
        The file.
    tell
        Is told which group is read where there are several, and which frames were left out.
    everything
        Keep all further quantities of the atoms.
    """

    def __init__(self, path: str, tell: Tell, everything: bool = False) -> None:
        self._path, self._tell, self._everything = path, tell, everything

    def frames(self, wanted: Wanted) -> Iterator[Configuration | None]:
        """Yield the frames in their order; None for one that is not wanted.

        Raises
        ------
        SettingError
            The file holds no positions, or is damaged.
        """
        try:
            with h5py.File(self._path, "r", locking=False) as file:
                yield from self._frames(file, wanted)
        except SettingError:
            raise
        except (
            OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError, MemoryError,
            OverflowError, AttributeError,
        ) as error:  # fmt: skip
            what = shown(" ".join(str(error).split()), 120)
            raise SettingError(
                f"'{self._path}' is HDF5 but cannot be read as H5MD ({what}); copy it anew, or dump the "
                "frames as text"
            ) from None

    def _frames(self, file: h5py.File, wanted: Wanted) -> Iterator[Configuration | None]:
        group = self._group(file)
        known = {
            name: Element(item)
            for name, item in group.items()
            if isinstance(item, h5py.Dataset) or (isinstance(item, h5py.Group) and "value" in item)
        }
        r = known.pop("position")
        if lost := absent(r.value):
            raise SettingError(
                f"'{self._path}' shows atoms that are in '{lost[0]}', which is not beside it; copy all "
                "parts into one folder"
            )
        if broken := damaged(r.value):
            raise SettingError(
                f"'{self._path}' shows atoms that are in {broken}, which is damaged; copy that one anew"
            )
        box = group.get("box")
        edges = Element(box["edges"]) if box is not None and "edges" in box else None
        pbc = np.zeros(3, dtype=bool)
        if box is not None:
            boundary = np.ravel(box.attrs.get("boundary", ["periodic"] * 3))
            pbc = np.array([_text(b) == "periodic" for b in boundary])
        total = 1 if r.fixed else r.frames
        if not r.fixed and total < len(r.value):
            self._tell(
                f"'{self._path}': frame {total} is incomplete (it has no step) and left out; the frames "
                "before it are complete"
            )
        for k in range(total):
            yield self._frame(k, r, edges, pbc, known) if wanted(k) else None

    def _group(self, file: h5py.File) -> h5py.Group:
        particles = file.get("particles", {})
        groups = [n for n, g in particles.items() if isinstance(g, h5py.Group) and "position" in g]
        if not groups:
            what = (
                "a history of insitu: insitu show prints it"
                if "parameters/insitu" in file
                else "H5MD without particles/GROUP/position"
            )
            raise SettingError(
                f"'{self._path}' has no positions of atoms ({what}); give a trajectory"
            )
        name = "all" if "all" in groups else groups[0]
        if len(groups) > 1:
            self._tell(
                f"'{self._path}' has the particles {', '.join(groups)}; '{name}' are analysed"
            )
        return particles[name]

    def _frame(
        self, k: int, r: Element, edges: Element | None, pbc: NDArray[np.bool_],
        known: dict[str, Element],
    ) -> Configuration:  # fmt: skip
        step = r.step(k)
        positions = np.asarray(r.value[()] if r.fixed else r.value[k], dtype=np.float64)
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise SettingError(
                f"'{self._path}', frame {k}: positions of shape {positions.shape}; only three dimensions "
                "are analysed"
            )
        cell = np.zeros((3, 3))
        if edges is not None and (found := edges.at(k, step)) is not None:
            cell = np.asarray(np.diag(found) if found.ndim == 1 else found, dtype=np.float64)
        unit = _text(r.value.attrs.get("unit", ""))
        length = _LENGTH.get(unit)
        if unit and length is None:
            raise SettingError(
                f"'{self._path}': positions are in '{unit}'; known units: {', '.join(_LENGTH)}"
            )
        time, style = r.time(k), ""
        if length is not None:
            style = "metal"  # Å and ps
            positions, cell = length * positions, length * cell
            time = None if time is None else time * _TIME.get(r.time_unit, 1.0)
        values = {name: e.at(k, step) for name, e in known.items()}
        mine = {
            n: v for n, v in values.items() if v is not None and v.shape[:1] == positions.shape[:1]
        }
        ids = mine.pop("id", None)
        where = f"'{self._path}', frame {k}"
        types, names = _species(known.get("species"), mine.pop("species", None), where)
        if (own := mine.get("type")) is not None and own.ndim == 1 and own.dtype.kind in "iu":
            types = whole(mine.pop("type"), "type", where, np.int32)  # species are elements there
        c = Configuration(
            positions, cell, np.zeros(3), pbc if cell.any() else np.zeros(3, dtype=bool), step, time,
            style, None if ids is None else whole(ids, "id", where, np.int64), types, names,
            _columns(mine) if self._everything else {},
        )  # fmt: skip
        if ids is not None and (fill := known["id"].value.fillvalue) < 0:
            return c.take(ids != fill)  # places of atoms that are not there
        return c


def _species(
    element: Element | None, values: NDArray[Any] | None, where: str
) -> tuple[NDArray[np.int32] | None, NDArray[np.str_] | None]:
    """Return types and names of the atoms, where the file has them."""
    if element is None or values is None or values.ndim != 1:
        return None, None
    if values.dtype.kind in "SUO":
        names = np.array([_text(v) for v in values])
        return np.unique(names, return_inverse=True)[1].astype(np.int32) + 1, names
    types = whole(values, "species", where, np.int32)
    if words := h5py.check_enum_dtype(element.value.dtype):
        by_number = {number: word for word, number in words.items()}
        return types, np.array([by_number.get(t, str(t)) for t in types.tolist()])
    return types, None


def _columns(values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return quantities of one number an atom; of more as NAME[1], NAME[2] …, as dumps have them."""
    columns: dict[str, NDArray[Any]] = {}
    for name, v in values.items():
        if v.dtype.kind not in "iuf" or v.ndim > 2:
            continue
        if v.ndim == 1:
            columns[name] = v
        else:
            columns |= {f"{name}[{i + 1}]": v[:, i] for i in range(v.shape[1])}
    return columns
