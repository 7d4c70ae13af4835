# SPDX-License-Identifier: BSD-3-Clause
"""The tables and the card of a general model, as Markdown."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from insitu.models.card import Card
from insitu.training.dynamics.trajectories import MOLTEN
from insitu.training.tables.accuracy import BINS, THRESHOLDS, Measured, Score


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
    solid = [s for s in plain if s.kind not in MOLTEN]
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
    glasses = [s for s in plain if s.kind == "glass"]
    if glasses:
        text += "### Quenched melts: labelled disordered (%) against T/T_m\n\n"
        text += by(glasses, lambda s: s.material, at, "glass")
    gaps = [
        s for s in m.scores if s.deformed < 0 and s.kind.split("-")[0] not in ("stack", "glass")
    ]
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
    head = ["sample", "aim", "measured", "trajectories", "worst"]
    text = "### Summary: right labels (%), mean and standard error over trajectories\n\n"
    return text + markdown(head, summary_rows(classes, m))


def summary_rows(classes: list[str], m: Measured) -> list[list[str]]:
    """Return the cells of :func:`summary`: sample, aim, mean ± error, trajectories, worst."""

    def solid(s: Score) -> bool:
        return s.kind in classes and s.deformed < 0

    def fault(s: Score) -> bool:
        return s.kind == "stack-faults" and classes[s.truth] in ("hcp", "hexagonal_diamond")

    def glass(s: Score) -> bool:
        return s.kind == "glass"

    wanted: list[tuple[str, str, Callable[[Score], bool], float, float]] = [
        ("crystals at T_m", "99.5, worst 98", solid, 1.0, 0.0),
        ("crystals at 0.9 T_m", "–", solid, 0.9, 0.0),
        ("crystals at 1.1 T_m", "–", solid, 1.1, 0.0),
        ("liquids at T_m", "99.5, worst 98", lambda s: s.kind == "melt", 1.0, 0.0),
        ("liquids at 0.85 T_m", "99, worst 98", lambda s: s.kind == "melt", 0.85, 0.0),
        ("quenched melts at 0.5 T_m", "99, worst 98", glass, 0.5, 0.0),
        ("quenched melts at 0.1 T_m", "99, worst 98", glass, 0.1, 0.0),
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
    return rows


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
        itertools.pairwise(BINS), m.calibration.tolist(), strict=True
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
            line.append(f"{100 * (1 - known / total):.2f}" if total else "–")
            line.append(f"{100 * right / known:.2f}" if known else "–")
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
    more = " or that of none of the classes, a further output, is larger" if card.foreign else ""
    text += (
        f"Classes: {', '.join(card.classes)}; `unknown` when the largest probability is under "
        f"{card.threshold:g}{more}. Species: {card.species}.\n\n"
        f"Input: scale-free Neighbors Map of the {card.descriptor.ball} nearest atoms, lengths in "
        f"units of the mean distance of the {card.descriptor.local} nearest; {parameters:,} weights; "
        f"{graph.layers} graph layers over the {graph.neighbors} nearest neighbours. No parameter "
        "depends on the material, its density or the unit style (`units lj` included).\n\n"
        f"**Ghost cutoff.** Atoms within {graph.reach:g} s of a rank's own have to be there, where s = "
        f"(volume an atom)^(1/3): {2.55 * graph.reach:.1f} Å + the neighbour skin for Al, "
        f"{2.28 * graph.reach:.1f} Å + skin for Cu and Fe, which most decks have without a "
        "`comm_modify` line (if not, the analysis stops at the first frame and prints the line). What "
        "the graph layers need of atoms further away comes from the ranks that own them; the result "
        "does not depend on the number of ranks.\n\n"
        f"Trained on {', '.join(card.more['training'])}; chosen on {', '.join(card.more['selection'])}; "
        f"measured on {', '.join(card.more['headline'])}. Recipe hash `{card.recipe_sha256[:12]}`; "
        f"rebuild with `insitu train {card.name}`.\n\n"
    )
    return text + tables_text
