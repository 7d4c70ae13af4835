# SPDX-License-Identifier: BSD-3-Clause
"""What in-situ analysis costs: a real run on one rank, from the timings in its own history.

example:
  python benchmarks/cost.py --cells 16 --frames 5
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import insitu
from insitu.training.generate import potentials_folder

DECK = """\
units metal
lattice fcc 4.05
region b block 0 {cells} 0 {cells} 0 {cells}
create_box 1 b
create_atoms 1 box
pair_style eam/fs
pair_coeff * * {potential} Al
comm_modify cutoff 8.1
velocity all create 1200 4711
fix move all nve
fix phases all insitu {every} file phases.h5
run {steps}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=16, help="4 * cells^3 atoms of fcc Al")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--every", type=int, default=40)
    options = parser.parse_args()
    bin_folder = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        deck = DECK.format(
            cells=options.cells, potential=potentials_folder() / "Al_mm.eam.fs",
            every=options.every, steps=options.every * options.frames,
        )  # fmt: skip
        (Path(folder) / "in.deck").write_text(deck)
        command = [bin_folder / "mpiexec", "-n", "1", bin_folder / "lmp", "-in", "in.deck"]
        subprocess.run(
            [*map(str, command), "-screen", "none", "-log", "none"],
            cwd=folder, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        history = insitu.open(str(Path(folder) / "phases.h5"))
    atoms = int(history.attrs["atoms"])
    # The first frame waits for imports and the network's first call.
    median = history.isel(step=slice(1, None)).median("step")
    scale = 1e6 / atoms
    step = float(median["timing_simulation"]) / options.every * scale
    print(f"{platform.processor() or platform.machine()}, one rank, {atoms} atoms of fcc Al, 600 K")
    print("| stage | µs per atom | in steps of the simulation |\n| --- | --- | --- |")
    print(f"| one EAM step of LAMMPS | {step:.2f} | 1 |")
    total = 0.0
    for stage in ("neighbors", "descriptor", "model"):
        cost = float(median[f"timing_{stage}"]) * scale
        total += cost
        print(f"| {stage} | {cost:.2f} | {cost / step:.1f} |")
    print(f"| analysis of a frame | {total:.2f} | {total / step:.1f} |")


if __name__ == "__main__":
    main()
