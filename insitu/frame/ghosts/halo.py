# SPDX-License-Identifier: BSD-3-Clause
"""Features of ghost atoms from the ranks that own them, so that no rank computes them twice.

Who owns a ghost is looked up once for as long as no rank's atoms change
(:mod:`insitu.frame.ghosts.owners`). In a frame each rank tells the owners which of their atoms its graph
reads, and before every layer these few features travel between the two. Periodic images of a rank's own
atoms are looked up on that rank.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError
from insitu.frame.cell import heights
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.ghosts.owners import Owners
from insitu.frame.ghosts.partners import partners_of
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

NOBODYS = (
    "a neighbour belongs to no rank: the ghost atoms do not fit the atoms that the ranks own; define "
    "the insitu fix before fixes that change the box or delete atoms"
)


@dataclass(frozen=True)
class Rows:
    """Rows of a frame's features: the owned atoms in cell order, after them other ranks' atoms.

    Parameters
    ----------
    row_of
        ``(n_local,)`` int32 row of each owned atom.
    row_of_place
        ``(n_local + n_ghost,)`` int32 row of each place of the cell order, that of the owner for a
        ghost; −1 where nobody owns it.
    """

    row_of: NDArray[np.int32]
    row_of_place: NDArray[np.int32]


def _extent(frame: Frame) -> float:
    """Return how far the ghosts of a frame lie from the bounds of its owned atoms [Å]."""
    if not frame.n_ghost or not frame.n_local:
        return 0.0
    own = frame.bounds
    s = frame.fractional(slice(frame.n_local, None))
    beyond = np.maximum(own[:3] - s.min(axis=0), s.max(axis=0) - own[3:])
    return float((np.maximum(beyond, 0.0) * heights(frame.cell)).max())


class Halo:
    """Exchange of features for one frame; making it and the methods that say so are collective.

    Parameters
    ----------
    frame
        This rank's frame.
    ranks
        The ranks of the simulation.
    width
        Features of an atom that are exchanged.
    rounds
        How often they will be, in this frame.
    before
        The halo of an earlier frame, whose owners are kept if no rank's atoms have changed.
    reach
        Distance from its own atoms within which a rank reads features [Å]; None: as far as there are
        ghosts.

    Attributes
    ----------
    waited
        Time spent in exchanges so far [s].
    """

    def __init__(
        self, frame: Frame, ranks: Ranks, width: int, rounds: int, before: Halo | None = None,
        reach: float | None = None,
    ) -> None:  # fmt: skip
        started = time.perf_counter()
        self._ranks, self._width, self._left = ranks, width, rounds
        self._chosen = False
        #: Whether the ranks exchange as often, and as much, as they like: all are well.
        self.unlimited = False
        if reach is None:
            reach = _extent(frame) if ranks.size > 1 else 0.0
        partners = partners_of(frame, reach, ranks)
        kept = before.owners if before is not None else None
        if ranks.any(kept is None or not kept.fits(frame, partners)):
            kept = None
        #: Who owns which ghost; also valid in later frames of the same atoms.
        self.owners: Owners = kept or Owners(frame, ranks, partners)
        self._send: Mapping[int, NDArray[np.int32]] = {}
        self._take: Mapping[int, NDArray[np.intp]] = {}
        self.waited = time.perf_counter() - started

    @classmethod
    def alone(cls, frame: Frame) -> Halo:
        """Return the halo of a sample that is on this rank as a whole; not collective."""
        return cls(frame, Ranks(), 0, 0)

    @property
    def received(self) -> int:
        """Number of atoms that are other ranks': rows after the owned ones."""
        return self.owners.received

    @property
    def ids(self) -> NDArray[np.int64]:
        """``(received,)`` ids of these atoms, −1 where nobody owns it."""
        return self.owners.others

    @property
    def taken(self) -> int:
        """Number of those whose features this rank takes in the frame."""
        return sum(map(len, self._take.values()))

    @property
    def ghosts_received(self) -> NDArray[np.intp]:
        """``(received,)`` a ghost of each of them, as an index into the frame's arrays."""
        return self.owners.ghosts

    def rows(self, search: Neighbors) -> Rows:
        """Return the rows of the frame's atoms; not collective."""
        _, points = search.owned
        row_of = np.empty(len(points), dtype=np.int32)
        row_of[points] = np.arange(len(points), dtype=np.int32)
        of_place = compiled().rows_of_places(search.cells, len(points), self.owners.of_ghost)
        return Rows(row_of, of_place)

    def choose(self, read: NDArray[np.int32]) -> None:
        """Tell the owners which of their atoms this rank's graph reads; collective.

        Parameters
        ----------
        read
            ``(n_local, k)`` rows that each atom reads, −1 where there is none.
        """
        used = np.zeros(self.received, dtype=np.uint8)
        if self.received:
            compiled().mark_read(read, self.owners.n_local, used)
        self.choose_used(used.astype(bool))

    def choose_used(self, used: NDArray[np.bool_]) -> None:
        """Do the same with a mark ``(received,)`` for each atom of other ranks; collective."""
        started = time.perf_counter()
        take, wanted = {}, {}
        for r, (places, index) in self.owners.sources.items():
            some = used[places]
            take[r], wanted[r] = places[some], index[some]
        self._take, self._chosen = take, True  # what could fail on one rank is behind us
        self._send = self._ranks.trade(wanted, self.owners.clients, np.int32)
        self.waited += time.perf_counter() - started

    def fill(self, values: NDArray[np.float32], rows: Rows) -> None:
        """Fill in the features of other ranks' atoms, those that were chosen; collective.

        Parameters
        ----------
        values
            ``(n_local + received, width)`` features by row.
        rows
            Of the frame.
        """
        n = self.owners.n_local

        def put(places: NDArray[np.intp], came: NDArray[np.float32]) -> None:
            values[n + places] = came

        self.fill_by(lambda own: values[rows.row_of[own]], put)

    def fill_by(
        self,
        gather: Callable[[NDArray[np.int32]], NDArray[np.float32]],
        put: Callable[[NDArray[np.intp], NDArray[np.float32]], None],
    ) -> None:
        """Exchange the features that were chosen, wherever they are; collective.

        Parameters
        ----------
        gather
            Returns the features ``(k, width)`` of owned atoms, given by index.
        put
            Takes those of other ranks' atoms: their numbers ``(k,)`` among the received, and
            ``(k, width)``.
        """
        parts = {r: gather(k) for r, k in self._send.items()}
        started = time.perf_counter()
        came = self._trade(parts)
        for r, places in self._take.items():
            put(places, came[r].reshape(len(places), self._width))
        self.waited += time.perf_counter() - started

    def _trade(self, parts: Mapping[int, NDArray[np.float32]]) -> Mapping[int, NDArray[np.float32]]:
        most = {r: len(places) * self._width for r, places in self._take.items()}
        flat = {r: p.ravel() for r, p in parts.items()}
        self._left -= 1
        return self._ranks.trade(flat, most, np.float32)

    @property
    def left(self) -> int:
        """How many exchanges are left in this frame."""
        return self._left

    @property
    def width(self) -> int:
        """Features of an atom that are exchanged."""
        return self._width

    def of_all_atoms(self, values: NDArray[Any], search: Neighbors) -> NDArray[Any]:
        """Return the values of owned and ghost atoms from those of the owned ones; collective.

        Parameters
        ----------
        values
            ``(n_local, k)`` of the owned atoms, by index; of 4 bytes each, or of 8, which are two
            features.
        search
            The search over the frame.

        Returns
        -------
        values
            ``(n_local + n_ghost, k)`` of the same type; NaN (whole numbers: −1) for ghosts beyond the
            reach, which nobody reads.

        Raises
        ------
        InsituError
            A ghost within reach belongs to no rank.
        """
        rows = self.rows(search)
        k = values.shape[1] * values.dtype.itemsize // 4
        if self.unlimited:
            self._width = k
        words = np.ascontiguousarray(values).view(np.float32).reshape(len(values), k)
        table = np.zeros((len(values) + self.received, k), dtype=np.float32)
        table[rows.row_of] = words
        if not self._chosen:
            self.choose_used(np.ones(self.received, dtype=bool))
        self.fill(table, rows)
        row_of = np.empty(len(rows.row_of_place), dtype=np.int32)
        row_of[search.index] = rows.row_of_place
        found: NDArray[Any] = table[row_of].view(values.dtype).reshape(-1, values.shape[1])
        if len(far := np.flatnonzero(row_of < 0)):
            frame = search.frame
            s = frame.fractional(far)
            if self.owners.partners.reach_into(s).any():
                raise InsituError(NOBODYS)
            found[far] = np.nan if values.dtype.kind == "f" else -1
        return found

    def finish(self) -> None:
        """Take part in what is left of the frame's rounds, for a rank whose analysis failed.

        Its atoms have features of 0 elsewhere; the frame is given up when the ranks next agree.
        """
        if not self._left:
            return
        nothing = not self._chosen
        if nothing:
            self.choose_used(np.zeros(self.received, dtype=bool))
        while self._left:
            self._trade(
                {r: np.zeros(len(k) * self._width, np.float32) for r, k in self._send.items()}
            )
        self._chosen = not nothing
