# SPDX-License-Identifier: BSD-3-Clause
"""Memory and time of rank 0 while it writes the atoms of a frame (setting `atoms`), by the number of atoms.

    python benchmarks/atoms_output.py --atoms 1 4 16
    python benchmarks/atoms_output.py --run 40 --writers 1 2   # in a run of LAMMPS, on so many ranks

Each number of atoms [millions] has a process of its own, which writes frames as rank 0 does: one range of
ids after another, each of as many atoms as `atoms_memory` allows. Printed: what the process' peak memory is
above that of one that writes 1,000 atoms, and the processor time of the second frame, for random positions
and phases of a half-molten crystal (what compresses worst). With `--run` cells of fcc along each side (40:
256,000 atoms) the wall time that rank 0 spends on the file in each frame of a run, by `atoms_writers`, in
turn: the least of the frames, since a machine may be busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from insitu.history.atoms.layout import ATOM, About
from insitu.history.atoms.particles import AtomsFile
from insitu.pipeline.atoms_output import _COPIES
from insitu.pipeline.settings import Settings


def write(folder: Path, atoms: int, megabytes: float) -> tuple[float, float, float]:
    """Write two frames; return peak memory [MB], processor time of the second [s], bytes of a frame."""
    about = About(
        "a.h5",
        [True] * 3,
        "Angstrom",
        "ps",
        ["fcc", "disordered", "unknown"],
        [1, 100, 0],
        ["Al"],
        "x",
    )
    file = AtomsFile(folder / "a.h5md", about, continues=False)
    width = int(megabytes * 1e6 / (_COPIES * ATOM.itemsize))
    side = (16.6 * atoms) ** (1 / 3)
    rng = np.random.default_rng(0)
    spent = 0.0
    for frame in range(2):
        spent, before = 0.0, file.path.stat().st_size
        started = time.process_time()
        writer = file.frame(100 * frame, 0.1 * frame, side * np.eye(3), np.zeros(3), atoms)
        spent += time.process_time() - started
        for low in range(0, atoms, width):
            some = np.empty(min(width, atoms - low), dtype=ATOM)
            some["id"] = np.arange(low + 1, low + 1 + len(some))
            for k in range(3):
                some["position"][:, k] = rng.random(len(some), dtype=np.float32) * side
            some["phase"] = rng.choice([1, 100], len(some))
            some["confidence"], some["type"] = rng.integers(100, 256, len(some)), 1
            started = time.process_time()
            writer.put(some)
            spent += time.process_time() - started
        started = time.process_time()
        writer.end()
        spent += time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return peak, spent, file.path.stat().st_size - before


DECK = """units metal
lattice fcc 4.05
region b block 0 {cells} 0 {cells} 0 {cells}
create_box 1 b
create_atoms 1 box
mass 1 26.98
pair_style zero 5.0
pair_coeff * *
comm_modify cutoff 8.2
velocity all create 600 4711 loop geom
fix move all nve
fix p all insitu 1 file a.h5 atoms 1 atoms_writers {writers}
run 4
"""


def in_a_run(cells: int, writers: int, ranks: int) -> float:
    """Return the least time that the file of a frame's atoms took in a run [s]."""
    import insitu

    here = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in.deck").write_text(DECK.format(cells=cells, writers=writers))
        words = [here / "mpiexec", "-n", str(ranks), here / "lmp", "-in", "in.deck"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{here}:{os.environ['PATH']}"}
        subprocess.run(
            [*words, "-log", "none", "-screen", "none"], cwd=folder, env=environment, check=True
        )
        # That of a frame is in the frame after it.
        return float(insitu.open(Path(folder, "a.h5"))["timing_write"].values[1:].min())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--atoms", type=float, nargs="+", default=[1, 4, 16], help="millions (1 4 16)"
    )
    parser.add_argument(
        "--memory", type=float, default=Settings().atoms_memory, help="atoms_memory [MB]"
    )
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=int, metavar="CELLS", help="of fcc along each side, in a run")
    parser.add_argument(
        "--writers", type=int, nargs="+", default=[1, 2], help="atoms_writers (1 2)"
    )
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    if options.run:
        found: dict[int, list[float]] = {w: [] for w in options.writers}
        for _ in range(2):
            for w, times in found.items():
                times.append(in_a_run(options.run, w, options.ranks))
        print(f"{4 * options.run**3:,} atoms, {options.ranks} ranks")
        for w, times in found.items():
            print(f"atoms_writers {w}: {min(times):.3f} s a frame")
        return
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            print(*write(Path(folder), options.one, options.memory))
        return

    def run(atoms: int) -> list[float]:
        words = [
            sys.executable,
            "-P",
            __file__,
            "--one",
            str(atoms),
            "--memory",
            str(options.memory),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]

    base = run(1000)[0]
    print(f"atoms_memory {options.memory:g} MB")
    print("million atoms   MB a frame   peak memory [MB]   processor time [s]   s a million atoms")
    for millions in options.atoms:
        peak, spent, size = run(round(1e6 * millions))
        print(
            f"{millions:13g}   {size / 1e6:10.1f}   {peak - base:16.1f}   {spent:18.2f}   "
            f"{spent / millions:17.3f}"
        )


if __name__ == "__main__":
    main()
