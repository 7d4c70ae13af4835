# SPDX-License-Identifier: BSD-3-Clause
"""What `insitu.classify` costs beyond the kernels: search, maps and network, on frames made before.

python benchmarks/classify_cost.py                 # fcc of 16,384 and 32,000 atoms, one thread
python benchmarks/classify_cost.py --cells 30 --rounds 5

Processor time, since other work on the machine does not count there; the two take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import insitu
from insitu.analyses.phases.loading import load
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import lattice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[16, 20])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", default="metals")
    given = parser.parse_args()
    for cells in given.cells:
        r, cell = lattice("fcc", 4.05, (cells,) * 3)
        r = r + np.random.default_rng(0).normal(scale=0.12, size=r.shape)
        model = load(given.model, device="cpu")
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        length = spacing(bare)
        radius = model.radius(length)
        frame = bare.with_images(radius * 1.0001)
        halo = Halo.alone(frame)

        def kernels() -> None:
            for _ in model.batches(Neighbors(frame, radius), length, halo):  # noqa: B023
                pass

        def whole() -> None:
            insitu.classify(r, cell, True, model=given.model, device="cpu", threads=1)  # noqa: B023

        times = _in_turn([kernels, whole], given.rounds)
        ratio = float(np.median(times[1] / times[0]))
        least, most = (1e6 * t.min() / len(r) for t in times)
        print(
            f"{len(r):,} atoms: kernels {least:.2f} µs an atom, insitu.classify {most:.2f}; "
            f"least to least {most / least:.2f}, median of {given.rounds} rounds {ratio:.2f}"
        )


def _in_turn(work: list[Callable[[], None]], rounds: int) -> np.ndarray:
    """Return processor times ``(works, rounds)`` [s]; a first round is not counted."""
    found = np.zeros((len(work), rounds + 1))
    for k in range(rounds + 1):
        for j, function in enumerate(work):
            started = time.process_time()
            function()
            found[j, k] = time.process_time() - started
    return found[:, 1:]


if __name__ == "__main__":
    main()
