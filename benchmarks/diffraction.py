# SPDX-License-Identifier: BSD-3-Clause
"""What a powder pattern costs: the reciprocal mesh, the pairs, LAMMPS' compute xrd, freud's Debye sum.

    python -P benchmarks/diffraction.py                   2,048 and 6,912 atoms; 97,556 on the mesh
    python -P benchmarks/diffraction.py --cells 8 14      2,048 and 10,976 (compute xrd takes minutes)
    python -P benchmarks/diffraction.py --cells --large 63    1,000,188 atoms on the mesh, nothing else

Copper with displacements of 0.1 Å, X-rays of 1.5406 Å, 2θ from 10 to 90 degrees. Processor time, all
in one run; compute xrd sums every node (c 1 1 1), its time is that of LAMMPS with it less that without.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from insitu.diffraction import powder_pattern
from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.instrument import Instrument
from insitu.diffraction.scattering.intensities import rings
from insitu.testing import lattice

SPAN = (10.0, 90.0)


def sample(cells: int) -> tuple[np.ndarray, np.ndarray]:
    r, cell = lattice("fcc", 3.615, (cells, cells, cells))
    return (r + np.random.default_rng(0).normal(scale=0.1, size=r.shape)) % cell[0, 0], cell


def spent(work, *arguments, **keywords):  # type: ignore[no-untyped-def]
    begin = time.process_time()
    result = work(*arguments, **keywords)
    return time.process_time() - begin, result


def lammps(r: np.ndarray, cell: np.ndarray, compute: bool) -> tuple[float, np.ndarray | None]:
    """Return the processor time of LAMMPS [s], and angle and intensity of the nodes."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"copper\n\n{len(r)} atoms\n1 atom types\n"]
        lines += [f"0 {cell[0, 0]} {a}lo {a}hi" for a in "xyz"]
        lines += ["\nMasses\n\n1 63.546\n\nAtoms # atomic\n"]
        lines += [f"{i} 1 {x:.15g} {y:.15g} {z:.15g}" for i, (x, y, z) in enumerate(r, 1)]
        Path(folder, "a.data").write_text("\n".join(lines) + "\n")
        deck = "units metal\nread_data a.data\npair_style zero 4.0\npair_coeff * *\n"
        if compute:
            deck += f"compute x all xrd 1.5406 Cu 2Theta {SPAN[0]} {SPAN[1]} c 1 1 1 LP 1\n"
            deck += (
                'fix h all ave/time 1 1 1 c_x[1] c_x[2] mode vector file x.txt format " %.12g"\n'
            )
        Path(folder, "in.a").write_text(deck + "run 0\n")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [
            Path(sys.executable).parent / "lmp",
            "-in",
            "in.a",
            "-log",
            "none",
            "-screen",
            "none",
        ]
        subprocess.run(words, cwd=folder, check=True, env={"OMP_NUM_THREADS": "1"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        nodes = np.loadtxt(Path(folder, "x.txt"), skiprows=4)[:, 1:] if compute else None
        return after.ru_utime - before.ru_utime, nodes


def difference(r: np.ndarray, cell: np.ndarray, nodes: np.ndarray) -> float:
    """Return how far the sums over the nodes of a ring are apart, in units of their mean."""
    instrument = Instrument(two_theta=(SPAN[0] + 4, SPAN[1] - 4))
    slabs = mesh.slabs(cell, instrument.q_max, 1e9)
    mine = rings(r @ np.linalg.inv(cell), np.zeros(len(r), int), ("Cu",), cell, slabs, instrument)
    angle, intensity = nodes.T
    theta = np.radians(angle / 2)
    intensity = intensity * np.cos(theta) * np.sin(theta) ** 2 / (1 + np.cos(2 * theta) ** 2)
    at = (angle - instrument.fine[0]) / instrument.fine_spacing
    inside = (at >= 0) & (at < len(instrument.fine) - 1)
    left, share = np.divmod(at[inside], 1.0)
    theirs = np.zeros(len(instrument.fine))
    np.add.at(theirs, left.astype(int), intensity[inside] * (1 - share))
    np.add.at(theirs, left.astype(int) + 1, intensity[inside] * share)
    return float(np.abs(mine / len(r) - theirs).max() / theirs[theirs > 0].mean())


def freud_debye(r: np.ndarray, cell: np.ndarray, values: int) -> None:
    import freud

    box = freud.box.Box.cube(cell[0, 0])
    debye = freud.diffraction.StaticStructureFactorDebye(num_k_values=values, k_max=5.8, k_min=0.7)
    debye.compute((box, r - cell[0, 0] / 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="*", default=[8, 12])
    parser.add_argument("--large", type=int, default=29, help="cells of the mesh alone")
    options = parser.parse_args()
    powder_pattern(*sample(4), True, "Cu", threads=1)  # libraries are loaded, FFTs planned
    print(
        "| atoms | nodes | mesh | compute xrd | ratio | largest difference | pairs to 15 Å | freud, 100 Q |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for cells in options.cells:
        r, cell = sample(cells)
        ours, _ = spent(powder_pattern, r, cell, True, "Cu", two_theta=SPAN, threads=1)
        pairs, _ = spent(powder_pattern, r, cell, True, "Cu", two_theta=SPAN, method="histogram", cutoff=15.0, spacing=0.05)  # fmt: skip  # noqa: E501
        debye = f"{spent(freud_debye, r, cell, 100)[0]:.1f} s" if len(r) < 4000 else "–"
        bare, _ = lammps(r, cell, False)
        theirs, nodes = lammps(r, cell, True)
        assert nodes is not None
        theirs -= bare
        print(
            f"| {len(r):,} | {len(nodes):,} | {ours:.2f} s | {theirs:.1f} s | {theirs / ours:.0f} | "
            f"{difference(r, cell, nodes):.1e} | {pairs:.1f} s | {debye} |", flush=True,
        )  # fmt: skip
    r, cell = sample(options.large)
    for threads in (1, 2):
        begin = time.perf_counter()
        ours, pattern = spent(powder_pattern, r, cell, True, "Cu", two_theta=SPAN, threads=threads)
        wall = time.perf_counter() - begin
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(
            f"\n{len(r):,} atoms, {threads} threads: {ours:.2f} s of processor time, {wall:.2f} s wall, "
            f"{memory:.0f} MB; peaks at {', '.join(f'{p.position:.3f}' for p in pattern.peaks)}"
        )


if __name__ == "__main__":
    main()
