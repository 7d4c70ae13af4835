# SPDX-License-Identifier: BSD-3-Clause
"""Melting temperature of a material by coexistence of crystal and liquid at zero pressure.

Half of a long crystal is molten while the other half is held; then both evolve at constant enthalpy
(NPH). Freezing warms, melting cools: while both phases last, the temperature settles at melting.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.training.dynamics.simulate import head, on_site, quench
from insitu.training.runs import read_dump, run_lammps, write_data
from insitu.training.structures.perfect import crystal

#: Share of never molten atoms between which both phases are surely there.
_BOTH = (0.1, 0.75)


@dataclass(frozen=True)
class Coexistence:
    """Mean temperature [K] of the second half, and the snapshots ``(k, n, 3)``, ``(k, 3, 3)`` of it.

    `solid` is the share of atoms that never left their sites; `quenched` and `quenched_cell` are the
    snapshots' inherent structures.
    """

    temperature: float
    solid: float
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    quenched: NDArray[np.float64]
    quenched_cell: NDArray[np.float64]

    @property
    def both(self) -> bool:
        """Whether both phases were still there at the end."""
        return _BOTH[0] < self.solid < _BOTH[1]


def coexist(
    material: dict[str, Any], guess: float, out: Path, *, atoms: int = 1500, ps: float = 40.0,
    seed: int = 7,
) -> Coexistence:  # fmt: skip
    """Simulate coexistence from a guess of the melting temperature [K].

    Parameters
    ----------
    material
        Entry of a recipe; its first structure is the crystal.
    guess
        Temperature of both halves at the start [K].
    out
        Folder for the run's files.
    atoms
        About how many.
    ps
        Length of the run at constant enthalpy [ps].
    seed
        Seed of the velocities.
    """
    name = next(iter(material["structures"]))
    s = crystal(name, material["structures"][name], atoms, len(material["masses"]), (1, 1, 3))
    folder = out / f"{material['name']}-coexistence-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_data(folder / "data", s.positions, s.cell, s.types, material.get("charges"))
    dt = material.get("timestep", 0.002)
    steps = round(ps / dt)
    every = 10 * max(1, steps // 400)
    between = max(1, steps // 10)
    deck = head(material, seed, 2 * guess)
    deck += (
        f"region upper block INF INF INF INF $(zlo+lz/2) INF\ngroup hot region upper\n"
        f"fix move all nph aniso 0 0 {500 * dt}\n"
        f"fix bath all langevin {guess} {guess} {50 * dt} {seed}\nrun {round(2 / dt)}\n"
        "unfix move\nunfix bath\nfix move hot nve\n"
        f"fix bath hot langevin {3 * guess} {3 * guess} {50 * dt} {seed}\nrun {round(4 / dt)}\n"
        f"fix bath hot langevin {guess} {guess} {50 * dt} {seed}\nrun {round(1 / dt)}\n"
        "unfix move\nunfix bath\n"
        f"fix move all nph aniso 0 0 {500 * dt}\n"
        f"fix bath all langevin {guess} {guess} {50 * dt} {seed}\nrun {round(1.5 / dt)}\n"
        f"unfix bath\nreset_timestep 0\n"
        f"fix mean all ave/time 10 {every // 10} {every} c_thermo_temp file thermo\n"
        f"dump out all custom {between} thermal.dump id x y z\n"
        f"dump_modify out sort id format float %.10g\nrun {steps}\n"
    )
    run_lammps(folder, deck)
    t = np.loadtxt(folder / "thermo")[:, 1]
    frames = [f for f in read_dump(folder / "thermal.dump") if f[0] > steps // 2]
    quenched = quench(folder, material, [f[0] for f in frames])
    r, cell = quenched[-1]
    solid = float(on_site(s, r, cell, proportions=False).mean())
    if solid < 0.05:  # the molten half's expansion moves the sites: judge by the crystal's own half
        d = r @ np.linalg.inv(cell) - s.positions @ np.linalg.inv(s.cell)
        d -= np.rint(d)
        solid = float((np.abs(d @ cell)[:, :2].max(axis=1) < 0.2 * s.spacing).mean())
    return Coexistence(
        float(t[len(t) // 2 :].mean()), solid, np.array([f[1] for f in frames]),
        np.array([f[2] for f in frames]), np.array([q[0] for q in quenched]),
        np.array([q[1] for q in quenched]),
    )  # fmt: skip
