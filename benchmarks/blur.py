# SPDX-License-Identifier: BSD-3-Clause
"""How far labels blur across a crystal–melt interface whose place is known by other means.

Metals: the snapshots that benchmarks/melting.py leaves in the folder of the data; an atom is crystal if
a-CNA says so of the quenched snapshot. SiO2: a cell of crystal and melt is simulated; an atom is crystal
if its average is still on the site that it started from. Each interface is fitted alone:
the share of atoms labelled as the crystal goes from one plateau to another as a logistic function of the
distance, and the width is that between 10 and 90 % of this step.

    python benchmarks/blur.py --data data --metals dgcnn-metals/whole.pt dgcnn-metals/local.pt
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from interfaces import crossings, profile
from numpy.typing import NDArray
from ovito_labels import other_methods

from insitu.analyses.phases.classification import classify_with
from insitu.frame.species import SYMBOLS
from insitu.models.store import AnyModel, load
from insitu.training.dynamics.phase_interfaces import LEFT, Half, simulate
from insitu.training.recipes import load_recipe
from insitu.training.tables.general import markdown

HALVES = (
    Half("beta_quartz", 0.0, 1200.0), Half("stishovite", 35.0, 1500.0, room=1.3, hot=3500.0, drag=1.0),
    Half("coesite", 5.5, 1050.0),
)  # fmt: skip
#: Of OVITO's methods, which stand in the table.
OTHERS = ("PTM no limit", "PTM 0.15", "PTM 0.1", "a-CNA")
#: Plateaus closer to each other than this have no step between them.
STEP = 0.25
#: Between 10 and 90 % of a logistic function, in units of its scale.
WIDTH = 2 * np.log(9.0)
#: Largest distance [Å] from an interface at which atoms are used.
FAR = 16.0
#: Places [Å] and scales [Å] that are tried, then refined.
PLACES, SCALES = np.linspace(-9, 9, 73), np.geomspace(0.05, 5.0, 47)


@dataclass(frozen=True)
class Cell:
    """A snapshot with two phases: positions ``(n, 3)``, cell ``(3, 3)`` [Å], who is crystal ``(n,)``.

    `species` are atomic numbers ``(n,)``, for models that tell them apart.
    """

    name: str
    crystal: str
    positions: NDArray
    cell: NDArray
    truth: NDArray
    species: NDArray | None = None


#: Which atoms of a cell a method labels as its crystal.
Labels = Callable[[Cell], NDArray]


@dataclass(frozen=True)
class Step:
    """A fitted step: its place and 10–90 % width [Å], and the share of crystal on both sides."""

    place: float
    width: float
    melt: float
    crystal: float


def fit(distance: NDArray, labels: NDArray) -> Step | None:
    """Fit a logistic step to labels ``(n,)`` (crystal or not) by least squares.

    Parameters
    ----------
    distance
        ``(n,)`` [Å], positive on the crystal's side.
    labels
        ``(n,)`` of booleans.

    Returns
    -------
    Step or None
        None: there is no step.
    """
    y, places, scales = labels.astype(float), PLACES, SCALES
    best = (np.inf, 0.0, 1.0, 0.0, 0.0)
    for _ in range(3):
        for s in scales:
            x = np.clip((distance[:, None] - places) / s, -40, 40)
            g = 1 / (1 + np.exp(-x))
            # Both plateaus by linear least squares: y = low + high g.
            dg, dy = g - g.mean(0), y - y.mean()
            high = (dg * dy[:, None]).sum(0) / np.maximum((dg**2).sum(0), 1e-9)
            low = y.mean() - high * g.mean(0)
            rest = ((y[:, None] - low - high * g) ** 2).sum(0)
            rest[(high < 0) | (low < -0.02) | (low + high > 1.02)] = np.inf
            k = int(rest.argmin())
            if rest[k] < best[0]:
                best = (float(rest[k]), float(places[k]), float(s), float(low[k]), float(high[k]))
        span, ratio = places[1] - places[0], scales[1] / scales[0]
        places = np.linspace(best[1] - span, best[1] + span, 9)
        scales = np.geomspace(best[2] / ratio, best[2] * ratio, 9)
    if best[4] < STEP:
        return None
    return Step(best[1], WIDTH * best[2], best[3], best[3] + best[4])


def distances(c: Cell) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield for both interfaces which atoms belong to it, and their distances ``(n,)`` [Å] from it.

    An atom belongs to the nearer one; distances are positive in the crystal.
    """
    height, length = c.cell[2, 2], float(np.cbrt(np.linalg.det(c.cell) / len(c.positions)))
    share, edges = profile(c.positions, c.cell, c.truth, length)
    walls = crossings(share, edges)
    if len(walls) != 2:
        return
    z = c.positions[:, 2]
    apart = (z[:, None] - walls + height / 2) % height - height / 2
    nearer = np.abs(apart).argmin(axis=1)
    for k in range(2):
        some = (nearer == k) & (np.abs(apart[:, k]) < FAR)
        d = apart[:, k]
        up = share[(np.flatnonzero(edges[:-1] == walls[k])[0]) % len(share)] > 0.5
        yield some, d if up else -d


def measure(cells: list[Cell], methods: dict[str, Labels]) -> dict[str, list[Step | None]]:
    """Return the steps of every method at every interface; places count from the reference's."""
    found: dict[str, list[Step | None]] = {"reference": []}
    for c in cells:
        labels = {name: label(c) for name, label in methods.items()}
        for some, d in distances(c):
            true = fit(d[some], c.truth[some])
            if true is None:
                continue
            found["reference"].append(Step(0.0, true.width, true.melt, true.crystal))
            for name, crystal in labels.items():
                step = fit(d[some], crystal[some])
                moved = step and Step(true.place - step.place, step.width, step.melt, step.crystal)
                found.setdefault(name, []).append(moved)
    return found


def rows(title: str, found: dict[str, list[Step | None]]) -> list[list[str]]:
    """Return lines of the table: mean and standard deviation over the interfaces."""
    lines = []
    for name, steps in found.items():
        there = [s for s in steps if s]
        if len(there) < max(2, len(steps) // 2):
            lines.append([title, name, f"{len(there)} of {len(steps)}", *["–"] * 4])
            continue
        width, place = np.array([(s.width, s.place) for s in there]).T
        crystal, melt = np.array([(s.crystal, 1 - s.melt) for s in there]).mean(axis=0)
        lines.append([
            title, name, f"{len(there)} of {len(steps)}", f"{width.mean():.1f} ± {width.std():.1f}",
            f"{place.mean():+.1f} ± {place.std():.1f}", f"{100 * min(crystal, 1):.1f}",
            f"{100 * min(melt, 1):.1f}",
        ])  # fmt: skip
    return lines


def by_models(paths: list[str], crystal: str) -> dict[str, Labels]:
    """Return by their names which atoms models label as the crystal."""

    def one(model: AnyModel) -> Labels:
        at = model.card.classes.index(crystal)
        return lambda c: (
            classify_with(model, c.positions, c.cell, True, c.species).probabilities.argmax(1) == at
        )

    models = [load(path) for path in paths]
    return {m.card.name: one(m) for m in models if crystal in m.card.classes}


def sio2(data: Path, models: list[str]) -> Iterator[tuple[str, list[Cell], dict[str, Labels]]]:
    """Yield the cells of SiO2, simulated where they are missing, and the models."""
    recipe, _ = load_recipe("sio2")
    numbers = np.array([SYMBOLS.index(e) for e in recipe["potential"]["elements"]])
    for half in HALVES:
        with np.load(simulate(recipe, half, data)) as z:
            species = numbers[z["types"] - 1]
            cells = [
                Cell(half.name, half.phase, r, cell, away < LEFT, species)
                for r, cell, away in zip(z["positions"], z["cell"], z["away"], strict=True)
            ]
        title = f"{half.phase}, {half.pressure:g} GPa, {half.temperature:g} K"
        yield title, cells, by_models(models, half.phase)


def metals(data: Path, models: list[str]) -> Iterator[tuple[str, list[Cell], dict[str, Labels]]]:
    """Yield the metals' cells that are there, and the models and OVITO's methods."""
    recipe, _ = load_recipe("metals")
    classes = recipe["classes"]
    others = {k: v for k, v in other_methods(classes).items() if k == "a-CNA" or k in OTHERS}
    for m in recipe["material"]:
        path = data / f"{m['name']}-coexistence.npz"
        if not path.exists() or not others:
            continue
        crystal = next(iter(m["structures"]))
        truth = classes.index(crystal)
        with np.load(path) as z:
            if not bool(z["both"]):
                continue
            columns = zip(z["positions"], z["cell"], z["quenched"], z["quenched_cell"], strict=True)
            cells = [
                Cell(m["name"], crystal, r, cell, others["a-CNA"](q, qc) == truth)
                for r, cell, q, qc in columns
            ]
        known = by_models(models, crystal) | {k: _is(f, truth) for k, f in others.items()}
        yield f"{m['name']} ({crystal})", cells, known


def _is(label: Callable[[NDArray, NDArray], NDArray], crystal: int) -> Labels:
    return lambda c: label(c.positions, c.cell) == crystal


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--sio2", nargs="*", default=["sio2", "sio2-local"], help="models of SiO2")
    parser.add_argument("--metals", nargs="*", default=[], help="further models of metals")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    lines = []
    for title, cells, methods in (
        *sio2(options.data, options.sio2),
        *metals(options.data, [*options.metals, "metals", "crystals-cnn"]),
    ):
        lines += rows(title, measure(cells, methods))
    print(markdown(HEAD, lines))


HEAD = [
    "interface", "labels by", "interfaces", "10–90 % width (Å)", "crystal reaches out (Å)",
    "crystal's side (%)", "melt's side (%)",
]  # fmt: skip


if __name__ == "__main__":
    main()
