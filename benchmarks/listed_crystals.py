# SPDX-License-Identifier: BSD-3-Clause
"""What a general model says of crystals of real compounds that are none of its classes.

The crystals are those of a list (matminer's flla_2015.csv: the Materials Project, Faber et al.,
doi:10.1002/qua.24917), of one part of its split (insitu/training/structures/listed.py): structures that
are like one of the recipe's training prototypes are left out, and so are those with a site that may be one
of a class.
With --model given several times each is judged on the same configurations.

example:
  python benchmarks/listed_crystals.py flla_2015.csv --part test --model metals --model old/model.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.classification import classify_with
from insitu.frame.lattices.copies import displaced
from insitu.models.store import load
from insitu.training.recipes import load_recipe
from insitu.training.structures.foreign import prototypes
from insitu.training.structures.listed import Listed, read
from insitu.training.structures.sites import Prints, labels_of
from insitu.training.tables.general import markdown

DISPLACEMENTS = (0.0, 0.02, 0.04, 0.06, 0.08)


def chosen(path: Path, part: str, trained: list[str]) -> list[Listed]:
    """Return the crystals of a part, none of whose sites may be a class's, and that were not trained."""
    known = prototypes()
    seen = Prints([known[n] for n in trained])
    return [
        c
        for c in read(path)
        if c.part == part and c.crystal not in seen and (labels_of(*c.crystal, "x") == "x").all()
    ]


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("table", type=Path)
    parser.add_argument("--part", default="test", choices=["test", "calibration"])
    parser.add_argument("--recipe", default="metals")
    parser.add_argument("--model", action="append", help="[metals]")
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe)
    crystals = chosen(options.table, options.part, recipe["foreign"]["training"])
    models = [(n, load(n)) for n in options.model or ["metals"]]
    print(f"{len(crystals)} crystals\n")
    rows = []
    everything: dict[str, list[NDArray[np.float64]]] = {name: [] for name, _ in models}
    for sigma in DISPLACEMENTS:
        for name, model in models:
            rng = np.random.default_rng(31)
            disordered = model.card.classes.index("disordered")
            found = []
            for c in crystals:
                r, cell, _ = displaced(c.crystal, sigma, 0.03, rng)
                label = classify_with(model, r, cell, True).labels
                a_crystal = (label >= 0) & (label != disordered)
                found.append([(label < 0).mean(), (label == disordered).mean(), a_crystal.mean()])
            everything[name].append(np.array(found))
            shares = np.array(found)
            mean = [f"{100 * v:.2f}" for v in shares.mean(axis=0)]
            mostly = f"{(shares[:, 2] > 0.5).sum()}"
            rows.append([name, f"{100 * sigma:.0f} %", *mean, mostly])
    for name, parts in everything.items():
        shares = np.mean(parts, axis=0)
        mean = [f"{100 * v:.2f}" for v in shares.mean(axis=0)]
        rows.append([name, "all", *mean, f"{(shares[:, 2] > 0.5).sum()}"])
        worst = sorted(zip(-shares[:, 2], (c.name for c in crystals), strict=True))[:10]
        print(name, "most often a crystal:", ", ".join(f"{n} {-100 * s:.0f} %" for s, n in worst))
    head = ["model", "displacement", "unknown (%)", "disordered (%)", "a crystal (%)",
            "crystals mostly one of the classes"]  # fmt: skip
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
