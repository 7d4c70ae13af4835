# SPDX-License-Identifier: BSD-3-Clause
"""Is a history valid H5MD, and complete? Everything that a reader of other people could trip over."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np

from insitu.errors import HistoryError
from insitu.history.atoms.parts import absent
from insitu.history.elements import damage, elements, opened, text
from insitu.history.integrity import half_written, verify
from insitu.history.writing.storage import leftovers

#: What H5MD 1.1 allows at the root of a file.
_ROOT = {"h5md", "particles", "observables", "connectivity", "parameters"}
# H5MD's module `units`: factors separated by a space, each a symbol with an optional signed power;
# a number only in front.
_UNIT = re.compile(r"(\d+(\.\d+)?([+-]\d+)? )?[A-Za-z]+([+-]\d+)?( [A-Za-z]+([+-]\d+)?)*")


def check_file(path: str | os.PathLike[str]) -> list[str]:
    """Return what is wrong with a history, one sentence each; nothing on disk is changed.

    Parameters
    ----------
    path
        The history. One that is being written is checked as it is at the moment.

    Returns
    -------
    list of str
        Empty for a history that is valid H5MD 1.1 and complete.

    References
    ----------
    H5MD 1.1 (nongnu.org/h5md) and its modules; P. de Buyl, P. H. Colberg, F. Höfling,
    Comput. Phys. Commun. 185, 1546 (2014).
    """
    path = Path(path)
    try:
        with opened(path) as file:
            found = [*_head(file), *_elements(file), *_phases(file), *_particles(file, path)]
            if not found:  # what is wrong has not been said yet
                verify(file, half_written(file)[0])
    except HistoryError as error:
        return [str(error)]
    left = leftovers(path)
    if left:
        found.append(
            f"{', '.join(p.name for p in left)} beside it: left by a writer that was killed; the next "
            "run that continues the history removes it"
        )
    return found


def _head(file: h5py.File) -> list[str]:
    found = [f"'/{name}' is not a group of H5MD" for name in sorted(set(file) - _ROOT)]
    version = file["h5md"].attrs.get("version")
    if version is None or np.asarray(version).tolist() != [1, 1]:
        found.append(f"/h5md has version {version}, not the two integers 1 1")
    for group, name in (
        ("h5md/author", "name"), ("h5md/creator", "name"), ("h5md/creator", "version"),
        ("h5md/modules/units", "system"),
    ):  # fmt: skip
        if group not in file or name not in file[group].attrs:
            found.append(f"/{group} has no attribute '{name}'")
        elif not _fixed_length(file[group], name):
            found.append(f"attribute '{name}' of /{group} is not a string of fixed length")
    return found


def _fixed_length(item: h5py.HLObject, name: str) -> bool:
    kind = h5py.check_string_dtype(item.attrs.get_id(name).dtype)
    return kind is not None and kind.length is not None


def _elements(file: h5py.File) -> list[str]:
    found = []
    groups = elements(file)
    if not groups:
        return ["/observables holds no time-dependent element"]
    for name, group in groups.items():
        where = f"/observables/{name}"
        step, time, value = group["step"], group["time"], group["value"]
        if step.ndim != 1 or step.dtype.kind != "i":
            found.append(f"{where}/step is not a list of integers")
        elif not (np.diff(step[()]) > 0).all():
            found.append(f"{where}/step does not increase")
        if time.ndim != 1 or time.dtype.kind != "f":
            found.append(f"{where}/time is not a list of numbers")
        elif not (np.diff(time[()]) >= 0).all():
            found.append(f"{where}/time goes back")
        for part in (time, value):
            if "unit" not in part.attrs:
                continue
            unit = text(part.attrs["unit"])
            if not _UNIT.fullmatch(unit):
                found.append(f"{part.name} has unit '{unit}', which is not H5MD's notation")
            elif not _fixed_length(part, "unit"):
                found.append(f"the unit of {part.name} is not a string of fixed length")
    frames, begun = half_written(file)
    if begun:
        found.append(
            f"frame {frames + 1} was begun and not finished: its writer was killed, or is at work; "
            "readers leave it out, and the next run that continues the history removes it"
        )
    return found


def _particles(file: h5py.File, path: Path) -> list[str]:
    """Return what is wrong with the link to the atoms of some frames."""
    link = file.get("particles/all", getlink=True)
    if not isinstance(link, h5py.ExternalLink):
        return []
    beside = path.with_name(link.filename)
    if not beside.exists():
        return [f"its atoms are in '{beside}', which is missing; copy both files together"]
    try:
        steps = file["particles/all/box/edges/step"][()]
        lost = absent(file["particles/all/id/value"]) if len(steps) else []
    except (KeyError, OSError) as error:
        return [
            f"its atoms in '{beside}' cannot be read ({damage(error)}): close it where this program has it "
            "open, or copy it again"
        ]
    if lost:
        return [f"'{lost[0]}', a part of '{beside}', is missing; copy all parts together"]
    left = set(steps.tolist()) - set(next(iter(elements(file).values()))["step"][()].tolist())
    return [f"'{beside}' has atoms of step {min(left)}, which the history has not"] if left else []


def _phases(file: h5py.File) -> list[str]:
    phases = file["observables/phases"]
    classes, codes = phases.attrs.get("classes"), phases.attrs.get("codes")
    if classes is None or codes is None or len(classes) != len(codes):
        return ["/observables/phases does not name its classes and their integers"]
    found = []
    frames, _ = half_written(file)
    for name, group in elements(file).items():
        if not (name.startswith("phases/") and name.endswith("fraction")):
            continue
        value = group["value"]
        if value.shape[-1] != len(classes):
            found.append(f"/observables/{name} has {value.shape[-1]} columns, not {len(classes)}")
            continue
        total = value[:frames].sum(axis=-1)
        wrong = np.isfinite(total) & (np.abs(total - 1.0) > 1e-9)
        if wrong.any():
            step = int(group["step"][np.nonzero(wrong)[0][0]])
            found.append(f"the fractions in /observables/{name} at step {step} do not sum to 1")
    return found
