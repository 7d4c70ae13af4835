# SPDX-License-Identifier: BSD-3-Clause
"""Configurations of crystals that are no class: prototypes by name, and families of made-up ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from insitu.frame.lattices.copies import (
    PRIMITIVE,
    Crystal,
    displaced,
    of_class,
    shuffled,
    supercell,
)
from insitu.frame.lattices.perfect import LATTICES
from insitu.training.structures import listed
from insitu.training.structures.foreign import made_up, prototypes
from insitu.training.structures.made import displacement, made
from insitu.training.structures.near_lattices import bridged, netted, packed, stuffed, waved
from insitu.training.structures.sample import Sample
from insitu.training.structures.sites import Prints, labels_of

#: Class name of atoms of a crystal that is no class.
FOREIGN = "foreign"
#: c/a of omega, of which no structure is trained either.
_OMEGA = 0.613
#: Of shuffled and waved lattices: more displacement would be heat.
_COLDER = 0.65
#: Heights of the cells, in units of (volume an atom)^(1/3).
_HEIGHTS = 4.9, 5.7


def _base(rng: np.random.Generator) -> Crystal:
    """Return a crystal whose bonds are bridged: a class's lattice or a made-up one."""
    kind = rng.random()
    if kind < 0.35:
        return supercell(rng, str(rng.choice(list(PRIMITIVE))), int(rng.integers(1, 3)))
    if kind < 0.5:
        return of_class(str(rng.choice(list(LATTICES))))
    return made_up(rng, 16)


def families(rng: np.random.Generator) -> dict[str, Callable[[], Crystal | None]]:
    """Return what makes one crystal of each family, by the names in a recipe's ``[foreign]``."""
    return {
        "made_up": lambda: made_up(rng, int(rng.choice([6, 12, 24, 40]))),
        "layered": lambda: made_up(rng, layered=True),
        "shuffled": lambda: shuffled(rng),
        "waved": lambda: waved(rng),
        "stuffed": lambda: stuffed(rng),
        "bridged": lambda: bridged(rng, _base(rng)),
        "netted": lambda: netted(rng),
        "packed": lambda: packed(rng, made_up(rng, int(rng.choice([6, 12, 24, 40])))),
    }


def held_out(recipe_part: dict[str, Any]) -> Prints:
    """Return the crystals that none that is trained may be.

    The prototypes and the crystals of the list that are not trained, and omega.
    """
    names = [n for part in ("calibration", "test") for n in recipe_part.get(part, [])]
    known = prototypes() if names else {}
    omega = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, _OMEGA]])
    sites = np.array([[0, 0, 0], [1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    others = _list(str(recipe_part["table"])) if recipe_part.get("listed") else []
    later = [c.crystal for c in others if c.part != "training"]
    return Prints([*(known[n] for n in names), (sites, omega), *later])


@cache
def _list(path: str) -> list[listed.Listed]:
    return listed.read(path)


#: Crystals of lists with their family and their labels, which take long: by the list and what is held out.
_labelled: dict[tuple[str, ...], list[tuple[str, Crystal, Any]]] = {}


def _of_list(settings: dict[str, Any], away: Prints) -> list[tuple[str, Crystal, Any]]:
    """Return family, crystal and labels of what is trained of a list, and of its sublattices."""
    path, more = str(settings["table"]), [str(p) for p in settings.get("further", [])]
    key = path, *more, *settings.get("calibration", []), *settings.get("test", [])
    if key not in _labelled:
        crystals = listed.trained(_list(path), away)
        # Of the other tables nothing is held out for itself: no figure is quoted of them.
        crystals += [c for c in listed.further(more, _list(path)) if c.crystal not in away]
        both = [("listed", c.crystal) for c in crystals]
        both += [("sublattice", s) for c in crystals for s in c.sublattices() if s not in away]
        _labelled[key] = [(family, c, labels_of(*c, FOREIGN)) for family, c in both]
    return _labelled[key]


def crystals_of_no_class(
    names: list[str], settings: dict[str, Any], rng: np.random.Generator
) -> Iterator[Sample]:
    """Yield copies of prototypes and of made-up crystals with displacements and strain.

    A site that may be one of a class (:func:`~insitu.training.structures.sites.labels_of`) has no label,
    and a crystal all of whose sites are surely of one class has that.

    Parameters
    ----------
    names
        Of prototypes.
    settings
        The recipe's ``[foreign]``: `displacement` (largest), `strain`, `copies` of each prototype,
        numbers of crystals of each family (:func:`families`), two copies of each; the names of
        prototypes that are held out; and, where the crystals of a `table`, and of tables `further`, are
        trained as well (:mod:`insitu.training.structures.listed`), how many of them each time (`listed`),
        and a fifth as many of their sublattices.
    rng
        Of everything.
    """
    known = prototypes() if names else {}

    def copies(
        kind: str, crystal: Crystal, count: int, most: float, labels: Any = None
    ) -> Iterator[Sample]:
        labels = labels_of(*crystal, FOREIGN) if labels is None else labels
        if not (labels != "").any():
            return
        for _ in range(count):
            strain = 0.0 if rng.random() < 0.3 else settings["strain"]
            sigma, height = displacement(rng, most), rng.uniform(*_HEIGHTS)
            r, cell, site = displaced(crystal, sigma, strain, rng, height)
            yield Sample("made", kind, 0, 0.0, r, cell, labels[site])

    most = settings["displacement"]
    for name in names:
        yield from copies("prototype", known[name], settings["copies"], most)
    kinds = {k: f for k, f in families(rng).items() if settings.get(k)}
    many = settings.get("listed", 0)
    away = held_out(settings) if kinds or many else Prints([])
    table = _of_list(settings, away) if many else []
    for family, count in (("listed", many), ("sublattice", many // 5)):
        own = [c for c in table if c[0] == family]
        for k in rng.permutation(len(own))[:count]:
            yield from copies(family, own[k][1], 1, most, own[k][2])
    for kind, make in kinds.items():
        left = settings[kind]
        part = _COLDER if kind in ("shuffled", "waved") else 1.0
        while left:
            crystal = make()
            if crystal is None or crystal in away:
                continue
            left -= 1
            yield from copies(kind, crystal, 2, part * most)


def without_dynamics(recipe: dict[str, Any], part: str, seed: int | list[int]) -> Iterator[Sample]:
    """Yield the configurations of a recipe's ``[made]`` and ``[foreign]``.

    `part` is "training", or "calibration": prototypes of that part alone.
    """
    if "made" in recipe and part == "training":
        yield from made(recipe["made"], seed)
    if "foreign" in recipe:
        rng = np.random.default_rng(seed)
        none = {} if part == "training" else dict.fromkeys([*families(rng), "listed"], 0)
        settings = recipe["foreign"] | none
        yield from crystals_of_no_class(settings.get(part, []), settings, rng)
