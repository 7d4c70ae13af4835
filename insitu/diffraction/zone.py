# SPDX-License-Identifier: BSD-3-Clause
"""Electron diffraction along a zone axis: the nodes of the box that the Ewald sphere meets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.diffraction.powder import period, room
from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.form_factors import elements_of, scattering_factors
from insitu.errors import SettingError
from insitu.frame.cell import heights
from insitu.frame.frame import Frame
from insitu.frame.threads import thread_count


@dataclass(frozen=True)
class ZonePattern:
    """A selected-area electron diffraction pattern.

    Parameters
    ----------
    points
        ``(n, 2)`` places of the nodes in the plane normal to the zone axis [1/Å, without 2π].
    intensity
        ``(n,)`` |F|² per atom [Å²].
    k_max
        Radius of the pattern [1/Å].
    width
        FWHM of a spot of a perfect crystal of the size of the box [1/Å].
    """

    points: NDArray[np.float64]
    intensity: NDArray[np.float64]
    k_max: float
    width: float

    def image(self, pixels: int = 256) -> NDArray[np.float64]:
        """Return the pattern ``(pixels, pixels)`` with Gaussian spots, y over x, from -k_max to k_max.

        Parameters
        ----------
        pixels
            Along each side.
        """
        axis = (np.arange(pixels) + 0.5) * (2.0 * self.k_max / pixels) - self.k_max
        sigma = max(self.width, 4.0 * self.k_max / pixels) / 2.3548
        order = np.argsort(-self.intensity)
        # What is below a millionth of the brightest is not seen, and most nodes are.
        seen = order[self.intensity[order] > 1e-6 * self.intensity.max(initial=0.0)]
        x = np.exp(-0.5 * ((axis - self.points[seen, :1]) / sigma) ** 2)
        y = np.exp(-0.5 * ((axis - self.points[seen, 1:]) / sigma) ** 2)
        found: NDArray[np.float64] = (y * self.intensity[seen, None]).T @ x
        return found


def zone_pattern(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | str,
    zone: Sequence[float] = (0.0, 0.0, 1.0),
    *,
    wavelength: float = 0.0251,
    k_max: float = 1.5,
    thickness: float = 0.01,
    memory: float = 2000.0,
    threads: int | None = None,
) -> ZonePattern:
    """Return the electron diffraction pattern of a sample along a direction, kinematically.

    Parameters
    ----------
    positions, cell, pbc, species
        As of :func:`insitu.diffraction.powder_pattern`.
    zone
        ``(3,)`` direction of the beam in the axes of the positions.
    wavelength
        Of the electrons [Å]; 0.0251 is that of 200 kV.
    k_max
        Radius of the pattern, 1/d [1/Å].
    thickness
        Half the thickness of the Ewald sphere [1/Å]: nodes so near to it are taken.
    memory
        Largest that the mesh may take [MB].
    threads
        OpenMP threads; None: OMP_NUM_THREADS, else all cores that this process may use.

    Returns
    -------
    ZonePattern
        ``points``, ``intensity``, ``image()``.

    Raises
    ------
    SettingError
        The zone is no direction, or another setting is not usable.
    InsituError
        finufft or gemmi is not installed, or `memory` does not suffice.

    References
    ----------
    S. P. Coleman, D. E. Spearot, L. Capolungo, Modelling Simul. Mater. Sci. Eng. 21, 055020 (2013),
    doi:10.1088/0965-0393/21/5/055020.
    """
    beam = np.asarray(zone, dtype=np.float64)
    if beam.shape != (3,) or not np.isfinite(beam).all() or not beam.any():
        raise SettingError(
            f"zone={zone} is no direction; give three numbers, for example (0, 0, 1)"
        )
    for name, value in (("wavelength", wavelength), ("k_max", k_max), ("thickness", thickness)):
        if not (np.isfinite(value) and value > 0):
            raise SettingError(f"{name}={value} is not usable; give a number above 0")
    beam /= np.linalg.norm(beam)
    # x of the pattern is as near to x as can be.
    side = np.eye(3)[0 if abs(beam[0]) < 0.9 else int(np.argmin(np.abs(beam)))]
    first = side - (side @ beam) * beam
    first /= np.linalg.norm(first)
    plane = np.stack([first, np.cross(beam, first)])

    frame = Frame.from_arrays(positions, cell, pbc, reach=0.0)
    elements, kinds = elements_of(species, frame.n_local)
    box = period(frame.cell, frame.pbc)
    inverse = np.linalg.inv(box)
    s = (frame.positions - frame.origin) @ inverse
    threads = thread_count(threads, len(os.sched_getaffinity(0)))
    points, intensity = [np.zeros((0, 2))], [np.zeros(0)]
    free = room(frame.n_local, memory)
    for slab in mesh.slabs(box, 2.0 * np.pi * k_max, free, len(elements)):
        axes = np.meshgrid(*(slab.indices(a) for a in range(3)), indexing="ij")
        h = np.stack(axes, axis=-1).reshape(-1, 3)
        k = h @ inverse.T
        length = np.linalg.norm(k, axis=1)
        # A node K and that at -K have one intensity, and the sphere meets one of them or both.
        near = {
            sign: np.abs(np.linalg.norm(sign * k - beam / wavelength, axis=1) - 1.0 / wavelength)
            < thickness
            for sign in (1, -1)
        }
        within = length <= k_max
        those = np.flatnonzero(within & (near[1] | (near[-1] & (h[:, 0] > 0))))
        if not len(those):
            continue
        f = scattering_factors(elements, 2.0 * np.pi * length[those], "electron")
        total = np.zeros(len(those), dtype=np.complex128)
        for kind, factor in enumerate(f):
            total += factor * mesh.amplitudes(s[kinds == kind], slab, threads).ravel()[those]
        square = np.abs(total) ** 2 / max(frame.n_local, 1)
        for sign in (1, -1):
            met = near[sign][those] & ((sign == 1) | (h[those, 0] > 0))
            points.append(sign * k[those[met]] @ plane.T)
            intensity.append(square[met])
    width = 0.9 / float(heights(frame.cell).min())
    return ZonePattern(np.concatenate(points), np.concatenate(intensity), k_max, width)
