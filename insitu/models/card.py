# SPDX-License-Identifier: BSD-3-Clause
"""The description of a model: classes, what it sees, its threshold; JSON inside the artefact."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError
from insitu.frame.species import MASSES, SYMBOLS
from insitu.models.engines.graph import GraphSettings
from insitu.models.engines.spatial_graph import SpatialSettings

#: Artefacts with a graph layer on maps have the second format; those with species channels, and those on
#: positions alone, the third; those with an output for structures that are no class, the fourth. Others
#: can still be read by older versions.
FORMAT = 4
#: Integers of the classes in LAMMPS and in files: PTM's where PTM has the class, 0 is unknown.
CODES = {"fcc": 1, "hcp": 2, "bcc": 3, "sc": 5, "cubic_diamond": 6, "hexagonal_diamond": 7}
FIRST_OWN_CODE = 100
_OWN_CODES = {"disordered": 100, "liquid": 101, "amorphous": 102}


def class_codes(classes: list[str]) -> list[int]:
    """Return the file integers of some classes and of ``unknown`` after them."""
    free = iter(range(110, 10_000))
    return [CODES.get(c) or _OWN_CODES.get(c) or next(free) for c in classes] + [0]


@dataclass(frozen=True)
class Card:
    """The description of a model; stored as JSON inside the TorchScript file.

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
        Of a model whose further channels weight atoms by species: for each element its ``mass``
        [g/mol] and its ``weights`` in these channels. Filled in for the species of `spatial`.
    foreign
        Whether the network has one output more than there are classes: the probability that an atom's
        structure is none of them. The classes' probabilities then sum to less than 1.
    more
        What else is told of it.
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
    foreign: bool = False
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
        apart = ("descriptor", "graph", "spatial", "elements", "foreign")
        values = {k: v for k, v in self.__dict__.items() if k not in apart}
        values |= {"format": 1, "descriptor": self.descriptor.as_dict()}
        if self.graph is not None:
            values |= {"format": 2, "graph": asdict(self.graph)}
        if self.spatial is not None:
            values |= {"format": 3, "spatial": asdict(self.spatial)}
        if self.elements:
            values |= {"format": 3, "elements": self.elements}
        if self.foreign:
            values |= {"format": 4, "foreign": True}
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
