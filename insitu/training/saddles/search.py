# SPDX-License-Identifier: BSD-3-Clause
"""Saddle points around a minimum of the potential energy, by the activation-relaxation technique (ARTn).

Some atoms are pushed in a random direction until the curvature along one mode is negative. The sample
then climbs along that mode and relaxes across it, up to a saddle point. From there it is pushed to both
sides and relaxed: one side has to be the minimum from which it came. Nothing here knows LAMMPS; what is
needed is a function that gives energy and forces.

References
----------
R. Malek and N. Mousseau, Phys. Rev. E 62, 7723 (2000), doi:10.1103/PhysRevE.62.7723;
E. Cancès, F. Legoll, M.-C. Marinica, K. Minoukadeh and F. Willaime, J. Chem. Phys. 130, 114711 (2009),
doi:10.1063/1.3088532;
E. Bitzek, P. Koskinen, F. Gähler, M. Moseler and P. Gumbsch, Phys. Rev. Lett. 97, 170201 (2006),
doi:10.1103/PhysRevLett.97.170201, for the relaxation (FIRE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Surface(Protocol):
    """The potential energy of a sample."""

    def __call__(self, positions: Floats, /) -> tuple[float, Floats]:
        """Return energy [eV] and forces ``(n, 3)`` [eV/Å] at positions ``(n, 3)`` [Å]."""
        ...


@dataclass(frozen=True)
class Search:
    """How saddle points are searched for.

    Parameters
    ----------
    radius
        Atoms within this distance of the one in the middle are pushed [Å].
    push
        Length of one push, of all atoms together [Å].
    pushes
        Pushes after which the basin has to be left.
    across
        Relaxations across the push, after each of the pushes.
    curvature
        Curvature below which a mode is climbed [eV/Å²].
    climbs
        Steps along the mode.
    stride
        The longest of them [Å].
    force
        Norm of the forces of all atoms at a saddle point [eV/Å].
    relaxed
        Norm of the forces at a minimum [eV/Å].
    beyond
        Push to both sides of a saddle point [Å].
    same
        Two configurations in which no atom is farther away than this are the same [Å].
    highest
        Energy above the minimum at which a search is given up [eV].
    """

    radius: float = 3.0
    push: float = 0.15
    pushes: int = 30
    across: int = 3
    curvature: float = -0.3
    climbs: int = 120
    stride: float = 0.15
    force: float = 0.05
    relaxed: float = 0.01
    beyond: float = 0.3
    same: float = 0.2
    highest: float = 8.0


@dataclass(frozen=True)
class Attempt:
    """What became of one search.

    Parameters
    ----------
    outcome
        ``saddle`` (a barrier was found), ``basin`` (no negative curvature), ``lost`` (the saddle point did
        not converge, or the energy rose too far), ``unconnected`` (neither side is the minimum of before),
        ``returned`` (both sides are).
    barrier
        Energy of the saddle point above the minimum [eV]; NaN without one.
    calls
        Evaluations of the forces.
    moved
        Largest displacement of an atom from minimum to minimum [Å]; NaN without a barrier.
    saddle
        ``(n, 3)`` positions at the saddle point [Å]; None without a barrier.
    """

    outcome: str
    barrier: float
    calls: int
    moved: float = float("nan")
    saddle: Floats | None = None


class _Counted:
    """A surface that counts its calls."""

    def __init__(self, surface: Surface) -> None:
        self._surface, self.calls = surface, 0

    def __call__(self, x: Floats) -> tuple[float, Floats]:
        self.calls += 1
        return self._surface(x)


def relax(
    surface: Surface, x: Floats, force: float, steps: int = 2000, across: Floats | None = None
) -> tuple[float, Floats, Floats]:
    """Relax positions by FIRE.

    Parameters
    ----------
    surface
        Energy and forces.
    x
        ``(n, 3)`` positions [Å].
    force
        Norm of the forces at which it ends [eV/Å].
    steps
        Largest number of evaluations.
    across
        ``(n, 3)`` unit vector along which nothing moves; None: everything moves.

    Returns
    -------
    energy, forces, positions
        At the end: [eV], ``(n, 3)`` [eV/Å], ``(n, 3)`` [Å]. Forces are whole, also along `across`.
    """
    v, dt, alpha, good = np.zeros_like(x), 0.1, 0.1, 0
    x = x.copy()
    e, f = surface(x)
    for _ in range(steps):
        g = f if across is None else f - (f * across).sum() * across
        norm = float(np.linalg.norm(g))
        if norm < force:
            break
        power = float((g * v).sum())
        if power > 0:
            v = (1 - alpha) * v + (alpha * float(np.linalg.norm(v)) / norm) * g
            good += 1
            if good > 5:
                dt, alpha = min(dt * 1.1, 0.3), alpha * 0.99
        elif v.any():
            v, dt, alpha, good = np.zeros_like(x), dt * 0.5, 0.1, 0
        v = v + dt * g
        move = dt * v
        largest = float(np.abs(move).max())
        if largest > 0.1:
            move *= 0.1 / largest
        x += move
        e, f = surface(x)
    return e, f, x


def lowest_mode(
    surface: Surface,
    x: Floats,
    forces: Floats,
    start: Floats,
    size: int = 15,
    tolerance: float = 0.01,
) -> tuple[float, Floats]:
    """Return the smallest curvature at some positions and its mode, by Lanczos' method.

    Products with the Hessian are differences of forces. A common displacement of all atoms, whose curvature
    is zero, is left out.

    Parameters
    ----------
    surface
        Energy and forces.
    x, forces
        ``(n, 3)`` positions [Å] and the forces there [eV/Å].
    start
        ``(n, 3)`` first vector: the mode of before, or a random one.
    size
        Largest number of vectors.
    tolerance
        Change of the curvature, relative to it, with which it ends.

    Returns
    -------
    curvature, mode
        [eV/Å²], ``(n, 3)`` unit vector.
    """
    delta = 2e-3
    basis: list[Floats] = []
    diagonal: list[float] = []
    beside: list[float] = []
    q = _unit(start - start.mean(axis=0))
    value, vector = float("inf"), np.ones(1)
    for k in range(size):
        basis.append(q)
        product = (forces - surface(x + delta * q)[1]) / delta
        product -= product.mean(axis=0)
        diagonal.append(float((product * q).sum()))
        # Against all vectors of before: Lanczos' own recursion loses its orthogonality.
        rest = product
        for b in basis:
            rest = rest - (rest * b).sum() * b
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(matrix)
        change, value, vector = abs(values[0] - value), float(values[0]), vectors[:, 0]
        length = float(np.linalg.norm(rest))
        if length < 1e-6 or (k > 2 and change < tolerance * abs(value)):
            break
        beside.append(length)
        q = rest / length
    mode = sum((c * b for c, b in zip(vector, basis, strict=False)), np.zeros_like(x))
    return value, _unit(mode)


def attempt(
    surface: Surface, minimum: Floats, energy: float, near: NDArray[np.bool_],
    rng: np.random.Generator, search: Search | None = None,
) -> Attempt:  # fmt: skip
    """Search for a saddle point around a minimum, once.

    Parameters
    ----------
    surface
        Energy and forces.
    minimum, energy
        ``(n, 3)`` positions of the minimum [Å], and its energy [eV].
    near
        ``(n,)`` atoms that are pushed.
    rng
        For the direction of the push.
    search
        How it is done.

    Returns
    -------
    Attempt
        Its outcome, with the barrier if it found one.
    """
    s, counted = search or Search(), _Counted(surface)
    found = _leave_basin(counted, minimum, near, rng, s)
    if found is None:
        return Attempt("basin", float("nan"), counted.calls)
    found = _climb(counted, *found, energy, s)
    if found is None:
        return Attempt("lost", float("nan"), counted.calls)
    x, mode = found
    top = counted(x)[0]
    ends = [relax(counted, x + sign * s.beyond * mode, s.relaxed) for sign in (1, -1)]
    far = [distance(end[2], minimum) for end in ends]
    home = [d < s.same for d in far]
    if not any(home):
        return Attempt("unconnected", float("nan"), counted.calls)
    if all(home):
        return Attempt("returned", float("nan"), counted.calls)
    return Attempt("saddle", top - energy, counted.calls, max(far), x)


def distance(a: Floats, b: Floats) -> float:
    """Return the largest distance [Å] of an atom in two samples ``(n, 3)``, but for a translation."""
    apart = a - b
    apart = apart - np.median(apart, axis=0)
    return float(np.linalg.norm(apart, axis=1).max())


def _unit(v: Floats) -> Floats:
    return np.asarray(v / np.linalg.norm(v))


def _leave_basin(
    surface: _Counted, minimum: Floats, near: NDArray[np.bool_], rng: np.random.Generator, s: Search
) -> tuple[Floats, Floats] | None:
    """Return positions with a negative curvature and its mode, None if there are none on the way."""
    direction = np.where(near[:, None], rng.normal(size=minimum.shape), 0.0)
    direction = _unit(direction - direction.mean(axis=0))
    x, mode = minimum, direction
    for k in range(s.pushes):
        x = x + s.push * direction
        _, f, x = relax(surface, x, s.force, s.across, direction)
        if k < 2:
            continue  # near the minimum all curvatures are positive
        value, mode = lowest_mode(surface, x, f, mode)
        if value < s.curvature:
            # Upwards: away from where it came.
            along = float(((x - minimum) * mode).sum())
            return x, mode if along >= 0 else -mode
    return None


def _climb(
    surface: _Counted, x: Floats, mode: Floats, energy: float, s: Search
) -> tuple[Floats, Floats] | None:
    """Return a saddle point and its mode."""
    e, f = surface(x)
    upwards = 0
    value = s.curvature
    for k in range(s.climbs):
        along = float((f * mode).sum())
        # Newton's step to where the force along the mode is zero, which is upwards.
        step = min(abs(along) / max(abs(value), 0.5), s.stride)
        x = x - np.sign(along) * step * mode
        _, _, x = relax(surface, x, 0.5 * s.force, 4 + k // 2 if k < 16 else 12, mode)
        e, f = surface(x)
        if e - energy > s.highest:
            return None
        value, new = lowest_mode(surface, x, f, mode)
        mode = new if (new * mode).sum() >= 0 else -new
        upwards = upwards + 1 if value > 0 else 0
        if upwards > 3:
            return None  # slid back into a basin
        if value < 0 and np.linalg.norm(f) < s.force:
            return x, mode
    return None
