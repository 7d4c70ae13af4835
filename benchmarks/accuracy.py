# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of a general model on the headline elements of its recipe, beside PTM and a-CNA.

Prints the tables and, with --card, writes them into the README beside the model. The trajectories are those
of `insitu train` (made if they are missing); interfaces are measured on the snapshots that
benchmarks/melting.py leaves in the same folder. OVITO (pip install 'insitu[bench]') gives PTM and
a-CNA on the very same configurations; without it their columns are left out.

example:
  python benchmarks/accuracy.py --data data --card
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from interfaces import MASK, interfaces
from ovito_labels import other_methods

from insitu.analyses.phases.classification import classify_with
from insitu.models.engines.graph import GraphModel
from insitu.models.store import load
from insitu.training.dynamics.simulate import load as load_job
from insitu.training.dynamics.simulate import simulate
from insitu.training.dynamics.trajectories import jobs
from insitu.training.recipes import load_recipe
from insitu.training.tables.accuracy import (
    Case,
    Measured,
    Score,
    cases,
    count,
    evaluate,
)  # fmt: skip
from insitu.training.tables.general import markdown, summary_rows, tables, training_card

#: Samples from this many atoms on are measured with the shipped seed only.
LARGE = 5000


def comparison(classes: list[str], scores: dict[str, list[Score]]) -> str:
    """Return a table of all methods: accuracy by kind of sample, material and class."""
    cells: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for method, found in scores.items():
        for s in found:
            if s.deformed >= 0 or s.temperature not in (0.5, 0.85, 0.9, 1.0):
                continue
            if s.kind.startswith("stack") and s.kind != "stack-faults":
                continue
            named = {"melt": "liquid", "glass": "glass", "stack-faults": "fault layers"}
            kind = named.get(s.kind, "crystal")
            if kind == "fault layers" and classes[s.truth] != "hcp":
                continue
            gone = f", {100 * s.removed:.0f} % removed" if s.removed else ""
            if gone and s.temperature != 0.5:
                continue
            name = f"{s.material} {kind} at {s.temperature:g} T_m{gone} ({classes[s.truth]})"
            cell = cells[name][method]
            cell[0] += int(s.counts[s.truth])
            cell[1] += int(s.counts.sum())
    rows = []
    for name in sorted(cells):
        line = [name]
        for method in scores:
            right, total = cells[name][method]
            line.append(f"{100 * right / total:.2f}" if total else "–")
        rows.append(line)
    return markdown(["right labels (%)", *scores], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="metals")
    parser.add_argument("--recipe", default="metals")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--notes", type=Path, help="Markdown to put before the tables")
    parser.add_argument("--seeds", nargs="*", default=[], help="artefacts of other seeds")
    parser.add_argument("--before", help="artefact of the weights before, for a column beside")
    parser.add_argument("--more", type=Path, help="Markdown to put behind the tables")
    parser.add_argument("--card", action="store_true", help="write the README beside the model")
    parser.add_argument("--present", action="store_true", help="only trajectories that are there")
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe)
    model = load(options.model)
    assert isinstance(model, GraphModel)
    classes = model.card.classes
    methods = other_methods(classes)
    seeds = {f"other seed {k}": load(path) for k, path in enumerate(options.seeds, start=1)}
    if options.before:
        seeds["weights before"] = load(options.before)
    mine, again = Measured(), {name: Measured() for name in seeds}
    others: dict[str, list[Score]] = {name: [] for name in methods}
    for job in jobs(recipe, "headline"):
        if not options.present:
            simulate(job, recipe["protocol"], options.data)
        elif not (options.data / f"{job.name}.npz").exists():
            print(f"not there: {job.name}")
            continue
        found = list(cases(classes, load_job(job, options.data), job.seed))
        merge(mine, measured(model, found))
        if not job.strains and job.atoms < LARGE:
            for name, other in seeds.items():
                merge(again[name], measured(other, found))
        for name, label in methods.items():
            for c in found:
                others[name] += count(label(c.positions, c.sample.cell), c.labels, c, len(classes))
    strains = recipe.get("headline", {}).get("strain_names")
    text = tables(classes, mine, strains)
    rows = interfaces(model, options.data, recipe["material"], methods)
    if rows:
        head = ["material", "snapshots", "right (%)", "worst snapshot", "crystal side (%)",
                "liquid side (%)", "interfaces off by (Å)"]  # fmt: skip
        text += f"### Crystal–liquid interfaces at T_m ({MASK} spacings about them left out)\n\n"
        text += markdown(head, rows)
    if methods:
        text += "### Beside other methods, on the same configurations\n\n"
        text += comparison(classes, {"insitu": mine.scores} | others)
    if seeds:
        text += spread(classes, {"shipped": mine} | again)
    if options.more:
        text += "\n" + options.more.read_text()
    if options.notes:
        text = options.notes.read_text().rstrip() + "\n\n" + text
    print(text)
    if options.out:
        options.out.write_text(text)
    if options.card:
        size = parameters(model.path)
        (model.path.parent / "README.md").write_text(training_card(model.card, size, text))
        (model.path.parent / "card.json").write_text(
            json.dumps(json.loads(model.card.to_json()), indent=1) + "\n"
        )


def measured(model: GraphModel, found: list[Case]) -> Measured:
    """Return what a model makes of configurations."""
    return evaluate(
        model.card,
        ((c, classify_with(model, c.positions, c.sample.cell, True).probabilities) for c in found),
    )


def merge(into: Measured, more: Measured) -> None:
    into.scores += more.scores
    into.calibration += more.calibration
    into.thresholds += more.thresholds


def spread(classes: list[str], seeds: dict[str, Measured]) -> str:
    """Return the summary's means and worst elements for the shipped seed and others."""
    lines = {name: summary_rows(classes, m) for name, m in seeds.items()}
    rows = [
        [first[0], *(cell for other in same for cell in (other[2], other[4]))]
        for first, *same in zip(next(iter(lines.values())), *lines.values(), strict=True)
    ]
    head = [cell for name in seeds for cell in (name, "worst")]
    return "### Other weights on the same trajectories: right labels (%)\n\n" + markdown(
        ["sample", *head], rows
    )


def parameters(path: Path) -> int:
    """Return the number of an artefact's weights."""
    import torch

    network = torch.jit.load(str(path), map_location="cpu")
    return sum(p.numel() for p in network.parameters())


if __name__ == "__main__":
    main()
