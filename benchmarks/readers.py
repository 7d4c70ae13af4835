# SPDX-License-Identifier: BSD-3-Clause
"""Speed of the readers of trajectories: ours, OVITO's, chemfiles', MDAnalysis' and ASE's, on one file.

    python benchmarks/readers.py --atoms 100000 --frames 10

Hot fcc as `dump custom` writes it (id type x y z), as text, compressed (gz) and binary, and as XTC and DCD.
Each reader goes through all frames and hands out positions (types where the file has them); the best of
some repeats is printed, by the wall clock and by the processor time of all threads. Readers that are not
installed are left out.
"""

from __future__ import annotations

import argparse
import gzip
import struct
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.frame.lattices.perfect import lattice


def write(folder: Path, atoms: int, frames: int) -> dict[str, Path]:
    """Write the dumps; return them by their form."""
    k = max(2, round((atoms / 4) ** (1 / 3)))
    r, cell = lattice("fcc", 4.05, (k, k, k))
    side = cell[0, 0]
    paths = {form: folder / f"dump.{form}" for form in ("text", "gz", "bin")}
    with paths["text"].open("w") as text, paths["bin"].open("wb") as binary:
        for f in range(frames):
            x = (r + np.random.default_rng(f).normal(0, 0.1, r.shape)) % side
            table = np.column_stack([np.arange(1, len(x) + 1), np.ones(len(x)), x])
            bounds = f"0.0 {side:.16e}\n" * 3
            text.write(
                f"ITEM: TIMESTEP\n{100 * f}\nITEM: NUMBER OF ATOMS\n{len(x)}\n"
                f"ITEM: BOX BOUNDS pp pp pp\n{bounds}ITEM: ATOMS id type x y z\n"
            )
            np.savetxt(text, table, fmt="%d %d %.6g %.6g %.6g")
            columns = b"id type x y z"
            binary.write(
                struct.pack("<q", -10)
                + b"DUMPCUSTOM"
                + struct.pack("<iiqqi", 1, 2, 100 * f, len(x), 0)
            )
            binary.write(
                struct.pack("<6i6di", *[0] * 6, *[0.0, side] * 3, 5) + struct.pack("<i", 0) + b"\0"
            )
            binary.write(
                struct.pack("<i", len(columns)) + columns + struct.pack("<ii", 1, table.size)
            )
            binary.write(table.tobytes())
    paths["gz"].write_bytes(gzip.compress(paths["text"].read_bytes(), 6))
    return paths | _by_mdanalysis(folder, r, side, frames)


def _by_mdanalysis(
    folder: Path, r: NDArray[np.float64], side: float, frames: int
) -> dict[str, Path]:
    """Write the same as XTC and DCD."""
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(len(r), trajectory=True)
    paths = {form: folder / f"run.{form}" for form in ("xtc", "dcd")}
    for path in paths.values():
        with MDAnalysis.Writer(str(path), len(r), dt=0.2) as writer:
            for f in range(frames):
                noise = np.random.default_rng(f).normal(0, 0.1, r.shape)
                universe.atoms.positions = (r + noise) % side
                universe.dimensions = [side, side, side, 90, 90, 90]
                writer.write(universe.atoms)
    return paths


def ours(path: Path) -> int:
    """Read by insitu; return the atoms of all frames."""
    from insitu.offline.readers.trajectories import read_file

    return sum(len(c) for c in read_file(str(path), lambda k: True, print) if c is not None)


def by_ase(path: Path) -> int:
    """Read by ASE."""
    import ase.io

    if path.suffix in (".xtc", ".dcd"):
        raise TypeError("ASE reads neither XTC nor DCD of these")
    form = "lammps-dump-binary" if path.suffix == ".bin" else "lammps-dump-text"
    more = {"colnames": ["id", "type", "x", "y", "z"]} if path.suffix == ".bin" else {}
    if path.suffix == ".gz":
        with gzip.open(path, "rt") as file:
            return sum(len(a) for a in ase.io.read(file, index=":", format=form))
    return sum(len(a) for a in ase.io.read(path, index=":", format=form, **more))


def by_ovito(path: Path) -> int:
    """Read by OVITO."""
    from ovito.io import import_file

    if path.suffix == ".dcd":
        raise TypeError("OVITO reads no DCD")
    source = import_file(str(path)).source
    total = 0
    for f in range(source.num_frames):
        positions: NDArray[np.float64] = np.asarray(source.compute(f).particles.positions)
        total += len(positions)
    return total


def by_mdanalysis(path: Path) -> int:
    """Read by MDAnalysis, as its users do: an atom count where the format has no topology."""
    import MDAnalysis

    if path.suffix == ".bin":
        raise TypeError("MDAnalysis reads no binary dumps")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own plans
        if path.suffix in (".xtc", ".dcd"):
            universe = MDAnalysis.Universe(str(path), to_guess=())
        else:
            form = "LAMMPSDUMP"
            universe = MDAnalysis.Universe(str(path), format=form, topology_format=form)
        return sum(len(now.positions) for now in universe.trajectory)


def by_chemfiles(path: Path) -> int:
    """Read by chemfiles."""
    import chemfiles

    if path.suffix == ".bin":
        raise TypeError("chemfiles reads no binary dumps")
    form = {".text": "LAMMPS", ".gz": "LAMMPS / GZ"}.get(path.suffix, "")
    with chemfiles.Trajectory(str(path), "r", form) as trajectory:
        return sum(len(frame.positions) for frame in trajectory)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=100_000, help="of a frame, about (100000)")
    parser.add_argument("--frames", type=int, default=10, help="of a file (10)")
    parser.add_argument("--repeats", type=int, default=3, help="the best is printed (3)")
    options = parser.parse_args()
    readers: dict[str, Callable[[Path], int]] = {
        "insitu": ours, "OVITO": by_ovito, "chemfiles": by_chemfiles, "MDAnalysis": by_mdanalysis,
        "ASE": by_ase,
    }  # fmt: skip
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), options.atoms, options.frames)
        print(
            f"{'form':5s} {'MB':>7s}  "
            + "  ".join(f"{n:>16s}" for n in readers)
            + "   million atoms/s (of processor time)"
        )
        for form, path in paths.items():
            cells, counts = [], set()
            for read in readers.values():
                try:
                    best, least, n = np.inf, np.inf, 0
                    for _ in range(options.repeats):
                        started, spent = time.perf_counter(), time.process_time()
                        n = read(path)
                        best = min(best, time.perf_counter() - started)
                        least = min(least, time.process_time() - spent)
                    counts.add(n)
                    cells.append(f"{1e-6 * n / best:7.2f} ({1e-6 * n / least:5.2f})".rjust(16))
                except ImportError:
                    cells.append(f"{'not installed':>16s}")
                except TypeError:  # a form that the reader does not know
                    cells.append(f"{'–':>16s}")
            assert len(counts) == 1, f"the readers find {counts} atoms"
            print(f"{form:5s} {path.stat().st_size / 1e6:7.1f}  " + "  ".join(cells))


if __name__ == "__main__":
    main()
