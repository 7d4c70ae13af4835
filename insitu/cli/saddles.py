# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``insitu saddles``."""

from __future__ import annotations

import argparse
import math
from concurrent.futures import Executor
from pathlib import Path

from insitu.cli.histories import Verb
from insitu.cli.sharing import shared
from insitu.errors import SettingError

_HELP = (
    "Sample energy barriers of the atoms of a minimised sample with LAMMPS (activation-relaxation)."
)
_TEXT = """\
Sample energy barriers of atoms: some atoms around each are pushed at random, and the sample climbs to a
saddle point (activation-relaxation technique, ARTn). DECK is a LAMMPS input that reads or makes the sample
and gives its potential, in units metal, without fixes and runs. The folder --out receives

  attempts.jsonl   a line for each attempt: the same command goes on where it was, also after a kill
  minimum.npz      the relaxed sample
  barriers.npz     positions, cell, types; mean barrier [eV] and number of barriers of each atom

Under mpiexec the ranks but the first share the attempts. It is slow: seconds an attempt for 300 atoms."""

#: Of a sample whose barriers are sampled.
_MOST_ATOMS = 10_000_000


def add_saddles(verb: Verb) -> None:
    """Add the verb to the command line."""
    sub = verb(
        "saddles", _saddles, _HELP,
        "insitu saddles in.glass --out barriers\n"
        "  mpiexec -n 16 insitu saddles in.glass --barriers 20 --out barriers\n"
        "  insitu saddles in.glass --atoms 1,17,30-60 --out some",
    )  # fmt: skip
    sub.description = _TEXT
    sub.add_argument("deck", type=Path, help="LAMMPS input with the sample and its potential")
    sub.add_argument("--out", type=Path, default=Path("barriers"), help="folder (barriers)")
    sub.add_argument("--atoms", help="ids, such as 1,17,30-60 (all)")
    sub.add_argument("--barriers", type=int, default=10, help="barriers of each atom (10)")
    sub.add_argument("--attempts", type=int, default=30, help="attempts of each atom at most (30)")
    sub.add_argument("--seed", type=int, default=1, help="of the directions (1)")
    sub.add_argument("--radius", type=float, help="of the ball of atoms that is pushed [Å] (3)")
    sub.add_argument("--curvature", type=float, help="below which a mode is climbed [eV/Å²] (-0.3)")
    sub.add_argument(
        "--force", type=float, help="norm of all forces at a saddle point [eV/Å] (0.05)"
    )


def atoms_of(text: str | None) -> list[int] | None:
    """Return the ids of a list such as 1,17,30-60.

    Raises
    ------
    SettingError
        It is no such list.
    """
    if text is None:
        return None
    found: list[int] = []
    for word in text.split(","):
        first, _, last = word.partition("-")
        if not first.strip().isdecimal() or (last and not last.strip().isdecimal()):
            raise SettingError(f"atoms='{text}' is no list of ids; write them as 1,17,30-60")
        if int(last or first) < int(first) or int(last or first) > _MOST_ATOMS:
            raise SettingError(
                f"atoms='{text}' is no list of ids: {word.strip()} goes from {first} to {last or first}; "
                "write them as 1,17,30-60"
            )
        found += range(int(first), int(last or first) + 1)
    return sorted(set(found))


def _saddles(options: argparse.Namespace) -> int:
    return shared(lambda executor: _sample(options, executor))


def _sample(options: argparse.Namespace, executor: Executor | None) -> int:
    from insitu.progress import bar
    from insitu.training.saddles.barriers import BARRIERS, Sampler, Sampling
    from insitu.training.saddles.search import Search

    for name in ("barriers", "attempts"):
        if getattr(options, name) < 1:
            raise SettingError(f"{name}={getattr(options, name)} has to be 1 or more")
    if options.seed < 0:
        raise SettingError(f"seed={options.seed} has to be 0 or more")
    given = {k: getattr(options, k) for k in ("radius", "curvature", "force")}
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and (name == "curvature" or value > 0)):
            raise SettingError(
                f"{name}={value} has to be a number"
                + (" [eV/Å²]" if name == "curvature" else " above 0")
            )
    if options.out.exists() and not options.out.is_dir():
        raise SettingError(f"out={options.out} is a file; give a folder")
    search = Search(**{k: v for k, v in given.items() if v is not None})
    sampling = Sampling(options.deck, options.barriers, options.attempts, options.seed, search)
    sampler = Sampler(sampling, options.out, atoms_of(options.atoms), executor)
    for _ in bar(sampler, "atoms"):
        pass
    print(sampler.summary())
    print(f"wrote {options.out / BARRIERS}")
    return 0
