# SPDX-License-Identifier: BSD-3-Clause
"""Training on annotated snapshots: maps with noise, the paper's network, card, artefact."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.card import Card
from insitu.models.export import save
from insitu.progress import bar
from insitu.training.data import snapshots
from insitu.training.data.dataset import Maps
from insitu.training.data.snapshots import Annotated
from insitu.training.dynamics.heating import heat
from insitu.training.fit.images import fit, predict
from insitu.training.tables.annotated import card_text
from insitu.training.tables.confusion import confusion

log = logging.getLogger(__name__)
#: Share of right labels from which on a model may label snapshots itself without a warning.
_TRUSTED = 0.95
#: Steps an epoch that a training has at least, with batches of 16 or more.
_STEPS = 40


def disturbed(
    s: Annotated, noise: float, share: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return positions ``(n, 3)`` of which a share has moved at random.

    Parameters
    ----------
    s
        The snapshot.
    noise
        Standard deviation of each component [(volume/atom)^(1/3)].
    share
        Of the atoms, chosen at random.
    rng
        Random numbers.
    """
    bare = Frame.from_arrays(s.positions, s.cell, s.pbc, reach=0.0)
    step = noise * spacing(bare) * rng.standard_normal(s.positions.shape)
    moved: NDArray[np.float64] = s.positions + step * (rng.random(len(step)) < share)[:, None]
    return moved


def build(
    recipe: dict[str, Any], classes: list[str], found: list[Annotated], maps: int,
    rng: np.random.Generator, *, noisy: bool,
) -> Maps:  # fmt: skip
    """Describe about `maps` labelled atoms of each class, drawn alike from its snapshots.

    Parameters
    ----------
    recipe
        Its ``[descriptor]`` and ``[data]``.
    classes
        In the order of the network's outputs.
    found
        Snapshots of one part of the split.
    maps
        Of each class, where the snapshots have so many labelled atoms.
    rng
        Chooses the atoms and moves those of the copies.
    noisy
        Whether half of the maps are of copies with noise, but where a model labels.

    Returns
    -------
    Maps
        In random order; `removed` is 1 for those with noise, `system` the snapshot's source.
    """
    settings, data = NeighborsMap(**recipe["descriptor"]), recipe["data"]
    members = {c: sum(bool((s.classes == c).any()) for s in found) for c in classes}
    parts: list[tuple[Any, ...]] = []
    for s in bar(found, "Neighbors Maps"):
        numbers = np.full(len(s.classes), -1)
        for k, c in enumerate(classes):
            numbers[s.classes == c] = k
        # What a model labels is hot: noise would make it hotter than it can be.
        twice = noisy and s.source.annotation.method != "model"
        for copy in (False, True) if twice else (False,):
            chosen = np.zeros(len(numbers), dtype=bool)
            for k, c in enumerate(classes):
                mine = np.flatnonzero(numbers == k)
                each = -(-maps // max(members[c], 1) // (1 + twice))
                chosen[rng.permutation(mine)[:each]] = True
            if not chosen.any():
                continue
            r = disturbed(s, data["noise"], data["noisy"], rng) if copy else s.positions
            frame = Frame.from_arrays(
                r, s.cell, s.pbc, reach=settings.cutoff * 1.0001, selected=chosen
            )
            for atoms, images, balls in settings.batches(Neighbors(frame, settings.cutoff)):
                n = len(atoms)
                parts.append((
                    images.copy(), numbers[atoms], np.full(n, float(copy)), np.zeros(n),
                    np.full(n, s.source.key), balls.copy(),
                ))  # fmt: skip
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    order = rng.permutation(len(columns[1]))
    return Maps(*[c[order] for c in columns])


def _part(maps: Maps, which: NDArray[np.intp]) -> Maps:
    return Maps(
        maps.images[which], maps.labels[which], maps.removed[which],
        maps.reduced_temperature[which], maps.system[which], maps.found[which],
    )  # fmt: skip


def _round(
    recipe: dict[str, Any], recipe_hash: str, found: list[Annotated], out: Path
) -> tuple[Card, Maps, NDArray[np.float32]]:
    """Train on annotated snapshots; write ``model.pt``; return card, test maps, probabilities."""
    classes, settings = recipe["classes"], dict(recipe["training"])
    rng = np.random.default_rng(settings["seed"])
    wanted = recipe["data"]["maps"]
    mine = {p: [s for s in found if s.part == p] for p in snapshots.PARTS}
    everything = build(recipe, classes, mine["training"], wanted, rng, noisy=True)
    test = build(recipe, classes, mine["test"], wanted, rng, noisy=False)
    kept = max(1, round(settings["selection"] * len(everything)))
    if len(everything) - kept < 2:
        raise SettingError(
            f"only {len(everything)} labelled atoms to train on; give more snapshots"
        )
    selection = _part(everything, np.arange(kept))
    training = _part(everything, np.arange(kept, len(everything)))
    counts = {c: int((everything.labels == k).sum()) for k, c in enumerate(classes)}
    log.info("maps: %s; of held-out snapshots: %d", counts, len(test))
    if min(counts.values()) < 0.1 * max(counts.values()):
        log.warning("the classes have very different numbers of labelled atoms: %s", counts)
    # Few maps make few steps an epoch: then smaller ones.
    settings["batch"] = min(settings["batch"], len(training), max(16, len(training) // _STEPS))
    network = fit(recipe | {"training": settings}, training, selection)
    probabilities = predict(network, test.images)
    full = everything.found[everything.removed == 0.0]
    card = Card(
        name=recipe["name"],
        classes=classes,
        descriptor=NeighborsMap(**recipe["descriptor"]),
        description=recipe.get("description", "Trained on annotated snapshots"),
        reference=recipe.get("reference", ""),
        species=recipe.get("species", "one channel: the atoms' elements are not used"),
        recipe_sha256=recipe_hash,
        ball_range=(int(np.quantile(full, 0.01)), int(np.quantile(full, 0.99))),
        more={
            "annotation": recipe["annotation"],
            "data": recipe["data"],
            "maps": {"train": len(training), "selection": kept, "test": len(test)},
            "confusion": confusion(classes, test, probabilities).tolist(),
        },
    )
    save(network, card, out / "model.pt")
    return card, test, probabilities


def train_annotated(
    recipe: dict[str, Any], recipe_hash: str, out: Path, data: Path, *, workers: int = 1
) -> Path:
    """Run a recipe with ``[[source]]`` to an artefact folder.

    Sources that the model itself labels come in from the second round on, with the labels of the
    model of the round before.
    The arguments are those of :func:`insitu.training.fit.train.train`, with the recipe loaded.

    Raises
    ------
    SettingError
        The recipe's sources or settings are not usable.
    InsituError
        OVITO is needed and not installed.
    """
    _check_settings(recipe)
    heat(recipe, data, workers=workers)
    given = snapshots.sources(recipe, [data, Path()])
    recipe = recipe | {"classes": snapshots.classes_of(recipe, given)}
    own = [s for s in given if s.annotation.method == "model" and not s.annotation.column]
    found = snapshots.apart(snapshots.read(recipe, [s for s in given if s not in own]))
    snapshots.check(recipe["classes"], found)
    out.mkdir(parents=True, exist_ok=True)
    card, test, probabilities = _round(recipe, recipe_hash, everything := found, out)
    for number in range(2, recipe["training"]["rounds"] + 1) if own else ():
        right = float((probabilities.argmax(1) == test.labels).mean())
        log.info("%.2f %% of the held-out labels; round %d: it labels more", 100 * right, number)
        if right < _TRUSTED:
            log.warning("that is little: its labels may be wrong; see the card of the result")
        more = snapshots.read(recipe, own, str(out / "model.pt"))
        card, test, probabilities = _round(
            recipe, recipe_hash, everything := snapshots.apart(found + more), out
        )
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    (out / "README.md").write_text(card_text(card, given, everything, test, probabilities))
    return out / "model.pt"


def _check_settings(recipe: dict[str, Any]) -> None:
    """Raise SettingError for numbers that cannot be meant; the options have the same names."""
    annotation, data = recipe["annotation"], recipe["data"]
    for name, value, low, high in (
        ("rmsd", annotation["rmsd"], 1e-3, 1.0), ("agreement", annotation["agreement"], 0.0, 1.0),
        ("maps", data["maps"], 10, 10**8), ("noise", data["noise"], 0.0, 0.5),
        ("noisy", data["noisy"], 0.0, 1.0), ("epochs", recipe["training"]["epochs"], 1, 10**5),
        ("rounds", recipe["training"]["rounds"], 1, 100),
    ):  # fmt: skip
        if not low <= value <= high:
            raise SettingError(f"{name} = {value} is not usable; give {low:g} … {high:g}")
