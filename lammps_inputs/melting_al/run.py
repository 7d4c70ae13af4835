# SPDX-License-Identifier: BSD-3-Clause
"""Run the melting of aluminium with a progress line read from its growing history."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import insitu
from insitu.training.runs import potentials_folder

HERE = Path(__file__).parent


def progress(history: Path, frames: int, started: float) -> str:
    """Return the state of the run in one line."""
    elapsed = f"{time.monotonic() - started:4.0f} s"
    try:
        data = insitu.open(str(history))
    except (insitu.InsituError, OSError):
        return f"{elapsed}  starting"
    n = data.sizes["step"]
    last = data.isel(step=-1)
    shares = {str(p): float(last["fraction"].sel(phase=p)) for p in data["phase"].values}
    text = "  ".join(f"{p} {100 * s:.1f} %" for p, s in shares.items() if s >= 0.005)
    full = round(20 * n / frames)
    bar = "#" * full + "-" * (20 - full)
    return f"{elapsed}  [{bar}] frame {n}/{frames}  {float(last['temperature']):.0f} K  {text}"


def main() -> int:
    """Start LAMMPS under mpiexec and watch it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--cells", type=int, default=16, help="4 * cells^3 atoms")
    parser.add_argument("--steps", type=int, default=6750)
    parser.add_argument("--every", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("melting_al.h5"))
    options = parser.parse_args()
    out = options.out.resolve()
    out.unlink(missing_ok=True)
    bin_folder = Path(sys.executable).parent
    variables = {
        "cells": options.cells, "steps": options.steps, "every": options.every, "history": out,
        "potential": potentials_folder() / "Al_mm.eam.fs",
    }  # fmt: skip
    command = [
        str(bin_folder / "mpiexec"), "-n", str(options.ranks), str(bin_folder / "lmp"),
        "-in", str(HERE / "in.melting_al"), "-log", str(out.with_suffix(".log")), "-screen", "none",
    ]  # fmt: skip
    for name, value in variables.items():
        command += ["-var", name, str(value)]
    atoms, frames = 4 * options.cells**3, options.steps // options.every + 1
    print(f"{atoms} atoms of Al, {options.steps} steps, {frames} analysed frames", flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started, shown = time.monotonic(), ""
    terminal = sys.stdout.isatty()
    with subprocess.Popen(command, env=environment) as run:
        while run.poll() is None:
            time.sleep(1.0 if terminal else 15.0)
            line = progress(out, frames, started)
            if terminal:
                print("\r" + line.ljust(len(shown)), end="", flush=True)
                shown = line
            else:
                print(line, flush=True)
    print(("\r" if terminal else "") + progress(out, frames, started).ljust(len(shown)), flush=True)
    if run.returncode:
        print(
            f"LAMMPS ended with code {run.returncode}; see {out.with_suffix('.log')}",
            file=sys.stderr,
        )
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
