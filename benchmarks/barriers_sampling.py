# SPDX-License-Identifier: BSD-3-Clause
"""Sampled energy barriers: the vacancy of copper against NEB, and a glass against the shipped model.

--vacancy  formation and migration of a vacancy in copper by activation-relaxation, and the migration by
           LAMMPS' own nudged elastic band (needs mpiexec, 5 processes)
--deck     writes a glass: 400 atoms of Cu64Zr36, molten and quenched with LAMMPS' own potential
--glass    barriers that `insitu saddles` has sampled in it (FOLDER has barriers.npz), against those that
           `insitu.barriers` predicts; noise of the samples by their halves

example:
  python benchmarks/barriers_sampling.py FOLDER --vacancy
  python benchmarks/barriers_sampling.py FOLDER --deck
  insitu saddles FOLDER/in.sample --barriers 10 --out FOLDER   # hours; goes on when it was killed
  python benchmarks/barriers_sampling.py FOLDER --glass

References
----------
Y. Mishin et al., Phys. Rev. B 63, 224106 (2001), doi:10.1103/PhysRevB.63.224106: 1.272 and 0.689 eV.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import insitu
from insitu.training.runs import potentials_folder, run_lammps
from insitu.training.saddles.barriers import ATTEMPTS, BARRIERS, within
from insitu.training.saddles.potential_energy import PotentialEnergy
from insitu.training.saddles.search import Search, attempt, relax

CRYSTAL = """\
units metal
atom_style atomic
atom_modify map array
lattice fcc 3.615
region box block 0 4 0 4 0 4
create_box 1 box
create_atoms 1 box
mass 1 63.546
pair_style eam/alloy
pair_coeff * * {potentials}/Cu_mishin1.eam.alloy Cu
"""
HOLE = "group hole id 1\ndelete_atoms group hole compress yes\n"
BAND = """\
timestep 0.01
fix 1 all neb 1.0 parallel ideal
min_style quickmin
neb 0.0 0.002 2000 2000 100 final end.txt
"""
#: 1e13 K/s through the glass transition.
QUENCH = """\
units metal
atom_style atomic
lattice fcc 4.0
region box block 0 5 0 5 0 5
create_box 2 box
create_atoms 1 box
set type 1 type/subset 2 144 {seed}
group extra id > 400
delete_atoms group extra
set group all type 1
set type 1 type/subset 2 144 {seed}
""" + "pair_style eam/fs\npair_coeff * * {potentials}/CuZr_mm.eam.fs Cu Zr\n" + """\
suffix opt
timestep 0.003
velocity all create 4000 {seed} mom yes rot no dist gaussian
fix n all npt temp 2000 2000 0.2 iso 0 0 1.0
run 2000
unfix n
fix n all npt temp 2000 1000 0.2 iso 0 0 1.0
run 1700
unfix n
fix n all npt temp 1000 600 0.2 iso 0 0 1.0
run 13333
unfix n
fix n all npt temp 600 1 0.2 iso 0 0 1.0
run 2000
unfix n
fix press all box/relax iso 0 vmax 0.001
minimize 0 1e-4 3000 10000
unfix press
minimize 0 1e-6 3000 10000
write_data sample.data nocoeff
"""  # fmt: skip
SAMPLE = """\
units metal
atom_style atomic
read_data {folder}/sample.data
pair_style eam/fs
pair_coeff * * {potentials}/CuZr_mm.eam.fs Cu Zr
"""


def vacancy(folder: Path, attempts: int = 12) -> None:
    potentials = potentials_folder()
    head = CRYSTAL.format(potentials=potentials)
    (folder / "in.perfect").write_text(head)
    (folder / "in.vacancy").write_text(head + HOLE)
    whole, surface = (PotentialEnergy(folder / f"in.{name}") for name in ("perfect", "vacancy"))
    n = len(whole.types)
    e, _, x = relax(surface, surface.positions, 1e-4)
    print(
        f"formation: {e - whole(whole.positions)[0] * (n - 1) / n:.4f} eV ({n - 1} atoms)",
        flush=True,
    )
    hole, periodic = whole.positions[0], np.ones(3, dtype=bool)
    first = int(np.flatnonzero(within(x, hole, surface.cell, periodic, 2.7))[0])
    near = within(x, x[first], surface.cell, periodic, 3.0)
    begin, calls, jumps, others = time.process_time(), 0, [], []
    for k in range(attempts):
        a = attempt(surface, x, e, near, np.random.default_rng(k), Search(force=0.005))
        calls += a.calls
        if a.outcome == "saddle":
            (jumps if abs(a.moved - 3.615 / 2**0.5) < 0.1 else others).append(a.barrier)
    spent = time.process_time() - begin
    told = f"{np.mean(jumps):.4f} eV, {min(jumps):.4f} to {max(jumps):.4f}, {len(jumps)} times"
    print(f"migration, activation-relaxation: {told}")
    print(f"other events: {', '.join(f'{b:.2f}' for b in sorted(others)) or 'none'} eV")
    print(f"{calls / attempts:.0f} evaluations an attempt, {spent / attempts:.1f} s of one core")
    # Where the first neighbour is after the jump: at the hole.
    data = [f"{1 + first} {' '.join(f'{v:.8f}' for v in hole)}"]
    (folder / "end.txt").write_text("1\n" + "\n".join(data) + "\n")
    (folder / "in.band").write_text(
        head + HOLE + "minimize 0 1e-4 2000 20000\nreset_timestep 0\n" + BAND
    )
    print(f"migration, nudged elastic band:   {band(folder):.4f} eV")


def band(folder: Path) -> float:
    """Return the barrier by LAMMPS' command neb, with 5 replicas."""
    programs = [shutil.which(p) for p in ("mpiexec", "lmp")]
    words = [str(programs[0]), "-n", "5", str(programs[1]), "-partition", "5x1", "-in", "in.band"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment,
                         check=False)  # fmt: skip
    log = folder / "log.lammps"
    rows = [
        line for line in log.read_text().splitlines() if re.match(r"\s*\d+(\s+[-\d.e+]+){9,}", line)
    ]
    if run.returncode or not rows:
        raise SystemExit(f"neb failed: {run.stdout[-500:]}{run.stderr[-500:]}")
    # Step, largest forces, gradients …, forward barrier (7th number).
    return float(rows[-1].split()[6])


def deck(folder: Path, seed: int = 1) -> None:
    potentials = potentials_folder()
    run_lammps(folder, QUENCH.format(potentials=potentials, seed=seed), name="in.quench")
    text = SAMPLE.format(potentials=potentials, folder=folder.resolve())
    (folder / "in.sample").write_text(text)
    print("written:", folder / "in.sample")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def glass(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / ATTEMPTS).read_text().splitlines()[1:]]
    told = Counter(a["outcome"] for a in lines)
    print(f"{len(lines)} attempts: " + ", ".join(f"{v} {k}" for k, v in told.most_common()))
    print(f"{np.mean([a['calls'] for a in lines]):.0f} evaluations of the forces an attempt")
    with np.load(folder / BARRIERS) as z:
        sample = dict(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said below: another potential
        predicted = insitu.barriers(
            sample["positions"], sample["cell"], sample["periodic"], sample["masses"][sample["types"] - 1]
        )  # fmt: skip
    each: dict[int, list[float]] = {}
    for a in lines:
        if a["outcome"] == "saddle":
            each.setdefault(a["atom"] - 1, []).append(a["barrier"])
    print("| barriers an atom, at least | atoms | r | its 95 % interval | r within the species | "
          "halves of the samples | sampled mean (eV) | predicted mean (eV) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for least in (2, 4, 6, 8, 10):
        atoms = np.array(sorted(k for k, b in each.items() if len(b) >= least))
        if len(atoms) < 20:
            break
        mean = np.array([np.mean(each[k]) for k in atoms])
        kinds = sample["types"][atoms]
        inside = mean.copy(), predicted[atoms].copy()
        for kind in np.unique(kinds):
            for values in inside:
                values[kinds == kind] -= values[kinds == kind].mean()
        halves = np.array([[np.mean(each[k][0::2]), np.mean(each[k][1::2])] for k in atoms])
        draws = rng.integers(len(atoms), size=(2000, len(atoms)))
        low, high = np.quantile([correlation(mean[d], predicted[atoms][d]) for d in draws],
                                [0.025, 0.975])  # fmt: skip
        print(
            f"| {least} | {len(atoms)} | {correlation(mean, predicted[atoms]):.2f} | "
            f"{low:.2f} to {high:.2f} | {correlation(*inside):.2f} | {correlation(*halves.T):.2f} | "
            f"{mean.mean():.2f} | "
            f"{predicted[atoms].mean():.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for name in ("vacancy", "deck", "glass"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.vacancy:
        vacancy(options.folder)
    if options.deck:
        deck(options.folder)
    if options.glass:
        glass(options.folder)


if __name__ == "__main__":
    main()
