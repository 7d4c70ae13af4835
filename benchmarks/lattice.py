# SPDX-License-Identifier: BSD-3-Clause
"""What `analyze lattice`, and `analyze grains` after it, cost: processor time of one thread an atom.

    python benchmarks/lattice.py [--atoms 100000] [--elements Al,Fe]

Thermal crystals from a short molecular dynamics (`insitu.bench.samples`), all atoms labelled as their
crystal. The whole analysis is timed, with the exchange on one rank and the columns; then its parts.
Processor time, not wall time, so that other jobs on the machine matter less; the least of some
repetitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from insitu.analyses.base import System
from insitu.analyses.grains.analysis import Grains, GrainsSettings
from insitu.analyses.lattice.analysis import Lattice, LatticeSettings
from insitu.analyses.lattice.fit import LATTICES, fit, orient
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.loading import load
from insitu.bench.samples import Sample, element, sample
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks


def least(work: Callable[[], Any], times: int) -> float:
    """Return the least processor time of some repetitions [s]."""
    found = []
    for _ in range(times):
        before = time.thread_time()
        work()
        found.append(time.thread_time() - before)
    return min(found)


def costs(s: Sample, times: int) -> dict[str, float]:
    """Return the seconds of each part, for all atoms of a sample."""
    phases = Phases(load("metals", device="cpu"))
    bare = Frame.from_arrays(s.positions, s.cell, True, reach=0.0)
    phases.classifier.measure(spacing(bare))
    frame = bare.with_images(phases.classifier.search * 1.0001)
    classes = tuple(phases.classes)
    labels = np.full(frame.n_local, classes.index(s.element.structure))
    frame = replace(frame, results={"phase": labels})
    neighbors = Neighbors(frame, phases.classifier.search)
    rows = {"phases (metals)": least(lambda: phases(frame, neighbors), times)}

    def analysis(averaged: bool) -> Lattice:
        found = Lattice(LatticeSettings(averaged=averaged), System(classes=classes))
        found.halo = Halo(frame, Ranks(), 5, 10**6)  # in a run that of the frame before
        return found

    means, own = analysis(True), analysis(False)
    rows["lattice"] = least(lambda: means(frame, neighbors), times)
    rows["lattice, averaged no"] = least(lambda: own(frame, neighbors), times)
    kinds = np.full(frame.n_local, LATTICES[s.element.structure], dtype=np.int32)
    species, radius = np.zeros(2, dtype=np.int32), neighbors.cutoff
    found = fit(frame, neighbors, kinds, species, radius, None)
    rows["  of it: search and fits"] = least(
        lambda: fit(frame, neighbors, kinds, species, radius, None), times
    )
    shared = found.shared()
    rows["  of it: exchange"] = least(lambda: means.with_ghosts(shared, neighbors), times)
    everywhere = means.with_ghosts(shared, neighbors)
    rows["  of it: means of orientations"] = least(
        lambda: orient(found, everywhere, neighbors, species, True), times
    )
    rows["grains"] = grains_cost(s, frame, neighbors, means, times)
    return rows


def grains_cost(
    s: Sample, frame: Frame, neighbors: Neighbors, lattice: Lattice, times: int
) -> float:
    """Return the seconds that `analyze grains` takes after an `analyze lattice`."""
    a, structure, system = s.element.a, s.element.structure, lattice.system
    cutoff = {"fcc": 0.5 * (np.sqrt(0.5) + 1.0) * a, "bcc": 0.5 * (np.sqrt(2.0) + 1.0) * a}[
        structure
    ]
    own = lattice(frame, neighbors)
    columns = {f"lattice/{c}": own[c] for c in lattice.columns}
    fitted = replace(frame, results=dict(frame.results) | columns)
    grains = Grains(GrainsSettings(structure, cutoff), system)
    grains.halo = Halo(frame, Ranks(), grains.exchanged, 10**6)
    grains.halo.unlimited = True

    def work() -> None:
        grains(fitted, neighbors)
        grains.together(Ranks())

    return least(work, times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, default=100_000)
    parser.add_argument("--elements", default="Al,Fe")
    parser.add_argument("--times", type=int, default=5)
    a = parser.parse_args()
    print(f"instruction set {compiled().isa_default()}, one thread, µs an atom")
    for symbol in a.elements.split(","):
        s = sample(element(symbol), a.atoms)
        print(f"{s.title} ({s.origin})")
        for words, seconds in costs(s, a.times).items():
            print(f"  {words:<32}{seconds / len(s.positions) * 1e6:8.3f}")


if __name__ == "__main__":
    main()
