# SPDX-License-Identifier: BSD-3-Clause
"""Recipes with ``[[stage]]``: snapshots labelled by stage and temperature, training, measurement."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models.card import Card
from insitu.models.export import save
from insitu.progress import bar
from insitu.training.dynamics.stages import Configuration, configurations, simulate
from insitu.training.dynamics.transition_temperatures import Landmarks, find
from insitu.training.fit.images import fit
from insitu.training.tables.glass import measure, readme

log = logging.getLogger(__name__)


@dataclass
class StageMaps:
    """Images ``(n, channels, size, size)``, class indices ``(n,)``, neighbours in the ball ``(n,)``."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    found: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)


def labelled(
    recipe: dict[str, Any], found: list[Configuration], marks: Landmarks
) -> list[tuple[Configuration, str]]:
    """Return the snapshots of one trajectory that have a label, and it.

    The temperature is that of the thermostat at the snapshot.

    Raises
    ------
    SettingError
        A range of the recipe holds fewer snapshots than it wants.
    """
    chosen = []
    for rule in recipe["labels"]:
        low, high = marks.range(rule, found[0].seed)
        inside = [c for c in found if c.stage == rule["stage"] and low <= c.ramp <= high]
        if len(inside) < rule["number"]:
            raise SettingError(
                f"stage '{rule['stage']}' of trajectory {found[0].seed} has {len(inside)} snapshots "
                f"between {low:.0f} and {high:.0f} K and the recipe wants {rule['number']}; widen the "
                "range, or lower `every` of the stage"
            )
        picks = np.linspace(0, len(inside) - 1, rule["number"]).round().astype(int)
        chosen += [(inside[k], rule["class"]) for k in picks]
    return chosen


def colors(recipe: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the weights ``(channels - 1, n_types + 1)`` of the species channels, None without."""
    if "channels" not in recipe:
        return None
    by_type = [recipe["channels"][e] for e in recipe["system"]["elements"]]
    return np.array([[0.0] * len(by_type[0]), *by_type], dtype=np.float32).T


def build(
    recipe: dict[str, Any],
    seeds: list[int],
    data: Path,
    rng: np.random.Generator,
    marks: Landmarks,
    share: float = 1.0,
) -> StageMaps:
    """Describe a sample of the atoms of the labelled snapshots of some trajectories.

    Parameters
    ----------
    recipe, seeds, data
        The recipe, its trajectories to take, the folder that holds them.
    rng
        Chooses the atoms.
    marks
        What the recipe's ranges are multiples of.
    share
        Factor on the recipe's number of atoms of a snapshot.
    """
    wanted = max(1, round(share * recipe["data"]["atoms"]))
    settings, table = NeighborsMap(**recipe["descriptor"]), colors(recipe)
    parts: list[tuple[Any, ...]] = []
    chosen = [
        pair
        for seed in seeds
        for pair in labelled(
            recipe, configurations(recipe, seed, simulate(recipe, seed, data)), marks
        )
    ]
    for c, label in bar(chosen, "Neighbors Maps"):
        some = np.zeros(len(c.positions), dtype=bool)
        some[rng.permutation(len(some))[:wanted]] = True
        frame = Frame.from_arrays(
            c.positions, c.cell, True, reach=settings.cutoff * 1.0001, types=c.types, selected=some
        )
        weights = None if table is None else table[:, frame.types]
        for atoms, images, found in settings.batches(
            Neighbors(frame, settings.cutoff), weights=weights
        ):
            index = recipe["classes"].index(label)
            parts.append((images.copy(), np.full(len(atoms), index), found.copy()))
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    order = rng.permutation(len(columns[1]))
    return StageMaps(*[c[order] for c in columns])


def train_stages(
    recipe: dict[str, Any], recipe_hash: str, out: Path, data: Path, *, workers: int = 1
) -> Path:
    """Run a recipe with ``[[stage]]`` from nothing to an artefact folder; see :func:`train`."""
    split = {part: recipe["data"][f"{part}_seeds"] for part in ("train", "validation", "test")}
    seeds = [seed for part in split.values() for seed in part]
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(simulate, recipe, seed, data) for seed in seeds]
        for run in bar(runs, "molecular dynamics"):
            run.result()
    rng = np.random.default_rng(recipe["training"]["seed"])
    marks = find(recipe, data)
    maps = {
        part: build(recipe, split[part], data, rng, marks, share)
        for part, share in (("train", 1.0), ("validation", 0.25))
    }
    log.info("maps: %s", {k: len(v) for k, v in maps.items()})
    card = _card(recipe, recipe_hash, maps)
    out.mkdir(parents=True, exist_ok=True)
    save(fit(recipe, maps["train"], maps["validation"]), card, out / "model.pt")
    test = [simulate(recipe, seed, data) for seed in split["test"]]
    measured = measure(recipe, out / "model.pt", test, marks)
    one = None
    if recipe["training"].get("compare_one_channel"):
        one = measure(recipe, _one_channel(recipe, recipe_hash, maps, out), test, marks)
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    (out / "README.md").write_text(readme(recipe, card, marks, measured, one))
    return out / "model.pt"


def _card(
    recipe: dict[str, Any],
    recipe_hash: str,
    maps: dict[str, StageMaps],
    channels: int | None = None,
) -> Card:
    system, found = recipe["system"], maps["train"].found
    channels = channels or maps["train"].images.shape[1]
    elements = {
        e: {"mass": m, "weights": recipe["channels"][e]}
        for e, m in zip(system["elements"], system["masses"], strict=True)
        if channels > 1
    }
    return Card(
        name=recipe["name"],
        classes=recipe["classes"],
        descriptor=NeighborsMap(**recipe["descriptor"]),
        channels=channels,
        description=recipe["description"],
        reference=recipe["reference"],
        species=recipe["species"],
        recipe_sha256=recipe_hash,
        ball_range=(int(np.quantile(found, 0.01)), int(np.quantile(found, 0.99))),
        elements=elements,
        more={
            "trained_on": [system["name"]],
            "maps": {k: len(v) for k, v in maps.items()},
        },
    )


def _one_channel(
    recipe: dict[str, Any], recipe_hash: str, maps: dict[str, StageMaps], out: Path
) -> Path:
    """Train on the first channel only; return the artefact, which is not shipped."""
    first = {
        part: StageMaps(np.ascontiguousarray(m.images[:, :1]), m.labels, m.found)
        for part, m in maps.items()
    }
    network: torch.nn.Module = fit(recipe, first["train"], first["validation"])
    path = out / "one_channel.pt"
    save(network, _card(recipe, recipe_hash, first, 1), path)
    return path
