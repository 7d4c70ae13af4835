# SPDX-License-Identifier: BSD-3-Clause
"""Scattering amplitudes on the reciprocal lattice of the box, slab by slab; the only user of finufft.

A periodic box scatters only where Q = 2π (h b₁ + k b₂ + l b₃), ``F(hkl) = Σ exp(2πi (h x + k y + l z))``
with fractional coordinates: a type-1 non-uniform Fourier transform, whatever the angles of the box. As
F(-Q) is the conjugate of F(Q), half of the nodes will do. They are cut into slabs of h, which bound the
memory and are dealt out to ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError

#: Error of an amplitude relative to the root mean square of all amplitudes of the slab.
TOLERANCE = 1e-7
#: Nodes beyond which a pattern takes more than some minutes of a core: a mistake in the wavelength.
MOST_NODES = 2e9
#: Planes of h in a slab, where memory allows; the same for any number of ranks, so that these agree.
_PLANES = 48
#: Mesh of the transform over the nodes asked for, per axis, and its least size (twice the kernel).
_FINER, _LEAST = 1.25, 24
#: An atom's coordinates, weights and order while a slab is transformed [bytes].
BYTES_OF_ATOM = 200


@dataclass(frozen=True)
class Slab:
    """Nodes ``low`` … ``low + count - 1`` along h, k and l."""

    low: tuple[int, int, int]
    count: tuple[int, int, int]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(np.prod(self.count))

    def memory(self, kinds: int) -> int:
        """Return what transforms of atoms of some kinds to these nodes take [bytes], without the atoms."""
        finer = np.maximum(_FINER * np.array(self.count) + 8, _LEAST)
        return int(16 * np.prod(finer) + (kinds + 2) * 16 * self.nodes)

    def indices(self, axis: int) -> NDArray[np.int64]:
        """Return h, k or l of the nodes."""
        return np.arange(self.count[axis]) + self.low[axis]

    def squares(self, cell: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield h and, of the nodes of this h, |K|² = |Q / 2π|² ``(k, l)`` [1/Å²], plane by plane.

        Parameters
        ----------
        cell
            ``(3, 3)`` vectors of the periodic box as rows [Å].
        """
        inverse = np.linalg.inv(cell)
        metric = inverse.T @ inverse
        k, l = self.indices(1)[:, None], self.indices(2)[None, :]  # noqa: E741
        within = metric[1, 1] * k * k + 2 * metric[1, 2] * k * l + metric[2, 2] * l * l
        across = 2 * (metric[0, 1] * k + metric[0, 2] * l)
        for h in self.indices(0).tolist():
            yield h, metric[0, 0] * h * h + h * across + within


def library() -> Any:
    """Return the package finufft.

    Raises
    ------
    InsituError
        It is not installed.
    """
    try:
        import finufft
    except ImportError as error:
        raise InsituError(
            "diffraction on a mesh needs finufft, which is not installed; install it: pip install "
            '"insitu[diffraction]", or take method histogram'
        ) from error
    return finufft


def slabs(cell: NDArray[np.float64], q_max: float, memory: float, kinds: int = 1) -> list[Slab]:
    """Return slabs that hold all nodes of half a sphere, h ≥ 0.

    Parameters
    ----------
    cell
        ``(3, 3)`` vectors of the periodic box as rows [Å].
    q_max
        Radius of the sphere [1/Å].
    memory
        Largest that the transforms to a slab may take [bytes].
    kinds
        Kinds of atoms, whose amplitudes are in memory together.

    Raises
    ------
    InsituError
        A slab of one plane takes more; there are too many nodes, or none.
    """
    # Half of the box of nodes around the sphere, about.
    volume = abs(float(np.linalg.det(cell)))
    nodes = 4.0 * volume * (q_max / (2.0 * np.pi)) ** 3
    if nodes > MOST_NODES:
        raise InsituError(
            f"the reciprocal mesh up to Q = {q_max:.3g} 1/Å has {nodes:.2g} nodes, more than "
            f"{MOST_NODES:.2g}; lower the upper end of two_theta, take a longer wavelength, or method "
            "histogram"
        )
    if q_max < 2.0 * np.pi / float(np.linalg.norm(cell, axis=1).max()):
        raise InsituError(
            f"the box is too small, or the wavelength too long: its first node is beyond Q = {q_max:.3g} "
            "1/Å, the end of two_theta; raise it, or take a shorter wavelength"
        )
    planes = _PLANES
    while True:
        found = _cut(cell, q_max, planes)
        most = max(s.memory(kinds) for s in found)
        if most <= memory:
            return found
        if planes == 1:
            raise InsituError(
                f"one plane of the reciprocal mesh takes {most / 1e6:.0f} MB and memory allows "
                f"{memory / 1e6:.0f} MB for it; raise memory, lower the upper end of two_theta, or take "
                "method histogram"
            )
        planes = max(planes // 2, 1)


def _cut(cell: NDArray[np.float64], q_max: float, planes: int) -> list[Slab]:
    radius = q_max / (2.0 * np.pi)
    length = np.linalg.norm(cell, axis=1)
    most = int(radius * length[0])
    number = -(-(most + 1) // planes)
    thickness = -(-(most + 1) // number)
    found = []
    for first in range(0, most + 1, thickness):
        last = min(first + thickness - 1, most)
        low, count = [first], [last - first + 1]
        # On a plane of h, K = h a₁/|a₁|² + K', where K' is normal to a₁ and ends on the sphere.
        rest = np.sqrt(max(radius**2 - (first / length[0]) ** 2, 0.0))
        for a in cell[1:]:
            slope = float(a @ cell[0]) / length[0] ** 2
            half = rest * np.linalg.norm(a - slope * cell[0])
            begin = int(np.ceil(min(slope * first, slope * last) - half))
            end = int(np.floor(max(slope * first, slope * last) + half))
            low.append(begin)
            count.append(max(end - begin + 1, 1))
        found.append(Slab((low[0], low[1], low[2]), (count[0], count[1], count[2])))
    return found


def deal(those: Sequence[Slab], size: int) -> list[list[Slab]]:
    """Return the slabs of each of `size` ranks: the largest first, each to the one with least to do."""
    shares: list[list[Slab]] = [[] for _ in range(size)]
    load = [0] * size
    for slab in sorted(those, key=lambda s: -s.nodes):
        rank = load.index(min(load))
        shares[rank].append(slab)
        load[rank] += slab.nodes
    return shares


def amplitudes(
    fractional: NDArray[np.float64], slab: Slab, threads: int = 1, tolerance: float = TOLERANCE
) -> NDArray[np.complex128]:
    """Return ``F(hkl) = Σ exp(2πi (h x + k y + l z))`` of some atoms at the nodes of a slab.

    Parameters
    ----------
    fractional
        ``(n, 3)`` fractional coordinates.
    slab
        The nodes.
    threads
        OpenMP threads.
    tolerance
        Error relative to the root mean square of the amplitudes.

    Returns
    -------
    amplitudes
        The shape is ``slab.count``.

    References
    ----------
    A. H. Barnett, J. Magland, L. af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019),
    doi:10.1137/18M120885X.
    """
    if not len(fractional):
        return np.zeros(slab.count, dtype=np.complex128)
    x = 2.0 * np.pi * (fractional - np.floor(fractional))
    # finufft's modes are -n//2 …: the middle of the slab is moved there.
    middle = np.array([low + n // 2 for low, n in zip(slab.low, slab.count, strict=True)])
    weights = np.exp(1j * (x @ middle))
    found: NDArray[np.complex128] = library().nufft3d1(
        *np.ascontiguousarray(x.T), weights, slab.count, eps=tolerance, isign=1, nthreads=threads,
        upsampfac=_FINER,
    )  # fmt: skip
    return found
