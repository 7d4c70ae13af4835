# SPDX-License-Identifier: BSD-3-Clause
"""Training of a recipe: data, network, tables, artefact."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError
from insitu.models.card import Card
from insitu.models.export import save
from insitu.training.data.dataset import build
from insitu.training.dynamics.generate import generate, snapshots
from insitu.training.fit.images import fit, predict
from insitu.training.recipes import load_recipe
from insitu.training.tables.confusion import confusion, tables

log = logging.getLogger(__name__)


def train(
    name: str, out: Path, data: Path, *, workers: int = 1, device: str = "cpu",
    start: Path | None = None,
) -> Path:  # fmt: skip
    """Run a recipe from nothing to an artefact folder.

    Parameters
    ----------
    name
        Recipe.
    out
        Folder that receives ``model.pt``, ``card.json`` and ``README.md``.
    data
        Folder of the trajectories; those that exist are used again.
    workers
        Simulations at a time.
    device
        "cpu" or "cuda", for recipes with a graph layer.
    start
        Artefact whose weights the training starts from, for these recipes; None: random ones.

    Returns
    -------
    Path
        The artefact.
    """
    recipe, recipe_hash = load_recipe(name)
    if "material" in recipe:
        from insitu.training.fit.general import train_general

        return train_general(
            recipe, recipe_hash, out, data, workers=workers, device=device, start=start
        )
    if start is not None:
        raise SettingError(
            f"start='{start}' is of recipes with [[material]], and '{name}' has none; leave it out"
        )
    if "phase" in recipe:
        from insitu.training.fit.phases import train_phases

        return train_phases(recipe, recipe_hash, out, data, workers=workers)
    if "stage" in recipe:
        from insitu.training.fit.vitrification import train_stages

        return train_stages(recipe, recipe_hash, out, data, workers=workers)
    if "annotation" in recipe:
        from insitu.training.fit.annotated import train_annotated

        return train_annotated(recipe, recipe_hash, out, data, workers=workers)
    generate(recipe, data, workers=workers)
    rng = np.random.default_rng(recipe["training"]["seed"])
    seeds = recipe["data"]
    split = {
        part: build(recipe, snapshots(recipe, seeds[f"{part}_seeds"], data), rng, scale)
        for part, scale in (("train", 1.0), ("validation", 0.25), ("test", 0.6))
    }
    log.info("maps: %s", {k: len(v) for k, v in split.items()})
    network = fit(recipe, split["train"], split["validation"])
    test = split["test"]
    probabilities = predict(network, test.images)
    sparse = recipe["data"].get("sparse", False)
    full = split["train"].found[(split["train"].removed == 0.0) | sparse]
    card = Card(
        name=recipe["name"],
        classes=recipe["classes"],
        descriptor=NeighborsMap(**recipe["descriptor"]),
        description=recipe["description"],
        reference=recipe["reference"],
        species=recipe["species"],
        recipe_sha256=recipe_hash,
        ball_range=(int(np.quantile(full, 0.01)), int(np.quantile(full, 0.99))),
        more={
            "trained_on": [s["name"] for s in recipe["system"]],
            "maps": {k: len(v) for k, v in split.items()},
            "confusion": confusion(recipe["classes"], test, probabilities).tolist(),
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    save(network, card, out / "model.pt")
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    (out / "README.md").write_text(tables(card, test, probabilities, recipe))
    return out / "model.pt"
