# SPDX-License-Identifier: BSD-3-Clause
"""Classes for a shipped model, from structures and snapshots: an artefact with its card."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from insitu.errors import SettingError
from insitu.frame.units import ANGSTROM
from insitu.models.added import extend, network
from insitu.models.card import Card
from insitu.models.export import save
from insitu.models.store import parts
from insitu.models.structures import Snapshot, Structure, cluster, parse, read, with_snapshots
from insitu.offline.readers.trajectories import read_many

#: Snapshots of a file that are used, the last ones.
_MOST = 200


def add_classes(
    model: str, classes: Sequence[str], few_shot: Sequence[str], out: Path, name: str | None = None
) -> Path:
    """Write a model with further classes.

    Parameters
    ----------
    model
        Shipped name or path of the model to which they are added.
    classes
        ``NAME=FILE`` of structures.
    few_shot
        ``NAME=FILE[@FRAMES]`` of snapshots, frames as ASE writes slices.
    out
        Folder of the artefact.
    name
        Of the model; None: the folder's.

    Returns
    -------
    Path
        The artefact.

    Raises
    ------
    ModelError
        The model cannot take classes.
    SettingError
        A file is no structure that can be a class.
    """
    shots: dict[str, list[Structure]] = defaultdict(list)
    for text in few_shot:
        ((label, file),) = parse(text, "--few-shot").items()
        shots[label].append(_snapshots(label, file))
    found = read(parse(",".join(classes), "--class")) if classes else []
    structures = with_snapshots(found, shots)
    card, weights = parts(model)
    more, wider = extend(card, weights, structures)
    card = replace(
        Card.from_json(more.card, model), name=name or out.resolve().name,
        description=f"{card.name} and {', '.join(s.name for s in structures)}",
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    save(network(card, wider), card, out / "model.pt")
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    (out / "README.md").write_text(_readme(card, model))
    return out / "model.pt"


def _snapshots(name: str, file: str) -> Structure:
    """Return the snapshots of a file, which may be followed by @FRAMES."""
    frames = ":"
    if not Path(file).exists() and "@" in file:
        file, _, frames = file.rpartition("@")
    if not Path(file).is_file():
        raise SettingError(f"--few-shot {name}={file}: there is no such file; give its path")
    found = []
    for _, _, c in read_many([file], frames or ":", lambda _: None):
        length = ANGSTROM[c.units or "metal"]
        r, cell = (c.positions - c.origin) * length, c.cell * length
        if not c.pbc.any():
            found.append(cluster(r, f"--few-shot {name}={file}"))
        else:
            found.append(Snapshot(r, cell, c.pbc, np.ones(len(r), bool)))
    if not found:
        raise SettingError(f"--few-shot {name}={file}: it has no frames '{frames}'; give others")
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return Structure(name, (), tuple(found[-_MOST:]), ((file, digest),))


def _readme(card: Card, model: str) -> str:
    rows = [
        f"| {name} | {', '.join(f['name'] for f in about['files'])} | {about['sites'] or '–'} | "
        f"{about['snapshots'] or '–'} | {100 * about['recall']:.1f} |"
        for name, about in card.more["added"].items()
    ]
    table = "\n".join(rows)
    return (
        f"# {card.name}\n\n{card.description}. The network is that of `{model}`, whose weights were not "
        "changed.\n\n| class | from | sites | snapshots | found (%) |\n|---|---|---|---|---|\n"
        f"{table}\n\nFound: atoms of further copies with displacements of 2 to 4 % of the nearest distance "
        "(snapshots: of copies of them) that are of their class. How often liquids and other crystals are "
        "taken for such a class, `benchmarks/added_classes.py` measures.\n"
    )
