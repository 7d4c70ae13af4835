# SPDX-License-Identifier: BSD-3-Clause
"""How far a model's glass transition follows from the ranges in which snapshots were labelled.

A classifier of two states that are told by degrees puts the limit somewhere between its labels. Small
networks are trained on ranges that are moved, and the transition is measured on the test trajectory.

example:
  python benchmarks/label_ranges.py --data data vitrification-ni
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.models.export import save
from insitu.models.store import Card
from insitu.training.glass_tables import measure
from insitu.training.stages import configurations, simulate
from insitu.training.train import fit, load_recipe
from insitu.training.vitrification import build

#: Upper end of the amorphous range, lower end of the liquid's [K].
RANGES = {
    "vitrification-ni": [(450, 1300), (600, 1300), (750, 1300), (600, 1100), (600, 1500)],
    "vitrification-cuzr": [(400, 1000), (500, 1000), (600, 1000), (500, 850), (500, 1150)],
}


def moved(recipe: dict[str, Any], cold: float, hot: float) -> dict[str, Any]:
    """Return a recipe with other ranges in the stage of the transition, and a quick training."""
    other, step = copy.deepcopy(recipe), recipe["transition"]
    for rule in other["labels"]:
        if rule["stage"] == step["stage"]:
            low, high = rule["temperature"]
            cooled = rule["class"] == step["to"]
            rule["temperature"] = [low, cold] if cooled else [hot, max(high, hot + 300)]
            rule["number"] = 4
    other["data"]["atoms"] = 500
    other["training"]["epochs"] = 4
    return other


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", choices=list(RANGES))
    parser.add_argument("--data", type=Path, default=Path("data"))
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe)
    seeds = recipe["data"]
    test = [
        configurations(recipe, s, simulate(recipe, s, options.data)) for s in seeds["test_seeds"]
    ]
    stage = recipe["transition"]["stage"]
    test = [[c for c in trajectory if c.stage == stage] for trajectory in test]
    print("| amorphous below (K) | liquid above (K) | energy (K) | model (K) |")
    print("| --- | --- | --- | --- |")
    for cold, hot in RANGES[options.recipe]:
        other = moved(recipe, cold, hot)
        rng = np.random.default_rng(1)
        maps = {
            p: build(other, seeds[f"{p}_seeds"], options.data, rng) for p in ("train", "validation")
        }
        elements = {
            e: {"mass": m, "weights": recipe["channels"][e]}
            for e, m in zip(recipe["system"]["elements"], recipe["system"]["masses"], strict=True)
            if "channels" in recipe
        }
        card = Card(
            recipe["name"], recipe["classes"], NeighborsMap(**recipe["descriptor"]),
            maps["train"].images.shape[1], elements=elements,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            save(fit(other, maps["train"], maps["validation"]), card, path)
            found = measure(other, path, test)
        kink, middle = found.kinks[0], found.midpoints[0]
        print(
            f"| {cold} | {hot} | {kink.temperature:.0f} ± {kink.error:.0f} | "
            f"{middle.temperature:.0f} ± {middle.error:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
