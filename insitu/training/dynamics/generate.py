# SPDX-License-Identifier: BSD-3-Clause
"""Labelled snapshots from real molecular dynamics: decks written from a recipe, run by LAMMPS."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.lattices.perfect import lattice
from insitu.progress import bar
from insitu.training.runs import potentials_folder, read_dump, run_lammps, write_data

log = logging.getLogger(__name__)

_HEAD = """\
units metal
boundary p p p
atom_style atomic
atom_modify map array
read_data {data}
pair_style {pair}
pair_coeff * * {potential} {name}
mass 1 {mass}
timestep {timestep}
neigh_modify every 1 delay 0 check yes
velocity all create {start} {seed} mom yes rot yes dist gaussian
compute msd all msd com yes
"""

_CRYSTAL = (
    _HEAD
    + """\
fix md all npt temp {low} {high} $(100.0*dt) iso 0.0 0.0 $(1000.0*dt)
dump out all custom {every} {dump} id type x y z
dump_modify out sort id format float %.6f
fix thermo all ave/time {every} 1 {every} c_thermo_temp c_thermo_pe c_msd[4] file {thermo} format " %.8g"
run {steps}
"""
)

_MELT = (
    _HEAD
    + """\
fix md all npt temp {melt} {melt} $(100.0*dt) iso 0.0 0.0 $(1000.0*dt)
run {melt_steps}
unfix md
reset_timestep 0
fix md all npt temp {low} {high} $(100.0*dt) iso 0.0 0.0 $(1000.0*dt)
dump out all custom {every} {dump} id type x y z
dump_modify out sort id format float %.6f
fix thermo all ave/time {every} 1 {every} c_thermo_temp c_thermo_pe c_msd[4] file {thermo} format " %.8g"
run {steps}
"""
)


@dataclass(frozen=True)
class Snapshot:
    """One labelled configuration: positions [Å], cell [Å], temperature [K], class name."""

    system: str
    seed: int
    kind: str
    label: str
    temperature: float
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]


def simulate(
    recipe: dict[str, Any], system: dict[str, Any], seed: int, kind: str, out: Path
) -> Path:
    """Run one trajectory of a recipe with LAMMPS, unless `out` holds it, from the same deck.

    Parameters
    ----------
    recipe, system
        The recipe and one of its systems.
    seed
        Seed of the velocities; it names the trajectory.
    kind
        "crystal" or "melt".
    out
        Folder of all trajectories.

    Returns
    -------
    Path
        The trajectory's folder with ``dump`` and ``thermo``.

    Raises
    ------
    DeckError
        LAMMPS is missing or failed; its last lines are in the message.
    """
    folder = out / f"{system['name']}-{kind}-{seed}"
    done = folder / "done"
    folder.mkdir(parents=True, exist_ok=True)
    protocol, melting = recipe["protocol"], system["melting"]
    crystal = kind == "crystal"
    positions, cell = lattice(
        system["lattice"], system["a"], tuple(system["crystal" if crystal else "liquid"])
    )
    ramp = system.get("ramp", protocol["ramp"]) if crystal else protocol["cool"]
    steps = protocol["ramp_steps" if crystal else "cool_steps"]
    start = 2 * ramp[0] * melting if crystal else 2 * protocol["melt"] * melting
    deck = (_CRYSTAL if crystal else _MELT).format(
        data="data", dump="dump", thermo="thermo", pair=system["pair"], mass=system["mass"],
        potential=potentials_folder() / system["potential"], name=system["name"],
        timestep=system["timestep"], start=start, seed=1000 * seed + len(system["name"]),
        low=ramp[0] * melting, high=ramp[1] * melting, every=steps // protocol["snapshots"],
        steps=steps, melt=protocol["melt"] * melting, melt_steps=protocol["melt_steps"],
    )  # fmt: skip
    written = folder / "in.deck"
    if done.exists() and written.read_text() == deck:
        return folder
    done.unlink(missing_ok=True)
    write_data(folder / "data", positions, cell)
    run_lammps(folder, deck)
    done.touch()
    return folder


def kinds(recipe: dict[str, Any]) -> tuple[str, ...]:
    """Return what is simulated of each system: crystals, and melts if they are a class."""
    return ("crystal", "melt") if "disordered" in recipe["classes"] else ("crystal",)


def generate(recipe: dict[str, Any], out: Path, *, workers: int = 1) -> None:
    """Run every trajectory of a recipe that `out` does not hold yet, `workers` at a time."""
    data = recipe["data"]
    seeds = data["train_seeds"] + data["validation_seeds"] + data["test_seeds"]
    jobs = [(s, seed, k) for seed in seeds for s in recipe["system"] for k in kinds(recipe)]
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(simulate, recipe, s, seed, k, out) for s, seed, k in jobs]
        for run in bar(runs, "molecular dynamics"):
            run.result()


def snapshots(recipe: dict[str, Any], seeds: list[int], out: Path) -> list[Snapshot]:
    """Return the labelled snapshots of the trajectories of some seeds.

    Raises
    ------
    SettingError
        A trajectory has not been generated.
    """
    found: list[Snapshot] = []
    for seed in seeds:
        for system in recipe["system"]:
            for kind in kinds(recipe):
                folder = out / f"{system['name']}-{kind}-{seed}"
                if not (folder / "done").exists():
                    raise SettingError(
                        f"no trajectory in {folder}; run: insitu train {recipe['name']}"
                    )
                thermo = np.loadtxt(folder / "thermo")
                crystal = _still_crystal(thermo, system, recipe["protocol"]["msd_limit"])
                frames = zip(thermo, crystal, read_dump(folder / "dump"), strict=True)
                for row, intact, (_, r, box) in frames:
                    if kind == "crystal" and not intact:
                        log.info("%s: not a crystal at %.0f K, left out", folder.name, row[1])
                        continue
                    label = system["class"] if kind == "crystal" else "disordered"
                    found.append(Snapshot(system["name"], seed, kind, label, float(row[1]), r, box))
    return found


def _still_crystal(
    thermo: NDArray[np.float64], system: dict[str, Any], limit: float
) -> NDArray[np.bool_]:
    """Return which snapshots are crystals: displacements small, now and at the next snapshot."""
    positions, _ = lattice(system["lattice"], system["a"], (2, 2, 2))
    nearest = np.linalg.norm(positions[1:] - positions[0], axis=1).min()
    small = thermo[:, 3] < limit * nearest**2
    intact: NDArray[np.bool_] = np.logical_and.accumulate(small & np.append(small[1:], True))
    return intact
