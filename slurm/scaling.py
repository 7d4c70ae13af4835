# SPDX-License-Identifier: BSD-3-Clause
"""Table of a scaling study: what simulation and analysis take on how many ranks.

python -P slurm/scaling.py scaling_*/phases.h5
"""

from __future__ import annotations

import sys

import numpy as np

import insitu


def row(path: str) -> tuple[int, int, float, float]:
    """Return ranks, atoms, and seconds a frame of simulation and of analysis of one history."""
    history = insitu.open(path)
    simulation = float(np.median(history["timing_simulation"].values[1:]))
    stages = [v for v in history.data_vars if v.startswith("timing_") and v != "timing_simulation"]
    analysis = float(np.median(sum(history[s].values[1:] for s in stages)))
    return int(history.attrs["ranks"]), int(history["atoms"][-1]), simulation, analysis


def main() -> int:
    """Print the table of the histories named on the command line."""
    if len(sys.argv) < 2:
        print("give the histories: python -P slurm/scaling.py scaling_*/phases.h5", file=sys.stderr)
        return 2
    rows = sorted(row(path) for path in sys.argv[1:])
    first = rows[0]
    print("ranks      atoms   simulation   analysis  analysis   speed-up, efficiency")
    print("                   s a frame    s a frame         %   of both")
    for ranks, atoms, simulation, analysis in rows:
        speed = (first[2] + first[3]) / (simulation + analysis)
        print(
            f"{ranks:5d} {atoms:10,d}   {simulation:10.4f} {analysis:10.4f} "
            f"{100 * analysis / simulation:9.2f}   {speed:8.2f} {speed * first[0] / ranks:9.0%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
