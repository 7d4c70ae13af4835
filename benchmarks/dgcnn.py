# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic graph networks of SiO2: one environment an atom (Erhard) against the whole sample (Ryan & Zhang).

Trains both on the same trajectories of the recipe `sio2` and measures them on others, at temperatures
and pressures that training has not seen. Every run adds a line to a file, from which the tables are
printed; what is there is not run again.

    python benchmarks/dgcnn.py --data data --runs runs.jsonl variants loss points cost
    python benchmarks/dgcnn.py --data data --runs runs.jsonl          # the tables
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dgcnn_cost import cost

from insitu.models.engines.spatial import SpatialSettings
from insitu.models.networks.local_dgcnn import LocalDGCNN
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.training.data.environments import Environments, clouds, environments, whole
from insitu.training.dynamics.phase_dynamics import Snapshot, snapshots
from insitu.training.fit import dgcnn
from insitu.training.fit.dgcnn import Schedule
from insitu.training.fit.phases import classes_of, generate
from insitu.training.fit.variants import (
    DISPLACEMENTS,
    POSITIONS,
    SHIPPED,
    VARIANTS,
    variant,
)  # fmt: skip
from insitu.training.recipes import load_recipe
from insitu.training.tables.general import markdown

LARGEST = 129
#: Accuracy after 10 epochs in the source, on its own data: (local, whole-sample) by points.
PUBLISHED = {32: ("0.81", "0.85"), 64: ("0.89", "0.93"), 128: ("–", "0.95")}
LOSSES = ((1.0, 0.0), (0.5, 1.0), (0.3, 1.0), (0.5, 5.0), (0.5, 20.0))
TURNS = 8
#: Learning rate of the local network; that of the other would be too large for it.
LOCAL_RATE = 3e-3
DESIGN = ("first", "others")
#: Variants in the table of accuracy against points, by name there.
METHODS = {"whole": DISPLACEMENTS, "positions": POSITIONS, "spectra": SHIPPED}
TITLES = {
    "local": "local", "whole": "whole, displacements", "positions": "whole, power spectra",
    "spectra": "whole, power spectra of species",
}  # fmt: skip


class Data:
    """Environments and whole samples of each part of the split, the same for all methods.

    Parts: "training" and "test"; and of the training trajectories "first", one of each class, and
    "others", on which designs are compared: the test is not for choosing.
    """

    def __init__(self, folder: Path, each: int) -> None:
        self.recipe = load_recipe("sio2")[0]
        self.folder, self.each = folder, each
        self.classes = classes_of(self.recipe, self.snapshots("training"))

    @cache  # noqa: B019
    def snapshots(self, part: str) -> list[Snapshot]:
        if part in ("first", "others"):
            every = self.snapshots("training")
            first = {s.label: s.run for s in reversed(every)}
            return [s for s in every if (s.run == first[s.label]) == (part == "first")]
        generate(self.recipe, part, self.folder)
        return snapshots(self.recipe, part, self.folder)

    @cache  # noqa: B019
    def environments(self, part: str) -> Environments:
        each = self.each if part in ("training", "first") else max(self.each // 4, 40)
        known = [s for s in self.snapshots(part) if s.label in self.classes]
        return environments(known, self.classes, each, LARGEST, 1)

    def scores(
        self, network: WholeSampleGraph, graph: SpatialSettings, part: str
    ) -> dict[str, Any]:
        """Return accuracy and macro-F1 on all atoms of whole samples."""
        known = [s for s in self.snapshots(part) if s.label in self.classes]
        samples = [whole(s, self.classes, graph) for s in known]
        table = dgcnn.confusion(*dgcnn.predict_whole(network, samples))
        return {
            "whole_accuracy": dgcnn.accuracy(table), "whole_f1": dgcnn.macro_f1(table),
            "recall": (np.diag(table) / np.maximum(table.sum(1), 1)).round(4).tolist(),
        }  # fmt: skip


def turned(
    network: WholeSampleGraph | LocalDGCNN, data: Any, rotations: int = 1
) -> dict[str, float]:
    """Return accuracy, macro-F1 and the spread over rotations on environments."""
    p, y = dgcnn.predict(network, data, rotations=rotations)
    table = dgcnn.confusion(p[0], y)
    found = {"accuracy": dgcnn.accuracy(table), "f1": dgcnn.macro_f1(table)}
    if rotations > 1:
        labels = p.argmax(2)
        found["spread"] = float(p.std(axis=0).mean() * p.shape[2])
        found["flips"] = float((labels != labels[0]).any(axis=0).mean())
    return found


def train_whole(
    data: Data, points: int, seed: int, schedule: Schedule, name: str = SHIPPED,
    parts: tuple[str, str] = ("training", "test"), rotations: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Train a whole-sample network on environments of some points, and measure it."""
    torch.manual_seed(seed)
    network, graph = variant(name, len(data.classes), SpatialSettings(**data.recipe["spatial"]))
    if network.described:
        schedule = replace(schedule, strain=data.recipe["training"]["strain"])
    train = clouds(data.environments(parts[0]).nearest(points), graph)
    started = time.process_time()
    dgcnn.fit(network, train, schedule, seed)
    spent = time.process_time() - started
    test = clouds(data.environments(parts[1]).nearest(points), graph)
    return (
        turned(network, test, rotations)
        | data.scores(network, graph, parts[1])
        | {"seconds": spent}
    )


def train_local(data: Data, points: int, seed: int, schedule: Schedule) -> dict[str, Any]:
    """Train the local network on the same environments (the centre is no point), and measure it."""
    torch.manual_seed(seed)
    network = LocalDGCNN(len(data.classes))
    started = time.process_time()
    slower = replace(schedule, rate=LOCAL_RATE)
    dgcnn.fit(network, data.environments("training").nearest(points + 1), slower, seed)
    spent = time.process_time() - started
    return turned(network, data.environments("test").nearest(points + 1)) | {"seconds": spent}


def runs(data: Data, tables: list[str], epochs: int, quick: int) -> Iterator[tuple[dict, Any]]:
    """Yield what is to be run: its key, and the function that does it."""
    plain = Schedule(epochs=epochs)
    if "variants" in tables:
        for name in VARIANTS:
            key = {"table": "variants", "name": name, "epochs": quick}
            yield key, lambda n=name: train_whole(data, 32, 0, Schedule(epochs=quick), n, DESIGN)
    if "loss" in tables:
        for phi, alpha in LOSSES:
            key = {"table": "loss", "phi": phi, "alpha": alpha, "epochs": quick}
            s = Schedule(epochs=quick, rotations=2, phi=phi, alpha=alpha)
            yield key, lambda s=s: train_whole(data, 32, 0, s, DISPLACEMENTS, DESIGN, TURNS)
        key = {"table": "loss", "phi": 1.0, "alpha": 0.0, "epochs": quick, "name": SHIPPED}
        yield key, lambda: train_whole(data, 32, 0, Schedule(epochs=quick), SHIPPED, DESIGN, TURNS)
    if "points" in tables:
        for seed in range(3):
            for points in (32, 64, 128):
                if points > 32 and seed:
                    continue
                key = {"table": "points", "points": points, "seed": seed, "epochs": epochs}
                for method, name in METHODS.items():
                    yield (
                        key | {"method": method},
                        lambda p=points, s=seed, n=name: train_whole(data, p, s, plain, n),
                    )
                if points <= 64:
                    yield (
                        key | {"method": "local"},
                        lambda p=points, s=seed: train_local(data, p, s, plain),
                    )
    if "cost" in tables:
        for key, function in cost(data.recipe, len(data.classes)):
            yield key | {"table": "cost"}, function


def report(rows: list[dict[str, Any]]) -> str:
    """Return the tables of all runs as Markdown."""
    by: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for r in rows:
        by[r["table"]].append(r)
    text = ""

    def percent(values: list[float]) -> str:
        mean = f"{100 * np.mean(values):.1f}"
        return f"{mean} ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else mean

    if found := by["variants"]:
        text += (
            f"### Weighting and neighbours, 32 points, {found[0]['epochs']} epochs, other training "
            "trajectories\n\n"
        )
        text += markdown(
            ["variant", "environments (%)", "whole samples (%)", "macro-F1, whole", "CPU s"],
            [[r["name"], percent([r["accuracy"]]), percent([r["whole_accuracy"]]),
              f"{r['whole_f1']:.3f}", f"{r['seconds']:.0f}"] for r in found],
        )  # fmt: skip
    if found := by["loss"]:
        text += (
            f"### Loss, 32 points, two orientations a step, {found[0]['epochs']} epochs, other training "
            "trajectories\n\n"
        )
        text += markdown(
            ["network", "φ", "α", "environments (%)", "whole samples (%)",
             f"spread over {TURNS} rotations", "labels that change (%)"],
            [[r.get("name", DISPLACEMENTS), f"{r['phi']:g}", f"{r['alpha']:g}", percent([r["accuracy"]]),
              percent([r["whole_accuracy"]]), f"{r['spread']:.4f}", percent([r["flips"]])]
             for r in found],
        )  # fmt: skip
    if found := by["points"]:
        lines = []
        for points in (32, 64, 128):
            for method, title in TITLES.items():
                some = [r for r in found if (r["points"], r["method"]) == (points, method)]
                if some:
                    source = PUBLISHED[points][method != "local"]
                    whole_ = [r["whole_accuracy"] for r in some if "whole_accuracy" in r]
                    lines.append([
                        f"{points}", title, f"{len(some)}", percent([r["accuracy"] for r in some]),
                        f"{np.mean([r['f1'] for r in some]):.3f}", percent(whole_) if whole_ else "–",
                        f"{np.mean([r['seconds'] for r in some]):.0f}", source,
                    ])  # fmt: skip
        text += f"### Accuracy after {found[0]['epochs']} epochs, test trajectories\n\n" + markdown(
            ["points", "network", "seeds", "environments (%)", "macro-F1", "whole samples (%)",
             "CPU s", "published, other data"], lines,
        )  # fmt: skip
    if found := by["cost"]:
        text += "### Inference, torch, one thread\n\n" + markdown(
            ["network", "points", "µs an atom", "atoms/s"],
            [[r["name"], r["points"], f"{r['us']:.1f}", f"{1e6 / r['us']:,.0f}"] for r in found],
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tables", nargs="*", help="variants, loss, points, cost")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder of the trajectories"
    )
    parser.add_argument("--runs", type=Path, default=Path("dgcnn.jsonl"), help="file of the runs")
    parser.add_argument("--each", type=int, default=300, help="environments a class (300)")
    parser.add_argument("--epochs", type=int, default=10, help="of the accuracy table (10)")
    parser.add_argument("--quick", type=int, default=6, help="epochs of comparisons (6)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = options.runs.read_text().splitlines() if options.runs.exists() else []
    done = [json.loads(line) for line in lines]
    if options.tables:
        data = Data(options.data, options.each)
        for key, function in runs(data, options.tables, options.epochs, options.quick):
            if any(all(r.get(k) == v for k, v in key.items()) for r in done):
                continue
            result = key | {"each": options.each} | function()
            done.append(result)
            with options.runs.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)
    print(report(done))


if __name__ == "__main__":
    main()
