# SPDX-License-Identifier: BSD-3-Clause
"""Molecular dynamics of a compound's phases: polymorphs held at temperatures and pressures, melts, glasses.

A phase keeps its label only while the average structure says so: bonds and sites of a crystal, no
long-range order in what is said to be disordered.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError
from insitu.training.runs import holds, read_dump, run_lammps, write_data
from insitu.training.structures.polymorphs import random_packing, supercell, unit_cell

log = logging.getLogger(__name__)

PARTS = ("training", "test")
#: Cells of the largest wave vectors in which long-range order is looked for.
_WAVES = 8
#: A disordered sample scatters less than this part of N² into any wave vector of its cell.
_ORDER = 0.2
#: Share of a crystal's bonds that have to be those of the starting structure.
_BONDS = 0.97
_KELVIN_STEPS = 100


@dataclass(frozen=True)
class Run:
    """One trajectory: a phase at a pressure [GPa] and temperatures [K] in order."""

    phase: dict[str, Any]
    part: str
    pressure: float
    temperatures: tuple[float, ...]
    seed: int

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.phase['class']}-{self.part}-{self.pressure:g}-{self.seed}"


@dataclass(frozen=True)
class Snapshot:
    """A configuration of one phase: positions ``(n, 3)``, cell ``(3, 3)`` [Å], types ``(n,)`` from 1."""

    label: str
    run: str
    temperature: float
    pressure: float
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    types: NDArray[np.int64]


def runs(recipe: dict[str, Any], part: str) -> list[Run]:
    """Return the trajectories of one part of the split; no seed is in two parts."""
    found = []
    for number, phase in enumerate(recipe["phase"]):
        for k, (pressure, *temperatures) in enumerate(phase[part]):
            seed = 1000 * (number + 1) + 200 * PARTS.index(part) + k + 1
            found.append(Run(phase, part, float(pressure), tuple(temperatures), seed))
    return found


def start(
    run: Run, atoms: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return positions, types and cell of the starting crystal, or of a random packing in its cell."""
    p = run.phase
    r, types, cell = supercell(*unit_cell(p["cell"], p["symmetry"], p["sites"]), atoms)
    if p.get("disordered"):
        r = random_packing(types, cell, np.array(p["least"]), run.seed)
    return r, types, cell


def head(recipe: dict[str, Any], *, turned: bool) -> str:
    """Return the first lines of a deck: atoms from ``data``, the potential, the time step.

    Parameters
    ----------
    recipe
        With ``[potential]`` and ``[protocol]``.
    turned
        Whether the file of the atoms has an orthogonal cell that is to be a triclinic one.
    """
    f = recipe["potential"]
    text = "units metal\nboundary p p p\natom_style charge\nbox tilt large\nread_data data\n"
    if turned:
        text += "change_box all triclinic\n"
    text += f"pair_style {f['pair']}\n" + "".join(f"pair_coeff {c}\n" for c in f["coeff"])
    text += f"kspace_style {f['kspace']}\n"
    text += "".join(f"mass {k + 1} {m}\n" for k, m in enumerate(f["masses"]))
    return text + (
        f"timestep {recipe['protocol']['timestep']}\nneighbor 1.0 bin\n"
        "neigh_modify every 1 delay 0 check yes\nthermo 1000\n"
    )


def deck(recipe: dict[str, Any], run: Run) -> str:
    """Return the LAMMPS deck of a trajectory."""
    protocol, phase = recipe["protocol"], run.phase
    dt, bar = protocol["timestep"], 1e4 * run.pressure
    text = head(recipe, turned=phase["cell"][3:] == [90.0, 90.0, 90.0])

    def hold(first: float, last: float, kind: str, steps: int) -> str:
        bath = f"fix move all npt temp {first} {last} {_KELVIN_STEPS * dt} {kind} {bar} {bar} {500 * dt}\n"
        return bath + f"run {steps}\n"

    if phase.get("disordered"):
        hot = phase["hot"]
        text += "min_style cg\nminimize 0 1e-2 200 400\n"
        text += f"velocity all create {hot} {run.seed} mom yes rot no dist gaussian\n"
        # Short steps: the random start is far from equilibrium.
        text += f"timestep {dt / 2}\nfix move all nvt temp {hot} {hot} {_KELVIN_STEPS * dt}\n"
        text += f"run {phase['melting_steps']}\nunfix move\ntimestep {dt}\n"
        if phase.get("quench_steps"):
            text += hold(hot, hot, "iso", 800)
            text += hold(hot, run.temperatures[0], "iso", phase["quench_steps"])
        kind = "iso"
    else:
        text += (
            f"fix move all box/relax tri {bar}\nmin_style cg\nminimize 0 1e-3 100 200\nunfix move\n"
        )
        text += f"velocity all create {2 * run.temperatures[0]} {run.seed} mom yes rot no dist gaussian\n"
        kind = "tri"
    text += "reset_timestep 0\n"
    for t in run.temperatures:
        text += hold(t, t, kind, protocol["equilibrate"])
        for _ in range(protocol["frames"]):
            text += f"run {protocol['gap']}\n"
            text += "write_dump all custom dump id type x y z modify append yes sort id format float %.9g\n"
    return text


def _fractional_average(
    frames: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    sites: NDArray[np.float64], cell: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return the average displacement ``(n, 3)`` [Å] from the sites, drift removed, and the cell."""
    reference = sites @ np.linalg.inv(cell)
    moved = []
    for r, c in frames:
        d = r @ np.linalg.inv(c) - reference
        d -= np.rint(d)
        d -= np.angle(np.exp(2j * np.pi * d).mean(axis=0)) / (2 * np.pi)
        d -= np.rint(d)
        moved.append(d - d.mean(axis=0))
    mean_cell = np.mean([c for _, c in frames], axis=0)
    return np.mean(moved, axis=0) @ mean_cell, mean_cell


def bonds(
    fractional: NDArray[np.float64], cell: NDArray[np.float64], types: NDArray[np.int64], each: int
) -> NDArray[np.bool_]:
    """Return which atoms of type 2 ``(n₂,)`` are among the `each` nearest of which of type 1 ``(n₁,)``."""
    d = fractional[types == 1][:, None] - fractional[types == 2][None]
    d -= np.rint(d)
    length = np.linalg.norm(d @ cell, axis=2)
    near = np.zeros(length.shape, dtype=bool)
    np.put_along_axis(near, np.argsort(length, axis=1)[:, :each], True, axis=1)
    return near


def order(
    positions: NDArray[np.float64], cell: NDArray[np.float64], types: NDArray[np.int64]
) -> float:
    """Return the largest scattering |Σ exp(ik·r)|²/N² of type 1 into the cell's wave vectors."""
    s = (positions @ np.linalg.inv(cell))[types == 1]
    n = np.arange(-_WAVES, _WAVES + 1)
    waves = np.stack(np.meshgrid(n[_WAVES:], n, n, indexing="ij"), axis=-1).reshape(-1, 3)
    waves = waves[np.abs(waves).sum(axis=1) > 0]
    amplitude = np.abs(np.exp(2j * np.pi * s @ waves.T).mean(axis=0))
    return float((amplitude**2).max())


def judge(
    phase: dict[str, Any], frames: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    sites: NDArray[np.float64], cell: NDArray[np.float64], types: NDArray[np.int64],
) -> tuple[bool, str]:  # fmt: skip
    """Return whether frames at one temperature are still the phase, and the figures behind it.

    A crystal: its average atoms lie within `near` Å (root mean square) of the sites of its symmetry
    in the cell as it is now, or further than `far` (a distorted form of those sites), and its bonds
    are the starting structure's. What is disordered: no Bragg peak.
    """
    if phase.get("disordered"):
        peak = max(order(r, c, types) for r, c in frames)
        return peak < _ORDER, f"largest Bragg peak {peak:.3f}"
    moved, mean_cell = _fractional_average(frames, sites, cell)
    away = float(np.sqrt((moved**2).sum(axis=1).mean()))
    reference = sites @ np.linalg.inv(cell)
    each = phase["coordination"]
    before = bonds(reference, cell, types, each)
    now = bonds(reference + moved @ np.linalg.inv(mean_cell), mean_cell, types, each)
    kept = float((before & now).sum() / before.sum())
    well = phase.get("far", 0.0) <= away <= phase["near"] and kept >= _BONDS
    return well, f"average {away:.2f} Å from the sites, {100 * kept:.0f} % of the bonds"


def simulate(recipe: dict[str, Any], run: Run, out: Path) -> Path:
    """Run a trajectory unless `out` holds it, from the same deck; return its ``.npz`` file."""
    result, commands = out / f"{run.name}.npz", deck(recipe, run)
    if holds(result, commands):
        return result
    sites, types, cell = start(run, run.phase.get("atoms", recipe["protocol"]["atoms"]))
    folder = out / run.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_data(folder / "data", sites, cell, types, recipe["potential"]["charges"])
    failed = ""
    try:
        run_lammps(folder, commands)
    except DeckError as error:  # a crystal that transforms may end a run: keep what there is
        failed = str(error)
        if not (folder / "dump").exists():
            raise
    frames = [(r, c) for _, r, c in read_dump(folder / "dump")]
    each = recipe["protocol"]["frames"]
    kept, verdicts = [], []
    for k, t in enumerate(run.temperatures[: len(frames) // each]):
        well, why = judge(run.phase, frames[k * each : (k + 1) * each], sites, cell, types)
        kept += [well] * each
        verdicts.append(f"{t:g} K: {why}{'' if well else ', DROPPED'}")
    n = len(kept)
    log.info("%s: %s%s", run.name, "; ".join(verdicts), " (run ended early)" if failed else "")
    np.savez_compressed(
        result, deck=commands, failed=failed, types=types, kept=np.array(kept),
        verdicts=np.array(verdicts), temperature=np.repeat(run.temperatures, each)[:n],
        positions=np.array([f[0] for f in frames[:n]]), cell=np.array([f[1] for f in frames[:n]]),
    )  # fmt: skip
    shutil.rmtree(folder)
    return result


def snapshots(recipe: dict[str, Any], part: str, out: Path) -> list[Snapshot]:
    """Return the configurations of one part of the split that are still what their label says."""
    found = []
    every = recipe["protocol"].get("use_every", 1)
    for run in runs(recipe, part):
        with np.load(out / f"{run.name}.npz") as z:
            columns = list(zip(z["kept"], z["temperature"], z["positions"], z["cell"], strict=True))
            for well, t, r, c in columns[::every]:
                if well:
                    found.append(
                        Snapshot(
                            run.phase["class"], run.name, float(t), run.pressure, r, c, z["types"]
                        )
                    )
    return found
