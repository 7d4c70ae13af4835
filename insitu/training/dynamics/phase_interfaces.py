# SPDX-License-Identifier: BSD-3-Clause
"""Cells of a compound's crystal beside its melt, in which is known what every atom is.

A crystal at rest gets as much melt on top of it, which starts as a random packing, is kept hot while the
crystal is not, and is then cooled to the crystal's temperature. The paths of the atoms
alone tell which of them are crystal: those that are, on average over a while, still on their first sites.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.training.dynamics.phase_dynamics import Run, deck, head, start
from insitu.training.runs import holds, read_dump, run_lammps, write_data
from insitu.training.structures.polymorphs import random_packing

log = logging.getLogger(__name__)
#: An average atom further than this [Å] from its site has left it: bonds are 1.6 Å and longer.
LEFT = 1.0
#: The sites follow the crystal's core: what is further than this part of it from the melt.
_CORE = 0.2
#: Damping of thermostats and barostat [ps].
_KELVIN = 0.05
_BAR = 0.5
#: Left free between crystal and packing [Å]: atoms that are too close fuse in such potentials.
_GAP = 2.0
#: Steps between the positions that are averaged.
_EVERY = 10


@dataclass(frozen=True)
class Half:
    """What a cell of crystal and melt is made of, and how.

    Parameters
    ----------
    phase
        Class of the crystal, one of the recipe's.
    pressure, temperature
        Of both halves at the end [GPa], [K].
    room
        Volume of the random packing in units of the crystal's.
    hot
        Temperature of the melt before it is cooled [K].
    atoms
        About how many, of both halves.
    melting, cooling, settling, length
        Duration of each stage [ps]: melt at `hot`, half of it at constant volume; back to
        `temperature`; both halves together; the part that is kept.
    average
        Time [ps] over which positions are averaged, which ends with each snapshot that is kept.
    seed
        Of the velocities and of the packing.
    drag
        Friction of the barostat: for pressures that are large beside the thermal one.
    """

    phase: str
    pressure: float
    temperature: float
    room: float = 1.0
    hot: float = 4500.0
    atoms: int = 1500
    melting: float = 2.0
    cooling: float = 1.0
    settling: float = 1.0
    length: float = 3.0
    average: float = 0.5
    seed: int = 7
    drag: float = 0.0

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.phase}-melt-{self.pressure:g}-{self.temperature:g}-{self.seed}"


def crystal_deck(recipe: dict[str, Any], half: Half) -> str:
    """Return the recipe's deck for the crystal alone, which leaves one configuration."""
    protocol = recipe["protocol"] | {"frames": 1}
    return deck(recipe | {"protocol": protocol}, _run(recipe, half))


def cell_deck(recipe: dict[str, Any], half: Half, crystal: int) -> str:
    """Return the deck of both halves; the first `crystal` atoms are the crystal."""
    dt = recipe["protocol"]["timestep"]
    t, hot, bar, seed = half.temperature, half.hot, 1e4 * half.pressure, half.seed
    mean = round(half.average / dt / _EVERY) * _EVERY

    def steps(ps: float) -> str:
        return f"run {round(ps / dt)}\n"

    def bath(first: float, last: float) -> str:
        return f"fix hot melt langevin {first} {last} {_KELVIN} {seed + 1}\n"

    press = f"fix move all nph z {bar} {bar} {_BAR}{f' drag {half.drag}' if half.drag else ''}\n"
    return head(recipe, turned=False) + (
        f"group crystal id 1:{crystal}\ngroup melt subtract all crystal\n"
        "fix hold crystal setforce 0 0 0\nmin_style cg\nminimize 0 1e-2 200 400\nunfix hold\n"
        f"velocity crystal create {t} {seed} mom yes rot no dist gaussian\n"
        f"velocity melt create {hot} {seed} mom yes rot no dist gaussian\n"
        f"fix cold crystal langevin {t} {t} {_KELVIN} {seed}\n" + bath(hot, hot)
        # Short steps: the random start is far from equilibrium.
        + f"fix move all nve\ntimestep {dt / 2}\n" + steps(half.melting)
        + f"unfix move\ntimestep {dt}\n" + press + steps(half.melting / 2)
        + bath(hot, t) + steps(half.cooling) + bath(t, t) + steps(half.settling)
        + "reset_timestep 0\ncompute unwrapped all property/atom xu yu zu\n"
        f"fix mean all ave/atom {_EVERY} {mean // _EVERY} {mean} c_unwrapped[*]\n"
        f"dump out all custom {mean} positions.dump id x y z\n"
        f"dump mean all custom {mean} mean.dump id f_mean[1] f_mean[2] f_mean[3]\n"
        "dump_modify out sort id format float %.9g\n"
        "dump_modify mean sort id format float %.9g\n" + steps(half.length)
    )  # fmt: skip


def _run(recipe: dict[str, Any], half: Half) -> Run:
    phase = next(p for p in recipe["phase"] if p["class"] == half.phase)
    return Run(phase, "interface", half.pressure, (half.temperature,), half.seed)


def simulate(recipe: dict[str, Any], half: Half, out: Path) -> Path:
    """Run a cell unless `out` holds it, from the same deck; return its ``.npz`` file.

    The file has ``positions (k, n, 3)`` and ``cell (k, 3, 3)`` [Å] of the snapshots, ``types (n,)``,
    and ``away (k, n)``, the distance [Å] of each atom's average from its site (:func:`from_sites`);
    it is infinite for atoms of the melt, which have none.
    """
    result, folder = out / f"{half.name}.npz", out / half.name
    r, types, cell = start(_run(recipe, half), round(half.atoms / 4))
    r, types, cell = np.concatenate([r, r + cell[2]]), np.tile(types, 2), cell * [[1], [1], [2]]
    cell = upright(cell)
    text = cell_deck(recipe, half, len(r))
    if holds(result, text):
        return result
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    charges = recipe["potential"]["charges"]
    write_data(folder / "data", r, cell, types, charges)
    run_lammps(folder, crystal_deck(recipe, half))
    [(_, now, at_rest)] = read_dump(folder / "dump")
    sites = r @ np.linalg.inv(cell) @ at_rest
    d = (now - sites) @ np.linalg.inv(at_rest)
    crystal = sites + (d - np.rint(d)) @ at_rest
    above = at_rest * [[1.0], [1.0], [half.room]]
    melt = random_packing(types, above, np.array(_melt(recipe)["least"]), half.seed)
    gap = _GAP / at_rest[2, 2]
    every = np.concatenate([crystal, melt + (1.0 + gap) * at_rest[2]])
    both = upright(at_rest * [[1.0], [1.0], [1.0 + half.room + 2.0 * gap]])
    write_data(folder / "data", every, both, np.tile(types, 2), charges)
    run_lammps(folder, text)
    # At the first step nothing is averaged yet.
    frames = [f[1:] for f in read_dump(folder / "positions.dump")][1:]
    means = [f[1] for f in read_dump(folder / "mean.dump", "f_mean[1]")][1:]
    height = (r @ np.linalg.inv(cell))[:, 2]
    core = (height > _CORE) & (height < 1.0 - _CORE)
    away = np.full((len(frames), 2 * len(r)), np.inf)
    for k, (mean, (_, c)) in enumerate(zip(means, frames, strict=True)):
        away[k, : len(r)] = from_sites(mean[: len(r)], c, sites @ np.linalg.inv(both), core)
    log.info("%s: %.2f of the atoms on their sites", half.name, float((away < LEFT).mean()))
    np.savez_compressed(
        result, deck=text, types=np.tile(types, 2), away=away,
        positions=np.array([f[0] for f in frames]), cell=np.array([f[1] for f in frames]),
    )  # fmt: skip
    shutil.rmtree(folder)
    return result


def _melt(recipe: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in recipe["phase"] if p.get("disordered"))
    return found


def upright(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a cell of the same lattice whose third vector is tilted as little as possible."""
    result = cell.astype(float)
    for k in (1, 0):
        result[2] -= np.rint(result[2, k] / result[k, k]) * result[k]
    return result


def from_sites(
    mean: NDArray[np.float64], cell: NDArray[np.float64], sites: NDArray[np.float64],
    core: NDArray[np.bool_],
) -> NDArray[np.float64]:  # fmt: skip
    """Return how far ``(n,)`` [Å] average atoms are from the crystal's sites.

    The crystal as a whole moves when the melt expands, and is strained along z: the sites are taken
    along by a straight line through the displacements of its core.

    Parameters
    ----------
    mean
        ``(n, 3)`` average of the unwrapped positions [Å].
    cell
        ``(3, 3)`` [Å].
    sites
        ``(n, 3)``, fractional.
    core
        ``(n,)``: atoms that are crystal for sure.
    """
    moved = mean @ np.linalg.inv(cell) - sites
    moved = (moved - np.rint(moved)) @ cell
    matrix = np.stack([np.ones(len(sites)), sites[:, 2]], axis=1)
    away, inside = np.zeros(len(sites)), core.copy()
    for _ in range(5):
        line = np.linalg.lstsq(matrix[inside], moved[inside], rcond=None)[0]
        away = np.linalg.norm(moved - matrix @ line, axis=1)
        inside = core & (away < 0.5 * LEFT)
    return away
