# SPDX-License-Identifier: BSD-3-Clause
"""What a run gains when frames are analysed beside it, on a second core (setting `overlap`).

    python benchmarks/overlap.py [--cells 10] [--frames 20] [--repeats 3] [--host wheel|debian]

One rank, fcc aluminium under EAM. Three runs in turn, as often as asked: without the analysis, with it, and
with it beside the simulation. LAMMPS' loop times, the least and the median of the repeats; how much the
analysis adds to them; and from the histories, per frame, what the simulation waited for and what ran beside
it (medians), and the processor time of LAMMPS' own thread in the calls of the fix: what the analysis costs
where a core is spare. A machine whose cores do other work has none to spare: its load is printed, and there
the processor time alone means much. The number of frames is a multiple of 4.
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

import numpy as np

import insitu
from insitu.bench.machine import processor
from insitu.training.runs import potentials_folder

DECK = """\
units metal
lattice fcc 4.05
region b block 0 {cells} 0 {cells} 0 {cells}
create_box 1 b
create_atoms 1 box
pair_style eam/fs
pair_coeff * * {potentials}/Al_mm.eam.fs Al
comm_modify cutoff 8.1
velocity all create 1600 4711
fix move all nve
thermo 100000
{analysis}run {steps}
"""
BIN = Path(sys.executable).parent
#: Loaded by the Python inside LAMMPS: writes the processor time of each call.
METER = """\
import time
from insitu.lammps.monitor import Monitor

attempt, out = Monitor.attempt, open("calls", "w")

def metered(self, pointer, stage):
    before = time.thread_time()
    attempt(self, pointer, stage)
    out.write(f"{time.thread_time() - before}\\n")
    out.flush()

Monitor.attempt = metered
"""


def analysis(host: str, often: int, **settings: object) -> str:
    """Return the lines of a deck that analyse every so many steps."""
    if host == "wheel":
        words = " ".join(f"{k} {v}" for k, v in settings.items())
        return f"fix phases all insitu {often} file a.h5 {words}\n"
    given = ", ".join(f"{k}={v!r}" for k, v in settings.items())
    return (
        f"python phases here \"import insitu; phases = insitu.monitor(file='a.h5', {given})\"\n"
        f"fix phases all python/invoke {often} end_of_step phases\n"
    )


def run(host: str, deck: str, folder: Path) -> float:
    """Return LAMMPS' loop time [s]."""
    (folder / "in.deck").write_text(deck)
    (folder / "sitecustomize.py").write_text(METER)
    words = [str(BIN / "mpiexec"), "-n", "1", str(BIN / "lmp")]
    if host == "debian":
        words = ["mpirun.openmpi", "-n", "1", "--bind-to", "none", "/usr/bin/lmp"]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    subprocess.run(
        [*words, "-in", "in.deck", "-screen", "none"], cwd=folder, check=True,
        env=os.environ | root | {
            "OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(folder),
        },
    )  # fmt: skip
    found = re.findall(r"^Loop time of ([\d.]+)", (folder / "log.lammps").read_text(), re.M)
    return float(found[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10, help="4 cells^3 atoms")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--every", type=int, default=50, help="steps between two frames")
    parser.add_argument("--calls", type=int, default=5, help="steps between two calls of the fix")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="metals")
    parser.add_argument("--host", choices=["wheel", "debian"], default="wheel")
    a = parser.parse_args()
    ways = {
        "no analysis": "",
        "at once": analysis(a.host, a.every, model=a.model),
        "beside": analysis(a.host, a.calls, model=a.model, every=a.every, overlap="wait"),
    }
    loops: dict[str, list[float]] = {way: [] for way in ways}
    frames: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(a.repeats):
        for way, lines in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                deck = DECK.format(
                    cells=a.cells, potentials=potentials_folder(), analysis=lines,
                    steps=a.frames * a.every,
                )  # fmt: skip
                loops[way].append(run(a.host, deck, Path(folder)))
                if lines:
                    h = insitu.open(Path(folder) / "a.h5").load().isel(step=slice(2, -1))
                    names = [n for n in map(str, h) if n.startswith("timing_")]
                    waited = sum(h[n].values for n in names if n != "timing_simulation")
                    beside = h["overlap_beside"].values if "overlap_beside" in h else 0 * waited
                    spent = np.loadtxt(Path(folder) / "calls")
                    # Neither the first frames nor the last, which is analysed at once.
                    spent = spent[len(spent) // 4 : len(spent) - len(spent) // a.frames]
                    spent = spent.sum() / (0.75 * a.frames - 1)
                    row = [float(np.median(waited)), float(np.median(beside)), float(spent)]
                    frames[way].append(row)
    print(
        f"{processor()}; {a.host}, one rank, {4 * a.cells**3:,} atoms, {a.model}, {a.frames} frames every "
        f"{a.every} steps, {a.repeats} repeats in turn; load {os.getloadavg()[0]:.1f} at the end"
    )
    print("               loop time [s]      a frame [ms]: wall time     processor time")
    print("               least  median    waited    beside   of LAMMPS' thread")
    for way, times in loops.items():
        row = f"{way:12s} {min(times):7.2f} {statistics.median(times):7.2f}"
        if frames[way]:
            row += "".join(
                f"{1e3 * float(np.median(v)):10.2f}" for v in zip(*frames[way], strict=True)
            )
        print(row)
    for name, of in (("least", min), ("median", statistics.median)):
        none, once, beside = (of(loops[way]) for way in ways)
        print(
            f"{name}: the analysis adds {100 * (once / none - 1):.1f} %, beside the simulation "
            f"{100 * (beside / none - 1):.1f} %"
        )


if __name__ == "__main__":
    main()
