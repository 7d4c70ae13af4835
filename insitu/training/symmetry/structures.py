# SPDX-License-Identifier: BSD-3-Clause
"""Random crystals of a given space group: metric, Wyckoff positions, elements."""

from dataclasses import dataclass

import numpy as np

from .sites import Array, Site, orbit, sites

#: Crystal system of a space group: its last group number.
LAST = (2, 15, 74, 142, 167, 194, 230)
ANIONS = (8, 16, 9, 17, 7, 15, 34, 33, 6, 52, 35, 53)
ANION_WEIGHTS = np.array([45, 14, 7, 7, 4, 5, 5, 4, 3, 3, 2, 1.0])
CATIONS = np.array(
    [z for z in range(3, 84) if z not in {6, 7, 8, 9, 10, 17, 18, 35, 36, 43, 53, 54, 61}]
)
COMMON = {
    14: 8,
    13: 6,
    11: 5,
    12: 5,
    19: 4,
    20: 6,
    22: 4,
    25: 4,
    26: 7,
    29: 6,
    30: 4,
    82: 5,
    38: 2,
    56: 3,
    15: 5,
    5: 2,
    3: 2,
    33: 2,
    51: 2,
    83: 2,
}
WEIGHTS = np.array([COMMON.get(int(z), 1) for z in CATIONS], dtype=float)
SHORTEST = 1.35  # shortest distance between atoms [Å]


@dataclass(frozen=True)
class Crystal:
    """A conventional cell with its atoms.

    Attributes
    ----------
    number : int
        Space group, 1–230.
    cell : array, shape (6,)
        a, b, c [Å], alpha, beta, gamma [degrees].
    positions : array, shape (n, 3)
        Fractional.
    elements : array, shape (n,)
        Atomic numbers.
    """

    number: int
    cell: Array
    positions: Array
    elements: Array


def system_of(number: int) -> int:
    """Crystal system of a space group: 0 triclinic … 6 cubic."""
    return int(np.searchsorted(LAST, number))


def lattice_vectors(cell: Array) -> Array:
    """Rows a, b, c [Å], shape (3, 3), of cells, shape (6,)."""
    a, b, c = cell[:3]
    ca, cb, cg = np.cos(np.radians(cell[3:]))
    sg = np.sqrt(1 - cg**2)
    y = (ca - cb * cg) / sg
    return np.array(
        [[a, 0, 0], [b * cg, b * sg, 0], [c * cb, c * y, c * np.sqrt(1 - cb**2 - y**2)]]
    )


def random_shape(number: int, rng: np.random.Generator) -> Array:
    """Return a cell of the system's metric, its volume arbitrary."""
    system = system_of(number)
    ratio = np.exp(rng.normal(0, 0.42, 3))
    angles = np.full(3, 90.0)
    if system == 0:
        while True:
            angles = rng.normal(95, 11, 3)
            cosines = np.cos(np.radians(angles))
            if (np.abs(angles - 90) < 32).all() and 1 - (
                cosines**2
            ).sum() + 2 * cosines.prod() > 0.3:
                break
    elif system == 1:
        angles[1] = 90 + min(abs(rng.normal(11, 9)) + 0.3, 42)
    elif system == 3:
        ratio = np.array([1, 1, np.exp(rng.normal(0.15, 0.6))])
    elif system in (4, 5):
        rhombohedral = number in (146, 148, 155, 160, 161, 166, 167)
        ratio = np.array([1, 1, np.exp(rng.normal(0.75 if rhombohedral else 0.35, 0.6))])
        angles[2] = 120
    elif system == 6:
        ratio = np.ones(3)
    return np.concatenate([ratio, angles])


def random_crystal(number: int, rng: np.random.Generator) -> Crystal | None:
    """Return a crystal of a space group, or None where the draw did not fit.

    Parameters
    ----------
    number : int
        1–230.
    rng : numpy.random.Generator

    Returns
    -------
    Crystal or None
    """
    kinds = sites(number)
    general = kinds[0].multiplicity
    smallest = min(s.multiplicity for s in kinds)
    # Atoms in the cell: from one or two orbits to what fits 7000 Å^3 or 16 general orbits.
    low, high = max(2.0, smallest), min(330.0, max(general, 8) * 14.0)
    middle = high if rng.random() < 0.65 else 1.5 * np.sqrt(low * high)
    target = np.exp(rng.uniform(np.log(1.3 * low), np.log(max(middle, 1.5 * low))))
    per_atom = rng.uniform(9.5, 21)
    anion = rng.choice(ANIONS, p=ANION_WEIGHTS / ANION_WEIGHTS.sum())
    cations = rng.choice(CATIONS, rng.integers(1, 4), p=WEIGHTS / WEIGHTS.sum(), replace=False)
    fraction = 0.0 if rng.random() < 0.12 else 0.58
    chosen: list[Site] = []
    total = 0
    sizes = np.array([s.multiplicity for s in kinds])
    distinct = np.unique(sizes)
    while total < 0.8 * target and len(chosen) < 17:
        fitting = distinct[distinct <= max(1.35 * (target - total), smallest)]
        m = rng.choice(fitting)
        chosen.append(kinds[rng.choice(np.flatnonzero(sizes == m))])
        total += m
    cell = random_shape(number, rng)
    volume = min(total * per_atom, 7000.0)
    vectors = lattice_vectors(cell)
    scale = (volume / abs(np.linalg.det(vectors))) ** (1 / 3)
    cell[:3] *= scale
    if cell[:3].min() < 2.4 or cell[:3].max() > 45:
        return None
    vectors = vectors * scale
    points, elements = np.zeros((0, 3)), np.zeros(0, dtype=int)
    chosen.sort(key=lambda s: s.multiplicity)
    used = set()
    for site in chosen:
        if site.free == 0 and id(site) in used:
            continue
        used.add(id(site))
        for _ in range(6):
            images = orbit(number, site.matrix @ rng.random(3) + site.shift)
            delta = np.concatenate([images[1:], points]) - images[0]
            delta = (delta - np.rint(delta)) @ vectors
            if not len(delta) or (delta**2).sum(1).min() > SHORTEST**2:
                element = anion if rng.random() < fraction else rng.choice(cations)
                points = np.concatenate([points, images])
                elements = np.concatenate([elements, np.full(len(images), element)])
                break
            if site.free == 0:
                break
    if len(points) == 0 or (len(points) < 0.5 * total):
        return None
    return Crystal(number, cell, points, elements)
