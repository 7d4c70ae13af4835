# SPDX-License-Identifier: BSD-3-Clause
"""Continue a history: what of it stays, and who goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.history.elements import disabled, elements, opened, text
from insitu.history.integrity import half_written, seal, verify
from insitu.history.layout import store


def frames_before(file: h5py.File, first_step: int | None) -> int:
    """Return how many frames stay when a run continues a history: complete, and from before a step.

    Raises
    ------
    ValueError
        One of them is not what was written.
    """
    frames, _ = half_written(file)
    if first_step is not None:
        steps = next(iter(elements(file).values()))["step"][:frames]
        frames = int((steps < first_step).sum())
    verify(file, frames)
    return frames


def values_before(
    file: h5py.File, first_step: int, paths: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return observables of the last frame before a step by path, and its `step`; none without a frame.

    Raises
    ------
    ValueError
        A frame is not what was written.
    """
    found = elements(file)
    frames = frames_before(file, first_step) if found else 0
    if not frames or not found.keys() >= set(paths):
        return {}
    step = next(iter(found.values()))["step"][frames - 1]
    return {"step": step, **{path: found[path]["value"][frames - 1] for path in paths}}


def first_box(
    path: str | os.PathLike[str],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return cell vectors ``(3, 3)`` and origin ``(3,)`` at the first frame of a history [Å].

    None where it does not say them, as of a run without further analyses.

    Raises
    ------
    HistoryError
        It is no history.
    """
    with opened(path) as file:
        said = file["parameters/insitu"].attrs.get("box")
    if said is None:
        return None
    box = json.loads(text(said))
    return np.array(box["cell"]), np.array(box["origin"])


def replaced(file: h5py.File, kept: int, frames: int) -> str:
    """Return in words which of so many frames do not stay, when the first ones are kept."""
    steps = next(iter(elements(file).values()))["step"][kept:frames]
    some = f"{len(steps)} of its {frames}" if kept else f"all its {frames}"
    return (
        f"{some} frames, steps {steps[0]} to {steps[-1]}, are replaced, for this run begins before them "
        "(setting if_exists)"
    )


def cut(
    file: h5py.File, frames: int, first_step: int | None, provenance: Mapping[str, Any] | None
) -> tuple[int, float] | None:
    """Leave the first frames of a history, and record who continues it.

    Parameters
    ----------
    file
        A history, open for writing.
    frames
        How many stay.
    first_step
        Notes of disabled analyses go from this step on.
    provenance
        How the frames to come are made; None: as those before.

    Returns
    -------
    tuple of int and float, or None
        Step and time of the last frame that stays.
    """
    groups = elements(file).values()
    first = next(iter(groups))
    last = None
    if frames:
        last = int(first["step"][frames - 1]), float(first["time"][frames - 1])
    for group in groups:
        for name in ("value", "step", "time"):
            group[name].resize(frames, axis=0)
    parameters = file["parameters/insitu"]
    if noted := disabled(file):
        noted = [n for n in noted if first_step is None or n["step"] < first_step]
        store(parameters, {"disabled": noted})
    if provenance is not None:
        number = 1 + sum(isinstance(item, h5py.Group) for item in parameters.values())
        store(parameters.create_group(f"continued_{number}"), provenance)
        if "last_step" in provenance:
            store(parameters, {"last_step": provenance["last_step"]})
    seal(file, frames, first["step"].chunks[0])
    return last
