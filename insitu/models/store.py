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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.device import check_device, choose, tell
from insitu.errors import InsituError, ModelError, SettingError, did_you_mean
from insitu.models.cnn import NativeCNN
from insitu.models.device_check import compare_with_cpu
from insitu.models.graph import GraphModel, GraphSettings
from insitu.models.spatial import SpatialModel, SpatialSettings
from insitu.models.torchscript import TorchScript
from insitu.models.weights import read_weights
from insitu.neighbors import compiled
from insitu.settings import check_engine
from insitu.species import MASSES, SYMBOLS

if TYPE_CHECKING:
    from insitu.device import Device
    from insitu.models.device_maps import DeviceMaps

#: Artefacts with a graph layer on maps have the second format; those coloured by species, and those on
#: positions alone, the third. Others can still be read by older versions.
FORMAT = 3
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
    spatial
        The graph of a network on atoms' positions alone, which needs no descriptor; or None.
    elements
        Of a model whose further channels are coloured by species: for each element its ``mass``
        [g/mol] and its ``weights`` in these channels. Filled in for the species of `spatial`.
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
    spatial: SpatialSettings | None = None
    elements: dict[str, dict[str, Any]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.spatial is not None and not self.elements:
            for z in self.spatial.species:
                self.elements[SYMBOLS[z]] = {"mass": MASSES[z], "weights": []}

    @property
    def scale_free(self) -> bool:
        """Whether uniform scaling of the sample changes nothing."""
        return self.descriptor.scale_free if self.spatial is None else self.spatial.relative

    @property
    def inputs(self) -> dict[str, Any]:
        """What the network sees: settings of the descriptor, or of the graph on positions."""
        return self.descriptor.as_dict() if self.spatial is None else asdict(self.spatial)

    def to_json(self) -> str:
        """Return the JSON text that goes into the artefact."""
        apart = ("descriptor", "graph", "spatial", "elements")
        values = {k: v for k, v in self.__dict__.items() if k not in apart}
        values |= {"format": 1, "descriptor": self.descriptor.as_dict()}
        if self.graph is not None:
            values |= {"format": 2, "graph": asdict(self.graph)}
        if self.spatial is not None:
            values |= {"format": 3, "spatial": asdict(self.spatial)}
        if self.elements:
            values |= {"format": 3, "elements": self.elements}
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
            if values.get("spatial") is not None:
                values["spatial"] = SpatialSettings(**values["spatial"])
            card = cls(**values)
            if any(len(e["weights"]) != card.channels - 1 for e in card.elements.values()):
                raise ValueError("elements without a weight for each further channel")
            return card
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the metadata inside model {source} is damaged ({error}); train or copy the "
                "model again"
            ) from None


class Model:
    """A loaded classifier of single images: images in, class probabilities out.

    Parameters
    ----------
    card
        Its metadata.
    network
        The engine that runs it.
    sha256, path
        Of the artefact.
    """

    #: Images a call of the network: larger batches leave the processor's cache.
    batch = 64
    #: Threads of the kernels; torch has its own setting.
    threads = 1

    def __init__(
        self, card: Card, network: TorchScript | NativeCNN, sha256: str, path: Path
    ) -> None:
        self.card = card
        self.sha256 = sha256
        self.path = path
        self.network = network
        #: The same on a GPU, if that is where it runs.
        self.on_device: DeviceMaps | None = None

    def move(self, device: Device) -> None:
        """Let the model run on a device, in torch; its errors are those of :class:`DeviceMaps`."""
        from insitu.models.device_maps import DeviceMaps

        self.on_device = DeviceMaps(self.card, self.path, device)

    @property
    def engine(self) -> str:
        """Name of what runs the network."""
        return "native" if self.native else "torchscript"

    @property
    def native(self) -> bool:
        """Whether the kernels run it, and torch is not needed."""
        return isinstance(self.network, NativeCNN) and self.on_device is None

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, size, size)``."""
        if isinstance(self.network, NativeCNN):
            return self.network.probabilities(images, self.threads)
        return self.network.probabilities(images, self.batch)


AnyModel = Model | GraphModel | SpatialModel


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


def _inside(path: Path, content: bytes) -> tuple[Card | None, bytes | None]:
    """Return the card of an artefact and its weights for the native kernels, without torch."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = {n.rpartition("/extra/")[2]: n for n in archive.namelist() if "/extra/" in n}
            if "insitu.json" not in inside:
                return None, None
            card = Card.from_json(archive.read(inside["insitu.json"]).decode(), str(path))
            weights = archive.read(inside["insitu.npz"]) if "insitu.npz" in inside else None
            return card, weights
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return None, None


def load(name: str, *, engine: str = "auto", device: str = "cpu", local_rank: int = 0) -> AnyModel:
    """Load a model and check its metadata.

    Parameters
    ----------
    name
        Shipped name, alias, or path.
    engine
        What runs the network: ``native`` (the kernels), ``torchscript`` (the reference), or
        ``auto``: the kernels if the artefact has weights for them, which is faster and needs no
        torch.
    device, local_rank
        Where it runs, see :func:`insitu.device.choose`.

    Raises
    ------
    ModelError
        Missing, damaged, no TorchScript, no metadata, newer format, network and metadata do
        not fit each other, or the engine cannot run it.
    SettingError
        No such engine or device, or a GPU was asked for and cannot be used.
    """
    check_device(device)
    model = _load(name, engine)
    if device == "cpu":
        return model
    try:
        there = choose(device, local_rank)
        if there is not None:
            if engine == "native" and isinstance(model, Model):
                raise SettingError(
                    f"engine='native' has no CUDA kernels for the network of model '{name}', which torch "
                    "runs on a GPU; leave `engine` out, or give device=cpu"
                )
            with there.here():
                model.move(there)
                compare_with_cpu(model)
    except Exception as error:  # of the driver, the compiler, torch, or for want of memory
        model.on_device = None
        if device == "auto":
            tell(f"the analysis runs on the CPU: {error}")
        elif isinstance(error, InsituError):
            raise
        else:
            what = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise SettingError(
                f"device='{device}' cannot run model '{name}' ({what}); give device=cpu"
            ) from error
    return model


def _load(name: str, engine: str) -> AnyModel:
    check_engine(engine)
    try:
        compiled().isa_default()
    except ValueError as error:  # INSITU_ISA
        raise SettingError(str(error)) from None
    path = locate(name)
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    card, weights = _inside(path, content)
    if engine == "native" and card is not None and weights is None:
        raise ModelError(
            f"engine='native' cannot run model {path}: it has no weights for the kernels, which run "
            "the networks NeighborsMapCNN, NeighborsMapGraph and WholeSampleGraph saved by this "
            "version; give engine=torchscript or auto, or save it again with insitu.models.export.save()"
        )
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
            "pip install 'insitu[torch]' (CPU build: see the README)"
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
