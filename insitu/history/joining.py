# SPDX-License-Identifier: BSD-3-Clause
"""Several histories as one: the parts of a restarted run, the runs of an ensemble."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.errors import HistoryError, SettingError
from insitu.history.datasets import notes as notes_of
from insitu.history.elements import MUST_AGREE, UNSAID, difference

if TYPE_CHECKING:
    import xarray

#: Attributes that are lists of what happened, a list of all for several files.
_LISTS = ("disabled", "continued", "missing")
#: Coordinates that must agree, by what an error calls them; the attribute "types" says which elements.
_AXES = {"groups": "group", "numbers of types": "type", "pairs": "pair", "radii": "radius"}


def expand(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the files that a path, a pattern (``phases*.h5``), or a list of both stands for.

    Raises
    ------
    SettingError
        There is none, or one is given twice.
    """
    given = [path] if isinstance(path, str | os.PathLike) else list(path)
    found: list[Path] = []
    for one in (os.fspath(g) for g in given):
        if any(c in one for c in "*?[") and not os.path.exists(one):
            matching = sorted(glob.glob(one), key=_natural)
            if not matching:
                raise SettingError(
                    f"no file matches '{one}'; give the name of a history, or a pattern that fits one."
                )
            found += map(Path, matching)
        else:
            found.append(Path(one))
    if not found:
        raise SettingError("no file is given; give the name of a history, or several.")
    twice = [str(p) for i, p in enumerate(found) if p in found[:i]]
    if twice:
        raise SettingError(f"file='{twice[0]}' is given twice; give each history once.")
    return found


def join(histories: Mapping[str, xarray.Dataset]) -> xarray.Dataset:
    """Return the histories of one run that was restarted as one, along ``step``.

    The order is that in which the runs began; each wins over the ones before it from its first
    step on, as with ``if_exists append``.

    Parameters
    ----------
    histories
        Histories by the names of their files.

    Raises
    ------
    HistoryError
        They do not belong together.
    """
    import xarray

    _check_alike(histories)
    ordered = sorted(histories.items(), key=lambda item: _began(item[1]))  # equal dates: as given
    kept, notes = [], []
    for i, (name, data) in enumerate(ordered):
        end, later = min(
            ((int(d["step"][0]), n) for n, d in ordered[i + 1 :]), default=(None, "")
        )  # fmt: skip
        if end is not None:
            data = data.sel(step=data["step"] < end)
        if not data.sizes["step"]:
            raise HistoryError(
                f"'{later}' was begun after '{name}' and holds all of its steps from {end} on, so "
                f"nothing would be left of '{name}'; leave it out, or, if they are independent runs, "
                "open them as an ensemble (ensemble=True, --ensemble)."
            )
        kept.append(data)
        notes += [n for n in notes_of(data) if end is None or n["step"] < end]
    joined = xarray.concat(
        kept, "step", data_vars="minimal", coords="minimal", compat="override",
        join="override", combine_attrs="override",
    )  # fmt: skip
    joined.attrs = _common(dict(ordered))
    if notes:
        joined.attrs["disabled"] = json.dumps(notes)
    return joined


def ensemble(histories: Mapping[str, xarray.Dataset]) -> xarray.Dataset:
    """Return independent runs as one history with the further dimension ``run``.

    The steps are those that all runs have: of runs that still go on, those that all have reached.

    Parameters
    ----------
    histories
        Histories by the names of their files; the coordinate ``run`` is what these differ in.

    Raises
    ------
    HistoryError
        They do not belong together, or have no step in common.
    """
    import xarray

    _check_alike(histories)
    steps = [set(data["step"].values.tolist()) for data in histories.values()]
    common = sorted(set.intersection(*steps))
    if not common:
        ranges = ", ".join(
            f"'{n}' {int(d['step'][0])} to {int(d['step'][-1])}" for n, d in histories.items()
        )
        raise HistoryError(
            f"these runs have no analysed step in common ({ranges}); an ensemble needs runs with "
            "the same `every`. A run that was restarted opens without ensemble=True (--ensemble)."
        )
    members = [data.sel(step=common) for data in histories.values()]
    times = np.stack([data["time"].values for data in members])
    if not np.allclose(times, times[0], rtol=1e-9, atol=0.0):
        # Runs with time steps of their own: the time is a matter of the run.
        members = [data.reset_coords("time") for data in members]
    together = xarray.concat(
        members, "run", data_vars="all", coords="minimal", compat="override",
        join="override", combine_attrs="override",
    )  # fmt: skip
    if "time" in together.data_vars:
        together = together.set_coords("time")
    names = short_names(list(histories))
    together = together.assign_coords(run=("run", names))
    together.attrs = _common(histories)
    notes = [
        {**note, "run": run}
        for run, data in zip(names, histories.values(), strict=True)
        for note in notes_of(data)
    ]
    if notes:
        together.attrs["disabled"] = json.dumps(notes)
    return together


def _began(dataset: xarray.Dataset) -> float:
    try:
        return datetime.fromisoformat(str(dataset.attrs.get("date"))).timestamp()
    except ValueError:
        return 0.0


def _common(histories: Mapping[str, xarray.Dataset]) -> dict[str, Any]:
    """Return the attributes that all have; where they differ, a list in JSON, one for each file."""
    every = [data.attrs for data in histories.values()]
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for attrs in every for key in attrs if key not in _LISTS):
        values = [attrs.get(key) for attrs in every]
        same = all(value == values[0] for value in values)
        merged[key] = values[0] if same else json.dumps(values)
    return {**merged, "files": json.dumps(list(histories))}


def _check_alike(histories: Mapping[str, xarray.Dataset]) -> None:
    (first, one), *others = histories.items()
    have = _meaning(one)
    for name, other in others:
        if differs := difference(_meaning(other), have):
            what, its, mine = differs
            raise HistoryError(
                f"'{name}' has {what} {its}, and '{first}' has {mine}: they do not open as one "
                "history; open each on its own (insitu plot --beside and insitu compare set them next "
                "to each other)."
            )


def _meaning(dataset: xarray.Dataset) -> dict[str, Any]:
    """Return what the histories of one run, or of an ensemble, have in common."""
    return {
        "phases": dataset["phase"].values.tolist(),
        "codes": dataset["code"].values.tolist(),
        **{
            what: dataset[name].values.tolist() if name in dataset.coords else []
            for what, name in _AXES.items()
        },
        "time unit": dataset["time"].attrs.get("units", ""),
        "observables": {
            f"{name} {[*v.shape[1:]]} {v.attrs.get('units', '')}".rstrip()
            for name, v in dataset.data_vars.items()
        },
        **{name: dataset.attrs.get(name, UNSAID.get(name)) for name in MUST_AGREE},
    }


def short_names(names: Sequence[str]) -> list[str]:
    """Return what the names of files differ in: their stems, else their folders."""
    stems = [Path(name).stem for name in names]
    if len(set(stems)) == len(stems):
        return stems
    parts = [Path(name).absolute().with_suffix("").parts for name in names]
    differing = [i for i in range(min(map(len, parts))) if len({p[i] for p in parts}) > 1]
    return ["/".join(p[i] for i in differing) or "/".join(p) for p in parts]


def _natural(name: str) -> list[str | int]:
    """Sort ``a_2`` before ``a_10``."""
    return [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", name)]
