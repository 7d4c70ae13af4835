# SPDX-License-Identifier: BSD-3-Clause
"""Molecular dynamics in stages (heat, hold, quench): decks from a recipe, run by LAMMPS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.training.runs import portable, potentials_folder, read_dump, run_lammps
from insitu.transitions import BOLTZMANN

#: Steps between two records of temperature and energy, if `every` is a multiple of it: the means of
#: many have less noise than the values of the snapshots.
_FINE = 10

_HEAD = """\
units metal
boundary p p p
atom_style atomic
atom_modify map array
"""

_CRYSTAL = """\
lattice {start} {a}
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
{masses}
"""

# Random positions in two soft stages, as in the paper: a minimisation that takes atoms apart, then
# short dynamics with a longer repulsion and limited displacements.
_RANDOM = """\
region box block 0 {side} 0 {side} 0 {side}
create_box {types} box
{create}
{masses}
timestep {timestep}
pair_style soft 2.0
pair_coeff * * 10.0
minimize 0 1e-2 1000 10000
pair_style soft 2.4
pair_coeff * * 20.0
velocity all create {first} {seed} mom yes dist gaussian
fix move all nve/limit 0.05
run {soft_steps}
unfix move
"""

_POTENTIAL = """\
pair_style {pair}
pair_coeff {coeff}
neighbor {skin} bin
neigh_modify every 1 delay 0 check yes
timestep {timestep}
"""

_STAGE = """\
fix move all {fix}
dump out all custom {every} {name}.dump id type x y z
dump_modify out sort id format float %.5f
fix thermo all ave/time {fine} 1 {fine} c_thermo_temp c_thermo_pe file {name}.thermo format " %.8g"
run {steps}
undump out
unfix thermo
unfix move
"""


@dataclass(frozen=True)
class Configuration:
    """One snapshot of a trajectory.

    `ramp` is the temperature of the thermostat, `temperature` that of the atoms [K]; `energy` the
    potential one [eV an atom]; positions and cell [Å].
    """

    seed: int
    stage: str
    ramp: float
    temperature: float
    energy: float
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    types: NDArray[np.int64]


def deck(recipe: dict[str, Any], seed: int) -> str:
    """Return the LAMMPS deck of one trajectory of a recipe with ``[[stage]]``."""
    system, stages = recipe["system"], recipe["stage"]
    first, dt = stages[0]["temperature"][0], system["timestep"]
    masses = "\n".join(f"mass {k} {m}" for k, m in enumerate(system["masses"], 1))
    values: dict[str, Any] = {
        "masses": masses, "timestep": dt, "seed": 1000 * seed + 7, "first": first,
        "skin": system.get("skin", 2.0), "pair": system["pair"],
        "coeff": system["coeff"].format(potential=potentials_folder() / system["potential"]),
    }  # fmt: skip
    text = _HEAD
    if system["start"] == "random":
        numbers = system["atoms"]
        create = [
            f"create_atoms {k} random {n} {7000 + 10 * seed + k} box"
            for k, n in enumerate(numbers, 1)
        ]
        side = (sum(numbers) * system["volume"]) ** (1 / 3)
        text += _RANDOM.format(
            side=f"{side:.6f}", types=len(numbers), create="\n".join(create),
            soft_steps=system.get("soft_steps", 10000), **values,
        )  # fmt: skip
        text += _POTENTIAL.format(**values)
        text += "fix move all nve/limit 0.05\nrun 10\nunfix move\n"
        text += f"velocity all create {first} {seed} mom yes dist gaussian\n"
    else:
        text += _CRYSTAL.format(**system | values)
        text += _POTENTIAL.format(**values)
        # The vibrations of a crystal take up half of the kinetic energy.
        text += f"velocity all create {2 * first} {seed} mom yes rot yes dist gaussian\n"
    for stage in stages:
        start, end = stage["temperature"]
        ensemble = f"{stage.get('ensemble', 'npt')} temp {start} {end} {100 * dt:g}"
        if stage.get("ensemble", "npt") == "npt":
            ensemble += f" iso 0 0 {1000 * dt:g}"
        text += "reset_timestep 0\n"
        fine = _FINE if stage["every"] % _FINE == 0 else stage["every"]
        text += _STAGE.format(fix=ensemble, fine=fine, **stage)
    return text


def simulate(recipe: dict[str, Any], seed: int, out: Path) -> Path:
    """Run one trajectory with LAMMPS, unless `out` holds it, from the same deck; return its folder.

    Raises
    ------
    DeckError
        LAMMPS is missing or failed; its last lines are in the message.
    """
    folder = out / f"{recipe['system']['name']}-stages-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    done, commands = folder / "done", deck(recipe, seed)
    if done.exists() and portable(done.read_text()) == portable(commands):
        return folder
    done.unlink(missing_ok=True)
    run_lammps(folder, commands)
    done.write_text(commands)
    return folder


def configurations(recipe: dict[str, Any], seed: int, folder: Path) -> list[Configuration]:
    """Return all snapshots of a trajectory that :func:`simulate` has made, in order."""
    found: list[Configuration] = []
    for stage in recipe["stage"]:
        name, dump = stage["name"], folder / f"{stage['name']}.dump"
        types = _types(dump)
        rows = {int(row[0]): row for row in np.loadtxt(folder / f"{name}.thermo")}
        for step, r, cell in read_dump(dump):
            if step:  # the first step belongs to the stage before
                t, e = rows[step][1], rows[step][2] / len(r)
                found.append(Configuration(seed, name, _ramp(stage, step), t, e, r, cell, types))
    return found


def curve(
    recipe: dict[str, Any], folder: Path, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the energy of a stage against temperature, means of the time from snapshot to snapshot.

    Parameters
    ----------
    recipe, folder, name
        The recipe, a folder that :func:`simulate` has made, the stage.

    Returns
    -------
    temperature, energy
        ``(n,)`` of the thermostat [K]; potential and kinetic energy [eV an atom], whose sum fluctuates
        less than either.
    """
    (stage,) = (s for s in recipe["stage"] if s["name"] == name)
    step, t, e = np.loadtxt(folder / f"{name}.thermo")[1:].T
    energy = e / len(_types(folder / f"{name}.dump")) + 1.5 * BOLTZMANN * t
    n = max(1, stage["every"] // round(step[1] - step[0]))
    blocks = (np.stack([_ramp(stage, step), energy])[:, : len(step) // n * n]).reshape(2, -1, n)
    line, mean = blocks.mean(axis=2)
    return line, mean


def _ramp(stage: dict[str, Any], step: Any) -> Any:
    """Return the temperature of the thermostat at a step or at many [K]."""
    start, end = stage["temperature"]
    return start + (end - start) * step / stage["steps"]


def _types(dump: Path) -> NDArray[np.int64]:
    """Return the atom types ``(n,)`` of the first frame of a text dump ``id type x y z``."""
    with dump.open() as file:
        n = int([next(file) for _ in range(4)][3])
        for _ in range(5):
            next(file)
        return np.array([int(next(file).split()[1]) for _ in range(n)])
