# SPDX-License-Identifier: BSD-3-Clause
"""How far two histories are apart, at the steps that both have."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insitu.errors import HistoryError, SettingError
from insitu.history.datasets import average, energy_per_atom, present_phases
from insitu.history.elements import UNSAID

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Deviation:
    """How far apart one quantity is.

    Parameters
    ----------
    name
        A phase, ``temperature``, or ``energy``.
    unit
        Unit of `mean` and `largest`; None for a phase, they are fractions.
    mean, largest
        Mean and greatest absolute difference over the common steps; infinite where one history has
        no value.
    at
        Step of the greatest difference.
    beyond
        First step at which a phase is further apart than the tolerance, or None.
    """

    name: str
    unit: str | None
    mean: float
    largest: float
    at: int
    beyond: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`: a deviation for each phase of either history, then temperature, energy."""

    steps: list[int]
    tolerance: float
    deviations: list[Deviation]
    notes: list[str]

    @property
    def beyond(self) -> Deviation | None:
        """The phase that leaves the tolerance first, or None if none does."""
        left = [d for d in self.deviations if d.beyond is not None]
        return min(left, key=lambda d: (d.beyond, -d.largest), default=None)


def compare(
    first: xarray.Dataset, second: xarray.Dataset, *, tolerance: float = 0.01
) -> Comparison:
    """Compare the phase fractions of two histories at the steps that both have.

    Parameters
    ----------
    first, second
        Histories from :func:`insitu.open`; of an ensemble the mean is compared.
    tolerance
        Difference of a fraction that is let pass.

    Raises
    ------
    HistoryError
        They have no step in common.
    SettingError
        The tolerance is no difference of fractions.
    """
    if not 0.0 <= tolerance <= 1.0:
        raise SettingError(f"tolerance={tolerance} is no difference of fractions; give 0 … 1")
    first, second = average(first), average(second)
    steps = np.intersect1d(first["step"].values, second["step"].values)
    if not steps.size:
        ranges = [f"{d['step'].values[0]} to {d['step'].values[-1]}" for d in (first, second)]
        raise HistoryError(
            f"the histories have no step in common: A has steps {ranges[0]}, B {ranges[1]}; compare "
            "runs whose analysed steps (`every`) agree."
        )
    a, b = first.sel(step=steps), second.sel(step=steps)
    notes = []
    names = list(dict.fromkeys(str(n) for d in (a, b) for n in d["phase"].values))
    for label, data, other in (("A", a, b), ("B", b, a)):
        alone = [n for n in present_phases(data) if n not in other["phase"].values]
        if alone:
            notes.append(f"Only {label} knows {', '.join(alone)}: compared with 0.")
        if len(data["step"]) < (n := len((first if label == "A" else second)["step"])):
            notes.append(f"{n - len(steps)} of {n} frames of {label} have no counterpart.")
    around = [str(d.attrs.get("neighbors", UNSAID["neighbors"])) for d in (a, b)]
    if around[0] != around[1]:
        notes.append(
            f"Surroundings differ: A's are made up by neighbors={around[0]}, B's by {around[1]}."
        )
    deviations = [
        _deviation(n, None, _apart(_share(a, n), _share(b, n)), steps, tolerance) for n in names
    ]
    sizes = [d["count"].sum("phase").values.astype(float) if "count" in d else None for d in (a, b)]
    if sizes[0] is not None and sizes[1] is not None and not np.allclose(sizes[0], sizes[1]):
        notes.append(
            f"The numbers of atoms differ ({sizes[0][0]:,.0f} and {sizes[1][0]:,.0f} at step "
            f"{steps[0]}): these are fractions of different atoms."
        )
    measured = [_temperature(d) for d in (a, b)], [energy_per_atom(d) for d in (a, b)]
    for name, (mine, theirs) in zip(("temperature", "energy"), measured, strict=True):
        if mine is None or theirs is None:
            continue
        if mine[1] == theirs[1]:
            deviations.append(_deviation(name, mine[1], mine[0] - theirs[0], steps))
        else:
            units = [unit or "no unit" for unit in (mine[1], theirs[1])]
            notes.append(f"A has its {name} in {units[0]}, B in {units[1]}: they are not compared.")
    return Comparison(steps.tolist(), tolerance, deviations, notes)


def format_comparison(found: Comparison, names: tuple[str, str], width: int = 80) -> str:
    """Return a comparison as a table and a verdict.

    Parameters
    ----------
    found
        The comparison.
    names
        What A and B are.
    width
        Greatest length of a line [characters].
    """
    limit = f"{100 * found.tolerance:g} %"
    head = ["", "mean |A−B|", "max |A−B|", "at step", f"beyond {limit} at"]
    rows = [head]
    for d in found.deviations:
        if d.largest == 0:
            continue
        verdict = "–" if d.beyond is None else f"step {d.beyond}"
        rows.append([
            d.name.replace("_", " "), _amount(d, d.mean), _amount(d, d.largest), str(d.at),
            verdict if d.unit is None else "",
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"A  {names[0]}", f"B  {names[1]}"]
    lines.append(f"{len(found.steps)} steps in common, {found.steps[0]} to {found.steps[-1]}")
    lines.append("")
    if len(rows) > 1:
        lines += [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in rows
        ]
        lines.append("")
    same = [d.name.replace("_", " ") for d in found.deviations if d.largest == 0]
    if same:
        lines += textwrap.wrap(f"Equal at every step: {', '.join(same)}.", width)
    for note in found.notes:
        lines += textwrap.wrap(note, width)
    if (worst := found.beyond) is None:
        verdict = f"No phase differs by more than {limit}."
    else:
        verdict = f"Beyond {limit} first at step {worst.beyond} ({worst.name.replace('_', ' ')})."
    return "\n".join([*lines, *textwrap.wrap(verdict, width)])


def _temperature(dataset: xarray.Dataset) -> tuple[NDArray[np.float64], str] | None:
    """Return the temperature ``(n_steps,)`` and its unit; None where the history has none."""
    if "temperature" not in dataset:
        return None
    values = np.asarray(dataset["temperature"].values, dtype=float)
    unit = str(dataset["temperature"].attrs.get("units", ""))
    return (values, unit) if np.isfinite(values).any() else None


def _share(dataset: xarray.Dataset, phase: str) -> NDArray[np.float64]:
    if phase not in dataset["phase"].values:
        return np.zeros(dataset.sizes["step"])
    return np.asarray(dataset["fraction"].sel(phase=phase).values, dtype=float)


def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the difference; 0 where neither side has a value, as in a group without atoms."""
    return np.where(np.isnan(a) & np.isnan(b), 0.0, a - b)


def _deviation(
    name: str, unit: str | None, apart: NDArray[np.float64], steps: NDArray[np.int64],
    tolerance: float = np.inf,
) -> Deviation:  # fmt: skip
    # A fraction that one side lacks is a difference; LAMMPS' values may be missing at some steps.
    size = np.nan_to_num(np.abs(apart), nan=np.inf if unit is None else 0.0)
    worst = int(size.argmax())
    beyond = steps[size > tolerance]
    return Deviation(
        name, unit, float(size.mean()), float(size[worst]), int(steps[worst]),
        int(beyond[0]) if beyond.size else None,
    )  # fmt: skip


def _amount(deviation: Deviation, value: float) -> str:
    if not np.isfinite(value):
        return "missing"
    if deviation.unit is None:
        return f"{100 * value:.2f} %"
    return f"{value:.4g} {deviation.unit}".rstrip()
