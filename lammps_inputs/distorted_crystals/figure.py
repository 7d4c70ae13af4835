# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy against the fraction of missing atoms: the figure of the Neighbors Map paper's section 3.1.

Runs in.distorted_crystals for Al, Fe, Zr and Si (about 10 s each), reads the histories that the analysis
wrote during the runs, and draws how many atoms have the label of their crystal. With OVITO (pip install
ovito) PTM with an RMSD of 0.1 and a-CNA label the same atoms.

example:
  python lammps_inputs/distorted_crystals/figure.py --out distorted
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
import numpy as np

import insitu
from insitu.offline.readers.trajectories import read_frames
from insitu.training.runs import potentials_folder
from insitu.training.tables.general import markdown

HERE = Path(__file__).parent
CRYSTALS = {"Al": "fcc", "Fe": "bcc", "Zr": "hcp", "Si": "cubic_diamond"}
MISSING = ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
METHODS = {"ptm": "PTM, RMSD 0.1", "cna": "a-CNA"}
Counts = dict[tuple[str, str, str], np.ndarray]


def run(element: str, seed: int, folder: Path, options: argparse.Namespace) -> None:
    """Run the deck for one crystal unless `folder` has its last dump."""
    if (folder / f"distorted.{element}.{MISSING[-1]}.dump").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).parent / "lmp"), "-in", str(HERE / "in.distorted_crystals")]
    command += ["-log", "log.lammps", "-screen", "none"]
    given = {"element": element, "seed": seed, "model": options.model}
    for name, value in (given | {"steps": options.steps, "every": options.every}).items():
        command += ["-var", name, str(value)]
    environment = os.environ | {"LAMMPS_POTENTIALS": str(potentials_folder())}
    environment["OMP_NUM_THREADS"] = "1"
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)


def count(element: str, folder: Path, into: Counts) -> None:
    """Add up the atoms with the right label and all atoms, by method and fraction missing."""
    own = CRYSTALS[element]
    for missing in MISSING:
        history = insitu.open(str(folder / f"distorted.{element}.{missing}.h5"))
        atoms = history["count"].sum("phase")
        right = history["count"].sel(phase=own) if own in history.phase else 0 * atoms
        into["insitu", element, missing] += [int(right.sum()), int(atoms.sum())]
        for method in METHODS:
            try:
                from insitu.offline.ptm import structures

                for frame in read_frames(str(folder / f"distorted.{element}.{missing}.dump"), ":"):
                    found = structures(
                        frame.positions, frame.cell.array, frame.pbc, method,
                        sought=["cubic_diamond"], near_diamond=True,
                    )  # fmt: skip
                    into[method, element, missing] += [int((found == own).sum()), len(found)]
            except (ImportError, insitu.InsituError):
                continue


def draw(shares: dict[str, list[float]], out: Path) -> None:
    """Draw accuracy [%] against the fraction that is missing."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    styles = {"insitu": ("o-", "C0"), "ptm": ("s--", "C1"), "cna": ("^:", "C2")}
    for method, values in shares.items():
        mark, color = styles[method]
        axes.plot([float(f) for f in MISSING], values, mark, color=color,
                  label=METHODS.get(method, "Neighbors Map and CNN, in situ"))  # fmt: skip
    axes.set_xlabel("fraction of missing atoms")
    axes.set_ylabel("atoms with the right structure (%)")
    axes.set_ylim(-3, 103)
    axes.legend(frameon=False)
    figure.savefig(out, dpi=150)


def main() -> int:
    """Run, count, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("distorted"), help="folder (distorted)")
    parser.add_argument("--model", default="distorted-crystals")
    parser.add_argument("--seeds", type=int, nargs="+", default=[4711], help="one run each (4711)")
    parser.add_argument("--steps", type=int, default=45000, help="of the ramp (45000)")
    parser.add_argument("--every", type=int, default=5000, help="steps between snapshots (5000)")
    options = parser.parse_args()
    if options.model.endswith(".pt"):
        options.model = str(Path(options.model).resolve())
    counts: Counts = defaultdict(lambda: np.zeros(2, dtype=int))
    for seed in options.seeds:
        for element in CRYSTALS:
            print(f"{element}, seed {seed}", flush=True)
            folder = options.out / f"{element}-{seed}"
            run(element, seed, folder, options)
            count(element, folder, counts)
    rows, shares = [], {}
    for method in ("insitu", *METHODS):
        if not any(m == method for m, _, _ in counts):
            print(f"no {METHODS[method]}: pip install ovito")
            continue
        name = METHODS.get(method, "in situ")
        for element in CRYSTALS:
            pairs = [counts[method, element, f] for f in MISSING]
            rows.append([f"{name}: {CRYSTALS[element]} {element}", *(_percent(p) for p in pairs)])
        sums = [sum((counts[method, e, f] for e in CRYSTALS), np.zeros(2, int)) for f in MISSING]
        rows.append([f"**{name}, all**", *(_percent(p) for p in sums)])
        shares[method] = [100 * p[0] / p[1] for p in sums]
    table = markdown(["right labels (%), atoms missing", *MISSING], rows)
    print(table)
    (options.out / "accuracy.md").write_text(table)
    draw(shares, options.out / "distorted_crystals.png")
    print(f"wrote {options.out / 'accuracy.md'} and {options.out / 'distorted_crystals.png'}")
    return 0


def _percent(pair: np.ndarray) -> str:
    return f"{100 * pair[0] / pair[1]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
