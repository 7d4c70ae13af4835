# SPDX-License-Identifier: BSD-3-Clause
"""Cost of the exchange of features between ranks, which networks with graph layers need.

    mpiexec -n 2 python benchmarks/halo.py --atoms 25000

A distorted crystal is dealt out to the ranks as LAMMPS does, with ghosts up to 8 Å. Milliseconds of the
slowest rank, best of some repeats: finding the ghosts' owners (once for as long as no rank's atoms
change), noticing that they are known, telling the owners what the graph reads (once a frame), and the
exchange (before each layer).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.models.engines.spatial import SpatialSettings, neighbors_of
from insitu.testing import deal, lattice


def grid_of(ranks: int) -> tuple[int, int, int]:
    """Return a grid of domains, as even as it gets."""
    found = [
        (a, b, ranks // (a * b))
        for a in range(1, ranks + 1)
        for b in range(1, ranks + 1)
        if ranks % (a * b) == 0
    ]
    return min(found, key=sum)


def main() -> None:
    """Print one row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=25_000, help="of a rank, about (25000)")
    parser.add_argument("--width", type=int, default=64, help="features of an atom (64)")
    parser.add_argument("--repeats", type=int, default=9, help="the best is printed (9)")
    arguments = parser.parse_args()
    comm = MPI.COMM_WORLD
    ranks = Ranks(comm)
    k = max(2, round((arguments.atoms * ranks.size / 4) ** (1 / 3)))
    r, cell = lattice("fcc", 4.05, (k, k, k))
    r += np.random.default_rng(0).normal(scale=0.1, size=r.shape)
    frame = deal(r, cell, grid_of(ranks.size), 8.0)[ranks.rank]
    spacing, graph, width = 4.05 / 4 ** (1 / 3), SpatialSettings(), arguments.width
    search = Neighbors(frame, graph.reach * spacing)

    def best(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(arguments.repeats):
            comm.Barrier()
            started = time.perf_counter()
            work()
            times.append(comm.allreduce(time.perf_counter() - started, op=MPI.MAX))
        return 1e3 * min(times)

    rounds = 10 * arguments.repeats
    halo = Halo(frame, ranks, width, rounds)
    found = best(lambda: Halo(frame, ranks, width, rounds))
    known = best(lambda: Halo(frame, ranks, width, rounds, halo))
    rows = halo.rows(search)
    nearest = neighbors_of(search, graph, spacing)[3]
    read = np.where(nearest >= 0, rows.row_of_place[nearest], np.int32(-1))
    chosen = best(lambda: halo.choose(read))
    values = np.zeros((frame.n_local + halo.received, width), dtype=np.float32)
    exchanged = best(lambda: halo.fill(values, rows))
    if ranks.rank == 0:
        print(
            f"{ranks.size} ranks, rank 0: {frame.n_local} atoms, {frame.n_ghost} ghosts, "
            f"{halo.taken} read from others | owners {found:.2f} ms, known {known:.2f} ms, "
            f"choice {chosen:.2f} ms, exchange of {width} features {exchanged:.2f} ms"
        )


if __name__ == "__main__":
    main()
