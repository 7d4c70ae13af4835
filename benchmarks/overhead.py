#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Does `overhead` keep its share, and are samples right within their errors? Runs `in.overhead`.

    python benchmarks/overhead.py [--ranks 1] [--cells 8] [--steps 2000] [--shares 0.01 0.05]

Two shares and 2,048 atoms take about six minutes of processor time, most of it the analysis of all atoms.

Prints for each share and model: the share of the wall time in the end, frames, mean interval, mean share of
the atoms, and the deviation of the sampled fractions from those of all atoms, which a second analysis in
the same run gives, in units of their standard error (root mean square over frames and phases; 1 is right).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import insitu
from insitu.bench.machine import processor

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def run(folder: Path, model: str, share: float, options: argparse.Namespace) -> None:
    """Run the deck, with an analysis of all atoms at all its steps beside it where atoms are sampled."""
    from insitu.training.runs import potentials_folder

    deck = (ROOT / "lammps_inputs" / "in.overhead").read_text()
    if model != "metals":
        full = f"fix full all insitu 5 model {model} file full.h5\nrun             ${{steps}}"
        deck = deck.replace("run             ${steps}", full)
    (folder / "in.deck").write_text(deck)
    given = {
        "potential": potentials_folder() / "Al_mm.eam.fs", "model": model, "overhead": share,
        "steps": options.steps, "most": options.most, "cells": options.cells,
    }  # fmt: skip
    words = [w for k, v in given.items() for w in ("-var", k, str(v))]
    subprocess.run(
        [BIN / "mpiexec", "-n", str(options.ranks), BIN / "lmp", "-in", "in.deck", *words],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--most", type=int, default=200, help="every_max")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.05])
    options = parser.parse_args()
    before = os.getloadavg()[0]
    print(
        f"{processor()}, {os.cpu_count()} cores, load {before:.1f}; {4 * options.cells**3:,} atoms"
    )
    print("model          overhead  share   frames  interval  atoms   deviation")
    for model in ("metals", "crystals-cnn"):
        for share in options.shares:
            with tempfile.TemporaryDirectory() as scratch:
                run(Path(scratch), model, share, options)
                h = insitu.open(Path(scratch, "overhead.h5")).load()
                deviation = np.nan
                if model != "metals":
                    full = insitu.open(Path(scratch, "full.h5")).load().sel(step=h["step"])
                    error = h["standard_error"].values
                    off = h["fraction"].values - full["fraction"].values
                    known = error > 0
                    deviation = float(np.sqrt(np.mean((off[known] / error[known]) ** 2)))
            interval = float(np.diff(h["step"].values[1:]).mean())
            print(
                f"{model:14s} {share:8.3f} {h['budget_share'].values[-1]:7.4f} {h.sizes['step']:8d} "
                f"{interval:8.1f} {h['budget_sampled'].values[2:].mean():7.3f} {deviation:9.2f}",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
