# SPDX-License-Identifier: BSD-3-Clause
"""What ranks say to each other in a frame, counted; and what it costs on 100,000 of them, modelled.

    python benchmarks/many_ranks.py                      # counts on 8 to 216 ranks, costs on up to 10⁵
    python benchmarks/many_ranks.py --atoms 32000 --latency 5 --bandwidth 5

Counted: the messages and bytes of a rank, in the code that runs in LAMMPS, on ranks that are threads of
this process: when the partners are looked for (once for as long as atoms stay within 0.3 of the reach),
when owners of ghosts are (at each neighbour list), and in a frame.

Measured: what a rank computes for it, with as many partners and ghosts as it has in a run of that size:
synthetic regions around one rank's own atoms, best of some repeats.

Modelled: a message costs `--latency` [µs] and its bytes over `--bandwidth` [GB/s]; an all-reduce
2 log2(ranks) such messages one after the other. The physics is `--step` [µs] an atom and step, for 100
steps.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.bench.machine import line, machine
from insitu.frame.frame import Frame
from insitu.frame.ghosts.check import GhostCheck, check
from insitu.frame.ghosts.halo import Halo
from insitu.frame.ghosts.partners import _Directory
from insitu.frame.neighbors import density
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.models.engines.spatial import SpatialSettings, neighbors_of
from insitu.testing import ThreadRanks, deal, lattice, together

#: Edge of a cubic cell of aluminium [Å], reach of `metals` in it, LAMMPS' ghost cutoff with a skin of 2 Å.
EDGE, REACH, GHOSTS = 4.05, 5.36, 8.0
#: Features of an atom that `metals` exchanges, and how often in a frame.
WIDTH, ROUNDS = 32, 3


@dataclass
class Counted:
    """Messages and bytes that a rank sent, and collective calls with their bytes."""

    messages: int = 0
    bytes: int = 0
    reductions: int = 0
    reduced: int = 0


class CountingRanks(ThreadRanks):
    """Ranks that count what they say."""

    def __init__(self, other: ThreadRanks) -> None:
        super().__init__(other.team, other.rank)
        self.counted = Counted()

    def take(self) -> Counted:
        """Return what was counted since the last call."""
        found, self.counted = self.counted, Counted()
        return found

    def _count(self, sent: Mapping[int, NDArray[Any]]) -> None:
        others = [np.asarray(a) for r, a in sent.items() if r != self.rank]
        self.counted.messages += len(others)
        self.counted.bytes += sum(a.nbytes for a in others)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count a reduction."""
        self.counted.reductions += 1
        self.counted.reduced += values.nbytes
        return super().sum(values)

    def deliver(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Count messages and a barrier."""
        self._count(sent)
        self.counted.reductions += 1
        return super().deliver(sent, dtype)

    def trade(
        self, sent: Mapping[int, NDArray[Any]], most: Mapping[int, int], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Count messages."""
        self._count(sent)
        return super().trade(sent, most, dtype)


def crystal(cells: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a hot crystal of `cells` cubic cells along each axis."""
    r, cell = lattice("fcc", EDGE, (cells, cells, cells))
    return r + np.random.default_rng(seed).normal(scale=0.1, size=r.shape), cell


def count(along: int, cells: int = 5) -> dict[str, Counted]:
    """Return what the busiest rank says, of ``along``³ ranks with ``4 cells³`` atoms each, by occasion."""
    r, cell = crystal(along * cells)
    frames = deal(r, cell, (along, along, along), GHOSTS)
    spacing = EDGE / 4 ** (1 / 3)

    def work(there: ThreadRanks) -> dict[str, Counted]:
        ranks = CountingRanks(there)
        frame = frames[ranks.rank]
        check(frame, REACH, ranks)
        first = ranks.take()
        density.spacing(frame, ranks)
        check(frame, REACH, ranks)
        said = ranks.take()
        first.messages -= said.messages  # that is of the frame itself
        first.bytes -= said.bytes
        halo = Halo(frame, ranks, WIDTH, ROUNDS, None, REACH)
        owners = ranks.take()
        search = Neighbors(frame, REACH)
        rows = halo.rows(search)
        nearest = neighbors_of(search, SpatialSettings(neighbors=12), spacing)[3]
        halo.choose(np.where(nearest >= 0, rows.row_of_place[nearest], np.int32(-1)))
        values = np.zeros((frame.n_local + halo.received, WIDTH), dtype=np.float32)
        for _ in range(ROUNDS):
            halo.fill(values, rows)
        ranks.sum(np.zeros(64))
        features = ranks.take()
        return {"partners": first, "owners": owners, "ghosts": said, "features": features}

    found = together(along**3, work)
    assert all(isinstance(f, dict) for f in found), found
    return {k: max((f[k] for f in found), key=lambda c: c.messages) for k in found[0]}


def best(work: Callable[[], Any], repeats: int = 5) -> float:
    """Return the shortest time of some calls [s]."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def middle(atoms: int, along: int) -> tuple[Frame, list[NDArray[np.float64]]]:
    """Return the frame of a rank amid ``along``³, and the questions of its 26 partners and itself."""
    cells = round((atoms / 4) ** (1 / 3))
    r, own = crystal(cells)
    whole = Frame.from_arrays(r, own, True, reach=GHOSTS)
    at = own.sum(axis=0) * (along // 2)
    frame = Frame(
        positions=whole.positions + at, types=whole.types.copy(),
        ids=np.arange(1, len(whole.positions) + 1), n_local=whole.n_local, cell=own * along,
    )  # fmt: skip
    mine = GhostCheck(frame, REACH).question()
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3) / along
    questions = []
    for shift in shifts:
        one = mine.copy()
        one[:6] += np.concatenate([shift, shift])
        questions.append(one)
    return frame, questions


def computed(atoms: int, along: int) -> dict[str, float]:
    """Return what a rank computes for the directory, for the check of the ghosts [s]."""
    frame, questions = middle(atoms, along)
    rows = np.array(questions)
    ranks = Ranks()
    ranks.size = along**3
    directory = _Directory(frame, ranks)
    box = rows[:, :6]
    part = np.full(3, REACH) / (frame.cell.diagonal())
    told = {
        k: np.concatenate([[0, asked, *b] for asked in (0, 1)])
        for k, b in enumerate(box + np.concatenate([-part, part]))
    }

    def frame_check() -> None:
        this = GhostCheck(frame, REACH)
        mine = this.question()
        this.missing(mine, int(this.answer(rows).sum()))
        this.stale(rows)

    def look_up() -> None:
        list(directory._over(box[13]))
        directory._answers(told)

    return {"ghosts": best(frame_check), "partners": best(look_up)}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=32_000, help="of a rank (32000)")
    parser.add_argument("--latency", type=float, default=5.0, help="of a message [µs] (5)")
    parser.add_argument("--bandwidth", type=float, default=5.0, help="of a rank [GB/s] (5)")
    parser.add_argument(
        "--step", type=float, default=1.45, help="of the simulation [µs/atom] (1.45)"
    )
    parser.add_argument("--along", default="2,3,4,6", help="ranks along each axis that are counted")
    options = parser.parse_args()
    print(line(machine()))
    print("\nCounted: the busiest rank's messages and kB\n")
    print(
        "| ranks | partners looked for | owners looked for | ghosts of a frame | features of a frame |"
    )
    print("|---|---|---|---|---|")
    counts: dict[str, Counted] = {}
    for along in map(int, options.along.split(",")):
        counts = count(along)
        cells = " | ".join(f"{c.messages}, {c.bytes / 1e3:.1f}" for c in counts.values())
        print(f"| {along**3} | {cells} |")
    # A rank's own surface: features and ids that it sends grow with it.
    surface = (options.atoms / 500) ** (2 / 3)
    grown = {"partners": 1.0, "owners": surface, "ghosts": 1.0, "features": surface}
    alpha, beta = options.latency * 1e-6, 1e-9 / options.bandwidth
    physics = 100 * options.atoms * options.step * 1e-6
    print(
        f"\nModelled: {options.atoms:,} atoms a rank, ms, and percent of 100 steps ({physics:.2f} s)\n"
    )
    print(
        "| ranks | partners | owners | ghosts | features | reductions | a frame | with a new list |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for along in (4, 8, 16, 47):
        spent = computed(options.atoms, along)
        hops = 2 * math.log2(along**3)
        cost = {
            k: c.messages * alpha + c.bytes * grown[k] * beta + spent.get(k, 0.0)
            for k, c in counts.items()
        }
        reductions = {
            k: hops * (c.reductions * alpha + c.reduced * beta) for k, c in counts.items()
        }
        once = cost["ghosts"] + cost["features"] + reductions["ghosts"] + reductions["features"]
        all_ = (
            once + cost["owners"] + cost["partners"] + reductions["owners"] + reductions["partners"]
        )
        every = reductions["ghosts"] + reductions["features"]
        print(
            f"| {along**3:,} | " + " | ".join(f"{1e3 * cost[k]:.2f}" for k in counts)
            + f" | {1e3 * every:.2f} | {1e3 * once:.2f} ({100 * once / physics:.2f} %) | "
            f"{1e3 * all_:.2f} ({100 * all_ / physics:.2f} %) |"
        )  # fmt: skip


if __name__ == "__main__":
    main()
