# SPDX-License-Identifier: BSD-3-Clause
"""The symmetry that a powder pattern shows: crystal system and extinction group."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from insitu.diffraction.lattices.indexing import Lattice, to_q
from insitu.diffraction.lattices.monoclinic import axes
from insitu.diffraction.patterns.grid import (
    ANGLES,
    REFERENCE,
    Array,
    network_input,
    on_uniform_grid,
    pattern_of_lines,
)
from insitu.diffraction.patterns.lines import EVERYWHERE, find_lines
from insitu.diffraction.symmetry.features import describe
from insitu.diffraction.symmetry.found import Candidate, Cell, Line, Symmetry
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, SYSTEMS
from insitu.diffraction.symmetry.hkl import indices
from insitu.errors import ModelError, SettingError
from insitu.models.store import ARTIFACTS

if TYPE_CHECKING:
    import torch

#: The network, beside its card.
ARTIFACT = ARTIFACTS / "powder-symmetry" / "network.pt"
#: Least score of a monoclinic lattice that is shown: of random crystals nine of ten above it are right.
SHOWN = 30.0
#: Least number of points of a pattern.
LEAST_POINTS = 100
#: Symmetry has no scale: with fewer lines than the first number within the grid, lengths are taken larger,
#: so that there are up to so many as the second, the last one at this Q [1/Å], 87 degrees of Cu K-alpha1.
_FEW, _ENOUGH, _LAST_Q = 12, 30, 5.61
#: Fewer lines of reflections are no crystal.
_FEWEST = 3


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
    return module.double().eval()  # type: ignore[no-any-return]


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

    Lines are found and indexed (monoclinic and higher), the absences of each extinction group are weighed
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
    # How much larger all lengths may be taken without an end of the pattern within the grid.
    ends = np.sin(np.radians([x[-1], ANGLES[-1]]) / 2)
    most = float(ends[0] / ends[1]) * REFERENCE / wavelength
    if most > 1.02 and 0 < len(find_lines(pattern).angles) < _FEW:
        scale = most
        found = find_lines(on_uniform_grid(x, y, wavelength * scale)).angles
        if len(found) > _ENOUGH:
            scale = _fewer(scale, found)
        moved = on_uniform_grid(x, y, wavelength * scale)
        return _read(moved, 1.0 / scale, _span(x, wavelength * scale))
    return _read(pattern, 1.0, _span(x, wavelength))


def _span(two_theta: Array, wavelength: float) -> tuple[float, float]:
    """Return the first and last angle on the grid that were measured [degrees]."""
    sine = np.sin(np.radians(two_theta[[0, -1]]) / 2) * REFERENCE / wavelength
    first, last = (2 * np.degrees(np.arcsin(np.minimum(sine, 1.0)))).tolist()
    return (first if first > ANGLES[0] else EVERYWHERE[0], min(last, EVERYWHERE[1]))


def _fewer(scale: float, angles: Array) -> float:
    """Return the scale of lengths, at least 1, at which as many lines as are wanted are within the grid."""
    last = 2.0 * np.pi * float(np.sqrt(to_q(angles[_ENOUGH])))
    return max(scale * last / _LAST_Q, 1.0)


def symmetry_of_reflections(q: ArrayLike, intensity: ArrayLike) -> Symmetry:
    """Crystal system and extinction group from Bragg reflections of a sample.

    They are taken as lines of a powder. Symmetry has no scale: where a simple structure has few lines
    within the angles that the network reads, all lengths are taken larger, so that it has more there.

    Parameters
    ----------
    q : array, shape (n,)
        [1/Å] Of each reflection, equivalent ones one by one.
    intensity : array, shape (n,)
        |F|² on any scale.

    Returns
    -------
    Symmetry
        Without reflections ``unknown`` is 1, and nothing is known of systems and groups: all are alike.

    Raises
    ------
    ModelError
        torch is not installed.
    """
    places, heights = np.asarray(q, dtype=float), np.asarray(intensity, dtype=float)
    scale, pattern = 1.0, np.zeros(len(ANGLES))
    if len(places):
        scale = max(float(places.max()) / _LAST_Q, 1.0)
        pattern = pattern_of_lines(places / scale, heights)
        angles = find_lines(pattern).angles
        if len(angles) > _ENOUGH:
            scale = _fewer(scale, angles)
            pattern = pattern_of_lines(places / scale, heights)
    if len(find_lines(pattern).angles) < _FEWEST:
        n = len(EXTINCTION_GROUPS)
        groups = [Candidate(g.name, 1.0 / n, g.space_groups) for g in EXTINCTION_GROUPS]
        return Symmetry(dict.fromkeys(SYSTEMS, 1.0 / len(SYSTEMS)), groups, 1.0, [], [])
    return _read(pattern, 1.0 / scale)


def _read(pattern: Array, scale: float = 1.0, span: tuple[float, float] = EVERYWHERE) -> Symmetry:
    """Return what the network says of a pattern on `ANGLES`.

    `scale` times its lengths are true; `span` was measured of it.
    """
    import torch

    network = _network()
    features = describe(pattern, span)
    # In double precision: evidences of some hundred are compared, and the same sample gives the same.
    values = (
        network_input(pattern[None])[0],
        features.observed,
        features.missing,
        features.summary,
    )
    inputs = [value[None].astype(np.float64) for value in values]
    with torch.no_grad():
        scores = network(*(torch.from_numpy(v) for v in inputs)).numpy()[0]
    p = np.exp(scores - scores.max())
    p /= p.sum()
    unknown, groups = float(p[-1]), p[:-1] / max(p[:-1].sum(), 1e-300)
    systems = {
        name: float(sum(groups[k] for k, g in enumerate(EXTINCTION_GROUPS) if g.system == name))
        for name in SYSTEMS
    }
    order = np.argsort(-groups, kind="stable").tolist()
    candidates = [
        Candidate(EXTINCTION_GROUPS[k].name, float(groups[k]), EXTINCTION_GROUPS[k].space_groups)
        for k in order
    ]
    lines, zero = find_lines(pattern), 0.0
    lattices = [x for x in features.lattices if x.kind != "monoclinic" or x.score >= SHOWN]
    cells = [_cell(lattice, scale) for lattice in lattices]
    found = Symmetry(systems, candidates, unknown, cells, [])
    best = next(EXTINCTION_GROUPS[k] for k in order if EXTINCTION_GROUPS[k].system == found.system)
    hkl = np.zeros((len(lines.angles), 3), dtype=np.int64)
    if found.cell is not None:
        lattice = lattices[cells.index(found.cell)]
        hkl, zero = indices(lines.angles, lattice, best.conditions), lattice.zero
    q = 2 * np.pi * np.sqrt(to_q(lines.angles - zero)) / scale
    found.lines.extend(
        Line(float(place), float(height), tuple(index.tolist()) if index.any() else None)
        for place, height, index in zip(q, lines.heights, hkl, strict=True)
    )
    return found


def _cell(lattice: Lattice, scale: float) -> Cell:
    """Axes of a lattice, multiplied by `scale`; of a hexagonal one a = 2 / sqrt(3 A)."""
    if lattice.kind == "monoclinic":
        *lengths, beta = axes(lattice.abc)
        return Cell(
            lattice.kind, (scale * lengths[0], scale * lengths[1], scale * lengths[2]), beta
        )
    factors = np.array([4 / 3, 4 / 3, 1]) if lattice.kind == "hexagonal" else np.ones(3)
    a, b, c = scale * np.sqrt(factors / lattice.abc)
    return Cell(lattice.kind, (float(a), float(b), float(c)))
