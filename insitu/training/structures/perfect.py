# SPDX-License-Identifier: BSD-3-Clause
"""Starting structures with a label for every site: perfect crystals and stackings of layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.perfect import LATTICES, lattice


@dataclass(frozen=True)
class Structure:
    """Sites ``(n, 3)`` and cell ``(3, 3)`` [Å], atom types ``(n,)`` from 1, class names ``(n,)``.

    `spacing` is the distance of nearest neighbours [Å].
    """

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    types: NDArray[np.int64]
    labels: NDArray[np.str_]
    spacing: float


def crystal(
    name: str, a: float, atoms: int, n_types: int = 1, aspect: tuple[int, int, int] = (1, 1, 1)
) -> Structure:
    """Return a perfect crystal of about `atoms` atoms in a cell with the given proportions.

    With two atom types the sites alternate: rock salt on `sc`, CsCl on `bcc`, zinc blende and
    wurtzite on the diamonds.
    """
    lengths, basis = LATTICES[name]
    edges = a * np.asarray(lengths, dtype=float)
    side = (atoms / len(basis) * edges.prod() / np.prod(aspect)) ** (1 / 3)
    repeat = np.maximum(1, np.rint(side * np.asarray(aspect) / edges)).astype(int)
    if n_types == 2 and name == "sc":
        repeat = 2 * np.maximum(1, np.rint(repeat / 2)).astype(int)
    positions, cell = lattice(name, a, (int(repeat[0]), int(repeat[1]), int(repeat[2])))
    types = np.ones(len(positions), dtype=np.int64)
    if n_types == 2:
        if name == "sc":
            types += np.rint(positions / a).astype(int).sum(axis=1) % 2
        else:
            types += np.tile(np.arange(len(basis)) >= len(basis) // 2, len(positions) // len(basis))
    spacing = float(np.linalg.norm(positions[1:] - positions[0], axis=1).min())
    return Structure(positions, cell, types, np.full(len(positions), name), spacing)


def sequence(flags: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Return the letters (0, 1, 2) of a periodic stacking, or None if it does not close.

    Parameters
    ----------
    flags
        ``(n,)``: layer k has the same letter on both sides (hexagonal surroundings).
    """
    letters = [0, 1]
    for k in range(1, len(flags) + 1):
        below, here = letters[-2], letters[-1]
        letters.append(below if flags[k % len(flags)] else 3 - below - here)
    return np.array(letters[:-2]) if letters[-2:] == letters[:2] else None


def random_flags(layers: int, hexagonal: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the flags of a random periodic stacking; `hexagonal` is the chance of a layer."""
    while True:
        flags = rng.random(layers) < hexagonal
        if flags.any() and not flags.all() and sequence(flags) is not None:
            return flags


def stacking(
    flags: NDArray[np.bool_], spacing: float, width: int, *, diamond: bool = False
) -> Structure:
    """Return close-packed layers (of atoms, or of diamond's bilayers) along z.

    Parameters
    ----------
    flags
        ``(n,)``: which layers have hexagonal surroundings; they have to close periodically.
    spacing
        Distance of nearest neighbours within a layer [Å].
    width
        Nearest-neighbour distances along x; y has about the same length.
    diamond
        Bilayers: their atoms are cubic or hexagonal diamond by the stacking of the bilayers.
    """
    letters = sequence(flags)
    if letters is None:
        raise ValueError(f"the stacking {flags.astype(int).tolist()} does not close periodically")
    deep = max(1, round(width / np.sqrt(3.0)))
    i, j = (g.ravel() for g in np.meshgrid(np.arange(width), np.arange(deep), indexing="ij"))
    sheet = np.concatenate([
        np.stack([i, np.sqrt(3.0) * j], axis=1),
        np.stack([i + 0.5, np.sqrt(3.0) * (j + 0.5)], axis=1),
    ])  # fmt: skip
    height = np.sqrt(2.0 / 3.0)
    names = ("cubic_diamond", "hexagonal_diamond") if diamond else ("fcc", "hcp")
    positions, labels = [], []
    for layer, letter in enumerate(letters):
        for above in (0.0, 0.75) if diamond else (0.0,):
            shift = np.array([0.0, letter / np.sqrt(3.0)])
            z = np.full((len(sheet), 1), (layer + above) * height)
            positions.append(np.hstack([sheet + shift, z]))
            labels += [names[int(flags[layer])]] * len(sheet)
    size = np.array([width, np.sqrt(3.0) * deep, len(flags) * height]) * spacing
    r = np.concatenate(positions) * spacing % size
    nearest = spacing * (0.75 * height if diamond else 1.0)
    return Structure(r, np.diag(size), np.ones(len(r), dtype=np.int64), np.array(labels), nearest)
