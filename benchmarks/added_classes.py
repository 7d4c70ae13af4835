# SPDX-License-Identifier: BSD-3-Clause
"""Classes that are added to a model from crystal structures: recall, and what is taken for them wrongly.

Twenty prototypes of the recipe's test part (every fourth, in the order of its list), which took no part in
the training of the model or in any choice of how classes are added, become classes all at once. Recall is
measured in further copies with displacements of 2, 3 and 4 % of the nearest distance in each component
and 2 % of strain; wrong are atoms of the model's own classes in the headline trajectories of `insitu train`
that are in --data and change their right label, and atoms of the test part's other prototypes. Prototypes
are read from pymatgen (pip install pymatgen).

example:
  python benchmarks/added_classes.py --data data
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.classification import classify_with
from insitu.frame.lattices.copies import Crystal, displaced
from insitu.models import store
from insitu.models.added import Extended, extend
from insitu.models.store import AnyModel
from insitu.models.structures import Structure
from insitu.training.dynamics.simulate import load as load_job
from insitu.training.dynamics.trajectories import MOLTEN, jobs
from insitu.training.recipes import load_recipe
from insitu.training.structures.foreign import prototypes
from insitu.training.tables.general import markdown

DISPLACEMENTS = (0.02, 0.03, 0.04)
EXAMPLES = (1, 2, 4, 8, 24)
ADDED = 20


def wider(model: str, structures: list[Structure], examples: int) -> tuple[Extended, float]:
    """Return the model with the classes, and how long that took [s of this process]."""
    card, weights = store.parts(model)
    started = time.process_time()
    more, _ = extend(card, weights, structures, examples=examples, worst=0.0)
    return more, time.process_time() - started


def recall(model: AnyModel, names: list[str], known: dict[str, Crystal]) -> NDArray[np.float64]:
    """Return the share of right labels ``(classes, displacements)``."""
    rng, found = np.random.default_rng(29), np.zeros((len(names), len(DISPLACEMENTS)))
    for k, name in enumerate(names):
        number = model.card.classes.index(f"P{k}")
        for j, sigma in enumerate(DISPLACEMENTS):
            r, cell, _ = displaced(known[name], sigma, 0.02, rng)
            found[k, j] = (classify_with(model, r, cell, True).labels == number).mean()
    return found


def taken(model: AnyModel, names: list[str], known: dict[str, Crystal], own: int) -> list[float]:
    """Return for each other prototype the share of its atoms that get an added class."""
    rng, found = np.random.default_rng(31), []
    for name in names:
        r, cell, _ = displaced(known[name], 0.03, 0.02, rng)
        found.append(float((classify_with(model, r, cell, True).labels >= own).mean()))
    return found


def lost(before: AnyModel, after: AnyModel, recipe: dict, data: Path, role: str) -> list[list[str]]:
    """Return rows: atoms of the model's own classes whose right label is no longer given."""
    rows, total = [], np.zeros(3)
    for job in jobs(recipe, role):
        if not (data / f"{job.name}.npz").exists():
            continue
        count = np.zeros(3)
        for s in load_job(job, data):
            if s.temperature > 1.0 and job.kind not in MOLTEN:
                continue
            numbers = {c: k for k, c in enumerate(before.card.classes)}
            truth = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
            a, b = (classify_with(m, s.positions, s.cell, True).labels for m in (before, after))
            used = truth >= 0
            right = used & (a == truth)
            count += used.sum(), right.sum(), (right & (b != truth)).sum()
        total += count
        rows.append([f"{job.material['name']} {job.kind}", *_shares(count)])
    return [*rows, ["all", *_shares(total)]] if rows else []


def _shares(count: NDArray[np.float64]) -> list[str]:
    return [
        f"{int(count[0])}",
        f"{100 * count[1] / count[0]:.2f}",
        f"{100 * count[2] / count[0]:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="metals")
    parser.add_argument("--data", type=Path, help="folder of the trajectories of insitu train")
    parser.add_argument("--role", default="headline", help="materials of the trajectories")
    parser.add_argument("--part", default="test", help="of the recipe's prototypes")
    parser.add_argument("--added", type=int, default=ADDED, help=f"how many ({ADDED})")
    parser.add_argument("--examples", type=int, nargs="*", default=EXAMPLES, help="of the table")
    parser.add_argument("--together", action="store_true", help="all classes in one model")
    options = parser.parse_args()
    recipe, _ = load_recipe("metals")
    known, listed = prototypes(), recipe["foreign"][options.part]
    names = listed[:: max(1, len(listed) // options.added)][: options.added]
    before = store.load(options.model)
    groups = [names] if options.together else [[n] for n in names]
    for many in options.examples:
        last, rows, worst = many == options.examples[-1], [], []
        for group in groups:
            structures = [Structure(f"P{k}", (known[n],)) for k, n in enumerate(group)]
            more, spent = wider(options.model, structures, many)
            after = store.load(options.model, more=more)
            found, more_words, table = recall(after, group, known), [], []
            if last:
                others = [n for n in listed if n not in group]
                shares = taken(after, others, known, len(before.card.classes))
                more_words.append(f"{100 * np.mean(shares):.2f}")
                if options.data:
                    table = lost(before, after, recipe, options.data, options.role)
                    more_words.append(table[-1][-1])
            rows += [[n, *(f"{100 * v:.1f}" for v in f), *more_words, f"{spent:.1f}"]
                     for n, f in zip(group, found, strict=True)]  # fmt: skip
            worst.append(found)
            if options.together and table:
                print(markdown(["trajectory", "atoms", "right before (%)", "lost (%)"], table))
        f = np.concatenate(worst)
        print(
            f"{many} examples: mean {', '.join(f'{100 * v:.2f}' for v in f.mean(axis=0))} %, "
            f"≥ 95 % at all displacements: {(f >= 0.95).all(axis=1).sum()} of {len(f)}, worst "
            f"{100 * f.min():.1f} %",
            flush=True,
        )
        if last:
            head = ["prototype", "2 %", "3 %", "4 %", "others taken (%)"]
            print(markdown([*head, *(["own lost (%)"] if options.data else []), "time (s)"], rows))


if __name__ == "__main__":
    main()
