# SPDX-License-Identifier: BSD-3-Clause
"""Ranks that are threads of one process, and a sample dealt out to them as LAMMPS would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks


class Team:
    """A meeting point of `size` threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.board: list[Any] = [None] * size
        self.barrier = threading.Barrier(size, timeout=60)

    def meet(self, rank: int, value: Any) -> list[Any]:
        """Return what every rank brought."""
        self.board[rank] = value
        self.barrier.wait()
        everything = list(self.board)
        self.barrier.wait()
        return everything


class ThreadRanks(Ranks):
    """The collectives of Ranks over threads."""

    def __init__(self, team: Team, rank: int) -> None:
        super().__init__(None)
        self.team, self.rank, self.size = team, rank, team.size

    def abort(self, message: str) -> NoReturn:
        """Fail, and let the others wait in vain."""
        raise InsituError(f"rank {self.rank}: {message}")

    def agree(self, problem: str | None) -> None:
        """Raise on all ranks if any rank has a problem."""
        problems = [p for p in self.team.meet(self.rank, problem) if p]
        if problems:
            raise InsituError(problems[0])

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over the ranks."""
        total: NDArray[np.float64] = np.sum(self.team.meet(self.rank, values), axis=0)
        return total

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the maximum over the ranks."""
        most: NDArray[np.float64] = np.max(self.team.meet(self.rank, values), axis=0)
        return most

    def gather(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return every rank's table on rank 0."""
        parts = self.team.meet(self.rank, values)
        return parts if self.rank == 0 else []

    def everyones(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows of all ranks."""
        return np.concatenate(self.team.meet(self.rank, values))

    def deliver(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Send arrays to some ranks, which do not know of it."""
        board = self.team.meet(self.rank, {r: np.asarray(a, dtype) for r, a in sent.items()})
        return {r: part[self.rank] for r, part in enumerate(board) if self.rank in part}

    def trade(
        self, sent: Mapping[int, NDArray[Any]], most: Mapping[int, int], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Send arrays to some ranks and receive from some."""
        board = self.team.meet(self.rank, dict(sent))
        came = {r: part[self.rank] for r, part in enumerate(board) if self.rank in part}
        assert set(came) == set(most)
        assert all(len(a) <= most[r] and a.dtype == dtype for r, a in came.items())
        return came


def together(size: int, work: Callable[[ThreadRanks], Any]) -> list[Any]:
    """Run `work` on every rank; return the results, or the exceptions, by rank."""
    team = Team(size)
    results: list[Any] = [None] * size

    def one(rank: int) -> None:
        try:
            results[rank] = work(ThreadRanks(team, rank))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=one, args=(r,)) for r in range(size)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def deal(
    r: NDArray[np.float64],
    cell: NDArray[np.float64],
    grid: tuple[int, int, int],
    reach: float,
    types: NDArray[np.integer[Any]] | None = None,
) -> list[Frame]:
    """Return the frames of a periodic sample cut into slabs of the cell, with ghosts up to `reach`."""
    whole = Frame.from_arrays(r, cell, True, reach=2 * reach + 1.0, types=types)
    s = whole.positions @ np.linalg.inv(cell)
    n = whole.n_local
    part = reach / (1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0))
    domain = np.minimum((s[:n] * grid).astype(int), np.array(grid) - 1)
    frames = []
    for index in np.ndindex(*grid):
        (own,) = np.nonzero((domain == index).all(axis=1))
        if len(own):
            low, high = s[own].min(axis=0) - part, s[own].max(axis=0) + part
        else:
            low = high = np.full(3, np.nan)
        near = ((s >= low) & (s <= high)).all(axis=1)
        near[own] = False
        points = np.concatenate([own, np.flatnonzero(near)])
        frames.append(
            Frame(
                positions=whole.positions[points].copy(),
                types=whole.types[points].copy(),
                ids=whole.ids[points].copy(),
                n_local=len(own),
                cell=whole.cell.copy(),
            )
        )
    return frames
