# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``insitu train``."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from insitu.cli.histories import Verb
from insitu.errors import SettingError

_HELP = "Train a model from a recipe or from your own snapshots, or add classes to a shipped one."
_TEXT = """\
Train a model from a recipe, whose data are generated with LAMMPS, or from your own snapshots, labelled by
other methods where these are sure. The model (model.pt and its card) is written into the folder --out. Use
it as model PATH/model.pt in a deck, or as --model PATH/model.pt in insitu classify.

--from FILE[@FRAMES] LABELS takes a LAMMPS dump or any file that ASE reads; FRAMES as ASE writes
slices (@:20, @-1, @10:50:5). LABELS is one of
  liquid                    every atom is of this class, whatever its name
  ptm:hcp,fcc               structures of polyhedral template matching (needs OVITO)
  cna:hcp                   of adaptive common neighbour analysis (needs OVITO)
  ptm:hcp,other=liquid      and a class for atoms without a structure
  ptm/atom=c_ptm:hcp        columns c_ptm[1], c_ptm[2] of the dump, of LAMMPS' compute ptm/atom
  cna/atom=c_cna:fcc        column c_cna, of LAMMPS' compute cna/atom
  column=c_mine:1=fcc,4=melt    any column of integers
  model:hcp                 in a second round: where the model that the other snapshots have trained gives
                            this class to most of the 12 neighbours (model=PATH:hcp: another one)
Atoms of structures that are not named are not used, nor are atoms whose label is not sure: with a PTM RMSD
above --rmsd, or with less than the share --agreement of their 12 nearest neighbours having the same label.
Take frames in which the method can be trusted, such as crystals far below melting; noise that is added to
copies takes the place of thermal motion.

--class NAME=FILE adds a class to the model --model (metals), whose own weights stay as they are. FILE is a
crystal structure (CIF, POSCAR, LAMMPS data, what ASE reads), of which hot and strained copies are made, or
a ball of 600 atoms or more (not periodic), of which those near its middle count.
--few-shot NAME=FILE[@FRAMES] gives snapshots of the class (LAMMPS dumps, what ASE reads): all their atoms
are of it, beside or in place of a structure. It takes less than a minute and no molecular dynamics. A deck
does the same with `classes NAME=FILE,…`."""

_EXAMPLE = """\
insitu train --from heating.dump@:20 ptm:hcp --from heating.dump@-20: ptm:other=liquid --out my-metal
  insitu train --from a.dump@:20 cna/atom=c_cna:fcc --from melt.xyz liquid --noise 0.08 --out my-metal
  insitu train --class omega=omega.cif --class A15=a15.cif --out my-model
  insitu train crystals-cnn --data data --out my-model --workers 2"""

#: Options of annotated snapshots: where they are in the recipe.
_OPTIONS = {
    "rmsd": "annotation", "agreement": "annotation", "noise": "data", "noisy": "data",
    "maps": "data", "neighbors": "data", "epochs": "training", "rounds": "training",
    "cutoff": "descriptor",
}  # fmt: skip


def _words(text: str) -> list[str]:
    return [w.strip() for w in text.split(",") if w.strip()]


def add_train(verb: Verb) -> None:
    """Add the verb to the command line."""
    sub = verb("train", _train, _HELP, _EXAMPLE)
    sub.description = _TEXT
    sub.add_argument("recipe", nargs="?", help="shipped recipe, or a .toml file")
    sub.add_argument("--data", default="data", help="folder of the trajectories (data)")
    sub.add_argument("--out", default="model", help="folder of the artefact (model)")
    sub.add_argument("--workers", type=int, default=1, help="simulations at the same time (1)")
    sub.add_argument(
        "--device", default="cpu", choices=["cpu", "cuda"], help="where to train (cpu)"
    )
    sub.add_argument(
        "--start",
        type=Path,
        help="artefact whose weights a recipe like metals starts from (random)",
    )
    added = sub.add_argument_group("classes for a shipped model")
    added.add_argument(
        "--class", dest="classes", action="append", default=[], metavar="NAME=FILE",
        help="class to add, from a file with its structure; may be repeated",
    )  # fmt: skip
    added.add_argument(
        "--few-shot", action="append", default=[], metavar="NAME=FILE[@FRAMES]",
        help="snapshots of a class to add; may be repeated",
    )  # fmt: skip
    added.add_argument("--model", default="metals", help="model to which they are added (metals)")
    own = sub.add_argument_group("your own snapshots")
    pair: dict[str, Any] = {
        "nargs": 2,
        "action": "append",
        "default": [],
        "metavar": ("FILE[@FRAMES]", "LABELS"),
    }
    own.add_argument(
        "--from", dest="sources", help="snapshots to train on; may be repeated", **pair
    )
    own.add_argument(
        "--test", help="snapshots to measure with (every 4th of those of --from)", **pair
    )
    own.add_argument("--name", help="name of the model (that of the folder)")
    own.add_argument("--rmsd", type=float, help="largest RMSD of PTM (0.1)")
    own.add_argument(
        "--agreement", type=float, help="share of neighbours with the same label, 0 … 1 (0.75)"
    )
    own.add_argument(
        "--noise", type=float, help="standard deviation in copies [(volume/atom)^(1/3)] (0.06)"
    )
    own.add_argument("--noisy", type=float, help="share of atoms with noise in copies (0.33)")
    own.add_argument("--maps", type=int, help="atoms to train on, of each class (12000)")
    own.add_argument(
        "--neighbors", type=_words, metavar="A,B,…",
        help="types or elements whose atoms make up the surroundings; all other atoms are left out (none)",
    )  # fmt: skip
    own.add_argument("--epochs", type=int, help="passes over the data (10)")
    own.add_argument("--rounds", type=int, help="rounds, with labels model:… (2)")
    own.add_argument("--cutoff", type=float, help="radius of the map [Å] (6)")


def _source(file: str, labels: str, part: str) -> dict[str, str]:
    """Return a recipe's ``[[source]]``; a file's own name may have an @ in it."""
    name, at, frames = file, "", ""
    if not Path(file).exists():
        name, at, frames = file.rpartition("@")
    entry = {"file": name if at or Path(file).exists() else file, "labels": labels}
    if part:
        entry["part"] = part
    return entry | ({"frames": frames} if at else {})


def recipe_of(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return the recipe that the options of annotated snapshots make, and its hash.

    Raises
    ------
    SettingError
        Options that do not fit each other.
    """
    from insitu.training.recipes import load_recipe

    recipe, _ = load_recipe(options.recipe or "annotated")
    explicit = "training" if options.test else ""
    more = [_source(file, labels, explicit) for file, labels in options.sources]
    more += [_source(file, labels, "test") for file, labels in options.test]
    recipe["source"] = recipe.get("source", []) + more
    if options.recipe is None:
        recipe["name"] = options.name or Path(options.out).resolve().name
    elif options.name:
        recipe["name"] = options.name
    for name, section in _OPTIONS.items():
        if getattr(options, name) is not None:
            recipe[section] = recipe[section] | {name: getattr(options, name)}
    return recipe, hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _add(options: argparse.Namespace) -> int:
    """Add classes to a model."""
    from insitu.training.fit.classes import add_classes

    if options.recipe or options.sources:
        raise SettingError(
            "--class and --few-shot add classes to --model, and take neither a recipe nor --from; leave "
            "one of them out"
        )
    path = add_classes(
        options.model, options.classes, options.few_shot, Path(options.out), options.name
    )
    print(f"wrote {path}")
    print((path.parent / "README.md").read_text())
    return 0


def _train(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if options.classes or options.few_shot:
        return _add(options)
    given = [f"--{n}" for n in (*_OPTIONS, "name", "test") if getattr(options, n)]
    if options.recipe is None and not options.sources:
        raise SettingError(
            "give a recipe, --from FILE LABELS or --class NAME=FILE; insitu train --help explains them"
        )
    if given and not options.sources:
        raise SettingError(
            f"{given[0]} is of annotated snapshots, and there are none: give --from FILE LABELS, or "
            "write the setting into the recipe"
        )
    out, data = Path(options.out), Path(options.data)
    if options.sources:
        from insitu.training.fit.annotated import train_annotated

        path = train_annotated(*recipe_of(options), out, data, workers=options.workers)
    else:
        from insitu.training.fit.train import train

        path = train(
            options.recipe, out, data, workers=options.workers, device=options.device,
            start=options.start,
        )  # fmt: skip
    print(f"wrote {path}")
    if options.sources:
        print((out / "README.md").read_text())
    return 0
