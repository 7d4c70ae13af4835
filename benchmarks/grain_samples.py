# SPDX-License-Identifier: BSD-3-Clause
"""Crystals of known grains, from molecular dynamics of aluminium: bicrystals and a polycrystal."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from insitu.bench.samples import lammps_program
from insitu.training.runs import potentials_folder

#: Lattice constant [Å] at rest, and melting point [K] of Mendelev's potential.
A, MELTING = 4.05, 926.0
HOT = round(0.9 * MELTING)
_BASIS = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
#: By misorientation: the lattice vector (n, k, 0) along the boundary: 2 atan(k / n).
TILTS = {2: (57, 1), 3: (38, 1), 5: (23, 1), 8: (14, 1), 15: (15, 2)}
_DECK = """units metal
read_data start.data
pair_style eam/fs
pair_coeff * * {potential} Al
neigh_modify delay 5
minimize 1e-5 1e-5 60 200
reset_timestep 0
timestep 0.002
velocity all create {start} 4711 mom yes rot no dist gaussian
fix move all nph {press}
fix bath all langevin {hot} {hot} 0.1 991 zero yes
run {steps}
write_dump all custom hot.dump id xu yu zu modify sort id format float %.12g
unfix bath
fix bath all langevin {hot} 50 0.1 991 zero yes
run 500
write_dump all custom cold.dump id xu yu zu modify sort id format float %.12g
"""


@dataclass(frozen=True)
class Known:
    """Atoms of a crystal, the grain that each was put into, and the grains' orientations.

    Parameters
    ----------
    name
        What it is.
    positions, cell
        ``(n, 3)`` and ``(3, 3)`` [Å], periodic.
    grain
        ``(n,)`` the grain of each atom when the crystal was made.
    turns
        Rotation of each grain's axes to those of the box.
    """

    name: str
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    grain: NDArray[np.int64]
    turns: Rotation


def bicrystal(degrees: int) -> Known:
    """Return two slabs along x, turned about z against each other by about so many degrees."""
    n, k = TILTS[degrees]
    angle, side = np.arctan2(k, n), A * np.hypot(n, k)
    wide = 50.0
    deep = 6 if side < 100 else 3
    turns = Rotation.from_rotvec([[0.0, 0.0, -angle], [0.0, 0.0, angle]])
    reach = int(np.ceil((side + wide) / A)) + 2
    i = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(i, i, np.arange(deep), indexing="ij"), -1).reshape(-1, 1, 3)
    fcc = (grid + _BASIS).reshape(-1, 3) * A
    kept, which = [], []
    for g, turn in enumerate(turns):
        x = turn.apply(fcc) + 1e-6
        low = g * wide
        own = (x[:, 1] >= 0) & (x[:, 1] < side) & (x[:, 0] >= low) & (x[:, 0] < low + wide)
        kept.append(x[own])
        which.append(np.full(int(own.sum()), g))
    cell = np.diag([2 * wide, side, deep * A])
    r, grain = _without_close(np.concatenate(kept), np.concatenate(which), cell)
    return Known(f"bicrystal {np.degrees(2 * angle):.1f}°", r, cell, grain, turns)


def polycrystal(side: float = 65.0, seeds: int = 6, low_angle: float = 6.0) -> Known:
    """Return turned crystals in the Voronoi cells of random points; two of them differ by little."""
    rng = np.random.default_rng(3)
    points = rng.random((seeds, 3)) * side
    turns = Rotation.random(seeds, rng=rng)
    apart = points - points[0]
    apart -= side * np.rint(apart / side)
    second = int(np.argsort(np.linalg.norm(apart, axis=1))[1])
    turned = turns[0] * Rotation.from_rotvec(np.radians(low_angle) * np.array([0.6, 0.0, 0.8]))
    turns = Rotation.concatenate([turned if g == second else turns[g] for g in range(seeds)])
    n = int(np.ceil(side / A))
    i = np.arange(-n, n + 1)
    grid = np.stack(np.meshgrid(i, i, i, indexing="ij"), -1).reshape(-1, 1, 3)
    fcc = (grid + _BASIS).reshape(-1, 3) * A
    fcc = fcc[np.linalg.norm(fcc, axis=1) < 0.9 * side]
    kept, which = [], []
    for g in range(seeds):
        x = points[g] + turns[g].apply(fcc)
        x = x[(np.abs(x - points[g]) < side / 2).all(axis=1)]
        nearest, least = np.zeros(len(x), dtype=int), np.full(len(x), np.inf)
        for h in range(seeds):
            d = x - points[h]
            if h != g:
                d -= side * np.rint(d / side)
            d2 = (d * d).sum(axis=1)
            nearest[d2 < least], least = h, np.minimum(least, d2)
        kept.append(x[nearest == g] % side)
        which.append(np.full(int((nearest == g).sum()), g))
    cell = np.diag([side] * 3)
    r, grain = _without_close(np.concatenate(kept), np.concatenate(which), cell)
    return Known(f"polycrystal, {seeds} grains", r, cell, grain, turns)


def _without_close(
    r: NDArray[np.float64], grain: NDArray[np.int64], cell: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from scipy.spatial import cKDTree

    sides = np.diag(cell)
    r = np.minimum(r % sides, np.nextafter(sides, 0))
    pairs = cKDTree(r, boxsize=sides).query_pairs(2.2, output_type="ndarray")
    gone = np.zeros(len(r), dtype=bool)
    gone[pairs.max(axis=1)] = True
    return r[~gone], grain[~gone]


def moved(start: Known, folder: Path, steps: int) -> dict[str, Known]:
    """Return a crystal at 0.9 T_m and then at 50 K after molecular dynamics; kept in a folder.

    Parameters
    ----------
    start
        The crystal as it was made.
    folder
        Of this crystal; what is there already is read.
    steps
        Steps of 2 fs at 0.9 T_m.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "cold.dump").exists():
        sides = "\n".join(f"0 {start.cell[k, k]:.12g} {c}lo {c}hi" for k, c in enumerate("xyz"))
        with (folder / "start.data").open("w") as file:
            file.write(f"{start.name}\n\n{len(start.positions)} atoms\n1 atom types\n\n{sides}\n\n")
            file.write("Masses\n\n1 26.982\n\nAtoms\n\n")
            rows = np.column_stack(
                [np.arange(1, len(start.positions) + 1), np.ones(len(start.positions)), start.positions]
            )  # fmt: skip
            np.savetxt(file, rows, fmt="%d %d %.10f %.10f %.10f")
        press = "aniso 0.0 0.0 1.0" if len(start.turns) == 2 else "iso 0.0 0.0 1.0"
        deck = _DECK.format(
            potential=potentials_folder() / "Al_mm.eam.fs", start=2 * HOT, hot=HOT, press=press, steps=steps
        )  # fmt: skip
        (folder / "in.deck").write_text(deck)
        done = subprocess.run(
            [str(lammps_program()), "-in", "in.deck", "-log", "none"], cwd=folder, check=False,
            capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stdout[-500:] + done.stderr[-500:])
    return {state: _read(start, folder / f"{state}.dump") for state in ("cold", "hot")}


def _read(start: Known, path: Path) -> Known:
    with path.open() as file:
        head = [next(file) for _ in range(9)]
    bounds = np.array([line.split()[:2] for line in head[5:8]], dtype=float)
    sides = bounds[:, 1] - bounds[:, 0]
    r = np.loadtxt(path, skiprows=9)[:, 1:4] - bounds[:, 0]
    return Known(start.name, r % sides, np.diag(sides), start.grain, start.turns)
