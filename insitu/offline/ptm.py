# SPDX-License-Identifier: BSD-3-Clause
"""Structures by OVITO: PTM of a dump of the same run, labels of atoms (the one home of ovito)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from insitu.errors import InsituError, SettingError

#: Our phases by the names of OVITO's structure types; its numbers are our codes.
_TYPES = {
    "fcc": "FCC",
    "hcp": "HCP",
    "bcc": "BCC",
    "icosahedral": "ICO",
    "sc": "SC",
    "cubic_diamond": "CUBIC_DIAMOND",
    "hexagonal_diamond": "HEX_DIAMOND",
}
#: Structures that common neighbour analysis knows, the diamonds by their neighbours' neighbours.
CNA_STRUCTURES = ("fcc", "hcp", "bcc", "icosahedral", "cubic_diamond", "hexagonal_diamond")
#: Structures that template matching knows.
PTM_STRUCTURES = tuple(_TYPES)


def match(
    dump: str | os.PathLike[str],
    phases: Sequence[str],
    steps: Sequence[int],
    *,
    rmsd: float = 0.1,
    kind: int | None = None,
    neighbors: Sequence[int] = (),
) -> xarray.Dataset:
    """Return the phase fractions of PTM at the steps of a history.

    Parameters
    ----------
    dump
        LAMMPS dump with positions, or a pattern (``dump.*``).
    phases
        Phases to look for; those that PTM does not have are left to ``other``.
    steps
        Steps to analyse; other frames of the dump are skipped.
    rmsd
        Largest deviation from the template at which PTM names a structure.
    kind
        Count the atoms of this type only; all are neighbours.
    neighbors
        Atom types that make up the surroundings; all other atoms are deleted. None: all.

    Returns
    -------
    xarray.Dataset
        ``fraction`` and ``count`` ``(step, phase)``; the last phase is ``other``.

    Raises
    ------
    InsituError
        OVITO is not installed.
    SettingError
        The dump cannot be read, or has none of the steps.
    """
    try:
        from ovito.io import import_file
        from ovito.modifiers import DeleteSelectedModifier, SelectTypeModifier
        from ovito.modifiers import PolyhedralTemplateMatchingModifier as Ptm
    except ImportError as error:
        raise InsituError(
            f"--ptm needs OVITO, which cannot be imported ({error}); install it with "
            "pip install ovito."
        ) from error
    if not rmsd > 0:
        raise SettingError(f"--rmsd {rmsd} must be above 0; PTM's usual value is 0.1.")
    sought = [name for name in phases if name in _TYPES]
    numbers = [int(getattr(Ptm.Type, _TYPES[name])) for name in sought]
    try:
        pipeline = import_file(os.fspath(dump))
        if neighbors:
            there = {t.id for t in pipeline.compute(0).particles.particle_types.types}
            pipeline.modifiers.append(SelectTypeModifier(types=there - set(neighbors)))
            pipeline.modifiers.append(DeleteSelectedModifier())
        modifier = Ptm(rmsd_cutoff=rmsd)
        for number in range(1, len(modifier.structures)):
            modifier.structures[number].enabled = number in numbers
        pipeline.modifiers.append(modifier)
        frames = pipeline.source.num_frames
        found: dict[int, np.ndarray[Any, np.dtype[np.int64]]] = {}
        wanted = set(map(int, steps))
        for frame in range(frames):
            step = pipeline.source.compute(frame).attributes.get("Timestep")
            if step is not None and int(step) in wanted:
                particles = pipeline.compute(frame).particles
                types = np.asarray(particles["Structure Type"])
                if kind is not None:
                    types = types[np.asarray(particles["Particle Type"]) == kind]
                counts = [int((types == number).sum()) for number in numbers]
                found[int(step)] = np.array([*counts, len(types) - sum(counts)])
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        raise SettingError(f"--ptm {dump}: OVITO cannot read it ({error}).") from error
    if not found:
        raise SettingError(
            f"--ptm {dump}: none of its {frames} frames is at a step of the history; dump the same "
            "run at the steps that are analysed, in LAMMPS' dump format, which has the step."
        )
    order = sorted(found)
    count = np.stack([found[step] for step in order])
    size = np.maximum(count.sum(axis=1, keepdims=True), 1)
    axes = ("step", "phase")
    return xarray.Dataset(
        {"fraction": (axes, count / size), "count": (axes, count)},
        {"step": order, "phase": [*sought, "other"]},
        {"method": f"PTM (OVITO), RMSD {rmsd:g}"},
    )


def without_order(dataset: xarray.Dataset) -> xarray.Dataset:
    """Return a history with the phases that PTM has, all further ones summed up as ``other``."""
    known = [n for n in dataset["phase"].values if str(n) in _TYPES]
    rest = [n for n in dataset["phase"].values if n not in known]
    names = ["fraction", *(["count"] if "count" in dataset else [])]
    parts = [
        xarray.concat(
            [part.sel(phase=known).drop_vars("code", errors="ignore"),
             part.sel(phase=rest).sum("phase", skipna=False).expand_dims(phase=["other"])],
            "phase", coords="minimal", compat="override", join="outer", combine_attrs="override",
        ).transpose("step", "phase")
        for part in (dataset[name] for name in names)
    ]  # fmt: skip
    others = dataset.drop_dims("phase")
    return others.assign(dict(zip(names, parts, strict=True)))


def _sample(positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: Any) -> Any:
    """Return a configuration as OVITO has it; cell vectors are rows."""
    from ovito.data import DataCollection, Particles, SimulationCell

    data = DataCollection()
    a, b, c = (bool(p) for p in np.broadcast_to(pbc, (3,)))
    box = SimulationCell(pbc=(a, b, c))
    box[:, :3] = np.asarray(cell).T
    data.objects.append(box)
    particles = Particles(count=len(positions))
    particles.create_property("Position", data=positions)
    data.objects.append(particles)
    return data


def structures(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: Any,
    method: str,
    *,
    sought: Sequence[str] = (),
    rmsd: float = 0.1,
    near_diamond: bool = False,
) -> NDArray[np.str_]:
    """Return the structure of each atom ``(n,)`` by OVITO, ``"other"`` where it finds none.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    cell
        ``(3, 3)`` cell vectors as rows [Å].
    pbc
        One flag or three.
    method
        ``ptm``: polyhedral template matching; ``cna``: adaptive common neighbour analysis.
    sought
        Structures to look for besides fcc, hcp and bcc: more templates, more mistakes.
    rmsd
        Largest deviation from a template [nearest-neighbour distances].
    near_diamond
        Count as diamond what `cna` calls the first and second neighbours of its atoms.

    Raises
    ------
    InsituError
        OVITO is not installed.
    """
    try:
        from ovito.modifiers import (
            CommonNeighborAnalysisModifier,
            IdentifyDiamondModifier,
            PolyhedralTemplateMatchingModifier,
        )
    except ImportError as error:
        raise InsituError(
            f"labels by '{method}' need OVITO, which cannot be imported ({error}); install it with "
            "pip install ovito, or give columns that LAMMPS has written (ptm/atom, cna/atom)"
        ) from error
    data = _sample(positions, cell, pbc)
    found = np.full(len(positions), "other", dtype="<U17")
    passes: list[tuple[Any, dict[str, list[str]]]]
    if method == "ptm":
        modifier = PolyhedralTemplateMatchingModifier(rmsd_cutoff=rmsd)
        for name, kind in _TYPES.items():
            enabled = name in ("fcc", "hcp", "bcc", *sought)
            modifier.structures[int(getattr(modifier.Type, kind))].enabled = enabled
        passes = [(modifier, {name: [kind] for name, kind in _TYPES.items()})]
    else:
        adaptive = CommonNeighborAnalysisModifier()
        passes = [(adaptive, {n: [_TYPES[n]] for n in ("fcc", "hcp", "bcc", "icosahedral")})]
        diamonds = {}
        for name, kind in (("cubic_diamond", "CUBIC"), ("hexagonal_diamond", "HEX")):
            if name in sought:
                ends = ("", "_FIRST_NEIGHBOR", "_SECOND_NEIGHBOR") if near_diamond else ("",)
                diamonds[name] = [f"{kind}_DIAMOND{end}" for end in ends]
        if diamonds:
            passes.append((IdentifyDiamondModifier(), diamonds))
    for modifier, kinds in passes:
        data.apply(modifier)
        types = np.asarray(data.particles["Structure Type"])
        for name, types_of in kinds.items():
            found[np.isin(types, [int(getattr(modifier.Type, t)) for t in types_of])] = name
    return found
