# SPDX-License-Identifier: BSD-3-Clause
"""Annotated snapshots: read from the files that a recipe's ``[[source]]`` names, split by snapshot."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError, did_you_mean
from insitu.offline.readers.trajectories import read_frames
from insitu.progress import bar
from insitu.training.data.annotation import NOT_USED, Annotation, annotate, parse

log = logging.getLogger(__name__)
PARTS = ("training", "test")
_KEYS = ("file", "frames", "labels", "part", "neighbors")


@dataclass(frozen=True, eq=False)
class Source:
    """Some frames of a file, what labels them, and the part of the split (``""``: to be split).

    `given` is the file as the user wrote it, `neighbors` the types or elements whose atoms there are
    for the training (none: all).
    """

    given: str
    file: Path
    frames: str
    annotation: Annotation
    part: str
    neighbors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File and frames, for tables."""
        return self.given + ("" if self.frames == ":" else f"@{self.frames}")

    @property
    def key(self) -> str:
        """Tells sources apart: one file may be labelled in two ways."""
        those = f" {','.join(self.neighbors)}" if self.neighbors else ""
        return f"{self.file}@{self.frames} {self.annotation.text} {self.part}{those}"


@dataclass(frozen=True)
class Annotated:
    """A snapshot: positions ``(n, 3)`` and cell ``(3, 3)`` [Å], and classes ``(n,)`` (``""``: none)."""

    source: Source
    number: int
    part: str
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    classes: NDArray[np.str_]


def sources(recipe: dict[str, Any], folders: list[Path]) -> list[Source]:
    """Return the sources of a recipe; a file is looked for in each of the folders.

    Raises
    ------
    SettingError
        There is none, one is not understood, or its file is missing.
    """
    found = []
    for entry in recipe.get("source", []):
        for key in entry:
            if key not in _KEYS:
                raise SettingError(
                    f"a [[source]] of recipe '{recipe['name']}' has the key '{key}'; known: "
                    f"{', '.join(_KEYS)}.{did_you_mean(key, _KEYS)}"
                )
        for key in ("file", "labels"):
            if key not in entry:
                raise SettingError(f"a [[source]] of recipe '{recipe['name']}' has no '{key}'")
        part = entry.get("part", "")
        how = parse(entry["labels"])
        if how.method == "model" and part == "test":
            raise SettingError(
                f"labels '{how.text}' are a model's own: they cannot measure it; take them with --from"
            )
        if part not in ("", *PARTS):
            raise SettingError(f"part = '{part}' of a [[source]] is not known; allowed: {PARTS}")
        places = [folder / entry["file"] for folder in folders]
        file = next((p for p in places if p.is_file()), None)
        if file is None:
            tried = " nor ".join(str(p) for p in places)
            raise SettingError(f"no file {tried}; give a LAMMPS dump or any file that ASE reads")
        those = entry.get("neighbors", recipe["data"].get("neighbors", []))
        those = those.split(",") if isinstance(those, str) else those
        found.append(Source(
            entry["file"], file, str(entry.get("frames", ":")), how, part,
            tuple(str(w).strip() for w in those),
        ))  # fmt: skip
    if not found:
        raise SettingError(
            f"recipe '{recipe['name']}' has no snapshots; give them with --from FILE LABELS or "
            'as [[source]] in a recipe with base = "annotated"'
        )
    return found


def classes_of(recipe: dict[str, Any], given: list[Source]) -> list[str]:
    """Return the recipe's classes, or those of its sources in order.

    Raises
    ------
    SettingError
        There are fewer than two, or a source has one that is not the recipe's.
    """
    of_sources = list(dict.fromkeys(c for s in given for c in s.annotation.names))
    classes = list(recipe.get("classes", of_sources))
    if odd := [c for c in of_sources if c not in classes]:
        raise SettingError(
            f"class '{odd[0]}' of a source is not among the recipe's classes = {classes}"
        )
    if len(classes) < 2:
        raise SettingError(
            f"the only class is {classes}; a classifier needs two or more: give snapshots of what "
            "else your sample can become, for example --from molten.dump liquid"
        )
    return classes


def read(recipe: dict[str, Any], given: list[Source], model: str = "") -> list[Annotated]:
    """Return the annotated snapshots of some sources, each in its part of the split.

    Where no source is for the test, every 4th snapshot of each source is held out (the recipe's
    ``every``), beginning with the second. What a model labels is for the training only.

    Parameters
    ----------
    recipe
        Its ``[annotation]`` and ``[data]``.
    given
        The sources to read.
    model
        Artefact that labels the sources of the method ``model`` that name none.

    Raises
    ------
    SettingError
        A file cannot be read, or what the labels need is not in it.
    InsituError
        OVITO is needed and not installed.
    """
    settings = recipe["annotation"]
    explicit = any(s["part"] == "test" for s in recipe["source"] if "part" in s)
    every = recipe["data"]["every"]
    found = []
    for source in given:
        frames = read_frames(
            str(source.file), source.frames, f"frames of {source.file.name}:", source.neighbors
        )
        for number, atoms in enumerate(bar(frames, f"labels of {source.name}")):
            classes = annotate(
                atoms, source.annotation, rmsd=settings["rmsd"], agreement=settings["agreement"],
                model=model,
            )  # fmt: skip
            split = not explicit and source.annotation.method != "model"
            held = source.part or ("test" if split and number % every == 1 else "training")
            found.append(Annotated(
                source, number, held, atoms.positions, atoms.cell.array, atoms.pbc, classes,
            ))  # fmt: skip
        mine = [s for s in found if s.source is source]
        used = sum(int((s.classes != NOT_USED).sum()) for s in mine)
        total = sum(len(s.classes) for s in mine)
        log.info(
            "%s, %s: %d snapshots, %.1f %% of %d atoms have a label",
            source.name, source.annotation.text, len(mine), 100 * used / max(total, 1), total,
        )  # fmt: skip
    return found


def apart(found: list[Annotated]) -> list[Annotated]:
    """Return the snapshots without those of the training that are held out elsewhere."""
    held = {hash(s.positions.tobytes()) for s in found if s.part == "test"}
    kept = [s for s in found if s.part == "test" or hash(s.positions.tobytes()) not in held]
    if len(kept) < len(found):
        log.info("%d snapshots are held out and not trained on", len(found) - len(kept))
    return kept


def check(classes: list[str], found: list[Annotated]) -> None:
    """Raise SettingError unless every class has labels to train on and some to be measured with."""
    for part in PARTS:
        mine = [s for s in found if s.part == part]
        there = {str(c) for s in mine for c in np.unique(s.classes)}
        missing = [c for c in classes if c not in there]
        if missing and part == "training":
            raise SettingError(
                f"no atom of the training snapshots is labelled '{missing[0]}': PTM and CNA name few "
                "atoms of a hot sample; give colder snapshots, a larger --rmsd or a smaller "
                "--agreement, and look that the frames are those that you mean"
            )
        if missing:
            raise SettingError(
                f"no snapshot of class '{missing[0]}' is held out, so its accuracy could not be "
                "measured: give two or more snapshots of it, or --test FILE LABELS with another "
                "trajectory"
            )
