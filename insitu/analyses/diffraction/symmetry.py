# SPDX-License-Identifier: BSD-3-Clause
"""The part of the analysis `diffraction` that reads the symmetry of the sample from its reflections."""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.diffraction.sample import Reflections, follow, nodes_of, symmetry_of_frames
from insitu.diffraction.scattering.reflections import reflections
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, SYSTEMS
from insitu.errors import SettingError
from insitu.frame.threads import thread_count

if TYPE_CHECKING:
    from insitu.diffraction.symmetry.found import Symmetry

#: What the probabilities are of; the last: no single crystal.
KNOWN = (*SYSTEMS, "unknown")


class ReadSymmetry:
    """Reflections of the last frames, and the symmetry that they show together.

    Parameters
    ----------
    path, axis
        Of the analysis: where a quantity is, and how an axis is called.
    frames
        So many last frames are read together.
    peaks
        Number of peaks that are listed.

    Raises
    ------
    SettingError
        torch is not installed.
    """

    def __init__(
        self, path: Callable[[str], str], axis: Callable[[str], str], frames: int, peaks: int
    ) -> None:
        if importlib.util.find_spec("torch") is None:
            raise SettingError(
                "symmetry=yes needs torch, which is not installed; pip install 'insitu[torch]' (CPU build: "
                "docs/installation.md), or leave it out"
            )
        self._path, self._peaks = path, peaks
        self._seen: deque[Reflections] = deque(maxlen=frames)
        groups = tuple(g.name for g in EXTINCTION_GROUPS)
        listed = (axis("peak"), tuple(range(1, peaks + 1)), "")
        self.observables = (
            Observable(
                path("system"), (len(KNOWN),), "f8", "", "probability of the crystal systems",
                axes=((axis("crystal_system"), KNOWN, ""),),
            ),
            Observable(
                path("group"), (len(groups),), "f4", "", "probability of the extinction groups",
                axes=((axis("extinction_group"), groups, ""),),
            ),
            Observable(
                path("cell"), (3,), "f8", "Angstrom", "a, b, c of the most probable system's cell",
                axes=((axis("cell_axis"), ("a", "b", "c"), ""),),
            ),
            Observable(path("beta"), (), "f8", "degree", "angle of that cell, 90 unless monoclinic"),
            Observable(path("reflections"), (), "f8", "", "Bragg reflections of a frame, mean"),
            Observable(
                path("hkl"), (peaks, 3), "i8", "", "indices of the peaks on that cell; 0 0 0: none",
                axes=(listed, (axis("index"), ("h", "k", "l"), "")),
            ),
        )  # fmt: skip

    @staticmethod
    def nodes(
        atoms: NDArray[np.float64], box: NDArray[np.float64], elements: Sequence[str],
        radiation: str, memory: float, rank: int, size: int,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return a rank's share of the bright nodes ``(k, 4)``.

        Parameters
        ----------
        atoms
            ``(n, 4)`` fractional coordinates and element of all atoms.
        box
            ``(3, 3)`` the periodic box [Å].
        elements
            Symbols.
        radiation
            Of the instrument.
        memory
            The setting [MB].
        rank, size
            This rank, and how many there are.
        """
        if not len(atoms):
            return np.zeros((0, 4))
        kinds = atoms[:, 3].astype(np.int64)
        threads = thread_count(None)
        return nodes_of(atoms[:, :3], kinds, elements, box, radiation, memory, threads, rank, size)

    def add(self, tables: Sequence[NDArray[np.float64]], box: NDArray[np.float64]) -> None:
        """Take a frame: the nodes of all ranks, in an order that does not depend on these, and the box."""
        nodes = np.concatenate(tables)
        ordered = nodes[np.lexsort(nodes[:, 2::-1].T)]
        follow(self._seen, Reflections(*reflections(ordered), box))

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()

    def values(
        self, q: NDArray[np.float64], widths: NDArray[np.float64]
    ) -> dict[str, NDArray[Any] | float]:
        """Return the values of the observables.

        Parameters
        ----------
        q, widths
            ``(peaks,)`` places of the peaks of the pattern and their full widths [1/Å]; NaN: none.
        """
        found = symmetry_of_frames(list(self._seen))
        known = 1.0 - found.unknown
        names = {g.name: g.probability for g in found.groups}
        cell = found.cell
        return {
            self._path("system"): np.array(
                [*(known * found.systems[s] for s in SYSTEMS), found.unknown]
            ),
            self._path("group"): np.array([known * names[g.name] for g in EXTINCTION_GROUPS]),
            self._path("cell"): np.array(cell.lengths) if cell else np.full(3, np.nan),
            self._path("beta"): cell.beta if cell else np.nan,
            self._path("reflections"): sum(len(s.hkl) for s in self._seen)
            / max(len(self._seen), 1),
            self._path("hkl"): _hkl(found, q, widths),
        }


def _hkl(found: Symmetry, q: NDArray[np.float64], widths: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the indices ``(peaks, 3)`` of the highest line within each peak's width."""
    out = np.zeros((len(q), 3), dtype=np.int64)
    lines = [line for line in found.lines if line.hkl is not None and found.cell is not None]
    for k, (place, width) in enumerate(zip(q, widths, strict=True)):
        near = [line for line in lines if abs(line.q - place) <= 0.5 * width]
        if near:
            out[k] = max(near, key=lambda line: line.height).hkl or 0
    return out
