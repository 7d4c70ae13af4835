# SPDX-License-Identifier: BSD-3-Clause
"""Polyhedral template matching of OVITO on a dump of the same run (the one home of ovito)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray

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


def match(
    dump: str | os.PathLike[str],
    phases: Sequence[str],
    steps: Sequence[int],
    *,
    rmsd: float = 0.1,
    kind: int | None = None,
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
