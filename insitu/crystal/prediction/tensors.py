# SPDX-License-Identifier: BSD-3-Clause
"""Elastic and dielectric tensors of a crystal by networks that were trained on published DFT tensors.

The network is that of :mod:`insitu.training.fit.tensors`, run in NumPy: nothing else is needed, and a
crystal takes milliseconds. A tensor has the crystal's symmetry by construction; it is projected onto the
point group all the same where spglib is installed, for what rounding leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.crystal import spacegroup
from insitu.crystal.prediction.graph import CENTERS, Graph, graph
from insitu.crystal.prediction.weights import Weights, checked, loaded
from insitu.crystal.tensors.basis import elastic, harmonics, traceless
from insitu.crystal.tensors.projection import project
from insitu.crystal.tensors.voigt import from_voigt, to_voigt
from insitu.errors import SettingError
from insitu.frame.species import SYMBOLS


@dataclass(frozen=True)
class Prediction:
    """A predicted tensor.

    Parameters
    ----------
    tensor
        Cartesian, in the axes of the cell: ``(3, 3, 3, 3)`` [GPa] or ``(3, 3)``.
    spread
        Norm of the difference of several networks from their mean, relative to the mean's norm: where it
        is large they were trained on little that is alike. NaN where the model is one network.
    """

    tensor: NDArray[np.float64]
    spread: float


def elastic_tensor(
    cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike, model: str | None = None
) -> Prediction:
    """Return the elastic tensor of a crystal at 0 K as DFT (PBE) would have it, or a potential.

    Parameters
    ----------
    cell
        ``(3, 3)`` primitive cell, rows are vectors [Å].
    sites
        ``(n, 3)`` fractional coordinates.
    numbers
        ``(n,)`` atomic numbers.
    model
        File with networks that were trained on tensors of a potential
        (``benchmarks/potential_tensors.py``); None: the shipped ones.

    Raises
    ------
    SettingError
        A shape is wrong, an element has no place in the tables or is none of those that the model was
        trained on, or atoms lie on each other.
    ModelError
        The file is no such model.

    References
    ----------
    M. de Jong et al., Sci. Data 2, 150009 (2015), doi:10.1038/sdata.2015.9 (the tensors).
    """
    flat, spread = _predicted("elastic", cell, sites, numbers, model)
    return Prediction(
        _projected(from_voigt(flat.reshape(6, 6)), cell, sites, numbers, "elastic"), spread
    )


def dielectric_tensor(cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike) -> Prediction:
    """Return the static dielectric tensor (electrons and ions) of an insulator as DFPT would have it.

    Parameters
    ----------
    cell, sites, numbers
        As of :func:`elastic_tensor`.

    Raises
    ------
    SettingError
        As of :func:`elastic_tensor`.

    References
    ----------
    I. Petousis et al., Sci. Data 4, 160134 (2017), doi:10.1038/sdata.2016.134 (the tensors).
    """
    flat, spread = _predicted("dielectric", cell, sites, numbers)
    tensor = _projected(flat.reshape(3, 3), cell, sites, numbers, "dielectric")
    return Prediction(tensor, spread)


def card(kind: str) -> dict[str, Any]:
    """Return what is known of a shipped model: its data, how well it does, its limits."""
    found: dict[str, Any] = loaded(kind)[1]
    return found


def _projected(
    tensor: NDArray[np.float64], cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike, kind: str
) -> NDArray[np.float64]:
    if not spacegroup.available():
        return tensor
    group = spacegroup.find(cell, sites, numbers, 1e-4)
    return tensor if group is None else project(tensor, group.rotations, kind)


def _predicted(
    kind: str, cell: ArrayLike, sites: ArrayLike, numbers: ArrayLike, model: str | None = None
) -> tuple[NDArray[np.float64], float]:
    nets, notes = loaded(kind, None if model is None else str(model))
    lattice, s, z = checked(cell, sites, numbers, len(nets[0]["radius"]))
    known = notes.get("elements")
    if known and (odd := sorted({SYMBOLS[k] for k in z} - set(known))):
        raise SettingError(
            f"the model '{model}' was trained on {', '.join(known)} and the crystal has {', '.join(odd)}; "
            "leave the model out for the one that was trained on DFT"
        )
    g = graph(lattice, s, z)
    every = np.array([run(net, g, kind) for net in nets])
    mean = every.mean(axis=0)
    if len(nets) == 1:
        return mean, float("nan")
    away = np.linalg.norm(every - mean, axis=1)
    return mean, float(np.sqrt((away**2).mean()) / np.linalg.norm(mean))


def _silu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x / (1.0 + np.exp(-x)))


def _linear(net: Weights, name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x @ net[f"{name}.weight"].T + net.get(f"{name}.bias", 0.0))


def _summed(values: NDArray[np.float64], where: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    total = np.zeros((n, *values.shape[1:]))
    np.add.at(total, where, values)
    return total


def run(net: Weights, g: Graph, kind: str) -> NDArray[np.float64]:
    """Return the tensor of one network: ``(36,)`` in Voigt notation, or ``(9,)``."""
    i, j, n = g.first, g.second, len(g.numbers)
    z = net["properties"][g.numbers]
    radius = net["radius"][g.numbers]
    relative = g.length * g.unit / (radius[i] + radius[j])
    rbf = np.concatenate(
        [
            np.exp(-(((x[:, None] - m) / (m[1] - m[0])) ** 2))
            for x, m in zip((g.length, relative), CENTERS, strict=True)
        ],
        axis=1,
    )
    weight = g.weight[:, None]
    h = _silu(_linear(net, "embed", z))
    layers = sum(name.startswith("own.") and name.endswith(".weight") for name in net)
    for k in range(layers):
        m = _linear(net, f"own.{k}", h)[i] + _linear(net, f"other.{k}", h)[j]
        gate, value = np.split(m + _linear(net, f"bond.{k}", rbf), 2, axis=1)
        h = h + 0.2 * _summed(_silu(value) / (1.0 + np.exp(-gate)) * weight, i, n)
    t = _silu(
        _linear(net, "own_t", h)[i] + _linear(net, "other_t", h)[j] + _linear(net, "bond_t", rbf)
    )
    w = _linear(net, "to_channels", t) * weight
    channels = w.shape[1] // 2
    q = w[:, :channels].T @ harmonics(g.direction, 2) / n
    f = w[:, channels:].T @ harmonics(g.direction, 4) / n
    mean_h, mean_z = h.mean(axis=0), z.mean(axis=0)
    unit = np.log(g.unit)
    parts = [
        mean_h, np.abs(h - mean_h).mean(axis=0), mean_z, np.abs(z - mean_z).mean(axis=0), z.max(axis=0),
        z.min(axis=0), [unit, np.log(radius.mean()) - unit],
    ]  # fmt: skip
    x = _silu(_linear(net, "inner", np.concatenate(parts)))
    out = _linear(net, "outer", _silu(_linear(net, "middle", x)))
    if kind == "dielectric":
        one = np.eye(3).ravel()
        return np.asarray(one + np.exp(out[0]) * (one + (0.1 * out[1:]) @ q @ traceless(2)))
    first, second, fourth = (0.1 * out[2:]).reshape(3, channels)
    e = elastic()
    shape = (first @ q) @ e["first"] + (second @ q) @ e["second"] + (fourth @ f) @ e["fourth"]
    return np.asarray(
        np.exp(out[0] + 4.5) * e["bulk"][0] + np.exp(out[1] + 3.8) * (e["shear"][0] + shape)
    )


def voigt(prediction: Prediction) -> NDArray[np.float64]:
    """Return a predicted elastic tensor in Voigt notation ``(6, 6)`` [GPa]."""
    return to_voigt(prediction.tensor)
