# SPDX-License-Identifier: BSD-3-Clause
"""The verb `classify` of the command line."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import Executor

from insitu.cli.histories import Verb
from insitu.cli.sharing import shared
from insitu.history import IF_EXISTS
from insitu.models.engines import ENGINES


def _words(text: str) -> tuple[str, ...]:
    return tuple(w.strip() for w in text.split(",") if w.strip())


def _classify(options: argparse.Namespace) -> int:
    return shared(lambda executor: _frames(options, executor))


def _frames(options: argparse.Namespace, executor: Executor | None) -> int:
    from insitu.analyses.requests import requests
    from insitu.offline.files import classify_files, expand
    from insitu.offline.options import Options
    from insitu.offline.readers.streams import size_of
    from insitu.progress import Meter

    files = expand(options.files)
    names = (
        "model", "classes", "threshold", "coverage", "engine", "device", "index", "labels", "out",
        "if_exists", "species", "types", "group", "neighbors", "topology", "boundary", "units", "timestep",
        "workers",
    )  # fmt: skip
    analyze = requests(" analyze ".join(options.analyze)) if options.analyze else ()
    chosen = Options(**{name: getattr(options, name) for name in names}, analyze=analyze)
    meter = Meter(size_of(files), "read")
    try:
        for line in classify_files(
            files, chosen, reached=meter.reached, executor=executor,
            tell=lambda text: meter.write(f"insitu: {text}", sys.stderr),
        ):  # fmt: skip
            meter.write(line)
    finally:
        meter.close()
    return 0


def add_origin(sub: argparse.ArgumentParser) -> None:
    """Add what a trajectory may not say itself."""
    sub.add_argument("--topology", metavar="FILE",
                     help="ids, types and elements of trajectories without them (DCD, XTC, TRR): a data "
                     "file or dump of the run, PSF, PDB, GRO, TPR")  # fmt: skip
    sub.add_argument("--boundary", type=_words, default=(), metavar="p,p,f",
                     help="as in the deck, for files that do not say it (periodic)")  # fmt: skip


def add_classify(verb: Verb) -> None:
    """Add the verb `classify`."""
    sub = verb(
        "classify", _classify, "Classify the atoms of configurations and trajectories in files.",
        "insitu classify dump.lammpstrj --labels phases.xyz\n"
        "  insitu classify 'dump.*.gz' --out phases.h5\n"
        "  mpiexec -n 64 insitu classify 'dump.*.gz' --out phases.h5\n"
        "  insitu classify silica.dump --model sio2 --species Si,O\n"
        "  insitu classify film.dump --group 'type == 2 and z > 30'\n"
        "  insitu classify melt.dump --out melt.h5 --species Al --analyze 'diffraction two_theta 20,90'",
    )  # fmt: skip
    sub.add_argument(
        "files", nargs="+", metavar="FILE",
        help="LAMMPS dump (text or binary; plain, gz, xz, bz2, zst), LAMMPS data file, H5MD, DCD, XTC, "
        "TRR and what MDAnalysis or ASE reads; patterns are allowed",
    )  # fmt: skip
    sub.add_argument("--out", metavar="HISTORY",
                     help="history to write, as a run does: for show, plot, report, compare")  # fmt: skip
    sub.add_argument("--if-exists", default="refuse", choices=IF_EXISTS,
                     help="if HISTORY exists (refuse)")  # fmt: skip
    sub.add_argument("--model", default="metals", help="shipped model or model.pt (metals)")
    sub.add_argument(
        "--classes", default="", metavar="NAME=FILE,…",
        help="classes to add to the model, each from a file with its structure (CIF, POSCAR, data file …)",
    )  # fmt: skip
    sub.add_argument("--threshold", type=float, help="probability under which an atom is unknown")
    sub.add_argument("--coverage", type=float, metavar="SHARE",
                     help="in place of the threshold: this share of each class's atoms keep their label, "
                     "for example 0.98")  # fmt: skip
    sub.add_argument("--index", default=":",
                     help="frames, counted through all files: 0, -1, 10:20, ::5 (all)")  # fmt: skip
    sub.add_argument(
        "--labels",
        help="file to write with a phase for each atom: extended XYZ, or a LAMMPS dump (.dump, .lammpstrj)",
    )
    sub.add_argument("--species", type=_words, default=(), metavar="A,B,…",
                     help="elements of the types 1, 2, …, for models that tell them apart")  # fmt: skip
    sub.add_argument("--types", action="store_true",
                     help="also count the phases of each type, in HISTORY")  # fmt: skip
    sub.add_argument(
        "--group", metavar="CONDITION",
        help="classify and count only the atoms for which this holds, of columns of the file: "
        "'type == 1 and z > 20', \"element == 'Cu'\"; the others still are neighbours",
    )  # fmt: skip
    sub.add_argument(
        "--neighbors", type=_words, default=(), metavar="A,B,…",
        help="types or elements that make up the surroundings; all other atoms are left out",
    )  # fmt: skip
    sub.add_argument(
        "--analyze", action="append", default=[], metavar="'NAME KEYWORD VALUE …'",
        help="analysis beside the phases, in the words of a fix line: 'rdf cutoff 10', 'diffraction'; its "
        "results are in HISTORY. May be given more than once (`insitu analyses`)",
    )  # fmt: skip
    add_origin(sub)
    sub.add_argument("--units", help="LAMMPS unit style of files that do not say it (metal)")
    sub.add_argument("--timestep", type=float, metavar="DT",
                     help="length of a step, for files that have no time")  # fmt: skip
    sub.add_argument("--workers", type=int, metavar="N",
                     help="processes for many frames (one for each core); not under mpiexec or srun, "
                     "where the ranks share the frames")  # fmt: skip
    sub.add_argument("--engine", default="auto", choices=ENGINES, help="of the network (auto)")
    sub.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
