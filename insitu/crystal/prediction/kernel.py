# SPDX-License-Identifier: BSD-3-Clause
"""Scalars of a crystal by a kernel: its composition, and what its bonds are like on average.

Solved exactly, in seconds. From some thousand crystals such a regression learns more than a network that
has to find out the elements' chemistry as well; a network may be trained on what it leaves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.prediction.graph import Graph
from insitu.crystal.prediction.weights import Weights

#: Bonds reach so far, in units of (volume an atom)^(1/3): about 14 of each atom.
REACH = 1.5
#: Bonds in units of the sum of both radii: up to the first they count in full as contacts, then less.
_TOUCH, _WIDTH = 1.0, 0.15
#: Contacts end smoothly at the reach of the bonds, over this length in its unit; so few are none.
_TAPER, _FEW = 0.15, 0.01
#: Gaussians of that length.
_LENGTHS = np.linspace(0.8, 1.9, 12)
#: Column of the properties that is the electronegativity.
_NEGATIVITY = 0


def spread(values: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values on Gaussians, ``(…, g)``; the width is the distance of the centers."""
    width = centers[1] - centers[0]
    return np.asarray(np.exp(-(((values[..., None] - centers) / width) ** 2)))


def composition(numbers: NDArray[np.int64], properties: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means and spreads of the elements' properties over the atoms of a cell, ``(5 p,)``.

    Parameters
    ----------
    numbers
        ``(n,)`` atomic numbers.
    properties
        ``(z, p)`` of each element.
    """
    z = properties[numbers]
    away = np.abs(z - z.mean(axis=0)).mean(axis=0)
    return np.concatenate([z.mean(axis=0), z.std(axis=0), z.max(axis=0), z.min(axis=0), away])


def bonds(
    g: Graph, properties: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what the bonds of a crystal are like, ``(2 p + 32,)``.

    How much their two atoms differ in each property, contacts of an atom and its nearest distance (means
    and spreads; also of the most and the least electronegative element), density, the part of bonds
    between like atoms, and the distribution of their lengths. Nothing but distances goes into it.

    Parameters
    ----------
    g
        Bonds of the cell.
    properties, radius
        ``(z, p)`` and ``(z,)`` [Å] of each element.
    """
    i, j, n = g.first, g.second, len(g.numbers)
    z, r = properties[g.numbers], radius[g.numbers]
    length = g.length * g.unit / (r[i] + r[j])
    touch = np.where(length < _TOUCH, 1.0, np.exp(-0.5 * ((length - _TOUCH) / _WIDTH) ** 2))
    inside = np.clip((g.reach - g.length) / _TAPER, 0.0, 1.0)
    touch = touch * inside**2 * (3.0 - 2.0 * inside)
    apart, like = np.abs(z[i] - z[j]), (g.numbers[i] == g.numbers[j]).astype(np.float64)
    around = np.bincount(i, g.weight, n)
    contacts = np.bincount(i, touch, n)
    near = np.full(n, np.inf)
    np.minimum.at(near, i, length)
    parts = []
    for weight in (g.weight, touch):
        total = weight.sum() + _FEW * n
        parts += [weight @ apart / total, [weight @ like / total]]
    for values in (around, contacts, near):
        parts.append([values.mean(), values.std(), values.min(), values.max()])
    for end in (np.max, np.min):
        those = z[:, _NEGATIVITY] == end(z[:, _NEGATIVITY])
        parts.append([contacts[those].mean(), near[those].mean()])
    size = np.log(g.unit)
    parts.append([size, np.log((r**3).mean()) / 3 - size])
    parts.append(g.weight @ spread(length, _LENGTHS) / n)
    return np.concatenate(parts)


def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Matérn's kernel of 3/2, ``(1 + √3 d) exp(-√3 d)`` with ``d = |a - b|``, ``(n, m)``.

    Parameters
    ----------
    a, b
        Scaled features ``(n, f)`` and ``(m, f)``.
    """
    apart = np.array([np.sqrt(3.0 * ((row - b) ** 2).sum(axis=1)) for row in a])
    return np.asarray((1.0 + apart) * np.exp(-apart))


def fit(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return the coefficients ``(n, t)`` of crystals ``(n, f)`` with values ``(n, t)``."""
    k = kernel(x, x)
    return np.asarray(np.linalg.solve(k + ridge * np.eye(len(k)), y - y.mean(axis=0)))


def left_out(
    x: NDArray[np.float64], y: NDArray[np.float64], ridge: float, part: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what is predicted of each crystal ``(n, t)`` by those of the other parts ``(n,)``."""
    k = kernel(x, x)
    found = np.zeros_like(y)
    for p in np.unique(part):
        rest, own = part != p, part == p
        mean = y[rest].mean(axis=0)
        inner = k[np.ix_(rest, rest)] + ridge * np.eye(int(rest.sum()))
        found[own] = mean + k[np.ix_(own, rest)] @ np.linalg.solve(inner, y[rest] - mean)
    return found


def predicted(model: Weights, g: Graph) -> tuple[NDArray[np.float64], float]:
    """Return the scalars ``(t,)`` of a crystal by a shipped model, and the largest of the kernel's values.

    Parameters
    ----------
    model
        ``properties``, ``radius``; ``scale`` ``(f,)`` of the features; and of the crystals of training the
        scaled features ``x`` ``(n, f)``, ``coefficients`` ``(n, t)`` and ``mean`` ``(t,)``.
    g
        Bonds of the cell.
    """
    properties, radius = model["properties"], model["radius"]
    own = np.concatenate([composition(g.numbers, properties), bonds(g, properties, radius)])
    k = kernel((own * model["scale"])[None], model["x"])
    return np.asarray(model["mean"] + (k @ model["coefficients"])[0]), float(k.max())
