# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that need no molecular dynamics: what a model meets at its borders.

Strained and cold lattices, surfaces, stackings, light interstitials, gases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.copies import repeated
from insitu.testing import LATTICES
from insitu.training.structures.perfect import random_flags, stacking
from insitu.training.structures.sample import MASKED, Sample
from insitu.training.structures.surfaces import hydride, open_crystal

#: Norm of the deviatoric logarithmic strain up to which a deformed lattice has a label, and the
#: difference of two lattices' norms below which it has none.
_MOST, _TIE = 0.22, 0.02
#: Height of the cells, in units of (volume an atom)^(1/3).
_HEIGHTS = 5.5, 6.6
_Cell = tuple[NDArray[np.float64], NDArray[np.float64]]


def _deviatoric(f: NDArray[np.float64]) -> float:
    """Return the norm of the deviatoric logarithmic strain of a deformation ``(3, 3)``."""
    s = np.log(np.linalg.svd(f, compute_uv=False))
    return float(np.linalg.norm(s - s.mean()))


def strained_class(name: str, f: NDArray[np.float64]) -> str:
    """Return the class of a lattice that is deformed, ``""`` where there is none to be sure of.

    A body-centred and a face-centred cubic lattice are the same but for a stretch by √2 along an axis
    (Bain, Trans. AIME 70, 25 (1924)): the nearer of the two counts.

    Parameters
    ----------
    name
        Key of :data:`insitu.testing.LATTICES`.
    f
        ``(3, 3)``: rows of positions times it is the deformation.
    """
    away = {name: _deviatoric(f)}
    if name in ("bcc", "fcc"):
        stretch = np.sqrt(0.5) if name == "bcc" else np.sqrt(2.0)
        variants = [np.diag(np.where(np.arange(3) == k, stretch, 1.0)) for k in range(3)]
        away["fcc" if name == "bcc" else "bcc"] = min(_deviatoric(v @ f) for v in variants)
    first, *others = sorted(away, key=lambda c: away[c])
    if away[first] > _MOST or (others and away[others[0]] - away[first] < _TIE):
        return MASKED
    return first


def deformation(rng: np.random.Generator, most: float) -> NDArray[np.float64]:
    """Return a deformation ``(3, 3)``: tetragonal, orthorhombic, sheared, uniaxial along any direction."""
    kind, amplitude = rng.integers(5), rng.uniform(-most, most)
    if kind == 0:
        e = np.full(3, -amplitude * rng.choice([0.0, rng.uniform(0.2, 0.5)]))
        e[rng.integers(3)] = amplitude
        return np.diag(1.0 + e)
    f: NDArray[np.float64] = np.eye(3)
    if kind == 1:
        f += np.diag(rng.uniform(-most, most, 3) / np.sqrt(2.0))
    elif kind == 2:
        i, j = rng.choice(3, 2, replace=False)
        if rng.random() < 0.5:
            f[i, j] = amplitude
        else:
            f[i, i], f[j, j] = 1.0 + rng.uniform(-most, most, 2)
    elif kind == 3:
        f += np.triu(rng.uniform(-most, most, (3, 3))) / 2
    else:
        n, poisson = rng.normal(size=3), rng.uniform(0.0, 0.5)
        along = np.outer(n, n) / (n @ n)
        f += amplitude * ((1 + poisson) * along - poisson * np.eye(3))
    return f


def _sample(
    kind: str, r: NDArray[np.float64], cell: NDArray[np.float64], labels: NDArray[np.str_],
    name: str = "made",
) -> Sample:  # fmt: skip
    return Sample(name, kind, 0, 0.0, r, cell, labels)


def displacement(rng: np.random.Generator, most: float) -> float:
    """Return the width of thermal displacements: none, next to none, or anything up to `most`."""
    kind = rng.random()
    return 0.0 if kind < 0.15 else float(rng.uniform(0.0, most if kind > 0.35 else 0.15 * most))


def lattice_sample(
    name: str, f: NDArray[np.float64], sigma: float, rng: np.random.Generator
) -> Sample:
    """Return a deformed lattice with displacements of `sigma` nearest distances, and its class."""
    lengths, basis = LATTICES[name]
    r, cell, _ = repeated(np.array(basis), np.diag(lengths), rng.uniform(*_HEIGHTS))
    d = r[1:] - r[0]
    d -= np.rint(d @ np.linalg.inv(cell)) @ cell
    width = sigma * float(np.linalg.norm(d, axis=1).min())
    labels = np.full(len(r), strained_class(name, f), dtype="<U17")
    return _sample(name, r @ f + rng.normal(0.0, 1.0, r.shape) * width, cell @ f, labels)


def bain(rng: np.random.Generator, name: str) -> NDArray[np.float64]:
    """Return a stretch along an axis between and beyond body- and face-centred, at one volume."""
    ratio = rng.uniform(0.75, 1.6) / (1.0 if name == "bcc" else np.sqrt(2.0))
    f: NDArray[np.float64] = np.diag(np.roll([1.0, 1.0, ratio], rng.integers(3))) / np.cbrt(ratio)
    return f


def with_interstitials(
    r: NDArray[np.float64], cell: NDArray[np.float64], labels: NDArray[np.str_], part: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:  # fmt: skip
    """Return positions and labels with further atoms in large holes, which have no label.

    `part` is their number as a fraction of that of the others; a hole is the largest of forty places.
    """
    back, count = np.linalg.inv(cell), max(1, round(part * len(r)))
    for _ in range(count):
        places = rng.random((40, 3)) @ cell
        d = places[:, None] - r[None]
        d -= np.rint(d @ back) @ cell
        r = np.vstack([r, places[(d**2).sum(axis=-1).min(axis=1).argmax()]])
    return r, np.concatenate([labels, np.full(count, MASKED, dtype=labels.dtype)])


def _apart(count: int, core: float, side: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return up to `count` points in a periodic cube, none nearer than `core` to another."""
    r = np.empty((0, 3))
    for _ in range(60 * count):
        place = rng.random(3) * side
        d = r - place
        d -= side * np.rint(d / side)
        if not len(r) or (d**2).sum(axis=1).min() > core**2:
            r = np.vstack([r, place])
        if len(r) == count:
            break
    return r


def gas(rng: np.random.Generator, n: int = 250, kind: int | None = None) -> _Cell:
    """Return independent points, points with a hard core, or molecules of two to five atoms.

    `kind` is 0, 1 or 2; None: any. Some fill a part of their cell only.
    """
    kind = int(rng.choice([0, 1, 2, 2])) if kind is None else kind
    side = np.cbrt(n)
    cell: NDArray[np.float64] = side * np.eye(3)
    if kind == 0:
        return rng.random((n, 3)) * side, cell
    if kind == 1:
        r = _apart(n, rng.uniform(0.2, 0.78), side, rng)
    else:
        m, bond = int(rng.integers(2, 6)), rng.uniform(0.4, 0.8)
        centres = _apart(n // m, 0.75 * np.cbrt(m) * rng.uniform(0.9, 1.25), side, rng)
        u = rng.normal(size=(len(centres), m - 1, 3))
        u *= bond / np.linalg.norm(u, axis=-1, keepdims=True)
        r = np.concatenate([centres[:, None], centres[:, None] + u], axis=1).reshape(-1, 3) % side
    if rng.random() < 0.3:
        cell[0, 0] *= rng.uniform(1.5, 4.0)
    return r, cell


def made(settings: dict[str, Any], seed: int | list[int]) -> Iterator[Sample]:
    """Yield the configurations of a recipe's ``[made]``.

    Parameters
    ----------
    settings
        Numbers of configurations: `strained` of each lattice, of a third of them with `interstitials`
        (largest fraction) as well; `gapped`, of each lattice, that lack up to `removed` of their atoms;
        `bain` of body- and of face-centred; `stackings` of close-packed layers and twice as many of
        diamond's; `gases`; `surfaces`, slabs and clusters of each lattice; `hydrides` of three metals'
        lattices, with light atoms on up to `filled` holes an atom. `strain` and `displacement` are the
        largest.
    seed
        Of all of them.
    """
    rng, most = np.random.default_rng(seed), settings["displacement"]

    def sigma(largest: float = most) -> float:
        return displacement(rng, largest)

    for name in LATTICES:
        for k in range(settings["strained"]):
            f = deformation(rng, settings["strain"]) if rng.random() < 0.85 else np.eye(3)
            if name in ("hcp", "hexagonal_diamond") and rng.random() < 0.5:
                f = np.diag([1.0, 1.0, rng.uniform(0.96, 1.16)]) @ f
            yield lattice_sample(name, f, sigma(), rng)
            if k % 3 == 0:
                s = lattice_sample(name, deformation(rng, 0.05), 0.75 * sigma(), rng)
                part = rng.uniform(0.01, settings["interstitials"])
                r, labels = with_interstitials(s.positions, s.cell, s.labels, part, rng)
                yield _sample("interstitials", r, s.cell, labels)
        for _ in range(settings["gapped"]):
            s = lattice_sample(name, deformation(rng, 0.05), 1.2 * sigma(), rng)
            stay = rng.random(len(s.labels)) >= rng.uniform(0.0, settings["removed"])
            yield _sample(name, s.positions[stay], s.cell, s.labels[stay])
        for _ in range(settings.get("surfaces", 0)):
            r, cell, labels, width = open_crystal(rng, name, int(rng.uniform(200, 420)))
            r = r + rng.normal(0.0, 1.0, r.shape) * width * sigma(0.75 * most)
            yield _sample("surfaces", r, cell, labels)
    for name in ("fcc", "bcc", "hcp"):
        for _ in range(settings.get("hydrides", 0)):
            r, cell, labels, width = hydride(rng, name, rng.uniform(0.0, settings["filled"]))
            r = r + rng.normal(0.0, 1.0, r.shape) * width * sigma(0.75 * most)
            f = deformation(rng, 0.03)
            yield _sample("hydride", r @ f, cell @ f, labels)
    for name in ("fcc", "bcc"):
        for _ in range(settings["bain"]):
            yield lattice_sample(name, bain(rng, name), 0.75 * sigma(), rng)
    for diamond in (False, True):
        for _ in range(settings["stackings"] * (1 + diamond)):
            flags = random_flags(int(rng.integers(6, 13)), rng.choice([0.15, 0.3, 0.5, 0.7]), rng)
            layers = stacking(flags, 1.0, int(rng.integers(4, 6)), diamond=diamond)
            f = np.diag(1.0 + rng.uniform(-0.03, 0.03, 3))
            r = (
                layers.positions @ f
                + rng.normal(0.0, 1.0, layers.positions.shape) * sigma() * layers.spacing
            )
            yield _sample("stack", r, layers.cell @ f, layers.labels)
    for _ in range(settings["gases"]):
        r, cell = gas(rng)
        yield _sample("gas", r, cell, np.full(len(r), "disordered"))
