# SPDX-License-Identifier: BSD-3-Clause
"""Layout of a history inside an H5MD 1.1 file: groups, clocks, units, classes, provenance."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import insitu
from insitu.analyses.base import Observable
from insitu.errors import HistoryError
from insitu.history.elements import (
    MUST_AGREE,
    UNSAID,
    describe,
    difference,
    ends,
    fixed,
    signature,
    text,
)

_ATTRIBUTE_BYTES = 60_000  # HDF5 takes attributes up to 64 kB; longer texts become datasets
# Units of the system "SI" of the H5MD module `units`: SI base and derived units with SI prefixes.
# Angstrom, eV and bar are not among them.
_SI = re.compile(
    r"(E|P|T|G|M|k|h|da|d|c|m|u|n|p|f|a)?"
    r"(m|g|s|A|K|mol|cd|rad|sr|Hz|N|Pa|J|W|C|V|F|ohm|S|Wb|T|H|degC|lm|lx|Bq|Gy|Sv|kat)([+-]\d+)?"
)


def store(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write values as attributes: text and numbers as they are, anything nested as JSON."""
    for key, value in values.items():
        if value is None:
            value = "none"
        elif isinstance(value, Mapping | list | tuple | set):
            value = json.dumps(sorted(value) if isinstance(value, set) else value, default=str)
        elif not isinstance(value, bool | int | float | np.number | np.bool_):
            value = str(value)
        if not isinstance(value, str):
            group.attrs[key] = value
        elif len(value.encode()) > _ATTRIBUTE_BYTES:
            group.create_dataset(key, data=fixed(value))
        else:
            group.attrs[key] = fixed(value)


def head(file: h5py.File, units: Sequence[str]) -> None:
    """Write what makes a file H5MD, with the module `units` for those that it uses."""
    top = file.create_group("h5md")
    top.attrs["version"] = np.array([1, 1], dtype="i4")
    author = next((os.environ[k] for k in ("USER", "LOGNAME") if os.environ.get(k)), "unknown")
    store(top.create_group("author"), {"name": author})
    store(top.create_group("creator"), {"name": "insitu", "version": insitu.__version__})
    module = top.create_group("modules/units")
    module.attrs["version"] = np.array([1, 0], dtype="i4")
    factors = " ".join(units).split()
    store(module, {"system": "SI" if all(map(_SI.fullmatch, factors)) else "LAMMPS"})


def lay_out(
    file: h5py.File, observables: Sequence[Observable], chunk: int, about: Mapping[str, Any]
) -> None:
    """Create the groups and empty datasets of a history.

    Parameters
    ----------
    file
        An empty file, open for writing.
    observables
        What every frame will hold; all share one `step` and one `time`.
    chunk
        Frames a chunk.
    about
        ``time_unit``, ``classes`` and ``codes``.
    """
    head(file, [about["time_unit"], *(o.unit for o in observables)])
    phases = file.create_group("observables/phases")
    phases.attrs["classes"] = fixed(about["classes"])
    phases.attrs["codes"] = np.array(about["codes"], dtype="i4")
    clock: dict[str, h5py.Dataset] = {}
    for o in observables:
        group = file.require_group(f"observables/{o.path}")
        store(group, {"description": o.description})
        value = _growing(group, "value", o.shape, o.dtype, chunk, o.unit)
        if o.path.startswith("phases/") and o.shape[-1:] == (len(about["classes"]),):
            value.attrs["classes"] = fixed(about["classes"])
        if o.rows:
            name, values = o.rows
            words = all(isinstance(v, str) for v in values)
            value.attrs[f"{name}s"] = fixed(values) if words else np.array(values, dtype="i4")
        for name, values, unit in o.axes:
            words = all(isinstance(v, str) for v in values)
            value.attrs[f"axis_{name}"] = fixed(values) if words else np.array(values, dtype="f8")
            if unit:
                value.attrs[f"axis_{name}_unit"] = fixed(unit)
        if o.axes:
            value.attrs["axes"] = fixed([name for name, _, _ in o.axes])
        if not clock:
            clock["step"] = _growing(group, "step", (), "i8", chunk, "")
            clock["time"] = _growing(group, "time", (), "f8", chunk, about["time_unit"])
        else:
            # Hard links: the clocks of two observables cannot disagree.
            group["step"], group["time"] = clock["step"], clock["time"]


def _growing(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str, chunk: int, unit: str
) -> h5py.Dataset:
    dataset = group.create_dataset(
        name, (0, *shape), dtype, chunks=(chunk, *shape), maxshape=(None, *shape)
    )
    if unit:
        dataset.attrs["unit"] = fixed(unit)
    return dataset


def check_same(
    path: Path,
    file: h5py.File,
    observables: Sequence[Observable],
    about: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Check that a file holds what a run that continues it would write.

    Raises
    ------
    HistoryError
        It does not; both sides are named.
    """
    mine = {
        signature(
            o.path,
            o.shape,
            o.dtype,
            o.unit,
            o.rows[1] if o.rows else ends([a for _, a, _ in o.axes]),
        )
        for o in observables
    }
    have, want = describe(file), {**about, "observables": mine}
    stored = {**UNSAID, **file["parameters/insitu"].attrs}
    for what in MUST_AGREE:
        if what in stored and what in provenance:
            old, new = stored[what], provenance[what]
            have[what] = text(old) if isinstance(old, bytes | str) else old
            want[what] = str(new) if isinstance(have[what], str) else new
    if differs := difference(have, want):
        what, old, new = differs
        made_by = " (groups, types, analyze, overhead and overlap)" if what == "observables" else ""
        raise HistoryError(
            f"if_exists='append': '{path}' has {what} {old}, and this run has {new}; use the settings "
            f"of that run{made_by}, if_exists overwrite, or another file name."
        )
