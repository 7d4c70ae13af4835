# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of a general model: counts by configuration and class, and the tables made of them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from insitu.models.store import Card
from insitu.offline import classify_with

if TYPE_CHECKING:
    from insitu.models.graph import GraphModel
    from insitu.models.store import Model
    from insitu.training.dynamics import Sample

#: Share of the right labels of undamaged crystals that the shipped threshold may turn to unknown.
_LOST = 1e-3
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_BINS = np.array([0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0 + 1e-6])


class Labelled(Protocol):
    """A configuration with true classes."""

    @property
    def sample(self) -> Sample:
        """What it was made of."""

    @property
    def removed(self) -> float:
        """Fraction of atoms taken away."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices ``(n,)``, −1: left out."""


@dataclass
class Case:
    """A configuration to be labelled: what is left of a sample, with class indices (−1: left out)."""

    sample: Sample
    removed: float
    labels: NDArray[np.int64]
    positions: NDArray[np.float64]


def cases(classes: list[str], samples: Iterable[Sample], seed: int) -> Iterator[Case]:
    """Yield each labelled sample whole, and crystals and liquids with a quarter and a half removed."""
    rng = np.random.default_rng(seed)
    numbers = {c: k for k, c in enumerate(classes)}
    for s in samples:
        labels = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
        if not (labels >= 0).any():
            continue
        for part in (0.0,) if s.deformed >= 0 else (0.0, 0.25, 0.5):
            keep = rng.random(len(labels)) >= part
            yield Case(s, part, labels[keep], s.positions[keep])


def measure(model: Model | GraphModel, found: Iterable[Case]) -> Measured:
    """Measure a model on configurations, through the analysis that users run."""
    return evaluate(
        model.card,
        ((c, classify_with(model, c.positions, c.sample.cell, True).probabilities) for c in found),
    )


@dataclass(frozen=True)
class Score:
    """Labels of the atoms of one true class in one configuration.

    `counts` has a column for each class and a last one for unknown (threshold of the card).
    """

    material: str
    kind: str
    seed: int
    temperature: float
    removed: float
    deformed: int
    truth: int
    counts: NDArray[np.int64]


@dataclass
class Measured:
    """Scores, calibration (confidence bins: atoms, right, sum of confidence), threshold table.

    The threshold table counts (known, right) of undamaged crystals and of liquids.
    """

    scores: list[Score] = field(default_factory=list)
    calibration: NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(_BINS) - 1, 3)))
    thresholds: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((2, len(THRESHOLDS), 3))
    )


def count(
    found: NDArray[np.int64], truth: NDArray[np.int64], g: Labelled, n_classes: int
) -> list[Score]:
    """Return the scores of labels ``(n,)`` (−1 unknown) against true classes (−1: left out)."""
    s = g.sample
    scores = []
    for c in np.unique(truth[truth >= 0]):
        mine = found[truth == c]
        counts = np.bincount(np.where(mine < 0, n_classes, mine), minlength=n_classes + 1)
        scores.append(
            Score(s.material, s.kind, s.seed, s.temperature, g.removed, s.deformed, int(c), counts)
        )
    return scores


def evaluate(card: Card, results: Iterable[tuple[Labelled, NDArray[np.float32]]]) -> Measured:
    """Measure a model's probabilities of described configurations."""
    n_classes, m = len(card.classes), Measured()
    for g, p in results:
        # Without a threshold: "unknown" is tabulated apart.
        m.scores += count(p.argmax(1).astype(np.int64), g.labels, g, n_classes)
        used = g.labels >= 0
        sure, right = p.max(1)[used], (p.argmax(1) == g.labels)[used]
        at = np.digitize(sure, _BINS) - 1
        for k, values in enumerate((np.ones(len(sure)), right, sure)):
            m.calibration[:, k] += np.bincount(at, weights=values, minlength=len(_BINS) - 1)
        if not g.removed:
            part = int(g.sample.kind == "melt")
            for k, t in enumerate(THRESHOLDS):
                known = sure >= t
                m.thresholds[part, k] += len(sure), known.sum(), right[known].sum()
    return m


def threshold_for(results: Iterable[tuple[Labelled, NDArray[np.float32]]]) -> float:
    """Return the confidence that all but a thousandth of undamaged crystals' right labels have.

    Of crystals up to melting, from the selection set; between 0.4 and 0.9, in steps of 0.05.
    """
    sure = [
        p.max(1)[(p.argmax(1) == g.labels) & (g.labels >= 0)]
        for g, p in results
        if not g.removed and g.sample.kind != "melt" and g.sample.temperature <= 1.0
    ]
    limit = float(np.quantile(np.concatenate(sure), _LOST)) if sure else 0.5
    return float(np.clip(np.floor(limit * 20) / 20, 0.4, 0.9))


def _percent(scores: Iterable[Score]) -> str:
    """Return the share of right labels in percent, or a dash."""
    total = right = 0
    for s in scores:
        total += int(s.counts.sum())
        right += int(s.counts[s.truth])
    return f"{100 * right / total:.2f}" if total else "–"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def by(
    scores: list[Score], row: Callable[[Score], str], column: Callable[[Score], str], corner: str,
    *, first: Callable[[str], float] | None = None,
) -> str:  # fmt: skip
    """Return a table of accuracies [%]: one row and one column for each value of two functions."""
    cells: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for s in scores:
        cells[row(s), column(s)].append(s)
    rows = list(dict.fromkeys(r for r, _ in cells))
    columns = sorted({c for _, c in cells}, key=first or (lambda c: float(c.split()[0])))
    body = [
        [r] + [_percent(cells[r, c]) if (r, c) in cells else "–" for c in columns] for r in rows
    ]
    return markdown([corner, *columns], body)


def tables(classes: list[str], m: Measured, strains: list[str] | None = None) -> str:
    """Return all tables of a model as Markdown."""
    plain = [s for s in m.scores if not s.removed and s.deformed < 0]
    solid = [s for s in plain if s.kind != "melt"]
    crystals = [s for s in solid if not s.kind.startswith("stack")]

    def who(s: Score) -> str:
        return f"{s.material}, {classes[s.truth]}"

    def at(s: Score) -> str:
        return f"{s.temperature:.2f}"

    text = summary(classes, m)
    text += "### Crystals: right labels (%) against T/T_m\n\n" + by(crystals, who, at, "crystal")
    stacks = [s for s in solid if s.kind.startswith("stack")]
    if stacks:
        text += "### Layers of stackings: right labels (%) against T/T_m\n\n"
        names = {"stack": "random stacking", "stack-faults": "one intrinsic fault, two twins"}
        text += by(stacks, lambda s: f"{who(s)}: {names.get(s.kind, s.kind)}", at, "layers")
    liquids = [s for s in plain if s.kind == "melt"]
    if liquids:
        text += "### Liquids: labelled disordered (%) against T/T_m\n\n"
        text += by(liquids, lambda s: s.material, at, "liquid")
    gaps = [s for s in m.scores if s.deformed < 0 and not s.kind.startswith("stack")]
    text += "### Atoms removed at random, all temperatures up to melting: right labels (%)\n\n"
    text += by(
        [s for s in gaps if s.temperature <= 1.0],
        who,
        lambda s: f"{100 * s.removed:.0f} %",
        "sample",
    )
    deformed = [s for s in m.scores if s.deformed >= 0 and not s.removed]
    if deformed and strains:
        text += "### Strained crystals (simulated under strain): right labels (%)\n\n"
        text += by(
            deformed, lambda s: f"{who(s)} at {s.temperature:.1f} T_m",
            lambda s: strains[s.deformed], "crystal", first=strains.index,
        )  # fmt: skip
    return text + _confusion(classes, plain) + _confidence(m)


def summary(classes: list[str], m: Measured) -> str:
    """Return what was aimed at and what was measured: mean and standard error over trajectories."""

    def solid(s: Score) -> bool:
        return s.kind in classes and s.deformed < 0

    def fault(s: Score) -> bool:
        return s.kind == "stack-faults" and classes[s.truth] in ("hcp", "hexagonal_diamond")

    wanted: list[tuple[str, str, Callable[[Score], bool], float, float]] = [
        ("crystals at T_m", "99.5, worst 98", solid, 1.0, 0.0),
        ("crystals at 0.9 T_m", "–", solid, 0.9, 0.0),
        ("crystals at 1.1 T_m", "–", solid, 1.1, 0.0),
        ("liquids at T_m", "99.5, worst 98", lambda s: s.kind == "melt", 1.0, 0.0),
        ("liquids at 0.85 T_m", "99, worst 98", lambda s: s.kind == "melt", 0.85, 0.0),
        ("layers of single faults and twins, 0.5 T_m", "99.9", fault, 0.5, 0.0),
        ("layers of single faults and twins, 0.9 T_m", "98", fault, 0.9, 0.0),
        ("crystals, 25 % of atoms removed, 0.5 T_m", "99", solid, 0.5, 0.25),
        ("crystals, 25 % of atoms removed, T_m", "99", solid, 1.0, 0.25),
        ("crystals, 50 % of atoms removed, 0.5 T_m", "90", solid, 0.5, 0.5),
        ("crystals, 50 % of atoms removed, T_m", "90", solid, 1.0, 0.5),
    ]
    rows = []
    for name, aim, chosen, temperature, gone in wanted:
        runs: dict[tuple[str, str, int], list[Score]] = defaultdict(list)
        for s in m.scores:
            if chosen(s) and s.temperature == temperature and s.removed == gone:
                runs[s.material, s.kind, s.seed].append(s)
        if not runs:
            continue
        share = {k: float(_percent(v)) for k, v in runs.items()}
        values = np.array(list(share.values()))
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        worst = min(share, key=lambda k: share[k])
        rows.append([
            name, aim, f"{values.mean():.2f} ± {error:.2f}", f"{len(values)}",
            f"{values.min():.2f} ({worst[0]}, {worst[1].replace('_', ' ')})",
        ])  # fmt: skip
    text = "### Summary: right labels (%), mean and standard error over trajectories\n\n"
    return text + markdown(["sample", "aim", "measured", "trajectories", "worst"], rows)


def _confusion(classes: list[str], scores: list[Score]) -> str:
    table = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for s in scores:
        table[s.truth] += s.counts[:-1]
    rows = [[c, *map(str, line)] for c, line in zip(classes, table.tolist(), strict=True)]
    return "### Confusion, nothing removed (true class in rows)\n\n" + markdown(
        ["", *classes], rows
    )


def _confidence(m: Measured) -> str:
    rows = []
    for (low, high), (n, right, sure) in zip(
        itertools.pairwise(_BINS), m.calibration.tolist(), strict=True
    ):
        if n:
            rows.append([f"{low:.2f}–{high:.2f}", f"{n:.0f}", f"{100 * sure / n:.1f}",
                         f"{100 * right / n:.1f}"])  # fmt: skip
    text = "### Calibration (all copies)\n\n"
    text += markdown(["confidence", "atoms", "mean (%)", "right (%)"], rows)
    text += "### A threshold for `unknown` (nothing removed)\n\n"
    rows = []
    for k, t in enumerate(THRESHOLDS):
        line = [f"{t:.2f}"]
        for total, known, right in m.thresholds[:, k].tolist():
            line += [
                f"{100 * (1 - known / max(total, 1)):.2f}",
                f"{100 * right / max(known, 1):.2f}",
            ]
        rows.append(line)
    head = ["threshold", "crystals: unknown (%)", "right of the rest (%)", "liquids: unknown (%)",
            "right of the rest (%)"]  # fmt: skip
    return text + markdown(head, rows)


def training_card(card: Card, parameters: int, tables_text: str) -> str:
    """Return the model's card as Markdown."""
    graph = card.graph
    assert graph is not None
    text = f"# {card.name}\n\n{card.description}.\n\n" if card.description else f"# {card.name}\n\n"
    if card.reference:
        text += f"Reference: {card.reference}.\n\n"
    text += (
        f"Classes: {', '.join(card.classes)}; `unknown` when the largest probability is under "
        f"{card.threshold:g}. Species: {card.species}.\n\n"
        f"Input: scale-free Neighbors Map of the {card.descriptor.ball} nearest atoms, lengths in "
        f"units of the mean distance of the {card.descriptor.local} nearest; {parameters:,} weights; "
        f"{graph.layers} graph layers over the {graph.neighbors} nearest neighbours. No parameter "
        "depends on the material, its density or the unit style (`units lj` included).\n\n"
        f"**Ghost cutoff.** Atoms within {graph.reach:g} s of a rank's own have to be there, where s = "
        f"(volume an atom)^(1/3): {graph.ghost_cutoff(2.55):.1f} Å + the neighbour skin for Al, "
        f"{graph.ghost_cutoff(2.28):.1f} Å + skin for Cu and Fe, which most decks have without a "
        "`comm_modify` line (if not, the analysis stops at the first frame and prints the line). What "
        "the graph layers need of atoms further away comes from the ranks that own them; the result "
        "does not depend on the number of ranks.\n\n"
        f"Trained on {', '.join(card.more['training'])}; chosen on {', '.join(card.more['selection'])}; "
        f"measured on {', '.join(card.more['headline'])}. Recipe hash `{card.recipe_sha256[:12]}`; "
        f"rebuild with `insitu train {card.name}`.\n\n"
    )
    return text + tables_text
