# SPDX-License-Identifier: BSD-3-Clause
"""Fit of the model of energy barriers: ridge regression, chosen by leaving out one glass after another.

``python benchmarks/barriers.py FOLDER --out MODEL`` is the recipe. FOLDER has the glasses of the published
data, ``glass0.npz`` …: positions ``(n, 3)`` [Å], box ``(3,)`` [Å], types 1 Cu 2 Zr, barrier ``(n,)`` [eV].
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models.barriers import BarrierCard
from insitu.models.engines.angular import AngularSettings
from insitu.models.engines.barriers import TERMS, BarrierSettings, NativeBarriers, Pairs
from insitu.offline.barriers import whole
from insitu.training.fit.ridge import Errors, Floats, Sums

SETTINGS = BarrierSettings(
    species=("Cu", "Zr"), cutoff=7.0, taper=6.0,
    centres=tuple(round(2.0 + 0.2 * k, 1) for k in range(24)), width=0.2, decay=1.0, inner=3.0, outer=4.0,
    angular=AngularSettings(
        degree=6, centres=tuple(round(2.4 + 0.4 * k, 1) for k in range(8)), width=0.4, cutoff=6.0, taper=5.0
    ),
)  # fmt: skip
TRAINED = (0, 1, 2, 3, 4, 5)
#: Principal components of the power spectra of a species that have weights.
COMPONENTS = 150
#: What the errors of neighbours have in common, of what is white, and its length [Å]. Errors in glasses
#: left out correlate by 0.29 at 2.5 Å to 0.08 at 6.5 Å; 0.16 is three tenths of what follows from them.
SHARED, LENGTH = 0.16, 3.7


@dataclass(frozen=True)
class Glass:
    """One glass of the data.

    Parameters
    ----------
    number
        Of its file.
    positions, box, species, barriers
        ``(n, 3)`` [Å], ``(3,)`` [Å], ``(n,)`` from 0, ``(n,)`` [eV].
    """

    number: int
    positions: Floats
    box: Floats
    species: NDArray[np.int64]
    barriers: Floats


def read(folder: Path, number: int) -> Glass:
    """Return a glass of a folder.

    Raises
    ------
    SettingError
        There is no such file.
    """
    path = folder / f"glass{number}.npz"
    if not path.is_file():
        raise SettingError(f"{path} is not there; give the folder with glass0.npz … glass5.npz")
    with np.load(path) as d:
        return Glass(
            number, d["positions"].astype(float), d["box"].astype(float),
            d["types"].astype(np.int64) - 1, d["barrier"].astype(float),
        )  # fmt: skip


def related(a: Glass, b: Glass) -> float:
    """Return the median distance [Å] of the atoms of two glasses of the same number, in relative places.

    A copy of a glass, also of another strain, is far below the distance of neighbours; another glass is at
    about half of the box.
    """
    if len(a.positions) != len(b.positions):
        return float("inf")
    s = a.positions / a.box - b.positions / b.box
    s -= np.rint(s)
    s -= np.median(s, axis=0)
    return float(np.median(np.linalg.norm((s - np.rint(s)) * b.box, axis=1)))


def groups(glasses: Sequence[Glass], near: float = 1.0) -> list[tuple[int, ...]]:
    """Return the numbers of glasses that are the same sample, so that they are left out together."""
    found: list[list[Glass]] = []
    for glass in glasses:
        same = [g for g in found if min(related(glass, other) for other in g) < near]
        if same:
            same[0].append(glass)
        else:
            found.append([glass])
    return [tuple(g.number for g in group) for group in found]


@dataclass(frozen=True)
class Reduction:
    """Fewer numbers in the place of an atom's features: densities, principal components of spectra, and 1.

    Parameters
    ----------
    matrices
        ``(species, k, features)``, for the atoms of each species.
    rank
        ``(k,)`` place of a component among the principal ones, from 1; 0: no component.
    """

    matrices: Floats
    rank: NDArray[np.int64]

    @classmethod
    def of(
        cls, glasses: Sequence[Glass], settings: BarrierSettings, components: int = COMPONENTS
    ) -> Reduction:
        """Return that to the components with the largest variance; barriers take no part in it.

        Values are in units of their standard deviation, or of a fiftieth of the largest; components
        have the variance 1.
        """
        kinds, n = len(settings.species), settings.features
        others = kinds * len(settings.centres)
        matrices = np.zeros((kinds, others + components + 1, n))
        sums: list[list[Floats]] = [[np.zeros(())] * 3 for _ in range(kinds)]
        for glass in glasses:
            atoms, _, x = described(glass, settings)
            for s, found in enumerate(sums):
                p = x[glass.species[atoms] == s, others:-1]
                for k, value in enumerate((np.array(float(len(p))), p.sum(0), p.T @ p)):
                    found[k] = found[k] + value
        for s, (count, total, product) in enumerate(sums):
            mean = total / count
            covariance = product / count - np.outer(mean, mean)
            spread = np.sqrt(np.diag(covariance))
            spread = np.maximum(spread, 0.02 * spread.max())
            variance, axes = np.linalg.eigh(covariance / np.outer(spread, spread))
            axes = axes[:, : -components - 1 : -1].T / np.sqrt(
                variance[: -components - 1 : -1, None]
            )
            axes /= spread
            matrices[s, :others, :others] = np.eye(others)
            matrices[s, others:-1, others:-1] = axes
            matrices[s, others:-1, -1] = -axes @ mean
            matrices[s, -1, -1] = 1.0
        rank = np.zeros(others + components + 1, dtype=np.int64)
        rank[others:-1] = np.arange(components) + 1
        return cls(matrices, rank)

    def penalties(self, densities: float, spectra: float) -> Floats:
        """Return the penalty of each weight of a fit: that of a component grows with its place."""
        own = np.where(self.rank > 0, spectra * self.rank, densities)
        return np.tile(own, len(self.matrices) * TERMS)


def features(glass: Glass, settings: BarrierSettings, reduction: Reduction | None = None) -> Floats:
    """Return what the barriers are linear in, ``(n, species · 5 · k)``, in the order of the weights.

    Parameters
    ----------
    glass
        The sample.
    settings
        Radial densities, power spectra and averages.
    reduction
        To k numbers of an atom; None: all its features.
    """
    atoms, pairs, x = described(glass, settings)
    species = glass.species[atoms]
    decaying = _mean_of(pairs.decaying, pairs)
    norm = (1.0 + pairs.sums(pairs.decaying))[:, None]
    several = range(len(settings.species))
    mine = [x @ reduction.matrices[s].T if reduction else x for s in several]
    orders = [np.concatenate([mine[s] * (species == s)[:, None] for s in several], axis=1)]
    for _ in range(4):
        orders.append((orders[-1] + _applied(decaying, orders[-1])) / norm)
    blocks = []
    for s, columns in enumerate(np.split(np.arange(orders[0].shape[1]), len(settings.species))):
        weight = pairs.shell * (species == s)[pairs.other]
        total = np.maximum(pairs.sums(weight), 1e-9)[:, None]
        shell = _applied(_mean_of(weight, pairs), orders[0][:, columns]) / total
        blocks += [*(orders[k][:, columns] for k in (0, 1, 2, 4)), shell]
    found = np.empty((len(atoms), sum(b.shape[1] for b in blocks)))
    found[atoms] = np.concatenate(blocks, axis=1)
    return found


def described(glass: Glass, settings: BarrierSettings) -> tuple[NDArray[np.int32], Pairs, Floats]:
    """Return atoms of the rows, neighbours, and features of the atoms."""
    frame = Frame.from_arrays(
        glass.positions, glass.box, True, reach=settings.cutoff * (1 + 1e-4), types=glass.species
    )
    atoms, pairs = whole(settings, Neighbors(frame, settings.cutoff))
    network = NativeBarriers(settings, np.zeros((0, 0, 0)))
    return atoms, pairs, network.described(pairs, glass.species[atoms])


def _mean_of(weight: Floats, pairs: Pairs) -> Any:
    """Return the matrix ``(n, n)`` of weighted sums over neighbours."""
    import torch

    n = len(pairs.offsets) - 1
    rows = np.repeat(np.arange(n), np.diff(pairs.offsets))
    places, values = torch.from_numpy(np.stack([rows, pairs.other])), torch.from_numpy(weight)
    return torch.sparse_coo_tensor(places, values, (n, n), check_invariants=True).coalesce()


def _applied(matrix: Any, x: Floats) -> Floats:
    import torch

    found: Floats = (matrix @ torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return found


@dataclass(frozen=True)
class Score:
    """How well a glass is predicted: Pearson's r, difference of the means [eV], RMS error [eV]."""

    r: float
    bias: float
    rms: float

    @classmethod
    def of(cls, found: Floats, true: Floats) -> Score:
        """Return the score of predictions ``(n,)``."""
        off = found - true
        r = float(np.corrcoef(found, true)[0, 1])
        return cls(r, float(off.mean()), float(np.sqrt((off**2).mean())))


def errors_of(glass: Glass) -> Errors:
    """Return the errors of a glass: those of neighbours have something in common."""
    return Errors(glass.positions, glass.box, SHARED, LENGTH)


def left_out(
    xs: dict[int, Floats], ys: dict[int, Floats], together: Sequence[tuple[int, ...]],
    penalty: ArrayLike, sums: dict[int, Sums] | None = None,
) -> dict[int, Floats]:  # fmt: skip
    """Return predictions ``(n,)`` for each glass by a fit to those of other groups."""
    sums = sums or {k: Sums(x, ys[k]) for k, x in xs.items()}
    found: dict[int, Floats] = {}
    for group in together:
        weight, constant = Sums.of([sums[k] for k in xs if k not in group]).fit(penalty)
        found |= {k: xs[k] @ weight + constant for k in group}
    return found


def mean_within(found: dict[int, Floats], ys: dict[int, Floats], together: Any) -> float:
    """Return Pearson's r within the glasses: the mean over groups of the mean over their glasses."""
    return float(np.mean([np.mean([Score.of(found[k], ys[k]).r for k in g]) for g in together]))


def network_of(
    weight: Floats, constant: float, settings: BarrierSettings, reduction: Reduction | None = None
) -> Any:
    """Return the torch module with the weights of a fit."""
    import torch

    from insitu.models.networks.barriers import BarrierNetwork

    network = BarrierNetwork(settings)
    values = weight.reshape(len(settings.species), TERMS, -1).copy()
    if reduction:
        values = np.einsum("stk,skf->stf", values, reduction.matrices)
    values[:, 0, -1] += constant
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(values))
    return network


def card_of(
    name: str, glasses: Sequence[Glass], settings: BarrierSettings, **more: Any
) -> BarrierCard:
    """Return the card of a model that was trained on some glasses."""
    counts = np.concatenate([np.diff(described(g, settings)[1].offsets) for g in glasses])
    low, high = np.quantile(counts, [0.001, 0.999])
    means = [float(g.barriers.mean()) for g in glasses]
    more["trained_on"] = [g.number for g in glasses]
    more["recipe_sha256"] = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return BarrierCard(
        name=name,
        description="energy barriers of the atoms of Cu64Zr36 glasses, from densities and power spectra",
        reference="Boattini et al., Phys. Rev. Lett. 127, 088007 (2021), for the kind of regression",
        settings=settings,
        neighbors=(int(low), int(high)),
        composition=float(np.mean(np.concatenate([g.species for g in glasses]) == 0)),
        barriers=(min(means), max(means)),
        more=more,
    )
