# SPDX-License-Identifier: BSD-3-Clause
"""Scripts with PTM and CNA, before and after: labels and processor time of both on one hot crystal.

The table of docs/coming_from_ptm.md. LAMMPS holds copper at its melting point (as in
benchmarks/hot_crystal.py); copper is not in the training data of `metals`. Each row is one script of that
page, before and after, on the same frame with one thread; the least of some repetitions.

example:
  pip install ".[lammps,ase]" ovito MDAnalysis ./integrations/ovito ./integrations/mdanalysis
  OMP_NUM_THREADS=1 python benchmarks/coming_from_ptm.py
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from hot_crystal import DECK, read

from insitu.offline.ptm import structures
from insitu.training.runs import potentials_folder, run_lammps

RESTING = """
units metal
read_data hot.data
pair_style zero 8.0
pair_coeff * *
mass * 63.546
comm_modify cutoff 10.0
{lines}
run {steps}
variable mean equal {mean}
print "fcc ${{mean}}"
"""
CNA = """compute cna all cna/atom {cutoff}
variable isfcc atom c_cna==1
compute fcc all reduce ave v_isfcc
fix before all ave/time 1 1 1 c_fcc"""
AFTER = "fix after all insitu 1 file after.h5 if_exists overwrite"
STEPS = 40


def sample(folder: Path, cells: int, steps: int) -> float:
    """Make hot.dump, hot.xyz and hot.data; return the share of fcc in its inherent structure."""
    import ase
    import ase.io

    deck = DECK.format(
        cells=cells, potentials=potentials_folder(), twice=2 * 1325, kelvin=1325, steps=steps,
        model="metals",
    )  # fmt: skip
    run_lammps(folder, deck)
    cell, rows = read(folder / "hot.dump")
    atoms = ase.Atoms(f"Cu{len(rows)}", rows[:, 1:4], cell=cell, pbc=True)
    ase.io.write(folder / "hot.xyz", atoms, format="extxyz")
    ase.io.write(folder / "hot.data", atoms, format="lammps-data", masses=False)
    cold, inherent = read(folder / "cold.dump")
    return float((structures(inherent[:, 1:4], cold, True, "cna") == "fcc").mean())


def ovito(after: bool, rmsd: float = 0.1) -> tuple[Callable[[], float], int]:
    """Return OVITO's script, without reading the file; `rmsd` 0: no limit."""
    from insitu_ovito import IdentifyStructuresModifier
    from ovito.io import import_file
    from ovito.modifiers import PolyhedralTemplateMatchingModifier

    frame = import_file("hot.dump").compute()
    mine = IdentifyStructuresModifier()

    def run() -> float:
        data = frame.clone()
        if after:
            data.apply(mine)
            return data.attributes["insitu.counts.fcc"] / data.particles.count
        data.apply(PolyhedralTemplateMatchingModifier(rmsd_cutoff=rmsd))
        return data.attributes["PolyhedralTemplateMatching.counts.FCC"] / data.particles.count

    return run, frame.particles.count


def by_ase(after: bool) -> tuple[Callable[[], float], int]:
    """Return ASE's script, a-CNA before."""
    import ase.io
    from ovito.io.ase import ase_to_ovito
    from ovito.modifiers import CommonNeighborAnalysisModifier

    import insitu

    atoms = ase.io.read("hot.xyz")

    def run() -> float:
        if after:
            return insitu.classify(atoms, threads=1, device="cpu").fractions["fcc"]
        data = ase_to_ovito(atoms)
        data.apply(CommonNeighborAnalysisModifier())
        return float(np.mean(np.asarray(data.particles["Structure Type"]) == 1))

    return run, len(atoms)


def mdanalysis(after: bool) -> tuple[Callable[[], float], int]:
    """Return MDAnalysis' script, PTM before; reading the frame included."""
    import MDAnalysis as mda  # noqa: N813
    from insitu_mdanalysis import StructureAnalysis
    from MDAnalysis.analysis.base import AnalysisFromFunction
    from ovito.data import DataCollection
    from ovito.modifiers import PolyhedralTemplateMatchingModifier

    u = mda.Universe("hot.xyz", format="XYZ")
    import ase.io

    u.dimensions = ase.io.read("hot.xyz").cell.cellpar()

    def fraction(atoms: mda.AtomGroup) -> float:
        data, cell = DataCollection(), np.zeros((3, 4))
        cell[:, :3] = np.diag(atoms.universe.dimensions[:3])
        data.create_cell(cell, pbc=(True, True, True))
        data.create_particles(count=len(atoms)).create_property("Position", data=atoms.positions)
        data.apply(PolyhedralTemplateMatchingModifier(rmsd_cutoff=0.1))
        return float(np.mean(np.asarray(data.particles["Structure Type"]) == 1))

    def run() -> float:
        if after:
            return StructureAnalysis(u.atoms).run().results.fractions[0, 0]
        return AnalysisFromFunction(fraction, u.trajectory, u.atoms).run().results.timeseries[0]

    return run, len(u.atoms)


def lammps(folder: Path, lines: str, mean: str) -> tuple[float, float]:
    """Return the fraction of fcc and the processor time of a step of a resting sample [s]."""

    def run(steps: int) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_lammps(folder, RESTING.format(lines=lines, steps=steps, mean=mean))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    spent = run(1 + STEPS) - run(1)
    found = re.search(r"^fcc (\S+)", (folder / "log").read_text(), re.M)
    assert found
    return float(found[1]), spent / STEPS


def least(run: Callable[[], float], repeat: int) -> tuple[float, float]:
    """Return a script's result and its processor time [s], the least of some."""
    result, best = run(), float("inf")
    for _ in range(repeat):
        started = time.process_time()
        result = run()
        best = min(best, time.process_time() - started)
    return result, best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10, help="along each edge (10)")
    parser.add_argument("--steps", type=int, default=2000, help="of the hot run (2000)")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions (5)")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        inherent = sample(folder, words.cells, words.steps)
        n = 4 * words.cells**3
        print(f"{n:,} atoms of Cu; inherent structure by a-CNA: {100 * inherent:.1f} % fcc\n")
        print(
            "| | fcc before (%) | µs an atom | fcc after (%) | µs an atom |\n|---|---|---|---|---|"
        )
        for title, script in (
            ("OVITO, PTM with RMSD 0.1", ovito),
            ("OVITO, PTM without a limit", partial(ovito, rmsd=0.0)),
            ("ASE, a-CNA", by_ase),
            ("MDAnalysis, PTM with RMSD 0.1", mdanalysis),
        ):
            cells = []
            for after in (False, True):
                run, atoms = script(after)
                with contextlib.redirect_stdout(None):  # what the modifier prints into its panel
                    found, seconds = least(run, words.repeat)
                cells += [f"{100 * found:.1f}", f"{1e6 * seconds / atoms:.2f}"]
            print(f"| {title} | {' | '.join(cells)} |", flush=True)
        cutoff = 0.5 * (0.5**0.5 + 1.0) * read(folder / "hot.dump")[0][0, 0] / words.cells
        before = lammps(folder, CNA.format(cutoff=f"{cutoff:.4f}"), "f_before")
        later = lammps(folder, AFTER, "f_after[1]")
        cells = [f"{100 * f:.1f} | {1e6 * s / n:.2f}" for f, s in (before, later)]
        print(f"| LAMMPS, CNA (a step of a resting sample) | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
