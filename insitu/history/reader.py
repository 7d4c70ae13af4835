# SPDX-License-Identifier: BSD-3-Clause
"""Open a phase history as an xarray Dataset, also while the simulation is still writing it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insitu.errors import HistoryError, InsituError
from insitu.history.datasets import subset as subset
from insitu.history.elements import (
    axes_of,
    disabled,
    elements,
    opened,
    provenance,
    rows_of,
    text,
    units,
)
from insitu.history.integrity import half_written, verify
from insitu.history.joining import ensemble as join_ensemble
from insitu.history.joining import expand, join
from insitu.history.writing.file_access import is_written

if TYPE_CHECKING:
    import h5py
    import xarray

_TICK = 0.05  # seconds in which a run that has just written would write again


class EmptyHistoryError(HistoryError):
    """A history whose run has not reached its first analysed step."""


def open(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, ensemble: bool = False
) -> xarray.Dataset:
    """Open a phase history, or several as one.

    Everything is read into memory and the files closed again, so this can be repeated while the
    simulation runs.

    Parameters
    ----------
    path
        The history, e.g. ``phases.h5``; a pattern (``phases*.h5``) or a list for several files.
        Several files are the parts of one run that was restarted: they are joined along ``step`` in
        the order in which the runs began, and from the first step of a later run on its frames
        replace those of the earlier ones.
    ensemble
        The files are independent runs: each variable gets a first dimension ``run``, with the steps
        that all runs have.

    Returns
    -------
    xarray.Dataset
        Variables ``fraction``, ``count``, ``standard_error``, ``confidence`` ``(step, phase)``;
        ``temperature``, ``potential_energy``, ``pressure`` ``(step,)``; wall times ``timing_*``
        ``(step,)`` [s]; ``rdf`` ``(step, pair, radius)`` where the run recorded g(r); any other
        observable as ``<group>_<name>``; where the run recorded them
        ``fraction_by_group``, ``count_by_group`` ``(step, group, phase)`` and ``…_by_type``; ``profile``,
        ``profile_count`` ``(step, bin, phase)`` along an axis, `bin` is the position. An
        analysis that was disabled by an error leaves it in ``attrs["disabled"]``. Coordinates ``step``,
        ``time``, ``phase`` and ``code`` (the integer of each phase in LAMMPS and in files).
        Units are the attribute ``units`` of each variable, the provenance is ``attrs`` (nested
        settings as JSON text; of runs that continued the file the list ``continued``). Of several
        files ``attrs["files"]`` has the names, and an attribute in which they differ is a list in
        JSON.

    Raises
    ------
    HistoryError
        A file is missing, unreadable, damaged, of another kind, of a newer format, or holds no
        frame yet; several have different phases, groups, observables, units, models, thresholds.
    SettingError
        No file matches, or one is given twice.
    InsituError
        xarray is not installed.

    Examples
    --------
    >>> history = insitu.open("phases.h5")  # doctest: +SKIP
    >>> history["fraction"].to_pandas()  # a column for each phase  # doctest: +SKIP
    >>> insitu.open("run_*/phases.h5", ensemble=True)["fraction"].mean("run")  # doctest: +SKIP
    """
    histories = {str(one): _read(one) for one in expand(path)}
    if ensemble:
        return join_ensemble(histories)
    return join(histories) if len(histories) > 1 else next(iter(histories.values()))


def _read(path: Path) -> xarray.Dataset:
    try:
        import xarray
    except ImportError as error:
        raise InsituError(
            "xarray is not installed and insitu.open() needs it; install it with "
            "pip install 'insitu[read]'."
        ) from error

    with opened(path) as file:
        found = elements(file)
        frames = _complete_frames(file, path)
        if frames == 0:
            for note in disabled(file):
                raise HistoryError(
                    f"file='{path}' holds no frame: the analysis was disabled from step "
                    f"{note['step']} on: {note['reason']}"
                )
            raise EmptyHistoryError(
                f"file='{path}' holds no frame yet; wait until the simulation has reached its "
                "first analysed step."
            )
        first = next(iter(found.values()))
        phases = file["observables/phases"].attrs
        coords: dict[str, Any] = {
            "step": ("step", first["step"][:frames], {"long_name": "simulation step"}),
            "time": (
                "step",
                first["time"][:frames],
                {"long_name": "simulation time", **units(first["time"])},
            ),
            "phase": ("phase", [text(name) for name in phases["classes"]]),
            "code": ("phase", phases["codes"], {"long_name": "integer of the phase in LAMMPS"}),
        }
        variables: dict[str, Any] = {}
        for name, group in found.items():
            value = group["value"]
            axes = [f"{name.replace('/', '_')}_{i}" for i in range(value.ndim - 1)]
            if "classes" in value.attrs:
                axes[-1] = "phase"
            rows, names = rows_of(value)
            if rows:
                axes[0] = rows
                coords[rows] = (rows, names)
            for i, (axis, along, about) in enumerate(axes_of(value)):
                axes[i] = axis
                coords[axis] = (axis, along, about)
            attrs = units(value)
            if "description" in group.attrs:
                attrs["long_name"] = text(group.attrs["description"])
            variables[_variable_name(name, variables)] = (["step", *axes], value[:frames], attrs)
        return xarray.Dataset(variables, coords, provenance(file["parameters/insitu"]))


def _complete_frames(file: h5py.File, path: Path) -> int:
    """Return how many frames have all of their parts, once these are known to be what was written."""
    before = path.stat()
    frames, begun = half_written(file)
    # The last may be half written; more are missing from a part where HDF5 reads it later than the
    # others, while a run goes on writing, or where the file is damaged.
    if begun > 1 and not is_written(path):
        time.sleep(_TICK)
        now = path.stat()
        if (now.st_mtime_ns, now.st_ino) == (before.st_mtime_ns, before.st_ino):
            raise ValueError(f"some of its parts have {frames} frames, others {frames + begun}")
    verify(file, frames)
    return frames


def _variable_name(path: str, taken: dict[str, Any]) -> str:
    group, _, name = path.rpartition("/")
    if group.startswith("phases/by_"):
        return f"{name}_{group.removeprefix('phases/')}"
    short = group in ("phases", "thermo") and name not in taken
    return name if short else path.replace("/", "_")


def writers(path: str | os.PathLike[str]) -> list[str]:
    """Return the numbers of the batch jobs that have written to a history, in their order.

    Raises
    ------
    HistoryError
        It is not a history, or cannot be read.
    """
    with opened(path) as file:
        about = provenance(file["parameters/insitu"])
        runs = [about, *json.loads(about.get("continued", "[]"))]
    return [str(run["job"]) for run in runs if run.get("job")]
