# SPDX-License-Identifier: BSD-3-Clause
"""A history in memory: a part of it, its mean, what is often asked of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import HistoryError, did_you_mean

if TYPE_CHECKING:
    import xarray


def subset(
    dataset: xarray.Dataset, group: str | None = None, kind: int | None = None
) -> xarray.Dataset:
    """Return a history in which `fraction` and `count` are those of one group or atom type.

    Parameters
    ----------
    dataset
        A history from :func:`insitu.open`.
    group, kind
        LAMMPS group, or atom type; with neither the history is returned as it is.

    Raises
    ------
    HistoryError
        The run did not record it.
    """
    for name, wanted, setting in (("group", group, f"groups {group}"), ("type", kind, "types yes")):
        if wanted is None:
            continue
        recorded = dataset[name].values.tolist() if name in dataset.coords else []
        if wanted not in recorded:
            words = [str(r) for r in recorded]
            raise HistoryError(
                f"{name} {wanted!r} is not recorded in this history; recorded: "
                f"{', '.join(words) or 'none'}.{did_you_mean(str(wanted), words)} Runs record it "
                f"with the setting `{setting}`."
            )
        part = {v: dataset[f"{v}_by_{name}"].sel({name: wanted}) for v in ("fraction", "count")}
        dataset = dataset.assign(part).drop_vars(["standard_error", "confidence"], errors="ignore")
    return dataset


def average(dataset: xarray.Dataset) -> xarray.Dataset:
    """Return the mean of the runs of an ensemble; any other history as it is.

    ``standard_error`` becomes that of the mean, from the scatter of the runs; it is left out where
    there is one run only.
    """
    if "run" not in dataset.dims:
        return dataset
    runs = dataset.sizes["run"]
    mean = dataset.mean("run", skipna=False, keep_attrs=True)
    if dataset["time"].ndim > 1:
        mean = mean.assign_coords(time=dataset["time"].mean("run", keep_attrs=True))
    mean = mean.drop_vars("standard_error", errors="ignore")
    if runs > 1:
        mean["standard_error"] = dataset["fraction"].std("run", ddof=1) / np.sqrt(runs)
    return mean.assign_attrs(runs=runs)


def notes(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Return from which steps on the analysis was disabled: ``step``, ``reason``, maybe ``run``."""
    found: list[dict[str, Any]] = json.loads(dataset.attrs.get("disabled", "[]"))
    return found


def gaps(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Return which frames the file system did not take: ``first``, ``last``, ``frames``, ``reason``."""
    found: list[dict[str, Any]] = json.loads(dataset.attrs.get("missing", "[]"))
    return found


#: A phase that never reaches this fraction is noise of the classifier rather than a phase.
PRESENT = 0.005


def present_phases(dataset: xarray.Dataset) -> list[str]:
    """Return the phases that ever exceed 0.5 %, in the order of the file."""
    greatest = np.nan_to_num(dataset["fraction"].values).max(axis=0)
    return [str(n) for n, f in zip(dataset["phase"].values, greatest, strict=True) if f > PRESENT]


def energy_per_atom(dataset: xarray.Dataset) -> tuple[NDArray[np.float64], str] | None:
    """Return the potential energy per atom `(n_steps,)` and its unit.

    The number of atoms is that of each frame, or else the attribute ``atoms`` of the history, or else
    the sum of the counts. None where the history has no energy; the total energy where it has no
    number of atoms.
    """
    if "potential_energy" not in dataset:
        return None
    energy = np.asarray(dataset["potential_energy"].values, dtype=float)
    if not np.isfinite(energy).any():
        return None
    unit = str(dataset["potential_energy"].attrs.get("units", ""))
    atoms: Any = dataset.attrs.get("atoms")
    if "atoms" in dataset:  # of each frame: they may come and go
        atoms = dataset["atoms"].values
    elif isinstance(atoms, str):  # runs of different size: a list
        atoms = None
    elif atoms is None and "count" in dataset:
        atoms = dataset["count"].values.sum(axis=1)
    if atoms is None or not np.all(np.asarray(atoms) > 0):
        return energy, unit
    return energy / np.asarray(atoms, dtype=float), f"{unit}/atom" if unit else ""
