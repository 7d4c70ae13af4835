# SPDX-License-Identifier: BSD-3-Clause
"""From labelled configurations to maps with their neighbours, and copies that are harder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.models.embedding import describe
from insitu.models.engines.graph import GraphSettings
from insitu.training.dynamics.trajectories import MOLTEN
from insitu.training.structures.made import with_interstitials
from insitu.training.structures.no_class import FOREIGN
from insitu.training.structures.sample import Sample


@dataclass(frozen=True)
class Graph:
    """A described configuration.

    Parameters
    ----------
    sample
        What it was made of.
    removed, strain
        Fraction of atoms taken away, largest component of the deformation.
    images
        ``(n, size²)`` float16 maps.
    neighbors
        ``(n, k)`` int32 nearest neighbours, −1: none.
    labels
        ``(n,)`` int64 class indices, −1: do not use.
    """

    sample: Sample
    removed: float
    strain: float
    images: NDArray[np.float16]
    neighbors: NDArray[np.int32]
    labels: NDArray[np.int64]


def outputs_of(recipe: dict[str, Any]) -> list[str]:
    """Return the names of a network's outputs: the classes, and "foreign" where the recipe has such."""
    return [*recipe["classes"], *([FOREIGN] if "foreign" in recipe else [])]


def _deformation(amplitude: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a deformation ``(3, 3)``: uniaxial and shear components within ± amplitude."""
    return np.eye(3) + np.triu(rng.uniform(-amplitude, amplitude, (3, 3)))


def thinned(part: float, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of n atoms ``(n,)`` stay when a part of them is removed at random."""
    return rng.random(n) >= part


def cut(
    positions: NDArray[np.float64], cell: NDArray[np.float64], part: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which atoms ``(n,)`` stay when a slab, this part of the cell, becomes vacuum."""
    axis, start = rng.integers(3), rng.random()
    at = (positions @ np.linalg.inv(cell))[:, axis] - start
    stay: NDArray[np.bool_] = at % 1.0 >= part
    return stay


@dataclass(frozen=True)
class Variant:
    """A configuration or a harder copy: positions ``(n, 3)``, cell ``(3, 3)`` [Å], labels ``(n,)``.

    `removed` is the fraction of atoms taken away, `strain` the largest component of the deformation.
    """

    removed: float
    strain: float
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    labels: NDArray[np.int64]


def variants(
    s: Sample, labels: NDArray[np.int64], training: dict[str, Any], rng: np.random.Generator,
    copies: str,
) -> Iterator[Variant]:  # fmt: skip
    """Yield a configuration and its harder copies.

    Parameters
    ----------
    s, labels
        The configuration and the class indices ``(n,)`` of its atoms.
    training
        The recipe's ``[training]``.
    rng
        Of the atoms that are removed and of the deformations.
    copies
        "training", "fixed" or "none", as for :func:`graphs`.
    """
    n = len(labels)
    found = [(0.0, 0.0, np.ones(n, dtype=bool))]
    if copies == "training":
        for _ in range(training["copies"]):
            part = rng.uniform(*training["removed"])
            found.append((part, 0.0, thinned(part, n, rng)))
        if not s.kind.startswith("stack"):  # an outermost layer has no stacking of its own
            part = rng.uniform(*training["cut"])
            found.append((part, 0.0, cut(s.positions, s.cell, part, rng)))
        if s.kind not in MOLTEN:
            found.append((0.0, training["strain"], found[0][2]))
            if "interstitials" in training:
                part = rng.uniform(0.0, training["interstitials"])
                r, more = with_interstitials(s.positions, s.cell, s.labels, part, rng)
                none = np.full(len(more) - n, -1)
                yield Variant(0.0, 0.0, r, s.cell, np.concatenate([labels, none]))
    elif copies == "fixed":
        found += [(part, 0.0, thinned(part, n, rng)) for part in (0.25, 0.5)]
    for part, strain, keep in found:
        f = _deformation(strain, rng)
        yield Variant(part, strain, s.positions[keep] @ f, s.cell @ f, labels[keep])


def graphs(
    recipe: dict[str, Any], samples: Iterable[Sample], seed: int | list[int], *, copies: str
) -> list[Graph]:
    """Describe configurations and their harder copies.

    Parameters
    ----------
    recipe
        Its ``[descriptor]``, ``[graph]``, ``[training]``, ``classes``, and whether it has ``[foreign]``.
    samples
        Labelled configurations; those without a label are left out.
    seed
        Of the atoms that are removed and of the deformations.
    copies
        "training": `copies` of them with a random fraction removed, one cut open by a slab of
        vacuum (two unrelaxed surfaces), and of crystals a randomly deformed one and one with
        light `interstitials`. "fixed": a quarter and a half removed. "none".
    """
    settings = NeighborsMap(**recipe["descriptor"])
    graph = GraphSettings(**recipe["graph"])
    numbers = {c: k for k, c in enumerate(outputs_of(recipe))}
    rng = np.random.default_rng(seed)
    found = []
    for s in samples:
        labels = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
        if not (labels >= 0).any():
            continue
        for v in variants(s, labels, recipe["training"], rng, copies):
            images, neighbors = describe(v.positions, v.cell, settings, graph)
            found.append(
                Graph(s, v.removed, v.strain, images.astype(np.float16), neighbors, v.labels)
            )
    return found
