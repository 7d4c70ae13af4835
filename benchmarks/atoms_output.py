# SPDX-License-Identifier: BSD-3-Clause
"""Memory and time of rank 0 while it writes the atoms of a frame (setting `atoms`), by the number of atoms.

    python benchmarks/atoms_output.py --atoms 1 4 16

Each number of atoms [millions] has a process of its own, which writes frames as rank 0 does: one range of
ids after another, each of as many atoms as `atoms_memory` allows. Printed: what the process' peak memory is
above that of one that writes 1,000 atoms, and the processor time of the second frame, for random positions
and phases of a half-molten crystal (what compresses worst).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from insitu.history.particle_layout import ATOM, About
from insitu.history.particles import AtomsFile
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
    options = parser.parse_args()
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
