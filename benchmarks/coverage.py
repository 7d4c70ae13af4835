# SPDX-License-Identifier: BSD-3-Clause
"""What limits by class (`coverage`) change: known atoms that keep their label, foreign ones that get one.

Known atoms are those of the headline trajectories of `insitu train` in --data, the mean over trajectories;
foreign ones the prototypes of the recipe's test part, with displacements of 0 to 8 % of the nearest
distance. None of them took part in training or in the limits.

examples:
  python benchmarks/coverage.py --data data
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from insitu.analyses.phases.classification import classify_with
from insitu.analyses.phases.labels import Coverage
from insitu.frame.lattices.copies import displaced
from insitu.models.store import AnyModel, load
from insitu.training.dynamics.simulate import load as load_job
from insitu.training.dynamics.trajectories import jobs
from insitu.training.recipes import load_recipe
from insitu.training.structures.foreign import prototypes

CHOICES: dict[str, Coverage | None] = {"threshold": None} | {
    f"{c:g}": Coverage(c) for c in (0.98, 0.95, 0.9)
}


def known(model: AnyModel, data: Path) -> str:
    """Return the table of the atoms of each class that keep their label."""
    found: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs(load_recipe("metals")[0], "headline"):
        if not (data / f"{job.name}.npz").exists():
            continue
        for s in load_job(job, data):
            each = [
                classify_with(model, s.positions, s.cell, True, threshold=c).labels
                for c in CHOICES.values()
            ]
            for k, name in enumerate(model.card.classes):
                if (own := s.labels == name).any():
                    found[name][job.name].append([float((e[own] == k).mean()) for e in each])
    lines = [
        f"| class | trajectories | {' | '.join(CHOICES)} |",
        "| --- " * (2 + len(CHOICES)) + "|",
    ]
    for name, by in found.items():
        mean = 100 * np.mean([np.mean(v, axis=0) for v in by.values()], axis=0)
        lines.append(f"| {name} | {len(by)} | {' | '.join(f'{m:.2f}' for m in mean)} |")
    return "\n".join(lines)


def foreign(model: AnyModel) -> str:
    """Return the table of prototypes that took no part."""
    rng, every = np.random.default_rng(4), prototypes()
    disordered = model.card.classes.index("disordered")
    found: dict[str, list[list[float]]] = defaultdict(list)
    for name in load_recipe("metals")[0]["foreign"]["test"]:
        for sigma in (0.0, 0.02, 0.04, 0.06, 0.08):
            r, cell, _ = displaced(every[name], sigma, 0.03, rng)
            for c, coverage in CHOICES.items():
                k = classify_with(model, r, cell, True, threshold=coverage).labels
                found[c].append([np.mean(k < 0), np.mean((k >= 0) & (k != disordered))])
    lines = ["| limits | unknown (%) | a crystal (%) |", "| --- | --- | --- |"]
    for c, values in found.items():
        unknown, crystal = 100 * np.mean(values, axis=0)
        lines.append(f"| {c} | {unknown:.2f} | {crystal:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="metals")
    parser.add_argument("--data", type=Path, help="folder of the trajectories of insitu train")
    options = parser.parse_args()
    model = load(options.model)
    if options.data:
        print(f"### Known atoms that keep their label (%)\n\n{known(model, options.data)}\n")
    print(f"### Prototypes that took no part\n\n{foreign(model)}")


if __name__ == "__main__":
    main()
