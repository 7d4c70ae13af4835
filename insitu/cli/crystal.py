# SPDX-License-Identifier: BSD-3-Clause
"""The verb `crystal` of the command line."""

from __future__ import annotations

import argparse
import sys

from insitu.cli.classify import add_origin
from insitu.cli.histories import Verb


def _words(text: str) -> tuple[str, ...]:
    return tuple(w.strip() for w in text.split(",") if w.strip())


def _crystal(options: argparse.Namespace) -> int:
    from insitu.offline.crystals import CrystalOptions, crystals_of_files
    from insitu.offline.files import expand

    names = ("index", "average", "cif", "species", "topology", "boundary", "units", "tolerance",
             "least", "most", "elastic", "energy", "elastic_model")  # fmt: skip
    chosen = CrystalOptions(**{name: getattr(options, name) for name in names})

    def tell(text: str) -> None:
        print(f"insitu: {text}", file=sys.stderr)

    for line in crystals_of_files(expand(options.files), chosen, tell):
        print(line, flush=True)
    return 0


def add_crystal(verb: Verb) -> None:
    """Add the verb `crystal`."""
    sub = verb(
        "crystal", _crystal,
        "Find the crystals in configurations: cell parameters, space group, density; also of hot atoms.",
        "insitu crystal dump.lammpstrj --species Ni,Al\n"
        "  insitu crystal dump.lammpstrj --index 100:200 --average 100 --cif mean.cif\n"
        "  insitu crystal structure.cif",
    )  # fmt: skip
    sub.add_argument("files", nargs="+", metavar="FILE",
                     help="LAMMPS dump or data file, H5MD, CIF, what MDAnalysis or ASE reads")  # fmt: skip
    sub.add_argument("--index", default="-1",
                     help="frames, counted through all files: 0, 10:20, ::5 (-1, the last)")  # fmt: skip
    sub.add_argument("--average", type=int, default=1, metavar="N",
                     help="average the positions of N frames first (1)")  # fmt: skip
    sub.add_argument(
        "--cif", metavar="FILE", help="CIF file to write: the crystals of the last frame"
    )
    sub.add_argument("--species", type=_words, default=(), metavar="A,B,…",
                     help="elements of the types 1, 2, …")  # fmt: skip
    add_origin(sub)
    sub.add_argument("--units", help="LAMMPS unit style of files that do not say it (metal)")
    sub.add_argument("--tolerance", type=float, metavar="Å",
                     help="of the space group (by the scatter of the atoms)")  # fmt: skip
    sub.add_argument("--elastic", action="store_true",
                     help="also predict the elastic tensor (a network trained on DFT at 0 K)")  # fmt: skip
    sub.add_argument("--elastic-model", metavar="FILE",
                     help="the same by a model of a potential's tensors (docs/crystal.md)")  # fmt: skip
    sub.add_argument("--energy", action="store_true",
                     help="also predict the formation energy (trained on DFT at 0 K)")  # fmt: skip
    sub.add_argument("--least", type=int, default=100, metavar="N",
                     help="atoms that a second crystal has to have (100)")  # fmt: skip
    sub.add_argument("--most", type=int, default=5, metavar="N", help="most crystals (5)")
