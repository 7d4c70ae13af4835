# SPDX-License-Identifier: BSD-3-Clause
"""The whole-sample network on the data of the general model, beside that model, others, PTM and a-CNA.

Trains on the recipe's training materials, whole and with the copies of the general model's own training
(atoms removed, cut open, strained), reports on the selection materials, and measures on the
headline elements, which take part in nothing; lengths are in units of the own surroundings. Erhard's
network of one atom's 32 nearest is trained on environments of the same copies. The other models are the
shipped ones; the convolutional network of the paper knows absolute distances and four elements.

    python benchmarks/dgcnn_metals.py --data data --out dgcnn-metals
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from metals_graphs import balanced, copies, environments, whole
from ovito_labels import other_methods

from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError
from insitu.models.card import Card
from insitu.models.engines.spatial import SpatialSettings
from insitu.models.export import save
from insitu.models.networks.local_dgcnn import LocalDGCNN
from insitu.models.store import load
from insitu.training.data.environments import Samples
from insitu.training.dynamics import simulate as dynamics
from insitu.training.dynamics.trajectories import jobs
from insitu.training.fit import dgcnn
from insitu.training.fit.dgcnn import Schedule
from insitu.training.fit.normalisation import Normalised
from insitu.training.recipes import load_recipe
from insitu.training.tables.accuracy import Score, cases, count
from insitu.training.tables.general import markdown

GRAPH = SpatialSettings(
    neighbors=20, unit="spacing", reach=2.25, layers=3, local=4, radial=8, range=2.75, degree=6
)
LOCAL = SpatialSettings(neighbors=32, unit="spacing", reach=2.6, layers=0)
NAMES = {"whole": "whole-sample DGCNN", "local": "local DGCNN"}
#: Environments a class, and epochs, of the local network.
ENVIRONMENTS, LOCAL_EPOCHS = 1000, 12


def train(kind: str, recipe: dict, options: argparse.Namespace) -> Path:
    """Train a network unless its artefact is there, and return that."""
    path: Path = options.out / f"{kind}.pt"
    if path.exists():
        return path
    classes, started = recipe["classes"], time.process_time()
    settings = recipe | {"training": recipe["training"] | {"copies": 1}}
    found = copies(settings, "training", options.data, options.each, 0)
    print(f"{len(found)} samples, {sum(len(v.labels) for _, v in found):,} atoms", flush=True)
    torch.manual_seed(0)
    if kind == "local":
        network = LocalDGCNN(len(classes))
        data = environments(found, len(classes), ENVIRONMENTS, LOCAL.neighbors + 1, 0)
        dgcnn.fit(network, data, Schedule(epochs=LOCAL_EPOCHS, rate=3e-3), 0)
        network.half()
    else:
        graph = Normalised(len(classes), GRAPH)
        items = Samples([whole(v, GRAPH) for _, v in found])
        dgcnn.fit(graph, items, Schedule(epochs=options.epochs, batch=4), 0)
        network = graph.folded()
        print(
            "selection:",
            balanced(network, copies(settings, "selection", options.data, 4, 1), GRAPH),
        )
    options.out.mkdir(parents=True, exist_ok=True)
    card = Card(
        name=f"metals-{kind}-dgcnn", classes=classes, descriptor=NeighborsMap(scale_free=True),
        spatial=LOCAL if kind == "local" else GRAPH,
    )  # fmt: skip
    save(network, card, path)
    print(f"{NAMES[kind]}: {time.process_time() - started:.0f} s of processor time", flush=True)
    return path


def table(recipe: dict, data: Path, methods: dict[str, Callable]) -> str:
    """Return right labels of all methods by kind of sample, mean over elements, and the worst."""
    classes = recipe["classes"]
    right: dict[str, dict[str, dict[str, list[int]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(lambda: [0, 0]))
    )

    def add(method: str, s: Score) -> None:
        kind = {"melt": "liquid", "glass": "glass"}.get(s.kind, "crystal")
        gone = f", {100 * s.removed:.0f} % removed" if s.removed else ""
        cell = right[f"{kind} at {s.temperature:g} T_m{gone}"][method][s.material]
        cell[0] += int(s.counts[s.truth])
        cell[1] += int(s.counts.sum())

    for job in jobs(recipe, "headline"):
        if job.strains or job.kind.startswith("stack") or job.atoms > 5000:
            continue
        for c in cases(classes, dynamics.load(job, data), job.seed):
            if c.sample.temperature not in (0.5, 0.9, 1.0) or (
                c.removed and c.sample.temperature < 1
            ):
                continue
            for name, label in methods.items():
                for s in count(label(c.positions, c.sample.cell), c.labels, c, len(classes)):
                    add(name, s)
    rows = []
    for what in sorted(right):
        line = [what]
        for method in methods:
            share = {m: 100 * a / n for m, (a, n) in right[what][method].items()}
            worst = min(share, key=lambda m: share[m])
            line.append(f"{np.mean(list(share.values())):.2f} ({worst} {share[worst]:.1f})")
        rows.append(line)
    return markdown(["right labels (%), mean of the elements (worst)", *methods], rows)


def by_model(path: str, classes: list[str]) -> Callable:
    """Return a function from positions and cell to class indices of the recipe."""
    model = load(path)
    order = np.array([classes.index(c) for c in model.card.classes])

    def label(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        return order[classify_with(model, positions, cell, True).probabilities.argmax(1)]

    return label


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("dgcnn-metals"))
    parser.add_argument("--each", type=int, default=3, help="snapshots of a trajectory (3)")
    parser.add_argument("--epochs", type=int, default=12, help="of the whole-sample network (12)")
    parser.add_argument("--only", nargs="*", default=list(NAMES), help="networks to train")
    parser.add_argument("--untested", action="store_true", help="train, do not measure")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    recipe, _ = load_recipe("metals")
    classes = recipe["classes"]
    paths = {kind: train(kind, recipe, options) for kind in options.only}
    if options.untested:
        return
    methods = {NAMES[kind]: by_model(str(path), classes) for kind, path in paths.items()}
    methods["metals"] = by_model("metals", classes)
    try:
        methods["crystals-cnn"] = by_model("crystals-cnn", classes)
    except (ModelError, ValueError) as error:
        print(error)
    print(table(recipe, options.data, methods | other_methods(classes)))


if __name__ == "__main__":
    main()
