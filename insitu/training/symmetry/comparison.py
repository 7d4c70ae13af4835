# SPDX-License-Identifier: BSD-3-Clause
"""What networks learn from which set of crystals: biased or balanced, with duplicates or without, how many.

Patterns are perfect (Scherrer widths only) and drawn once, as in the literature, on a grid of 0.08
degrees. All rows of the comparison have the same number of steps.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from insitu.diffraction.patterns.grid import ANGLES
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, class_of

from .combine import accuracy
from .library import Library
from .render import Instrument, render
from .sites import Array

COARSER = 4  # steps of `ANGLES` in one of the grid here
POINTS = len(ANGLES) // COARSER
BATCH = 32
RATE = 1e-3
#: Copies of a crystal differ by this much in their lengths, as entries of one compound in a database do.
COPIES_DIFFER = 0.005


@dataclass(frozen=True)
class Patterns:
    """Patterns to learn from, or to be tested with.

    Attributes
    ----------
    values : array, shape (n, points), float16
        Square root of the intensity over its maximum; or what another network reads, with its shape.
    numbers : array, shape (n,)
        Space groups, 1-based.
    crystals : array, shape (n,)
        Which crystal each is of: copies have the same number.
    """

    values: Array
    numbers: Array
    crystals: Array

    @property
    def classes(self) -> Array:
        """Extinction groups, 0-based, shape (n,)."""
        return np.array([class_of(int(n)) for n in self.numbers])

    def part(self, which: Array) -> "Patterns":
        """Return some of them."""
        return Patterns(self.values[which], self.numbers[which], self.crystals[which])


def coarse(patterns: Array) -> Array:
    """Return what the networks of the literature read, shape (k, points), of patterns on `ANGLES`."""
    kept = patterns[:, : POINTS * COARSER].reshape(len(patterns), POINTS, COARSER).mean(2)
    kept = np.sqrt(np.maximum(kept, 0) / np.maximum(kept.max(1, keepdims=True), 1e-30))
    return np.asarray(kept, dtype=np.float16)


def patterns_of(library: Library, seed: int, which: Array | None = None) -> Patterns:
    """Render perfect patterns.

    Parameters
    ----------
    library : Library
    seed : int
    which : array of int, shape (n,), optional
        Crystals; one that is there again is a copy: its lengths are up to some tenths of a percent others,
        and so is its width of lines.

    Returns
    -------
    Patterns
    """
    rng = np.random.default_rng(seed)
    which = np.arange(len(library)) if which is None else which
    first = np.zeros(len(which), dtype=bool)
    first[np.unique(which, return_index=True)[1]] = True
    scales = np.where(first, 1.0, np.exp(rng.normal(0, COPIES_DIFFER, len(which))))
    values = np.empty((len(which), POINTS), dtype=np.float16)
    for start in range(0, len(which), 256):
        part = slice(start, start + 256)
        chosen = take(library, which[part])
        cells = chosen.cells.astype(float)
        cells[:, :3] *= scales[part, None]
        moved = replace(chosen, cells=cells)
        values[part] = coarse(render(moved, np.arange(len(moved)), rng, Instrument(True)))
    return Patterns(values, library.numbers[which], which)


def take(library: Library, which: Array) -> Library:
    """Return the library of some crystals, in the order asked for, also more than once."""
    pieces = [np.arange(library.first[i], library.first[i + 1]) for i in which]
    at = np.concatenate(pieces)
    first = np.concatenate([[0], np.cumsum([len(p) for p in pieces])])
    return Library(
        library.indices[at], library.intensities[at], first, library.cells[which],
        library.numbers[which], library.classes[which],
    )  # fmt: skip


def likeness(patterns: Patterns, others: Patterns) -> Array:
    """Return the largest cosine of each pattern, shape (n,), with any of others."""

    def unit(values: Array) -> Array:
        values = values.astype(np.float32)
        return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))

    a, b = unit(patterns.values), unit(others.values)
    parts = range(0, len(a), 256)
    return np.concatenate([(a[k : k + 256] @ b.T).max(axis=1) for k in parts])


def with_copies(crystals: int, entries: int, rng: np.random.Generator) -> Array:
    """Return which crystal each entry of a database with duplicates is of, shape (entries,).

    Each crystal is there once; the copies are of crystals at random, more often of those that have copies.
    """
    found = list(range(crystals))
    while len(found) < entries:
        found.append(found[rng.integers(len(found))])
    return rng.permutation(np.array(found))


def fit(
    network: nn.Module, patterns: Patterns, steps: int, seed: int, space_groups: bool = False
) -> nn.Module:
    """Fit a network; the same for each of them.

    Parameters
    ----------
    network : torch.nn.Module
        Of 101 classes, or of 230.
    patterns : Patterns
    steps : int
        Of 32 patterns each.
    seed : int
        Of the order of the patterns.
    space_groups : bool
        Labels are space groups, not extinction groups.

    Returns
    -------
    torch.nn.Module
        The network, in its state for use.
    """
    torch.manual_seed(seed)
    labels = torch.from_numpy(patterns.numbers - 1 if space_groups else patterns.classes)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / 50) * 0.5 * (1 + np.cos(np.pi * k / steps))
    )
    network.train()
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(labels))])
        pick, order = order[:BATCH], order[BATCH:]
        loss = nn.functional.cross_entropy(network(_batch(patterns, pick.numpy())), labels[pick])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        schedule.step()
    return network.eval()


def _batch(patterns: Patterns, pick: Array) -> torch.Tensor:
    values = torch.from_numpy(patterns.values[pick]).float()
    return values if values.ndim == 3 else values[:, None]


#: Extinction group of each space group, 0-based.
_OF_NUMBER = torch.tensor([class_of(n) for n in range(1, 231)])


def log_probabilities(network: nn.Module, patterns: Patterns) -> Array:
    """Return logarithms of the probabilities of extinction groups, shape (n, 101).

    Those of a network for space groups are added up.
    """
    found = []
    with torch.no_grad():
        for start in range(0, len(patterns.values), 256):
            pick = np.arange(start, min(start + 256, len(patterns.values)))
            p = torch.softmax(network(_batch(patterns, pick)), 1)
            if p.shape[1] == len(_OF_NUMBER):
                summed = torch.zeros(len(p), len(EXTINCTION_GROUPS))
                p = summed.index_add(1, _OF_NUMBER, p)
            found.append(torch.log(p + 1e-30).numpy())
    return np.concatenate(found)


def measure(network: nn.Module, patterns: Patterns) -> dict[str, float]:
    """`accuracy` of a network for extinction groups."""
    return accuracy(log_probabilities(network, patterns), patterns.classes)
