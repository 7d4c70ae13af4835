# SPDX-License-Identifier: BSD-3-Clause
"""Grains by `analyze grains` and by OVITO's grain segmentation, in crystals whose grains are known.

    python benchmarks/grains.py --folder samples [--tilts 2,3,5,8,15] [--angles 2,4] [--ranks 1,2,3]

Bicrystals of aluminium of about these misorientations (symmetric tilts about [001]) and a polycrystal of
six grains, two of them turned by 6 degrees against each other, at 0.9 of the melting point and then cooled
to 50 K (`grain_samples.py`; what is in the folder is taken from there). All atoms are fcc by their labels.
Known is the grain that an atom was put into; boundaries move during the anneal, so that 1 is not to be
reached. Printed are, for each method, the number of grains, the part of the atoms that it puts in grains,
and the adjusted Rand index (L. Hubert and P. Arabie, J. Classif. 2, 193 (1985), doi:10.1007/BF01908075) of
these atoms, and of all, where those in no grain count as one more; for `analyze grains` also whether each
atom's grain is the same on other numbers of ranks (threads with the exchanges of a run) and in another
order of the atoms.

OVITO's are GrainSegmentationModifier by graph clustering with its automatic threshold, with that of its
manual ones that fits the known grains best (which nobody knows beforehand), and by the minimum spanning
tree with 4 degrees; all on PTM without a limit of the RMSD, grains of 50 atoms or more.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from grain_samples import Known, bicrystal, moved, polycrystal
from numpy.typing import NDArray

from insitu.analyses.base import System
from insitu.analyses.grains.analysis import Grains
from insitu.analyses.lattice.analysis import Lattice
from insitu.analyses.requests import request
from insitu.analyses.running import local_results
from insitu.analyses.running import together as in_common
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.testing.ranks import deal, together

#: How far neighbours are searched for the fit, and which are joined [Å].
REACH, CUTOFF = 6.0, 3.5
GRIDS = {1: (1, 1, 1), 2: (1, 2, 1), 3: (3, 1, 1), 4: (2, 2, 1)}
#: Manual merge thresholds of OVITO's graph clustering, which are logarithms of a cost.
THRESHOLDS = np.arange(5.0, 16.0)
Grain = NDArray[np.int64]


def rand_index(one: Grain, other: Grain) -> float:
    """Return the adjusted Rand index of two partitions ``(n,)``."""
    u, a = np.unique(one, return_inverse=True)
    v, b = np.unique(other, return_inverse=True)
    table = np.zeros((len(u), len(v)))
    np.add.at(table, (a, b), 1)

    def pairs(x: NDArray[np.float64]) -> float:
        return float((x * (x - 1) / 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = rows * columns / pairs(table.sum())
    most = 0.5 * (rows + columns)
    return (both - chance) / (most - chance) if most != chance else 1.0


def ours(k: Known, angle: float, ranks: int = 1, turned: bool = False) -> Grain:
    """Return the grain of each atom by `analyze grains`, 0: none.

    Parameters
    ----------
    k
        The crystal.
    angle
        Setting of the analysis [degrees].
    ranks
        How many, one of `GRIDS`.
    turned
        The atoms in the opposite order, with the ids that they have.
    """
    system = System(cell=k.cell, classes=("fcc", "disordered", "unknown"))
    ids = np.arange(1, len(k.positions) + 1)
    where = ids[::-1] if turned else ids

    def one(frame: Frame, own_ranks: Ranks) -> Any:
        lattice = Lattice(request("lattice", {"cutoff": REACH}).settings, system)
        words = {"phase": "fcc", "cutoff": CUTOFF, "angle": angle}
        grains = Grains(request("grains", words).settings, system)
        search = Neighbors(frame, REACH)
        frame = replace(frame, results={"phase": np.zeros(frame.n_local, dtype=int)})
        for a in (lattice, grains):
            a.halo = Halo(frame, own_ranks, a.exchanged, a.rounds, None, REACH)
        own = local_results(lattice, frame, search)
        columns = {f"lattice/{c}": own[c] for c in lattice.columns}
        local_results(grains, replace(frame, results=dict(frame.results) | columns), search)
        return frame.ids[: frame.n_local], in_common(grains, own_ranks)["id"]

    if ranks == 1:
        frame = Frame.from_arrays(
            k.positions[where - 1], k.cell, True, reach=REACH * 1.001, ids=where
        )
        results = [one(frame, Ranks())]
    else:
        frames = deal(k.positions, k.cell, GRIDS[ranks], REACH * 1.001)
        results = together(ranks, lambda r: one(frames[r.rank], r))
        for result in results:
            if isinstance(result, Exception):
                raise result
    grain = np.zeros(len(k.positions), dtype=np.int64)
    for mine, found in results:
        grain[mine - 1] = found
    return grain


def of_ovito(k: Known) -> dict[str, Grain]:
    """Return the grain of each atom by OVITO, 0: none; nothing where OVITO is not installed."""
    try:
        from ovito.data import DataCollection, Particles, SimulationCell
        from ovito.modifiers import GrainSegmentationModifier, PolyhedralTemplateMatchingModifier
    except ImportError:
        return {}
    kinds = GrainSegmentationModifier.Algorithm

    def segmented(**words: Any) -> Grain:
        data = DataCollection()
        box = SimulationCell(pbc=(True, True, True))
        box[:, :3] = k.cell.T
        data.objects.append(box)
        particles = Particles(count=len(k.positions))
        particles.create_property("Position", data=k.positions)
        data.objects.append(particles)
        data.apply(PolyhedralTemplateMatchingModifier(rmsd_cutoff=0.0, output_orientation=True))
        data.apply(GrainSegmentationModifier(min_grain_size=50, **words))
        return np.asarray(data.particles["Grain"]).astype(np.int64) + 1  # -1: none

    manual = [
        segmented(algorithm=kinds.GraphClusteringManual, merging_threshold=t) for t in THRESHOLDS
    ]
    return {
        "OVITO": segmented(algorithm=kinds.GraphClusteringAuto),
        "OVITO, best": max(manual, key=lambda g: rand_index(g, k.grain)),
        "OVITO, tree 4°": segmented(algorithm=kinds.MinimumSpanningTree, merging_threshold=4.0),
    }


def row(k: Known, grain: Grain) -> str:
    """Return number of grains, part of the atoms, Rand index of these and of all, as cells of a table."""
    some = grain > 0
    number = len(np.unique(grain[some]))
    index = rand_index(grain[some], k.grain[some]) if some.any() else 0.0
    return f"{number:>4} {some.mean():6.3f} {index:6.3f} {rand_index(grain, k.grain):6.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tilts", default="2,3,5,8,15")
    parser.add_argument("--angles", default="2,4")
    parser.add_argument("--ranks", default="1,2,3")
    parser.add_argument("--steps", type=int, default=600, help="at 0.9 T_m, of a bicrystal")
    a = parser.parse_args()
    starts = [(bicrystal(int(t)), f"bi{t}", a.steps) for t in a.tilts.split(",") if t]
    starts.append((polycrystal(), "poly", 4 * a.steps))
    for start, name, steps in starts:
        for state, k in moved(start, a.folder / name, steps).items():
            print(
                f"{k.name}, {state}, {len(k.positions):,} atoms, {len(k.turns)} grains", flush=True
            )
            for angle in map(float, a.angles.split(",")):
                grain = ours(k, angle)
                others = [ours(k, angle, int(n)) for n in a.ranks.split(",") if n != "1"]
                others.append(ours(k, angle, turned=True))
                same = "the same" if all((o == grain).all() for o in others) else "NOT the same"
                print(f"  {f'insitu, angle {angle:g}°':<18}{row(k, grain)}  {same}", flush=True)
            for method, grain in of_ovito(k).items():
                print(f"  {method:<18}{row(k, grain)}", flush=True)


if __name__ == "__main__":
    main()
