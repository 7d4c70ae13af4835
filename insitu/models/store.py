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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError, did_you_mean
from insitu.models.graph import GraphModel, GraphSettings

#: Artefacts with a graph layer have the second format; others can still be read by older versions.
FORMAT = 2
ARTIFACTS = Path(__file__).parent / "artifacts"
#: Names that stand for another model.
ALIASES: dict[str, str] = {}
#: Integers of the classes in LAMMPS and in files: PTM's where PTM has the class, 0 is unknown.
CODES = {"fcc": 1, "hcp": 2, "bcc": 3, "sc": 5, "cubic_diamond": 6, "hexagonal_diamond": 7}
FIRST_OWN_CODE = 100
_OWN_CODES = {"disordered": 100, "liquid": 101, "amorphous": 102}


def class_codes(classes: list[str]) -> list[int]:
    """Return the file integers of some classes and of ``unknown`` behind them."""
    free = iter(range(110, 10_000))
    return [CODES.get(c) or _OWN_CODES.get(c) or next(free) for c in classes] + [0]


@dataclass(frozen=True)
class Card:
    """What a model says of itself; stored as JSON inside the TorchScript file.

    Parameters
    ----------
    name, description, reference
        For people.
    classes
        Class names in the order of the network's outputs.
    descriptor
        Settings of :class:`~insitu.descriptors.neighbors_map.NeighborsMap`.
    channels
        Image channels.
    threshold
        Largest probability below which an atom is ``unknown``.
    species
        What the model does with chemical species.
    recipe_sha256
        Hash of the training recipe.
    ball_range
        Smallest and largest number of neighbours in the training data's balls (1 % quantiles):
        outside of it the model is used at a density that it never saw.
    graph
        Extent of the network's graph layer; None: it takes one image at a time.
    """

    name: str
    classes: list[str]
    descriptor: NeighborsMap
    channels: int = 1
    threshold: float = 0.5
    description: str = ""
    reference: str = ""
    species: str = ""
    recipe_sha256: str = ""
    ball_range: tuple[int, int] = (0, 10**6)
    graph: GraphSettings | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the JSON text that goes into the artefact."""
        values = {k: v for k, v in self.__dict__.items() if k not in ("descriptor", "graph")}
        values |= {"format": 1, "descriptor": self.descriptor.as_dict()}
        if self.graph is not None:
            values |= {"format": 2, "graph": asdict(self.graph)}
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str, source: str) -> Card:
        """Read the metadata of an artefact; `source` is named in errors.

        Raises
        ------
        ModelError
            Damaged metadata, or of a newer format.
        """
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version > FORMAT:
                raise ModelError(
                    f"model {source} has format {version}, this version of insitu reads up to "
                    f"{FORMAT}: update insitu"
                )
            values["descriptor"] = NeighborsMap(**values["descriptor"])
            values["ball_range"] = tuple(values["ball_range"])
            if values.get("graph") is not None:
                values["graph"] = GraphSettings(**values["graph"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the metadata inside model {source} is damaged ({error}); train or copy the "
                "model again"
            ) from None


class Model:
    """A loaded classifier: images in, class probabilities out."""

    def __init__(self, card: Card, module: Any, sha256: str, path: Path) -> None:
        self.card = card
        self.sha256 = sha256
        self.path = path
        self._module = module

    #: Whether the kernels run it, and torch is not needed.
    native = False
    #: Images a call of the network: larger batches leave the processor's cache.
    batch = 64
    #: Threads of the kernels that make the images.
    threads = 1

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, size, size)``.

        The network always sees a batch of the same size: another size may take another algorithm.
        What is left of the atoms beside it in the batch is rounding, about 1e-7.
        """
        import torch

        b = len(images)
        if b < self.batch:
            full = np.zeros((self.batch, *images.shape[1:]), dtype=np.float32)
            full[:b] = images
            images = full
        with torch.inference_mode():
            x = torch.from_numpy(images).to(memory_format=torch.channels_last)
            result: NDArray[np.float32] = self._module(x)[:b].numpy()
        return result


def names() -> list[str]:
    """Return the names of the shipped models and their aliases."""
    found = sorted(p.parent.name for p in ARTIFACTS.glob("*/model.pt"))
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


def _graph_model(path: Path, content: bytes) -> GraphModel | None:
    """Return the model if it has a graph layer; torch is imported only if it lacks the weights."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = {n.rpartition("/extra/")[2]: n for n in archive.namelist() if "/extra/" in n}
            if "insitu.json" not in inside:
                return None
            card = Card.from_json(archive.read(inside["insitu.json"]).decode(), str(path))
            weights = archive.read(inside["insitu.npz"]) if "insitu.npz" in inside else None
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return None
    if card.graph is None:
        return None
    return GraphModel(card, weights, hashlib.sha256(content).hexdigest(), path)


def load(name: str) -> Model | GraphModel:
    """Load a model and check its metadata.

    Parameters
    ----------
    name
        Shipped name, alias, or path.

    Raises
    ------
    ModelError
        Missing, damaged, no TorchScript, no metadata, newer format, or network and metadata do
        not fit each other.
    """
    path = locate(name)
    content = path.read_bytes()
    graph = _graph_model(path, content)
    if graph is not None:
        return graph
    try:
        import torch
    except ImportError:
        raise ModelError(
            f"model='{name}' is a TorchScript model and torch is not installed; "
            "pip install 'insitu[torch]' (CPU build: see the README)"
        ) from None
    extra = {"insitu.json": ""}
    try:
        module = torch.jit.load(  # type: ignore[no-untyped-call]
            str(path), map_location="cpu", _extra_files=extra
        )
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"model file {path} cannot be read as TorchScript ({str(error).splitlines()[0][:100]}); "
            "it is damaged or not a model: copy or train it again"
        ) from None
    text = extra["insitu.json"]
    if not text:
        raise ModelError(
            f"model file {path} is TorchScript but carries no insitu metadata; export it with "
            "insitu.models.export.save()"
        )
    card = Card.from_json(text if isinstance(text, str) else text.decode(), str(path))
    model = Model(card, _optimised(module), hashlib.sha256(content).hexdigest(), path)
    _check_fit(model)
    return model


def _optimised(module: Any) -> Any:
    import torch

    module = module.eval().to(memory_format=torch.channels_last)
    return torch.jit.optimize_for_inference(torch.jit.freeze(module))


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
