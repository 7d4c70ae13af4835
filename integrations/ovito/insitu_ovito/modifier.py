# SPDX-License-Identifier: BSD-3-Clause
"""OVITO's modifier: the structure of each particle by a model of insitu."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from ovito.traits import FilePath
from traits.api import Bool, Enum, Range, Str

import insitu
from insitu.models import store
from insitu.models.card import class_codes
from insitu_ovito.particles import show

_DEFAULT = "metals"


class IdentifyStructuresModifier(ModifierInterface):
    """Identifies the structure of each particle by a model of insitu, also in hot crystals.

    In place of polyhedral template matching or common neighbour analysis: it writes the same property
    ``Structure Type`` with the same integers and colours (and further ones: ``disordered`` 100, ``unknown``
    0), ``Confidence``, and attributes ``insitu.counts.fcc``, ``insitu.fractions.fcc`` and so on.
    """

    model = Enum(_DEFAULT, [_DEFAULT, *(n for n in store.names() if n != _DEFAULT)], label="Model")
    model_file = FilePath("", label="Model file in its place", ovito_group="Advanced")
    own_threshold = Bool(False, label="Own threshold", ovito_group="Advanced")
    threshold = Range(
        low=0.0, high=1.0, value=0.6, label="Unknown if less probable than", ovito_group="Advanced"
    )
    neighbors = Str("", label="Neighbours: only these particle types", ovito_group="Advanced")
    color_by_type = Bool(True, label="Color particles by type")

    def modify(self, data: DataCollection, *, frame: int, **kwargs: Any) -> Any:
        """Classify the particles of a data collection."""
        if data.particles is None or data.particles.positions is None:
            raise RuntimeError("there are no particles with positions in this pipeline")
        name = self.model_file or self.model
        card = store.load(name).card
        yield f"Model {card.name}: {', '.join(card.classes)}"
        print(f"{card.name}: {card.description}")
        print(f"classes: {', '.join(card.classes)}; below {card.threshold:g}: unknown")
        print(f"accuracy: {store.locate(name).parent / 'README.md'}")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = insitu.classify(
                data, model=name, neighbors=self._neighbors(data),
                threshold=self.threshold if self.own_threshold else None,
            )  # fmt: skip
        for warning in said:
            print(warning.message)
        classes = [*found.classes, "unknown"]
        integers = class_codes(found.classes)
        codes = np.where(found.analysed, np.array(integers)[np.maximum(found.labels, -1)], -1)
        show(data, codes, found.confidence, classes, integers, color=self.color_by_type)
        data.attributes["insitu.model"] = card.name
        data.attributes["insitu.classes"] = json.dumps(classes)

    def _neighbors(self, data: DataCollection) -> Any:
        """Return which particles make up the surroundings, by names or numbers of their types."""
        words = [w.strip() for w in self.neighbors.split(",") if w.strip()]
        if not words:
            return None
        kinds = data.particles.particle_types
        if kinds is None:
            raise RuntimeError(f"neighbours {self.neighbors}: the particles have no types")
        numbers = {t.name: t.id for t in kinds.types} | {str(t.id): t.id for t in kinds.types}
        if unknown := [w for w in words if w not in numbers]:
            raise RuntimeError(
                f"neighbours {self.neighbors}: '{unknown[0]}' is no particle type; there are: "
                f"{', '.join(n for n in numbers if n)}"
            )
        return np.isin(np.asarray(kinds), [numbers[w] for w in words])
