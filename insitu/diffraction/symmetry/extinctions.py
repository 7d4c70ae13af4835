# SPDX-License-Identifier: BSD-3-Clause
"""How well the lines of a pattern fit each extinction group on a lattice.

Two sums of logarithms of probability ratios, as in probabilistic determination of extinction symbols:
what the
observed lines say (each is near an allowed line, or is not) and what the missing ones say (an allowed
line that
is not seen was too weak, or is forbidden).

References
----------
A. J. Markvardsen et al., Acta Cryst. A57, 47 (2001), doi:10.1107/S0108767300012174
"""

import re
from functools import cache
from itertools import permutations, product

import numpy as np

from insitu.diffraction.lattices.indexing import Lattice, predicted, to_angle, to_q
from insitu.diffraction.patterns.grid import REFERENCE, Array
from insitu.diffraction.patterns.lines import Lines
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS

#: Crystal systems whose classes a lattice can have.
SYSTEMS_OF = {
    "monoclinic": ("monoclinic",), "orthorhombic": ("orthorhombic",), "tetragonal": ("tetragonal",),
    "hexagonal": ("trigonal", "hexagonal"), "cubic": ("cubic",),
}  # fmt: skip
BOX = 26  # indices up to BOX - 1 are in the tables
MOST_LINES = 240  # of a lattice, from small angles on
LAST_ANGLE = 80.0
WIDTH = 0.03  # of the error of a line's angle [degrees]
ALIEN = 0.03  # share of observed lines that are not of the crystal
TOO_WEAK = 0.12  # share of allowed lines that are weak whatever their place says


def _operation(triplet: str) -> tuple[Array, Array]:
    """R and t of an operation such as "x+1/2,-y,z"."""
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    for i, part in enumerate(triplet.split(",")):
        for sign, number, below, letter in re.findall(r"([+-]?)(?:(\d+)/(\d+)|([xyz]))", part):
            factor = -1 if sign == "-" else 1
            if letter:
                rotation[i, "xyz".index(letter)] = factor
            else:
                translation[i] = factor * int(number) / int(below)
    return rotation, translation


def allowed(conditions: str, hkl: Array) -> Array:
    """Whether an extinction group allows reflections.

    Parameters
    ----------
    conditions : str
        Of an `ExtinctionGroup`.
    hkl : array, shape (n, 3)

    Returns
    -------
    array of bool, shape (n,)
    """
    fine = np.ones(len(hkl), dtype=bool)
    for triplet in filter(None, conditions.split("; ")):
        rotation, translation = _operation(triplet)
        phase = hkl @ translation
        fine &= ~(
            (np.abs(hkl @ rotation - hkl) < 0.5).all(1) & (np.abs(phase - np.rint(phase)) > 1e-3)
        )
    return fine


@cache
def equivalents(kind: str) -> tuple[Array, ...]:
    """Matrices that give the reflections of the same spacing (without Friedel's pairs)."""
    if kind == "monoclinic":
        return (np.eye(3), np.diag([1.0, -1.0, 1.0]))
    if kind == "orthorhombic":
        return tuple(np.diag([1, *signs]).astype(float) for signs in product((1, -1), repeat=2))
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
    if kind == "tetragonal":
        signs = [np.diag([1, s, t]).astype(float) for s, t in product((1, -1), repeat=2)]
        return tuple(m for s in signs for m in (s, s @ swap))
    if kind == "cubic":
        signs = [np.diag([1, s, t]).astype(float) for s, t in product((1, -1), repeat=2)]
        return tuple(np.eye(3)[list(p)] @ s for p in permutations(range(3)) for s in signs)
    turn = np.array([[0, 1, 0], [-1, 1, 0], [0, 0, 1.0]])  # (h, k) -> (-k, h + k): 60 degrees
    turns = [np.linalg.matrix_power(turn, n) for n in range(3)]  # the others are Friedel's
    return tuple(
        m @ s @ f
        for m in turns
        for s in (np.eye(3), swap)
        for f in (np.eye(3), np.diag([1, 1, -1.0]))
    )


@cache
def settings(kind: str) -> tuple[Array, ...]:
    """Matrices that take indices on a lattice to those of a group's conditions, for each choice of axes.

    The axes of orthorhombic lattices have no order. Those of the net h0l of a monoclinic one are any two
    that span it: what matters is which of them, or their sum, a glide plane or a centring is along.
    """
    if kind == "orthorhombic":
        return tuple(np.eye(3)[:, list(order)] for order in permutations(range(3)))
    if kind == "monoclinic":
        nets = ((1, 0, 0, 1), (0, 1, 1, 0), (1, 1, 0, 1), (1, 0, 1, 1), (0, 1, 1, 1), (1, 1, 1, 0))
        return tuple(
            np.array([[a, 0, b], [0, 1, 0], [c, 0, d]], dtype=float) for a, b, c, d in nets
        )
    return (np.eye(3),)


@cache
def tables(kind: str) -> tuple[Array, Array]:
    """Class of each setting, shape (s,), and its allowed equivalents of each hkl, shape (s, BOX, BOX, BOX).

    Of monoclinic ones l may have either sign.
    """
    grid = np.indices((BOX, BOX, BOX)).reshape(3, -1).T.astype(float)
    members = [k for k, g in enumerate(EXTINCTION_GROUPS) if g.system in SYSTEMS_OF[kind]]
    classes, counts, seen = [], [], set()
    if kind == "cubic":
        grid_used = (grid[:, 0] >= grid[:, 1]) & (grid[:, 1] >= grid[:, 2])
    elif kind in ("orthorhombic", "monoclinic"):
        grid_used = np.ones(len(grid), dtype=bool)
    else:
        grid_used = grid[:, 0] >= grid[:, 1]
    hkl = grid[grid_used]
    images = np.array([hkl @ m for m in equivalents(kind)])
    code = np.rint(images + 100) @ np.array([1.0, 1000.0, 1e6])
    opposite = np.rint(100 - images) @ np.array([1.0, 1000.0, 1e6])
    unique = np.minimum(code, opposite)  # Friedel's pairs count once
    first = np.ones(unique.shape, dtype=bool)
    for i in range(1, len(unique)):
        first[i] = (unique[:i] != unique[i]).all(0)
    for k in members:
        for setting in settings(kind):
            count = np.zeros(len(hkl), dtype=np.int8)
            for i, image in enumerate(images):
                count += first[i] & allowed(EXTINCTION_GROUPS[k].conditions, image @ setting)
            key = (k, count.tobytes())
            if key not in seen:
                seen.add(key)
                full = np.zeros(len(grid), dtype=np.int8)
                full[grid_used] = count
                classes.append(k)
                counts.append(full.reshape(BOX, BOX, BOX))
    return np.array(classes), np.array(counts)


def evidence(lines: Lines, lattice: Lattice) -> tuple[Array, Array, Array]:
    """Return what lines say about the classes of a lattice.

    Parameters
    ----------
    lines : Lines
    lattice : Lattice

    Returns
    -------
    classes : array, shape (n,)
        Of `EXTINCTION_GROUPS`, 0-based, those of the lattice.
    observed, missing : array, shape (n,)
        Sums of natural logarithms; each class has its best setting.
    """
    classes, counts = tables(lattice.kind)
    names = np.unique(classes)
    hkl, q = predicted(lattice.kind, lattice.abc, float(to_q(np.array(LAST_ANGLE))))
    hkl = np.abs(hkl)  # monoclinic conditions are of even and odd: the sign of l does not matter
    inside = (hkl < BOX).all(1)
    hkl, q = hkl[inside][:MOST_LINES], q[inside][:MOST_LINES]
    if len(q) < 2:
        return names, np.zeros(len(names)), np.full(len(names), -50.0)
    where = to_angle(q) + lattice.zero
    last = where[-1] + 0.1
    fine = lines.angles < last
    seen, height = lines.angles[fine], lines.heights[fine]
    if not len(seen):
        return names, np.zeros(len(names)), np.full(len(names), -50.0)
    multiplicity = counts[:, hkl[:, 0], hkl[:, 1], hkl[:, 2]].astype(float)
    may = (multiplicity > 0).astype(float)
    away = seen[:, None] - where[None]
    near = np.exp(-0.5 * (away / WIDTH) ** 2) / (WIDTH * np.sqrt(2 * np.pi))
    wide = np.exp(-0.5 * (away / 4.0) ** 2) / (4.0 * np.sqrt(2 * np.pi))
    # Density of lines near an observed one; never less than of the observed lines themselves.
    density = np.maximum(may @ wide.T, 0.02)
    alien = np.where(height > 0.1, ALIEN / 6, ALIEN)
    observed = np.log(alien + (1 - alien) * (may @ near.T) / density).sum(1)
    sine2 = q * REFERENCE**2 / 4
    lorentz = (1 + (1 - 2 * sine2) ** 2) / (sine2 * np.sqrt(1 - sine2)) * np.exp(-1.5 * q)
    place = np.clip(((where - 5.0) / 0.02).astype(int), 2, len(lines.smooth) - 3)
    value = np.max([lines.smooth[place + s] for s in (-2, -1, 0, 1, 2)], axis=0)
    measured = (where > lines.span[0]) & (where < lines.span[1])
    unseen = (value < lines.threshold) & (np.abs(away).min(0) > 0.08) & (where > 6) & measured
    expected = multiplicity * (lorentz * measured)
    expected *= height.sum() / np.maximum(expected.sum(1, keepdims=True), 1e-12)
    weak = TOO_WEAK + (1 - TOO_WEAK) * (1 - np.exp(-lines.threshold / np.maximum(expected, 1e-9)))
    missing = (np.log(weak) * may)[:, unseen].sum(1)
    total = np.round(observed + missing, 6)  # settings as good as each other: the first
    best = np.array([np.flatnonzero(classes == k)[np.argmax(total[classes == k])] for k in names])
    return names, observed[best], missing[best]
