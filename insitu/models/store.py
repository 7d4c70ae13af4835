# SPDX-License-Identifier: BSD-3-Clause
"""Model artefacts: TorchScript with its metadata inside, checked when loaded.

Nothing here imports torch before a model is loaded.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError, SettingError, did_you_mean
from insitu.frame.compiled import compiled
from insitu.models.card import Card
from insitu.models.engines import check_engine
from insitu.models.engines.cnn import NativeCNN
from insitu.models.engines.graph import GraphModel
from insitu.models.engines.images import Model
from insitu.models.engines.spatial import SpatialModel
from insitu.models.engines.torchscript import TorchScript
from insitu.models.weights import read_weights

if TYPE_CHECKING:
    from insitu.models.added import Extended

ARTIFACTS = Path(__file__).parent / "artifacts"
#: Names that stand for another model.
ALIASES: dict[str, str] = {}
#: What the names of models of energy barriers end with, which classify nothing.
BARRIERS = "-barriers"
AnyModel = Model | GraphModel | SpatialModel


def names() -> list[str]:
    """Return the names of the shipped models and their aliases."""
    found = sorted(p.parent.name for p in ARTIFACTS.glob("*/model.pt"))
    found = [name for name in found if not name.endswith(BARRIERS)]
    return found + [a for a, target in ALIASES.items() if target in found]


def describe(name: str) -> str:
    """Return the line about a shipped model."""
    card = json.loads((ARTIFACTS / name / "card.json").read_text())
    return str(card["description"])


def locate(name: str) -> Path:
    """Return the artefact file of a shipped model, an alias, or a path to a ``.pt`` file.

    Raises
    ------
    ModelError
        There is no such model.
    """
    shipped = ARTIFACTS / ALIASES.get(name, name) / "model.pt"
    if name.endswith(BARRIERS) and shipped.is_file():
        raise ModelError(
            f"model='{name}' predicts energy barriers and classifies nothing; call insitu.barriers() or "
            f"give `analyze barriers`, and as model one of {', '.join(names())}"
        )
    if os.sep not in name and not name.endswith(".pt") and shipped.is_file():
        return shipped
    path = Path(name)
    if path.is_dir():
        path = path / "model.pt"
    if path.is_file():
        return path
    raise ModelError(
        f"model='{name}' is neither a shipped model ({', '.join(names())}) nor a file; give one "
        f"of these names or the path of a model.pt.{did_you_mean(name, names())}"
    )


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int, number: int) -> tuple[str, str | None, bytes | None]:
    """Return SHA-256, card and weights of an artefact; once for a file as it is."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), *_texts(content)


def _inside(path: Path, content: bytes) -> tuple[Card | None, bytes | None]:
    """Return the card of an artefact and its weights for the native kernels, without torch."""
    said, weights = _texts(content)
    return (None if said is None else Card.from_json(said, str(path))), weights


def _texts(content: bytes) -> tuple[str | None, bytes | None]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = {n.rpartition("/extra/")[2]: n for n in archive.namelist() if "/extra/" in n}
            if "insitu.json" not in inside:
                return None, None
            said = archive.read(inside["insitu.json"]).decode()
            return said, archive.read(inside["insitu.npz"]) if "insitu.npz" in inside else None
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return None, None


def extended(name: str, classes: Mapping[str, str]) -> Extended:
    """Return a model with the classes of some files, for :func:`load`.

    Parameters
    ----------
    name
        Shipped name, alias, or path.
    classes
        File of each class (:func:`insitu.models.structures.read`).

    Raises
    ------
    ModelError
        The model cannot be read, or cannot take classes.
    SettingError
        A file is no structure that can be a class of this model.
    """
    from insitu.models.added import extend
    from insitu.models.structures import read

    card, weights = parts(name)
    return extend(card, weights, read(classes))[0]


def parts(name: str) -> tuple[Card, dict[str, NDArray[np.float64]]]:
    """Return card and weights of a model that can take classes; else raise ModelError."""
    path = locate(name)
    card, weights = _inside(path, path.read_bytes())
    if card is None or weights is None or card.graph is None:
        raise ModelError(
            f"model '{name}' cannot take further classes: only models with graph layers on Neighbors Maps, "
            "with weights for the kernels, can (metals); leave `classes` out"
        )
    return card, read_weights(weights, path)


def load(name: str, engine: str = "auto", more: Extended | None = None) -> AnyModel:
    """Load a model for the CPU and check its metadata.

    Parameters
    ----------
    name
        Shipped name, alias, or path.
    engine
        What runs the network: ``native`` (the kernels), ``torchscript`` (the reference), or ``auto``:
        the kernels if the artefact has weights for them, which is faster and needs no torch.
    more
        What :func:`extended` made of it, in place of what the artefact holds.

    Raises
    ------
    ModelError
        Missing, damaged, no TorchScript, no metadata, newer format, network and metadata do not fit
        each other, or the engine cannot run it.
    SettingError
        No such engine.
    """
    check_engine(engine)
    try:
        compiled().isa_default()
    except ValueError as error:  # INSITU_ISA
        raise SettingError(str(error)) from None
    path = locate(name)
    about = path.stat()
    sha256, said, weights = _read(path, about.st_mtime_ns, about.st_size, about.st_ino)
    card = None if said is None else Card.from_json(said, str(path))
    if more is not None:
        card, weights, sha256 = Card.from_json(more.card, str(path)), more.weights, more.sha256
    if engine == "native" and card is not None and weights is None:
        raise ModelError(
            f"engine='native' cannot run model {path}: it has no weights for the kernels, which run "
            "the networks NeighborsMapCNN, NeighborsMapGraph and WholeSampleGraph saved by this "
            "version; give engine=torchscript or auto, or save it again with insitu.models.export.save()"
        )
    if more is not None and engine == "torchscript" and card is not None:
        from insitu.models.added import scripted

        return GraphModel(card, None, sha256, path, module=scripted(more))
    if engine == "torchscript":
        weights = None
    if card is not None and card.graph is not None:
        return GraphModel(card, weights, sha256, path)
    if card is not None and card.spatial is not None:
        return SpatialModel(card, weights, sha256, path)
    if card is not None and weights is not None:
        try:
            model = Model(card, NativeCNN(read_weights(weights, path)), sha256, path)
        except ValueError as error:
            raise ModelError(f"model {path}: {error}; copy or train it again") from None
    else:
        model = Model(*_torchscript(name, path), sha256, path)
    _check_fit(model)
    return model


def _torchscript(name: str, path: Path) -> tuple[Card, TorchScript]:
    """Return card and network of an artefact that torch runs; its errors say what is wrong with it."""
    try:
        network = TorchScript(path)
    except ImportError:
        raise ModelError(
            f"model='{name}' is a TorchScript model and torch is not installed; "
            "pip install 'insitu[torch]' (CPU build: docs/installation.md)"
        ) from None
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"model file {path} cannot be read as TorchScript ({str(error).splitlines()[0][:100]}); "
            "it is damaged or not a model: copy or train it again"
        ) from None
    if not network.metadata:
        raise ModelError(
            f"model file {path} is TorchScript but carries no insitu metadata; export it with "
            "insitu.models.export.save()"
        )
    return Card.from_json(network.metadata, str(path)), network


def _check_fit(model: Model) -> None:
    card = model.card
    size = card.descriptor.size
    try:
        out = model.probabilities(np.zeros((1, card.channels, size, size), dtype=np.float32))
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"model {model.path}: the network does not take its metadata's images "
            f"({card.channels}, {size}, {size}): {str(error).strip().splitlines()[-1][:120]}"
        ) from None
    if out.shape != (1, len(card.classes)):
        raise ModelError(
            f"model {model.path}: the network gives {out.shape[1:]} probabilities, its metadata "
            f"name {len(card.classes)} classes {card.classes}; export it with the right classes"
        )
