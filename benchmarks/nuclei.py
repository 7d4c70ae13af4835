# SPDX-License-Identifier: BSD-3-Clause
"""What is a Lennard-Jones nucleus made of? By PTM, and by `metals` with and without what it does not know.

    python benchmarks/nuclei.py            # three nuclei of 6,912 atoms; needs OVITO

A ball of fcc stays while the Lennard-Jones fluid around it melts (temperature 0.92, pressure 5.68, a fifth
below the melting point, as in the paper below; cut at 2.5), then all atoms are free. Of the largest cluster
of fcc, hcp and bcc atoms (nearer than 1.5) by each method: its size, its composition, and that of its outer
atoms, which have a neighbour that is not in it; mean over the frames in which it has 100 to 1,500 atoms.

References
----------
W. Gispen, A. Pérez de Alba Ortíz, M. Dijkstra, J. Chem. Phys. (2024), doi:10.1063/5.0239424,
arXiv:2412.03276: the coat of bcc around such nuclei nearly vanishes where a method can say that an atom is
none of its classes.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import insitu
from insitu.bench.samples import lammps_program
from insitu.offline.ptm import structures
from insitu.offline.readers.trajectories import read_frames

DECK = """units lj
atom_style atomic
lattice fcc 1.02
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 1
pair_style lj/cut 2.5
pair_modify tail no
pair_coeff 1 1 1 1
comm_modify cutoff 3.6
timestep 0.004
region ball sphere $({cells}/2) $({cells}/2) $({cells}/2) {radius} units lattice
group ball region ball
group around subtract all ball
velocity around create 4 {seed} mom yes rot yes dist gaussian
fix hold around npt temp 2 2 0.5 iso 5.68 5.68 5 dilate all
run 1500
unfix hold
velocity around scale {temperature}
fix hold around npt temp {temperature} {temperature} 0.5 iso 5.68 5.68 5 dilate all
run 1500
unfix hold
velocity ball create $(2*{temperature}) {seed} dist gaussian
fix hold all npt temp {temperature} {temperature} 0.5 iso 5.68 5.68 5
run 500
dump d all custom 500 nucleus.dump id x y z
dump_modify d sort id format float %.9g
run 4000
"""
PHASES = ("fcc", "hcp", "bcc")
NEAR = 1.5
SIZES = (100, 1500)


def methods(r: NDArray, box: NDArray) -> dict[str, NDArray[np.int64]]:
    """Return labels by each method: 0 … 2 for the phases of a nucleus, −1 for all else."""
    found = {
        "PTM, no limit": by_ovito(r, box, "ptm"),
        "PTM, RMSD 0.15": by_ovito(r, box, "ptm", 0.15),
        "PTM, RMSD 0.10": by_ovito(r, box, "ptm", 0.10),
        "a-CNA": by_ovito(r, box, "cna"),
    }
    made = insitu.classify(r, np.diag(box), True, device="cpu")
    place = np.array([PHASES.index(c) if c in PHASES else -1 for c in made.classes])
    found["metals, likeliest class"] = place[made.probabilities.argmax(axis=1)]
    found["metals"] = np.where(made.labels < 0, -1, place[made.labels])
    return found


def by_ovito(r: NDArray, box: NDArray, method: str, rmsd: float = 0.0) -> NDArray[np.int64]:
    """Return labels by PTM with a limit on the RMSD (0: none), or by a-CNA."""
    names = structures(r, np.diag(box), True, method, rmsd=rmsd)
    return np.array([PHASES.index(n) if n in PHASES else -1 for n in names.tolist()])


def nucleus(r: NDArray, box: NDArray, labels: NDArray[np.int64]) -> tuple[NDArray, NDArray] | None:
    """Return the labels of the largest cluster's atoms, and of its outer ones; None: it has no fit size."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(r % box, boxsize=box).query_pairs(NEAR, output_type="ndarray")
    inside = (labels[pairs] >= 0).all(axis=1)
    a, b = pairs[inside].T
    graph = coo_matrix((np.ones(len(a)), (a, b)), (len(r), len(r)))
    _, part = connected_components(graph, directed=False)
    part[labels < 0] = -1
    if not (part >= 0).any():
        return None
    largest = part == np.bincount(part[part >= 0]).argmax()
    if not SIZES[0] <= largest.sum() <= SIZES[1]:
        return None
    outer = np.zeros(len(r), dtype=bool)
    for i, j in (pairs.T, pairs.T[::-1]):
        outer[i[largest[i] & ~largest[j]]] = True
    return labels[largest], labels[outer]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument(
        "--radius", type=float, default=3.0, help="of the ball, in lattice constants"
    )
    parser.add_argument("--temperature", type=float, default=0.85)
    parser.add_argument("--nuclei", type=int, default=3)
    options = parser.parse_args()
    rows: dict[str, list[NDArray]] = {}
    for seed in range(options.nuclei):
        with tempfile.TemporaryDirectory() as folder:
            deck = DECK.format(
                cells=options.cells,
                radius=options.radius,
                temperature=options.temperature,
                seed=4711 + seed,
            )
            Path(folder, "in.deck").write_text(deck)
            words = [str(lammps_program()), "-in", "in.deck", "-log", "none", "-screen", "none"]
            subprocess.run(words, cwd=folder, check=True)
            for atoms in read_frames(str(Path(folder, "nucleus.dump")), ":"):
                r, box = atoms.positions, atoms.cell.lengths()
                for name, labels in methods(r, box).items():
                    if (found := nucleus(r, box, labels)) is not None:
                        shares = [np.bincount(part, minlength=3) / len(part) for part in found]
                        rows.setdefault(name, []).append(
                            np.array([len(found[0]), *shares[0], *shares[1]])
                        )
    print(
        "method                   frames   atoms   fcc    hcp    bcc   | outer: fcc    hcp    bcc"
    )
    for name, values in rows.items():
        atoms, *shares = np.mean(values, axis=0)
        words = [f"{100 * s:5.1f}" for s in shares]
        print(
            f"{name:24s} {len(values):6d} {atoms:7.0f}   {'  '.join(words[:3])} |        "
            f"{'  '.join(words[3:])}"
        )


if __name__ == "__main__":
    main()
