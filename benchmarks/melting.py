# SPDX-License-Identifier: BSD-3-Clause
"""Melting temperatures of a recipe's potentials by coexistence of crystal and liquid.

The snapshots are kept beside the trajectories: benchmarks/accuracy.py measures interfaces on them.

example:
  python benchmarks/melting.py --data data Cu W=3900
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from insitu.training.dynamics.coexistence import coexist
from insitu.training.recipes import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("materials", nargs="+", help="names, or name=guess [K]")
    parser.add_argument("--recipe", default="metals")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--atoms", type=int, default=1200)
    parser.add_argument("--ps", type=float, default=30.0, help="length of a run [ps]")
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe)
    materials = {m["name"]: m for m in recipe["material"]}
    options.data.mkdir(parents=True, exist_ok=True)
    print(
        "| material | recipe's T_m (K) | coexistence (K) | never molten |\n| --- | --- | --- | --- |"
    )
    for word in options.materials:
        name, _, given = word.partition("=")
        m = materials[name]
        guess = float(given or m["melting"])
        for _ in range(3):
            c = coexist(m, guess, options.data, atoms=options.atoms, ps=options.ps)
            if c.both:
                break
            # All molten: started too hot. All frozen: too cold.
            guess = c.temperature * (0.93 if c.solid < 0.3 else 1.05)
        note = "" if c.both else " (one phase only: no coexistence)"
        print(
            f"| {name} | {m['melting']:.0f} | {c.temperature:.0f}{note} | {c.solid:.2f} |",
            flush=True,
        )
        np.savez_compressed(
            options.data / f"{name}-coexistence.npz", positions=c.positions, cell=c.cell,
            quenched=c.quenched, quenched_cell=c.quenched_cell, temperature=c.temperature,
            both=c.both,
        )  # fmt: skip


if __name__ == "__main__":
    main()
