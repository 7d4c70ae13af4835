# SPDX-License-Identifier: BSD-3-Clause
"""OVITO's file reader for histories of insitu that have atoms (setting `atoms`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from ovito.data import DataCollection, ElementType
from ovito.io import FileReaderInterface

from insitu_ovito.particles import show

_GROUP = "particles/all"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class HistoryFileReader(FileReaderInterface):
    """Reads the atoms of a history: ``phases.h5``, or the file beside it, ``phases.atoms.h5md``.

    Particles have identifiers, types, positions, ``Structure Type`` with its colours, and ``Confidence``;
    the data collection has the counts as attributes, and of ``phases.h5`` what it has of that step:
    ``insitu.phases.fraction.fcc``, ``insitu.thermo.temperature`` and so on.
    """

    @staticmethod
    def detect(filename: str) -> bool:
        """Return whether a file is a history of insitu, or its atoms."""
        try:
            with open(filename, "rb") as file:
                if file.read(8) != b"\x89HDF\r\n\x1a\n":
                    return False
            with h5py.File(filename, "r", locking=False) as file:
                return "parameters/insitu_atoms" in file or "parameters/insitu" in file
        except OSError:
            return False

    def scan(self, filename: str, register_frame: Callable[..., None]) -> None:
        """Tell OVITO which frames there are."""
        with h5py.File(filename, "r", locking=False) as file:
            for k, step in enumerate(_atoms(file, filename)["position/step"][()].tolist()):
                register_frame(frame_info=k, label=f"Timestep {step}")

    def parse(
        self, data: DataCollection, *, filename: str, frame_index: int, **kwargs: Any
    ) -> None:
        """Load one frame."""
        with h5py.File(filename, "r", locking=False) as file:
            group = _atoms(file, filename)
            ids = group["id/value"][frame_index]
            there = ids >= 0

            def of_atoms(name: str) -> Any:
                return group[name]["value"][frame_index][there]

            cell = np.zeros((3, 4))
            cell[:, :3] = group["box/edges/value"][frame_index].T
            cell[:, 3] = group["box/offset/value"][frame_index]
            pbc = [_text(b) == "periodic" for b in group["box"].attrs["boundary"]]
            data.create_cell(cell, pbc=pbc)
            particles = data.create_particles(count=int(there.sum()))
            particles.create_property("Particle Identifier", data=ids[there])
            particles.create_property("Position", data=of_atoms("position") + cell[:, 3])
            kinds = particles.create_property("Particle Type", data=of_atoms("type").astype(int))
            names = _type_names(group)
            kinds.types.clear()
            for number in np.unique(np.asarray(kinds)).tolist():
                kinds.types.append(ElementType(id=number, name=names.get(number, "")))
            phases = group["phase/value"]
            show(
                data, of_atoms("phase").astype(int), of_atoms("confidence") / 255.0,
                [_text(c) for c in phases.attrs["classes"]], phases.attrs["codes"].tolist(), color=True,
            )  # fmt: skip
            step = int(group["position/step"][frame_index])
            data.attributes["Timestep"] = step
            data.attributes["Time"] = float(group["position/time"][frame_index])
            if "observables" in file:
                _add_observables(data, file, step)


def _atoms(file: h5py.File, filename: str) -> h5py.Group:
    group = file[_GROUP] if file.get(_GROUP, getlink=True) is not None and _GROUP in file else None
    if group is None or "position" not in group:
        missing = isinstance(file.get(_GROUP, getlink=True), h5py.ExternalLink) and group is None
        raise RuntimeError(
            f"'{filename}' has lost its atoms: the file "
            f"'{file.get(_GROUP, getlink=True).filename}' is no longer beside it"
            if missing
            else f"'{filename}' has no atoms: set `atoms 1000` (steps) in the deck of the run"
        )
    return group


def _type_names(group: h5py.Group) -> dict[int, str]:
    """Return the element of each type, where the file knows them."""
    numbers = group.attrs.get("atomic_numbers")
    words = h5py.check_enum_dtype(group["species/value"].dtype)
    if numbers is None or words is None:
        return {}
    by_number = {z: word for word, z in words.items()}
    return {k: by_number.get(z, "") for k, z in enumerate(numbers.tolist()) if k}


def _add_observables(data: DataCollection, file: h5py.File, step: int) -> None:
    """Add what the history has of a step, one number at a time."""
    classes = [_text(c) for c in file["observables/phases"].attrs["classes"]]
    steps = file["observables/phases/fraction/step"][()]
    at = np.flatnonzero(steps == step)
    if not len(at):
        return
    k = int(at[0])
    for name in ("fraction", "confidence"):
        values = file[f"observables/phases/{name}/value"][k]
        for word, value in zip(classes, values.tolist(), strict=True):
            data.attributes[f"insitu.phases.{name}.{word}"] = value
    for name, element in file["observables/thermo"].items():
        data.attributes[f"insitu.thermo.{name}"] = element["value"][k].item()
