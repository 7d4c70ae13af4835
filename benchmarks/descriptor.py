# SPDX-License-Identifier: BSD-3-Clause
"""Cost of the Neighbors Map on one core: microseconds an atom of search and image.

Prints the table quoted in benchmarks/README.md. Repeats alternate between the instruction sets, so that
a disturbance of the machine meets them all; the minimum is the cost, the median tells the disturbance.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from insitu import _kernels
from insitu.bench.machine import line, machine
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import lattice

#: Lattice, lattice constant [Å], atoms a cell, and the noise of a coordinate at about 600 K [Å].
SAMPLES = {"Al": ("fcc", 4.08, 4, 0.13), "Fe": ("bcc", 2.87, 2, 0.10)}


def sample(name: str, atoms: int) -> Frame:
    """Return a crystal with thermal noise of about this many atoms, ghosts as LAMMPS gives them."""
    kind, a, basis, noise = SAMPLES[name]
    k = max(1, round((atoms / basis) ** (1 / 3)))
    r, cell = lattice(kind, a, (k, k, k))
    r += np.random.default_rng(0).normal(scale=noise, size=r.shape)
    return Frame.from_arrays(r, cell, True, reach=6.0 * (1 + 1e-4))


def once(frame: Frame, settings: NeighborsMap, batch: int, isa: str) -> float:
    """Return seconds of the search and of all images."""
    started = time.perf_counter()
    for _ in settings.batches(Neighbors(frame, settings.cutoff), batch=batch, isa=isa):
        pass
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: taskset -c 0 python benchmarks/descriptor.py --atoms 32000 --repeats 7",
    )
    parser.add_argument("--atoms", type=int, default=32000, help="about so many (32000)")
    parser.add_argument("--repeats", type=int, default=7, help="the minimum is printed (7)")
    parser.add_argument("--batch", type=int, default=64, help="images at a time (64)")
    parser.add_argument("--isa", nargs="*", help="instruction sets (all of this machine)")
    parser.add_argument("--scale-free", action="store_true", help="scale-free maps, ball of 32")
    arguments = parser.parse_args()
    isas = arguments.isa or _kernels.isa_available()
    settings = NeighborsMap(scale_free=arguments.scale_free)

    print(line(machine()))
    print(f"one core, {settings}, batch {arguments.batch}; search + image, [µs/atom]")
    print(
        f"{'sample':<10}{'atoms':>8}{'neighbors':>11}  {'isa':<8}{'minimum':>9}{'median':>9}{'n':>4}"
    )
    for name, (kind, *_) in SAMPLES.items():
        frame = sample(name, arguments.atoms)
        seconds: dict[str, list[float]] = {isa: [] for isa in isas}
        search = Neighbors(frame, settings.cutoff)
        mean = sum(int(n.sum()) for *_, n in settings.batches(search)) / frame.n_local
        for _ in range(arguments.repeats):
            for isa in isas:
                seconds[isa].append(once(frame, settings, arguments.batch, isa))
        for isa in isas:
            cost = 1e6 * np.array(seconds[isa]) / frame.n_local
            print(
                f"{kind + ' ' + name:<10}{frame.n_local:>8}{mean:>11.1f}  {isa:<8}"
                f"{cost.min():>9.2f}{np.median(cost):>9.2f}{len(cost):>4}"
            )


if __name__ == "__main__":
    main()
