# SPDX-License-Identifier: BSD-3-Clause
"""What happened in a run, in numbers: when phases gained or lost the upper hand, what it cost."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from insitu.history.datasets import present_phases

if TYPE_CHECKING:
    import xarray

#: What the stages of `timing_*` are; others are shown by their names.
STAGES = {
    "simulation": "simulation (LAMMPS)",
    "arrays": "arrays and their check",
    "neighbors": "cell list",
    "descriptor": "descriptor",
    "model": "network",
    "rdf": "g(r)",
    "reduce": "exchange, waiting, sums",
    "write": "writing",
}


@dataclass(frozen=True)
class Crossing:
    """A phase passes a fraction between two frames.

    Parameters
    ----------
    phase
        Its name.
    rising
        From below to above.
    steps
        The frames before and after it.
    time, temperature
        Interpolated; NaN where the history has none.
    """

    phase: str
    rising: bool
    steps: tuple[int, int]
    time: float
    temperature: float


@dataclass(frozen=True)
class Stage:
    """Wall time of a part of the run: all of it, its mean for a frame [s], its share of the run."""

    name: str
    total: float
    mean: float
    share: float


def crossings(dataset: xarray.Dataset, level: float = 0.5) -> list[Crossing]:
    """Return each passage of a phase through a fraction, in the order of the steps.

    Parameters
    ----------
    dataset
        A history from :func:`insitu.open`, not an ensemble.
    level
        The fraction.
    """
    steps = dataset["step"].values
    times = np.asarray(dataset["time"].values, dtype=float)
    kelvin = np.full(len(steps), np.nan)
    if "temperature" in dataset:
        kelvin = np.asarray(dataset["temperature"].values, dtype=float)
    found = []
    for phase in present_phases(dataset):
        share = np.asarray(dataset["fraction"].sel(phase=phase).values, dtype=float)
        known = np.flatnonzero(np.isfinite(share))
        for i, j in itertools.pairwise(known):
            if (share[i] < level) == (share[j] < level):
                continue
            part = (level - share[i]) / (share[j] - share[i])
            at = [float(v[i] + part * (v[j] - v[i])) for v in (times, kelvin)]
            rising = bool(share[j] > share[i])
            found.append(Crossing(phase, rising, (int(steps[i]), int(steps[j])), at[0], at[1]))
    return sorted(found, key=lambda c: c.steps)


def stages(dataset: xarray.Dataset) -> list[Stage]:
    """Return what the simulation and each stage of the analysis took, the simulation first."""
    names = [str(n) for n in dataset.data_vars if str(n).startswith("timing_")]
    order = [f"timing_{s}" for s in STAGES]
    names.sort(key=lambda n: (order.index(n) if n in order else len(order), n))
    totals = [float(np.nansum(dataset[n].values)) for n in names]
    everything = sum(totals) or 1.0
    frames = dataset.sizes["step"]
    return [
        Stage(name.removeprefix("timing_"), total, total / frames, total / everything)
        for name, total in zip(names, totals, strict=True)
    ]


def cost(dataset: xarray.Dataset) -> float | None:
    """Return the wall time of the whole analysis over that of the simulation, or None.

    None also for a `rerun`, where LAMMPS only reads: there is no simulation to compare with.
    """
    found = stages(dataset)
    simulation = sum(s.total for s in found if s.name == "simulation")
    analysis = sum(s.total for s in found if s.name != "simulation")
    return analysis / simulation if simulation > 1e-3 * analysis else None
