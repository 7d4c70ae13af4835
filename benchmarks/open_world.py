# SPDX-License-Identifier: BSD-3-Clause
"""What a general model says of structures that are none of its classes, and of its own when strained.

Prints Markdown tables: prototypes of the recipe's test part, decorations of known lattices, points and
gases, the Bain path, strained cold lattices, atoms of the classes that are rejected, and calibration by
trajectory; the last two on the trajectories of `insitu train` that are in --data. Prototypes are read
from pymatgen (pip install pymatgen); with OVITO the Bain path has PTM's labels beside.

examples:
  python benchmarks/open_world.py --data data
  python benchmarks/open_world.py --cases ../shared/cases/unfamiliar
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ovito_labels import other_methods

from insitu.analyses.phases.classification import Classification, classify_with
from insitu.frame.lattices.copies import displaced
from insitu.models.store import AnyModel, load
from insitu.testing import LATTICES
from insitu.training.dynamics.simulate import load as load_job
from insitu.training.dynamics.trajectories import jobs
from insitu.training.recipes import load_recipe
from insitu.training.structures.foreign import prototypes
from insitu.training.structures.made import gas, lattice_sample, strained_class
from insitu.training.tables.accuracy import cases
from insitu.training.tables.general import markdown

DISPLACEMENTS = (0.0, 0.02, 0.04, 0.06, 0.08)
SURE = 0.9
#: Confidence bins of the reliability diagram.
BINS = np.linspace(0.0, 1.0, 21)


class Open:
    """A model whose labels are sorted into unknown, disordered, and crystals."""

    def __init__(self, model: AnyModel) -> None:
        self.model, self.classes = model, model.card.classes
        self.disordered = self.classes.index("disordered")

    def __call__(self, r: NDArray[np.float64], cell: NDArray[np.float64]) -> Classification:
        return classify_with(self.model, r, cell, True)

    def crystal(self, c: Classification) -> NDArray[np.bool_]:
        """Return which atoms ``(n,)`` are said to be in a crystal."""
        crystal: NDArray[np.bool_] = (c.labels >= 0) & (c.labels != self.disordered)
        return crystal

    def shares(self, c: Classification) -> NDArray[np.float64]:
        """Return the shares of unknown, disordered, crystals, and crystals that the model is sure of."""
        crystal = self.crystal(c)
        sure = crystal & (c.confidence > SURE)
        return np.array([
            (c.labels < 0).mean(), (c.labels == self.disordered).mean(), crystal.mean(), sure.mean(),
        ])  # fmt: skip


def percent(values: Iterable[float]) -> list[str]:
    return [f"{100 * v:.2f}" for v in values]


def foreign(
    model: Open, recipe: dict, part: str, seed: int = 11
) -> tuple[str, NDArray[np.float64]]:
    """Return the table of a part's prototypes, and how foreign each atom is said to be."""
    known, rng, lines, scores = prototypes(), np.random.default_rng(seed), [], []
    by_name: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    rows = []
    for sigma in DISPLACEMENTS:
        found = []
        for name in recipe["foreign"][part]:
            r, cell, _ = displaced(known[name], sigma, 0.03, rng)
            c = model(r, cell)
            found.append(model.shares(c))
            by_name[name].append(found[-1])
            scores.append(1.0 - c.probabilities.sum(axis=1))
        mean = np.mean(found, axis=0)
        mostly = sum(s[2] > 0.5 for s in found)
        rows.append([f"{100 * sigma:.0f} %", *percent(mean), f"{mostly} of {len(found)}"])
    mean = np.mean([np.mean(v, axis=0) for v in by_name.values()], axis=0)
    mostly = sum(np.mean(v, axis=0)[2] > 0.5 for v in by_name.values())
    rows.append(["all", *percent(mean), f"{mostly} of {len(by_name)}"])
    head = ["displacement", "unknown (%)", "disordered (%)", "a crystal (%)",
            f"a crystal, p > {SURE} (%)", "prototypes mostly a crystal"]  # fmt: skip
    lines = markdown(head, rows)
    worst = sorted((float(np.mean(v, axis=0)[0]), n) for n, v in by_name.items())
    few = ", ".join(f"{n} {100 * s:.0f} %" for s, n in worst[:12] if s < 0.95)
    taken = sorted(((float(np.mean(v, axis=0)[2]), n) for n, v in by_name.items()), reverse=True)
    most = ", ".join(f"{n} {100 * s:.1f} %" for s, n in taken[:5])
    return (
        f"{lines}\nLeast often unknown: {few or 'none under 95 %'}.\n\nMost often a crystal: {most}.\n\n",
        np.concatenate(scores),
    )


def decorations(model: Open, recipe: dict, seed: int = 13) -> str:
    """Return the shares of the prototypes that are decorations of known lattices, and of those between."""
    known, rng, rows = prototypes(), np.random.default_rng(seed), []
    for part in ("known", "between"):
        for sigma in (0.0, 0.04, 0.08):
            found = [
                model.shares(model(*displaced(known[n], sigma, 0.0, rng)[:2]))
                for n in recipe["foreign"][part]
            ]
            rows.append([part, f"{100 * sigma:.0f} %", *percent(np.mean(found, axis=0)[:3])])
    head = ["prototypes", "displacement", "unknown (%)", "disordered (%)", "a crystal (%)"]
    return markdown(head, rows)


def disorder(model: Open, seed: int = 17) -> str:
    """Return the shares of independent points, hard-core points and molecules."""
    rng, rows = np.random.default_rng(seed), []
    for kind, name in enumerate(("independent points", "points with a hard core", "molecules")):
        found = [model.shares(model(*gas(rng, 1000, kind))) for _ in range(8)]
        rows.append([name, *percent(np.mean(found, axis=0))])
    return markdown(["gas", "unknown (%)", "disordered (%)", "a crystal (%)", "sure (%)"], rows)


def bain(model: Open, seed: int = 19) -> str:
    """Return labels along the Bain path from bcc (c/a 1) to fcc (1.41), without heat and with it."""
    ptm = other_methods(model.classes).get("PTM no limit")
    rng, rows, third = np.random.default_rng(seed), [], 0.0
    for ratio in np.round(np.arange(0.80, 1.601, 0.05), 2):
        f = np.diag([1.0, 1.0, ratio]) / np.cbrt(ratio)
        row = [f"{ratio:.2f}"]
        for sigma in (0.0, 0.03):
            s = lattice_sample("bcc", f, sigma, rng)
            c = model(s.positions, s.cell)
            row.append(
                ", ".join(f"{k} {100 * v:.0f} %" for k, v in c.fractions.items() if v > 0.005)
            )
            other = [v for k, v in c.fractions.items() if k not in ("bcc", "fcc", "unknown")]
            third = max(third, *other)
            if ptm is not None and not sigma:
                seen = Counter(model.classes[k] for k in ptm(s.positions, s.cell))
                row.insert(1, seen.most_common(1)[0][0])
        rows.append(row)
    head = ["c/a", *(["PTM"] if ptm else []), "perfect", "displaced by 3 %"]
    return f"{markdown(head, rows)}\nMost of any third class: {100 * third:.2f} %.\n\n"


def strains() -> dict[str, list[NDArray[np.float64]]]:
    """Return deformations to 15 % by kind."""
    amplitudes = (-0.15, -0.1, -0.05, 0.05, 0.1, 0.15)
    shear = {k: [np.eye(3) for _ in amplitudes] for k in ((0, 1), (0, 2), (1, 2))}
    for (i, j), all_of in shear.items():
        for f, e in zip(all_of, amplitudes, strict=True):
            f[i, j] = e
    axes = [np.eye(3)[k] for k in range(3)]
    return {
        "tetragonal": [np.diag(1 + e * a) for e in amplitudes for a in axes],
        "tetragonal, at one volume": [
            np.diag(1 + e * a) / np.cbrt(1 + e) for e in amplitudes for a in axes
        ],
        "orthorhombic": [
            np.diag(1 + e * (a - b))
            for e in amplitudes[:3]
            for a in axes
            for b in axes
            if a is not b
        ],
        "shear": [f for all_of in shear.values() for f in all_of],
    }


def strained(model: Open, seed: int = 23) -> str:
    """Return how often cold strained lattices keep their label, become unknown, or another crystal."""
    rng, rows = np.random.default_rng(seed), []
    for name in LATTICES:
        for kind, deformations in strains().items():
            for sigma in (0.0, 0.03):
                kept = []
                for f in deformations:
                    if strained_class(name, f) != name:  # beyond the switch of the Bain path
                        continue
                    s = lattice_sample(name, f, sigma, rng)
                    c = model(s.positions, s.cell)
                    right = (c.labels == model.classes.index(name)).mean()
                    unknown, other = (c.labels < 0).mean(), model.crystal(c).mean() - right
                    kept.append((right, unknown, other, c.fractions["disordered"]))
                mean = np.mean(kept, axis=0)
                rows.append([name, kind, f"{100 * sigma:.0f} %", str(len(kept)), *percent(mean)])
    head = ["lattice", "strain to 15 %", "displaced", "strains", "right (%)", "unknown (%)",
            "another crystal (%)", "disordered (%)"]  # fmt: skip
    return markdown(head, rows)


def simulated(model: Open, recipe: dict, data: Path, role: str) -> tuple[str, NDArray[np.float64]]:
    """Return rejected atoms, calibration by trajectory, and how foreign the classes' atoms seem."""
    rows, scores = [], []
    gaps, diagram = [], np.zeros((len(BINS) - 1, 3))
    for job in jobs(recipe, role):
        if not (data / f"{job.name}.npz").exists():
            continue
        table: dict[tuple[float, float, str], list[NDArray[np.float64]]] = defaultdict(list)
        sure, right = [], []
        for case in cases(model.classes, load_job(job, data), job.seed):
            used = case.labels >= 0
            c = model(case.positions, case.sample.cell)
            for k in np.unique(case.labels[used]):
                mine = c.labels[case.labels == k]
                key = (case.removed, case.sample.temperature, model.classes[k])
                table[key].append(np.array([(mine == k).mean(), (mine < 0).mean(), len(mine)]))
            if not case.removed:
                foreign = 1.0 - c.probabilities.sum(axis=1)
                scores.append(foreign[used])
                known = used & (c.labels >= 0)
                sure.append(c.confidence[known])
                right.append(c.labels[known] == case.labels[known])
        for (removed, t, name), found in sorted(table.items()):
            a = np.average(found, axis=0, weights=[f[2] for f in found])
            what = f"{job.material['name']} {job.kind}, {name}"
            rows.append([what, f"{t:g}", f"{100 * removed:.0f} %", *percent(a[:2])])
        if sure:
            p, y = np.concatenate(sure), np.concatenate(right)
            at = np.clip(np.digitize(p, BINS) - 1, 0, len(BINS) - 2)
            each = np.array([np.bincount(at, weights=w, minlength=len(BINS) - 1)
                             for w in (np.ones(len(p)), p, y)]).T  # fmt: skip
            diagram += each / each[:, 0].sum()
            gaps.append(abs(each[:, 1] - each[:, 2]).sum() / each[:, 0].sum())
    if not rows:
        return "", np.zeros(0)
    head = ["trajectory, class", "T/T_m", "removed", "right (%)", "unknown (%)"]
    text = f"### Atoms of the classes that are rejected, {role} materials\n\n{markdown(head, rows)}"
    shown = [
        [f"{low:.2f}–{high:.2f}", *percent((n / len(gaps), p / n, y / n))]
        for low, high, (n, p, y) in zip(BINS[:-1], BINS[1:], diagram, strict=True)
        if n
    ]
    ece = float(abs(diagram[:, 1] - diagram[:, 2]).sum() / diagram[:, 0].sum())
    text += f"### Calibration, every trajectory counting the same, {role} materials\n\n"
    text += markdown(["confidence", "share (%)", "mean (%)", "right (%)"], shown)
    text += (
        f"\nExpected calibration error {ece:.4f}; of single trajectories {np.mean(gaps):.4f} on "
        f"average, {max(gaps):.4f} at most ({len(gaps)} trajectories, known atoms, nothing removed).\n\n"
    )
    return text, np.concatenate(scores)


def auroc(known: NDArray[np.float64], foreign: NDArray[np.float64]) -> float:
    """Return the area under the curve of a score that is larger for foreign atoms; ties count half."""
    both = np.concatenate([known, foreign])
    _, at, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[at]
    n, m = len(known), len(foreign)
    return float((rank[n:].sum() - m * (m + 1) / 2) / (n * m))


def given(model: Open, folder: Path) -> str:
    """Return what the model says of configurations that ``cases.json`` describes."""
    from ase.io import read

    rows = []
    for case in json.loads((folder / "cases.json").read_text()):
        atoms = read(folder / case["file"])
        c = model(atoms.positions, np.array(atoms.cell))
        judged = np.ones(len(atoms), bool)
        if "judge" in atoms.arrays:
            judged = atoms.arrays["judge"] == 1
        names = [*model.classes, "unknown"]
        found = Counter(names[k] for k in c.labels[judged])
        share = ", ".join(f"{k} {100 * v / judged.sum():.1f} %" for k, v in found.most_common())
        rows.append([case["file"].removesuffix(".extxyz"), case["expected"], share])
    return markdown(["configuration", "expected", "found"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="metals")
    parser.add_argument("--recipe", default="metals")
    parser.add_argument("--part", default="test", choices=["test", "calibration"])
    parser.add_argument("--role", default="headline", help="materials of the trajectories")
    parser.add_argument("--data", type=Path, help="folder of the trajectories of insitu train")
    parser.add_argument("--cases", type=Path, help="folder with cases.json")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe)
    model = Open(load(options.model))
    part = "took no part" if options.part == "test" else "calibrate"
    table, foreign_scores = foreign(model, recipe, options.part)
    text = f"### Prototypes that {part}: labels by displacement [nearest distance]\n\n{table}"
    if options.data:
        more, known_scores = simulated(model, recipe, options.data, options.role)
        if len(known_scores):
            a = auroc(known_scores, foreign_scores)
            text += (
                "AUROC of the probability that an atom's structure is no class, atoms of these "
                f"prototypes against those of the {options.role} trajectories: {a:.4f}.\n\n"
            )
    text += f"### Prototypes on or near the classes' lattices\n\n{decorations(model, recipe)}\n"
    text += f"### Gases\n\n{disorder(model)}\n### Bain path\n\n{bain(model)}"
    text += f"### Cold strained lattices\n\n{strained(model)}\n"
    if options.data:
        text += more
    if options.cases:
        text += f"### Given configurations\n\n{given(model, options.cases)}\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
