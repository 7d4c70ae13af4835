# SPDX-License-Identifier: BSD-3-Clause
"""The symmetry that a powder pattern shows: crystal system and extinction group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from insitu.diffraction.features import describe
from insitu.diffraction.groups import EXTINCTION_GROUPS, SYSTEMS
from insitu.diffraction.indexing import Lattice
from insitu.diffraction.pattern_grid import Array, network_input, on_uniform_grid
from insitu.errors import ModelError, SettingError
from insitu.models.store import ARTIFACTS

if TYPE_CHECKING:
    import torch

#: The network, beside its card.
ARTIFACT = ARTIFACTS / "powder-symmetry" / "network.pt"
#: Least number of points of a pattern.
LEAST_POINTS = 100


@dataclass(frozen=True)
class Candidate:
    """An extinction group that a pattern may have.

    Attributes
    ----------
    name : str
        Crystal system and extinction symbol in one setting, such as "cubic F - - -".
    probability : float
    space_groups : tuple of int
        Space groups that it allows, 1-based.
    """

    name: str
    probability: float
    space_groups: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """A lattice that explains lines of the pattern.

    Attributes
    ----------
    kind : str
        "orthorhombic", "tetragonal", "hexagonal" (of trigonal groups too) or "cubic".
    lengths : tuple of float
        a, b, c [Å].
    """

    kind: str
    lengths: tuple[float, float, float]


@dataclass(frozen=True)
class Symmetry:
    """What `symmetry` finds.

    Attributes
    ----------
    systems : dict
        Probability of each of the seven crystal systems, if it is one crystal; sum 1.
    groups : list of Candidate
        All 101 extinction groups, best first; sum 1.
    unknown : float
        Probability that it is no single crystal: a melt, noise, a mixture.
    cells : list of Cell
        The lattice of each kind, orthorhombic to cubic, that explains the lines best; whether it is the
        crystal's is for `systems` to say. Empty without lines.
    """

    systems: dict[str, float]
    groups: list[Candidate]
    unknown: float
    cells: list[Cell]

    def __str__(self) -> str:
        system = max(self.systems, key=lambda name: self.systems[name])
        if self.unknown > 0.5:
            return f"unknown ({self.unknown:.0%}): no single crystal"
        best = self.groups[0]
        return f"{system} {self.systems[system]:.0%}; {best.name} {best.probability:.0%}"


@lru_cache(maxsize=1)
def _network() -> torch.jit.ScriptModule:
    try:
        import torch
    except ImportError:
        raise ModelError(
            "insitu.symmetry needs torch, which is not installed; pip install 'insitu[torch]' "
            "(CPU build: docs/installation.md)"
        ) from None
    module: Any = torch.jit.load(str(ARTIFACT), map_location="cpu")  # type: ignore[no-untyped-call]
    return module.float().eval()  # type: ignore[no-any-return]


def _checked(two_theta: ArrayLike, intensity: ArrayLike, wavelength: float) -> tuple[Array, Array]:
    """Angles and intensities in order, or an error that says what is wrong with them."""
    try:
        x, y = np.asarray(two_theta, dtype=float), np.asarray(intensity, dtype=float)
    except (TypeError, ValueError):
        raise SettingError(
            "two_theta and intensity: give numbers, one intensity for each angle"
        ) from None
    if x.ndim != 1 or x.shape != y.shape:
        raise SettingError(
            f"two_theta has shape {x.shape}, intensity {y.shape}; give two arrays of one dimension and "
            "the same length"
        )
    if len(x) < LEAST_POINTS:
        raise SettingError(
            f"the pattern has {len(x)} points; at least {LEAST_POINTS} are needed, best 0.02 degrees apart "
            "from 5 to 90 degrees"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise SettingError("two_theta or intensity holds values that are not finite; take them out")
    if x.min() < 0 or x.max() > 180:
        raise SettingError(
            f"two_theta goes from {x.min():g} to {x.max():g}; give degrees from 0 to 180"
        )
    if not (np.isfinite(wavelength) and 0.1 <= wavelength <= 5):
        raise SettingError(
            f"wavelength={wavelength}: give it in Å, from 0.1 to 5 (Cu K-alpha1: 1.5406)"
        )
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if not (np.diff(x) > 0).all():
        raise SettingError("two_theta holds the same angle twice; give each angle once")
    if y.max() <= y.min():
        raise SettingError("intensity is the same everywhere; there is no pattern in it")
    return x, y


def symmetry(two_theta: ArrayLike, intensity: ArrayLike, *, wavelength: float = 1.5406) -> Symmetry:
    """Crystal system and extinction group from a powder pattern.

    Lines are found and indexed (orthorhombic and higher), the absences of each extinction group are weighed
    against them, and a network that has read the pattern itself combines both. The network needs torch.

    Parameters
    ----------
    two_theta : array, shape (n,)
        [degrees] Any grid; lines between 5 and 90 degrees of Cu K-alpha1 are used.
    intensity : array, shape (n,)
        Any scale, with or without background.
    wavelength : float
        [Å]

    Returns
    -------
    Symmetry
        Probabilities: of the systems and groups given that there is one crystal, and that there is none.

    Raises
    ------
    SettingError
        The arrays or the wavelength are not usable; the message says why.
    ModelError
        torch is not installed.

    References
    ----------
    .. [1] W. B. Park et al., IUCrJ 4, 486 (2017), doi:10.1107/S205225251700714X
    .. [2] A. J. Markvardsen et al., Acta Cryst. A57, 47 (2001), doi:10.1107/S0108767300012174

    Examples
    --------
    >>> found = insitu.symmetry(two_theta, intensity)            # doctest: +SKIP
    >>> found.groups[0].name, found.groups[0].space_groups       # doctest: +SKIP
    ('cubic F - - -', (196, 202, 209, 216, 225))
    """
    x, y = _checked(two_theta, intensity, wavelength)
    pattern = on_uniform_grid(x, y, wavelength)
    if pattern.max() <= 0:
        raise SettingError(
            f"two_theta from {x[0]:g} to {x[-1]:g} with wavelength={wavelength} holds nothing between "
            "5 and 90 degrees of Cu K-alpha1 (d from 17.7 to 1.09 Å); give a pattern of this range"
        )
    import torch

    features = describe(pattern)
    inputs = [network_input(pattern[None])] + [
        values[None].astype(np.float32)
        for values in (features.observed, features.missing, features.summary)
    ]
    with torch.no_grad():
        scores = _network()(*(torch.from_numpy(v) for v in inputs)).numpy()[0].astype(float)
    p = np.exp(scores - scores.max())
    p /= p.sum()
    unknown, groups = float(p[-1]), p[:-1] / max(p[:-1].sum(), 1e-300)
    systems = {
        name: float(sum(groups[k] for k, g in enumerate(EXTINCTION_GROUPS) if g.system == name))
        for name in SYSTEMS
    }
    candidates = [
        Candidate(EXTINCTION_GROUPS[k].name, float(groups[k]), EXTINCTION_GROUPS[k].space_groups)
        for k in np.argsort(-groups, kind="stable")
    ]
    return Symmetry(systems, candidates, unknown, [_cell(lattice) for lattice in features.lattices])


def _cell(lattice: Lattice) -> Cell:
    """Axes of a lattice; of a hexagonal one a = 2 / sqrt(3 A)."""
    factors = np.array([4 / 3, 4 / 3, 1]) if lattice.kind == "hexagonal" else np.ones(3)
    a, b, c = np.sqrt(factors / lattice.abc)
    return Cell(lattice.kind, (float(a), float(b), float(c)))
