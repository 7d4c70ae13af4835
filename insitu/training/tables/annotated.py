# SPDX-License-Identifier: BSD-3-Clause
"""The card of a model of annotated snapshots, as Markdown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.models.card import Card
from insitu.training.data.dataset import Maps
from insitu.training.data.snapshots import Annotated, Source
from insitu.training.tables.general import markdown


def card_text(
    card: Card, given: list[Source], found: list[Annotated], test: Maps,
    probabilities: NDArray[np.float32],
) -> str:  # fmt: skip
    """Return what the labels were, and how the model agrees with those of held-out snapshots.

    Parameters
    ----------
    card
        Metadata of the model.
    given
        The recipe's sources.
    found
        Their snapshots.
    test
        Maps of the held-out ones.
    probabilities
        ``(n, C)`` of the model for them.
    """
    right = probabilities.argmax(1) == test.labels
    settings, data, maps = (card.more[k] for k in ("annotation", "data", "maps"))
    methods = {s.annotation.method for s in given}
    ruled = any(s.part == "test" for s in given)
    text = f"# {card.name}\n\n{card.description}."
    text += f" Reference: {card.reference}.\n\n" if card.reference else "\n\n"
    text += (
        f"Classes: {', '.join(card.classes)}; `unknown` when the largest probability is under "
        f"{card.threshold}. Descriptor: `{card.descriptor}`. Absolute distances in Å: no other density "
        f"or element is covered. Species: {card.species}.\n\n"
    )
    if those := list(dict.fromkeys(",".join(s.neighbors) for s in given if s.neighbors)):
        text += (
            f"Surroundings: made up by the atoms of {' / '.join(those)} only, all others were left out. "
            "Use the model with the setting `neighbors` in the same way.\n\n"
        )
    text += "Labels: those of the table."
    if methods & {"ptm", "ptm/atom"}:
        text += f" Labels of PTM count up to an RMSD of {settings['rmsd']:g}."
    if methods - {"all", "model"}:
        least = f"{100 * settings['agreement']:g} %"
        text += f" At least {least} of the 12 nearest neighbours have the same label."
    if "model" in methods:
        text += (
            " `model`: the class that the model of the round before, or the one that is named, gives to "
            "more than half of an atom's 12 nearest neighbours."
        )
    text += (
        f"\n\nTrained on {maps['train']} maps. Half of them"
        + (" (except those that a model labels)" if "model" in methods else "")
        + f" are of copies in which {100 * data['noisy']:g} % of the atoms were moved by "
        f"noise of {data['noise']:g} (volume/atom)^(1/3) in each component. {maps['selection']} further "
        f"maps of the same snapshots chose the epoch.\n\nAccuracy on {maps['test']} atoms of held-out "
        + ("trajectories" if ruled else "snapshots of the same trajectories")
        + f": {100 * right.mean():.2f} %. It is the agreement with the labels where they are sure; "
        "atoms without a label, such as most atoms of a hot crystal, do not count.\n\n"
    )
    rows = []
    for source in given:
        mine = [a for a in found if a.source is source]
        part = source.part or (
            "training" if ruled or source.annotation.method == "model" else "split"
        )
        labelled = np.mean([np.mean(a.classes != "") for a in mine]) if mine else 0.0
        hit = right[test.system == source.key]
        share = f"{100 * hit.mean():.2f}" if len(hit) else "–"
        rows.append([
            source.name, f"`{source.annotation.text}`", part, str(len(mine)),
            f"{100 * labelled:.1f}", share,
        ])  # fmt: skip
    head = ["source", "labels", "part", "snapshots", "labelled (%)", "right (%), held out"]
    text += "## Sources\n\n" + markdown(head, rows)
    counts = zip(card.classes, card.more["confusion"], strict=True)
    lines = [[c, *map(str, line)] for c, line in counts]
    text += "## Confusion (held-out maps; label in rows)\n\n" + markdown(["", *card.classes], lines)
    return text.rstrip() + "\n"
