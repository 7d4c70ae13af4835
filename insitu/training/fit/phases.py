# SPDX-License-Identifier: BSD-3-Clause
"""From a recipe with ``[[phase]]`` to an artefact: dynamics, networks on positions, tables of the test."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import DeckError, SettingError
from insitu.frame.species import SYMBOLS
from insitu.models.card import Card
from insitu.models.engines.spatial import SpatialSettings
from insitu.models.export import save
from insitu.models.networks.local_dgcnn import LocalDGCNN
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.progress import bar
from insitu.training.data.environments import (
    Environments,
    Samples,
    clouds,
    environments,
    samples,
    whole,
)  # fmt: skip
from insitu.training.dynamics.phase_dynamics import PARTS, Snapshot, runs, simulate, snapshots
from insitu.training.fit import dgcnn
from insitu.training.fit.dgcnn import Schedule
from insitu.training.fit.normalisation import Normalised
from insitu.training.tables.general import markdown

log = logging.getLogger(__name__)
KINDS = ("whole_sample", "local")
#: Share of the training samples' right labels that the shipped threshold may turn to unknown.
_LOST = 1e-2


def generate(recipe: dict[str, Any], part: str, data: Path, *, workers: int = 1) -> None:
    """Run the trajectories of one part of the split that `data` does not hold yet."""
    data.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(simulate, recipe, run, data) for run in runs(recipe, part)]
        for job in bar(waiting, f"molecular dynamics, {part}"):
            try:
                job.result()
            except DeckError as error:
                for other in waiting:
                    other.cancel()
                raise DeckError(
                    f"{error}\nwhat is finished is kept: correct the recipe and start again"
                ) from None


def classes_of(recipe: dict[str, Any], found: list[Snapshot]) -> list[str]:
    """Return the recipe's classes of which there are configurations; the others are named."""
    there = {s.label for s in found}
    wanted = [p["class"] for p in recipe["phase"]]
    if lost := [c for c in wanted if c not in there]:
        log.warning("dropped, not stable with this potential: %s", ", ".join(lost))
    return [c for c in wanted if c in there]


def network_of(recipe: dict[str, Any], n_classes: int) -> Normalised | LocalDGCNN:
    """Return a new network of the recipe's kind.

    Raises
    ------
    SettingError
        The kind is not known.
    """
    kind = recipe["network"]["kind"]
    if kind not in KINDS:
        raise SettingError(f"network kind '{kind}' is not known; allowed: {', '.join(KINDS)}")
    if kind == "local":
        return LocalDGCNN(n_classes)
    widths = {k: v for k, v in recipe["network"].items() if k != "kind"}
    return Normalised(n_classes, SpatialSettings(**recipe["spatial"]), **widths)


def fit(
    recipe: dict[str, Any], classes: list[str], found: Environments, train: list[Snapshot]
) -> WholeSampleGraph | LocalDGCNN:
    """Train a network of the recipe on environments, the whole-sample one on whole samples too."""
    settings = dict(recipe["training"])
    seed = settings.pop("seed")
    schedule = Schedule(**{k: v for k, v in settings.items() if k not in ("each", "points")})
    torch.manual_seed(seed)
    network = network_of(recipe, len(classes))
    if isinstance(network, LocalDGCNN):
        dgcnn.fit(network, found, schedule, seed)
        return network
    graph = SpatialSettings(**recipe["spatial"])
    items = [whole(s, classes, graph) for s in train] + samples(clouds(found, graph))
    dgcnn.fit(network, Samples(items), schedule, seed)
    return network.folded()


def measured(
    network: WholeSampleGraph | LocalDGCNN, recipe: dict[str, Any], classes: list[str],
    found: list[Snapshot], each: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:  # fmt: skip
    """Return probabilities ``(n, C)`` of atoms of whole samples, true classes and their conditions."""
    known = [s for s in found if s.label in classes]
    if isinstance(network, LocalDGCNN):
        parts, labels, where = [], [], []
        for s in known:
            k = recipe["spatial"]["neighbors"] + 1
            one = environments([s], classes, each, k, 0)
            p, y = dgcnn.predict(network, one)
            parts.append(p[0])
            labels.append(y)
            where += [_conditions(s)] * len(y)
        return np.concatenate(parts), np.concatenate(labels), where
    graph = SpatialSettings(**recipe["spatial"])
    p, y = dgcnn.predict_whole(network, [whole(s, classes, graph) for s in known])
    return p, y, [_conditions(s) for s in known for _ in range(len(s.positions))]


def _conditions(s: Snapshot) -> str:
    return f"{s.pressure:g} GPa, {s.temperature:g} K"


def tables(
    classes: list[str], probabilities: NDArray[np.float32], labels: NDArray[np.int64],
    where: list[str],
) -> str:  # fmt: skip
    """Return the accuracy of each class and the confusion as Markdown."""
    table = dgcnn.confusion(probabilities, labels)
    right = probabilities.argmax(1) == labels
    at: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for y, ok, w in zip(labels.tolist(), right.tolist(), where, strict=True):
        at[y][w].append(ok)
    text = (
        f"Accuracy {100 * dgcnn.accuracy(table):.2f} %, mean F1 of the classes "
        f"{dgcnn.macro_f1(table):.4f}, {len(labels):,} atoms.\n\n"
    )
    rows = []
    for c, name in enumerate(classes):
        parts = [f"{w}: {100 * np.mean(v):.1f}" for w, v in at[c].items()]
        rows.append([name, f"{100 * table[c, c] / max(table[c].sum(), 1):.2f}", "; ".join(parts)])
    text += "### Right labels (%)\n\n" + markdown(["class", "all", "at each condition"], rows)
    lines = [[n, *map(str, line)] for n, line in zip(classes, table.tolist(), strict=True)]
    return text + "### Confusion (true class in rows)\n\n" + markdown(["", *classes], lines)


def train_phases(
    recipe: dict[str, Any], recipe_hash: str, out: Path, data: Path, *, workers: int = 1
) -> Path:
    """Run a recipe with ``[[phase]]`` from nothing to an artefact folder.

    The arguments are those of :func:`insitu.training.fit.train.train`, with the recipe loaded.
    """
    graph, elements = SpatialSettings(**recipe["spatial"]), recipe["potential"]["elements"]
    if graph.species not in ((), tuple(SYMBOLS.index(e) for e in elements)):
        raise SettingError(
            f"species = {list(graph.species)} of [spatial] are not the atom types' elements {elements}; "
            "give their atomic numbers in this order, or none"
        )
    for part in PARTS:
        generate(recipe, part, data, workers=workers)
    split = {part: snapshots(recipe, part, data) for part in PARTS}
    classes = classes_of(recipe, split["training"])
    t = recipe["training"]
    found = environments(split["training"], classes, t["each"], t["points"], t["seed"])
    log.info("%d environments of %d points, %d classes", len(found), t["points"], len(classes))
    network = fit(recipe, classes, found, split["training"])
    p, y, _ = measured(network, recipe, classes, split["training"], 16)
    sure = p.max(1)[p.argmax(1) == y]
    threshold = float(np.clip(np.floor(20 * np.quantile(sure, _LOST)) / 20, 0.3, 0.9))
    p, y, where = measured(network, recipe, classes, split["test"], 64)
    table = dgcnn.confusion(p, y)
    card = Card(
        name=recipe["name"], classes=classes, descriptor=NeighborsMap(scale_free=True),
        threshold=threshold, description=recipe["description"], reference=recipe["reference"],
        species=recipe["species"], recipe_sha256=recipe_hash, spatial=graph,
        more={
            "environments": len(found), "points": t["points"],
            "trajectories": {part: len({s.run for s in split[part]}) for part in PARTS},
            "accuracy": round(dgcnn.accuracy(table), 4), "macro_f1": round(dgcnn.macro_f1(table), 4),
        },
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(network, LocalDGCNN):
        network.half()  # of the file; the engine computes with 32 bits
    save(network, card, out / "model.pt")
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    (out / "README.md").write_text(
        training_card(card, recipe, network) + tables(classes, p, y, where)
    )
    return out / "model.pt"


def training_card(
    card: Card, recipe: dict[str, Any], network: WholeSampleGraph | LocalDGCNN
) -> str:
    """Return what the model is, as Markdown."""
    graph, more = card.spatial, card.more
    assert graph is not None
    size = sum(p.numel() for p in network.parameters())
    if isinstance(network, LocalDGCNN):
        what = f"the {graph.neighbors} nearest atoms of one atom at a time, {size:,} weights"
    else:
        what = (
            f"the graph of the {graph.neighbors} nearest neighbours of all atoms within "
            f"{graph.reach:g}{'' if graph.relative else ' Å'}, {graph.layers} layers, {size:,} weights"
        )
        if graph.degree:
            what += (
                f"; in the first layer, power spectra of {graph.moments} radial functions"
                f"{' of each species' if graph.kinds > 1 else ''} and harmonics up to degree "
                f"{graph.degree}: a sample's orientation and handedness make no difference"
            )
    unit = "units of the sample's spacing" if graph.relative else "Å: results depend on density"
    if graph.layers == 0:
        unit = "units of the first neighbour's distance"
    t, p = recipe["training"], recipe["potential"]
    strain = t.get("strain", 0.0)
    return (
        f"# {card.name}\n\n{card.description}.\n\nReference: {card.reference}.\n\n"
        f"Classes: {', '.join(card.classes)}; `unknown` when the largest probability is under "
        f"{card.threshold:g}. Species: {card.species}.\n\nInput: {what}. Lengths are in {unit}.\n\n"
        f"Data: molecular dynamics with `{p['pair']}`; {more['trajectories']['training']} trajectories; "
        f"{'' if graph.layers == 0 else 'all their whole configurations, and '}"
        f"{more['environments']:,} environments of {more['points']} points, {t['epochs']} epochs, "
        f"φ = {t.get('phi', 1.0):g}, orientations in each step: {t.get('rotations', 1)}"
        f"{f', lengths varied by up to {100 * strain:g} %' if strain else ''}. Measured on "
        f"{more['trajectories']['test']} other trajectories, at temperatures and pressures that training "
        "has not seen. Recipe hash "
        f"`{card.recipe_sha256[:12]}`; rebuild with `insitu train {card.name}`.\n\n"
    )
