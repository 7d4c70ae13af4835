# SPDX-License-Identifier: BSD-3-Clause
"""Neighbour search over a frame's owned and ghost atoms (kernels/core/neighbors.hpp)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame


class Neighbors:
    """Cell list over one frame, built once and shared by all analyzers of that frame.

    There is no periodicity in it: the frame's ghosts are points. It needs about 36 bytes an atom
    (owned and ghost) for as long as it lives.

    Parameters
    ----------
    frame
        The frame; its positions are copied in cell order.
    cutoff
        Largest distance that will be asked for [Å].

    Raises
    ------
    InsituError
        A position is not finite (lost or exploding atoms).
    """

    def __init__(self, frame: Frame, cutoff: float) -> None:
        self.frame = frame
        self.cutoff = cutoff
        try:
            self.cells: Any = compiled().make_cells(
                np.ascontiguousarray(frame.positions), frame.ids, cutoff
            )
        except IndexError as error:
            i = int(str(error))
            raise InsituError(
                f"the position of atom {int(frame.ids[i])} is {frame.positions[i].tolist()} at "
                f"step {frame.step}: the simulation has become unstable; check the time step and "
                "the potential"
            ) from None
        places, atoms = compiled().owned(self.cells, frame.n_local)
        #: ``(n_local,)`` int32 places of all owned atoms in the cell order, and their indices.
        self.owned: tuple[NDArray[np.int32], NDArray[np.int32]] = places, atoms
        if frame.selected is not None:
            keep = frame.selected[atoms]
            places, atoms = places[keep], atoms[keep]
        #: ``(n,)`` int32 places of the atoms to analyse in the cell order, neighbours near by.
        self.places: NDArray[np.int32] = places
        #: ``(n,)`` int32 the same atoms as indices into the frame's owned atoms.
        self.atoms: NDArray[np.int32] = atoms

    @cached_property
    def index(self) -> NDArray[np.int32]:
        """``(n_local + n_ghost,)`` place in the cell order → index into the frame's arrays."""
        everything: NDArray[np.int32] = compiled().owned(self.cells, len(self.frame.positions))[1]
        return everything

    def lists(
        self, cutoff: float, places: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the neighbours of ``atoms`` in compressed form.

        Parameters
        ----------
        cutoff
            Radius [Å], at most that of the search.
        places
            ``(n,)`` places of the atoms whose neighbours are wanted, if not those of ``atoms``.

        Returns
        -------
        offsets, indices
            Neighbours of ``atoms[k]`` are ``indices[offsets[k]:offsets[k + 1]]`` (into the
            frame's arrays), nearest first; equal distances (to 1e-5 of the cutoff) by atom id.
        """
        if cutoff > self.cutoff:
            raise InsituError(f"cutoff {cutoff} exceeds the {self.cutoff} of this neighbour search")
        those = self.places if places is None else places
        offsets, indices = compiled().neighbor_lists(self.cells, those, cutoff)
        return offsets, indices

    def has_within(self, radius: float) -> NDArray[np.bool_]:
        """Return which of ``atoms`` ``(n,)`` have a neighbour within a small radius.

        Parameters
        ----------
        radius
            [Å], at most that of the search; the time it takes does not depend on that of the search.
        """
        has = np.empty(len(self.places), dtype=np.uint8)
        compiled().has_within(self.cells, self.places, radius, has)
        return has.view(np.bool_)

    def vectors(
        self, cutoff: float, places: NDArray[np.int32], atoms: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
        """Return the neighbours of some atoms, and the vectors to them.

        Parameters
        ----------
        cutoff
            Radius [Å], at most that of the search.
        places, atoms
            ``(n,)`` the atoms, as places in the cell order and as indices.

        Returns
        -------
        offsets, indices
            As of :meth:`lists`.
        rows
            ``(e,)`` which of the atoms each is a neighbour of.
        vectors
            ``(e, 3)`` from the atom to the neighbour [Å].
        """
        offsets, indices = self.lists(cutoff, places)
        rows = np.repeat(np.arange(len(atoms)), np.diff(offsets))
        r = self.frame.positions
        return offsets, indices, rows, r[indices] - r[atoms[rows]]

    def nearest(
        self, places: NDArray[np.int32], ball: tuple[float, int, int], most: int, near: float,
        *, whole: bool = True,
    ) -> NDArray[np.int32]:  # fmt: skip
        """Return the nearest neighbours of some places of a scale-free ball.

        Parameters
        ----------
        places
            ``(n,)`` places in the cell order.
        ball
            Radius of the ball's search [Å], its number of neighbours, and that of its local length.
        most
            Neighbours wanted of each.
        near
            Radius within which they lie [Å].
        whole
            None of a shell of equal distances of which not all are among the nearest: in a perfect bcc
            crystal the 12 nearest are the 8 of the first shell. Else those that the order puts first.

        Returns
        -------
        nearest
            ``(n, most)`` int32 places, nearest first, -1 where there is none.
        """
        out = np.empty((len(places), most), dtype=np.int32)
        compiled().nearest(self.cells, places, out, near, *ball, whole)
        return out
