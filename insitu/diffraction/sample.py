# SPDX-License-Identifier: BSD-3-Clause
"""The symmetry that a diffractometer would read from a sample of atoms."""

from __future__ import annotations

import os
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.diffraction.powder import period, room
from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.form_factors import RADIATION, elements_of
from insitu.diffraction.scattering.reflections import (
    bright_nodes,
    one_lattice,
    reach,
    reflections,
    vectors,
)
from insitu.diffraction.symmetry.classification import symmetry_of_reflections
from insitu.diffraction.symmetry.found import Symmetry
from insitu.errors import SettingError, one_of
from insitu.frame.frame import Frame
from insitu.frame.threads import thread_count

#: A frame with fewer reflections is not read: no crystal has so few, but in a melt a node may be bright by
#: chance.
_FEWEST = 6
#: It is a mixture where less of the intensity than this is explained by one cell, or is on one lattice.
_OF_ONE = 0.85
#: Where the box differs by so much from that of the frame before, its vectors are others.
_FLIPPED = 0.2


@dataclass(frozen=True)
class Reflections:
    """Bragg reflections of a frame.

    Parameters
    ----------
    hkl
        ``(m, 3)`` indices on the box.
    intensity
        ``(m,)``.
    box
        ``(3, 3)`` vectors as rows [Å].
    """

    hkl: NDArray[np.float64]
    intensity: NDArray[np.float64]
    box: NDArray[np.float64]

    def continues(self, before: Reflections) -> bool:
        """Return whether the vectors of the box are those of a frame before: only then indices agree."""
        change = np.linalg.solve(before.box, self.box) - np.eye(3)
        return bool(np.abs(change).max() <= _FLIPPED)


def symmetry_of_frames(frames: Sequence[Reflections]) -> Symmetry:
    """Return the symmetry that the last frames show together.

    Parameters
    ----------
    frames
        Of one box that may fluctuate; the last one decides whether there is a crystal.
    """
    if not frames or len(frames[-1].hkl) < _FEWEST:
        return symmetry_of_reflections(np.zeros(0), np.zeros(0))
    last = frames[-1]
    # In the mean box: lines of a box that fluctuates, or is compressed meanwhile, stay sharp.
    box = np.mean([f.box for f in frames], axis=0)
    q = vectors(np.concatenate([f.hkl for f in frames]), box)
    heights = np.concatenate([f.intensity for f in frames])
    found = symmetry_of_reflections(np.linalg.norm(q, axis=1), heights)
    # Crystals of one kind have one cell by their lines, a single crystal one lattice in space.
    single = one_lattice(vectors(last.hkl, last.box), last.intensity)
    return replace(found, unknown=1.0) if max(found.explained, single) < _OF_ONE else found


def reflections_of(
    positions: ArrayLike, cell: ArrayLike | None, pbc: ArrayLike | bool, species: ArrayLike | str,
    radiation: str = "xray", memory: float = 2000.0, threads: int | None = None,
) -> Reflections:  # fmt: skip
    """Return the Bragg reflections of one frame; parameters are those of :func:`sample_symmetry`."""
    frame = Frame.from_arrays(positions, cell, pbc, reach=0.0)
    elements, kinds = elements_of(species, frame.n_local)
    box = period(frame.cell, frame.pbc)
    inside = (frame.positions - frame.origin) @ np.linalg.inv(box)
    threads = thread_count(threads, len(os.sched_getaffinity(0)))
    nodes = nodes_of(inside, kinds, elements, box, radiation, memory, threads)
    return Reflections(*reflections(nodes), box)


def nodes_of(
    fractional: NDArray[np.float64], kinds: NDArray[np.int64], elements: Sequence[str],
    box: NDArray[np.float64], radiation: str, memory: float, threads: int, rank: int = 0, size: int = 1,
) -> NDArray[np.float64]:  # fmt: skip
    """Return a rank's share of the bright nodes ``(k, 4)`` of a sample.

    Parameters
    ----------
    fractional, kinds
        ``(n, 3)`` fractional coordinates of all atoms, ``(n,)`` index into `elements`.
    elements
        Symbols.
    box
        ``(3, 3)`` the periodic box [Å].
    radiation, memory, threads
        As of :func:`sample_symmetry`.
    rank, size
        This rank, and how many there are.

    Raises
    ------
    InsituError
        `memory` does not suffice, or there are too many nodes.
    """
    n = len(fractional)
    q_max = reach(abs(float(np.linalg.det(box))), n)
    slabs = mesh.slabs(box, q_max, room(n, memory), len(elements))
    share = mesh.deal(slabs, size)[rank]
    return bright_nodes(fractional, kinds, elements, box, share, radiation, q_max, threads)


def follow(seen: MutableSequence[Reflections], found: Reflections) -> None:
    """Add a frame to those before it; it begins anew if the vectors of its box are others."""
    if seen and not found.continues(seen[-1]):
        seen.clear()
    seen.append(found)


def sample_symmetry(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | str,
    *,
    radiation: str = "xray",
    memory: float = 2000.0,
    threads: int | None = None,
) -> Symmetry:
    """Return crystal system and extinction group that a diffractometer would read from a sample.

    Its Bragg reflections, which are sharp however small a periodic box is, are the lines of a powder
    pattern that :func:`insitu.symmetry` reads.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å], or ``(frames, n, 3)`` of several frames, which are read together.
    cell
        ``(3, 3)`` cell vectors as rows, or ``(3,)`` lengths [Å]; None if nothing is periodic. Of several
        frames one for all, or one each.
    pbc
        One flag or three.
    species
        ``(n,)`` atomic numbers or symbols, or one for all.
    radiation
        ``"xray"``, ``"neutron"`` or ``"electron"``.
    memory
        Largest that the reciprocal mesh may take [MB].
    threads
        OpenMP threads; None: OMP_NUM_THREADS, else all cores that this process may use.

    Returns
    -------
    Symmetry
        ``systems``, ``groups``, ``unknown``, ``cell``, ``lines`` with their indices.

    Raises
    ------
    SettingError
        A setting or shape is not usable.
    InsituError
        finufft, gemmi or torch is not installed, or `memory` does not suffice.

    Examples
    --------
    >>> import numpy as np
    >>> from insitu.diffraction import sample_symmetry
    >>> from insitu.testing import lattice
    >>> positions, cell = lattice("fcc", 3.615, (6, 6, 6))
    >>> hot = positions + np.random.default_rng(0).normal(scale=0.1, size=positions.shape)
    >>> found = sample_symmetry(hot, cell, True, "Cu", threads=1)
    >>> found.system, found.groups[0].name
    ('cubic', 'cubic F - - -')
    """
    one_of("radiation", radiation, tuple(RADIATION))
    if not memory > 0.0:
        raise SettingError(f"memory={memory:g} is no size; give for example 2000 MB")
    given = np.asarray(positions, dtype=np.float64)
    several = given if given.ndim == 3 else given[None]
    cells = [cell] * len(several)
    if given.ndim == 3 and cell is not None and np.ndim(cell) == 3:
        cells = list(np.asarray(cell, dtype=np.float64))
        if len(cells) != len(several):
            raise SettingError(
                f"cell has {len(cells)} frames and positions {len(several)}; give one cell, or one for each"
            )
    frames: list[Reflections] = []
    for one, its_cell in zip(several, cells, strict=True):
        follow(frames, reflections_of(one, its_cell, pbc, species, radiation, memory, threads))
    return symmetry_of_frames(frames)
