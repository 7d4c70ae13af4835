# SPDX-License-Identifier: BSD-3-Clause
"""Models of energy barriers: their artefacts, what they were trained for, and whether a sample is that."""

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
from numpy.typing import ArrayLike, NDArray

from insitu.errors import ModelError, SettingError, did_you_mean
from insitu.frame.species import MASSES, SYMBOLS
from insitu.models.engines.angular import AngularSettings
from insitu.models.engines.barriers import TERMS, BarrierSettings, NativeBarriers
from insitu.models.store import ARTIFACTS, BARRIERS

_CARD, _WEIGHTS = "insitu-barriers.json", "insitu-barriers.npz"
#: Part of the atoms outside of the training range from which on the sample is another material, or another
#: density; and from which on a word is due.
REFUSED, ODD = 0.5, 0.02
#: The same for the difference in composition.
REFUSED_COMPOSITION, ODD_COMPOSITION = 0.1, 0.02
#: A mean barrier may be this far beyond those in training without a word [eV].
BEYOND = 0.3


@dataclass(frozen=True)
class BarrierCard:
    """What a model of energy barriers is for.

    Parameters
    ----------
    name, description, reference
        For people.
    settings
        Of the network.
    neighbors
        Neighbours within the cutoff that 99.8 % of the atoms in training had: from, to.
    composition
        Part of the first species in training.
    barriers
        Mean barriers of the samples in training [eV]: from, to.
    more
        What else is told of it.
    """

    name: str
    description: str
    reference: str
    settings: BarrierSettings
    neighbors: tuple[int, int]
    composition: float
    barriers: tuple[float, float]
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the JSON text that goes into the artefact."""
        return json.dumps({"format": 1, "kind": "barriers", **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str, source: str) -> BarrierCard:
        """Read the metadata of an artefact; `source` is named in errors.

        Raises
        ------
        ModelError
            Damaged metadata, of a newer format, or of another kind of model.
        """
        try:
            values = json.loads(text)
            version, kind = values.pop("format"), values.pop("kind")
            if version > 1 or kind != "barriers":
                raise ModelError(
                    f"model {source} is of the kind '{kind}' in format {version}, this version of insitu "
                    "reads barriers in format 1: update insitu, or give another model"
                )
            s = values.pop("settings")
            s |= {"species": tuple(s["species"]), "centres": tuple(s["centres"])}
            if angular := s.get("angular"):
                s["angular"] = AngularSettings(**angular | {"centres": tuple(angular["centres"])})
            for name in ("neighbors", "barriers"):
                values[name] = tuple(values[name])
            return cls(settings=BarrierSettings(**s), **values)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the metadata inside model {source} is damaged ({error}); train or copy the model again"
            ) from None


class BarrierModel:
    """A model of energy barriers as it is used: without torch.

    Parameters
    ----------
    card
        What it is for.
    weight
        Of the network.
    sha256, path
        Of the artefact.
    """

    def __init__(
        self, card: BarrierCard, weight: NDArray[np.float64], sha256: str, path: Path
    ) -> None:
        self.card, self.sha256, self.path = card, sha256, path
        self.network = NativeBarriers(card.settings, weight)

    def check_composition(self, species: NDArray[np.integer[Any]]) -> str:
        """Return advice on the composition of a sample, or ``""``.

        Raises
        ------
        SettingError
            It is far from that in training.
        """
        if not len(species):
            return ""
        found, first = float((species == 0).mean()), self.card.settings.species[0]
        far = abs(found - self.card.composition)
        said = (
            f"the sample has {found:.1%} {first} and model {self.card.name} was trained on "
            f"{self.card.composition:.1%}"
        )
        if far > REFUSED_COMPOSITION:
            raise SettingError(f"{said}: it knows nothing of this composition; train a model of it")
        return f"{said}: its accuracy there is not known" if far > ODD_COMPOSITION else ""

    def check_density(self, outside: float) -> str:
        """Return advice on the surroundings of the atoms, or ``""``.

        Parameters
        ----------
        outside
            Part of the atoms whose number of neighbours is outside of ``card.neighbors``.

        Raises
        ------
        SettingError
            Most are.
        """
        low, high = self.card.neighbors
        said = (
            f"{outside:.1%} of the atoms have less than {low} or more than {high} neighbours within "
            f"{self.card.settings.cutoff:g} Å, outside of what model {self.card.name} was trained on"
        )
        if outside > REFUSED:
            raise SettingError(
                f"{said}: the density is another (lengths in Å? a bulk glass?); nothing can be said of it"
            )
        return (
            f"{said}: surfaces, voids or another density; do not trust them"
            if outside > ODD
            else ""
        )

    def check_level(self, mean: float) -> str:
        """Return advice where the mean barrier [eV] is that of no glass in training, or ``""``."""
        low, high = self.card.barriers
        if low - BEYOND <= mean <= high + BEYOND:
            return ""
        return (
            f"the mean barrier is {mean:.2f} eV, and the glasses on which model {self.card.name} was "
            f"trained have {low:.2f} to {high:.2f} eV: the structure is hot, not minimised, or of another "
            "kind; do not trust the values"
        )

    def outside(self, counts: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Return which numbers of neighbours ``(n,)`` are outside of the training's."""
        low, high = self.card.neighbors
        found: NDArray[np.bool_] = (counts < low) | (counts > high)
        return found

    def kinds(self, species: ArrayLike | None, n: int) -> NDArray[np.int64]:
        """Return the number ``(n,)`` of each atom's species in the model.

        Parameters
        ----------
        species
            ``(n,)`` symbols, atomic numbers, or masses [g/mol].
        n
            Number of atoms.

        Raises
        ------
        SettingError
            A wrong shape, or an element that the model does not know.
        """
        known = self.card.settings.species
        if species is None:
            raise SettingError(
                f"model {self.card.name} tells species apart ({', '.join(known)}): give species, the "
                "symbol, atomic number or mass of each atom"
            )
        given = np.asarray(species)
        if given.dtype.kind == "S":
            given = given.astype(str)
        if given.shape != (n,):
            raise SettingError(f"species have shape {given.shape}; give ({n},), one an atom")
        values, which = np.unique(given, return_inverse=True)
        numbers = [_element(v, known) for v in values.tolist()]
        return np.array(numbers, dtype=np.int64)[which].reshape(n)


def _element(value: Any, known: tuple[str, ...]) -> int:
    """Return the place of an element, given by symbol, atomic number or mass, among those known."""
    what = f"{value!r}"
    symbol = str(value).strip()
    if not isinstance(value, str):
        symbol = ""
        if float(value) == round(float(value)) and 0 < value < len(SYMBOLS):
            symbol = SYMBOLS[int(value)]
            what = f"the atomic number {int(value)} ({symbol})"
        if symbol not in known:  # a mass: none of an element is another's atomic number here
            masses = {s: MASSES[SYMBOLS.index(s)] for s in known}
            near = [s for s, m in masses.items() if abs(float(value) - m) < 0.01 * m]
            symbol = near[0] if near else symbol
    if symbol not in known:
        raise SettingError(
            f"species has {what}, and the model knows {', '.join(known)} only; give symbols, atomic "
            "numbers or masses in g/mol (of LAMMPS' types 1, 2: numpy.array(['Cu', 'Zr'])[types - 1]), or "
            f"use a model for this material.{did_you_mean(symbol, known)}"
        )
    return known.index(symbol)


def names() -> list[str]:
    """Return the names of the shipped models of energy barriers."""
    return sorted(p.parent.name for p in ARTIFACTS.glob(f"*{BARRIERS}/model.pt"))


def load(name: str) -> BarrierModel:
    """Load a model of energy barriers; torch is not needed.

    Parameters
    ----------
    name
        Shipped name, or path of a ``.pt`` file.

    Raises
    ------
    ModelError
        There is none, it is damaged, or no model of energy barriers.
    """
    path = ARTIFACTS / name / "model.pt"
    if name not in names():
        path = Path(name)
        path = path / "model.pt" if path.is_dir() else path
    if not path.is_file() or (path.parent.name == name and name not in names()):
        raise ModelError(
            f"model='{name}' is neither a shipped model of energy barriers ({', '.join(names())}) nor a "
            f"file; give one of these names or the path of a model.pt.{did_you_mean(name, names())}"
        )
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = {n.rpartition("/extra/")[2]: n for n in archive.namelist() if "/extra/" in n}
            card = BarrierCard.from_json(archive.read(inside[_CARD]).decode(), str(path))
            with np.load(io.BytesIO(archive.read(inside[_WEIGHTS]))) as arrays:
                weight = np.asarray(arrays["weight"], dtype=np.float64)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ModelError(
            f"model file {path} is no model of energy barriers, or damaged ({error}); give "
            f"{', '.join(names())}, or train it again"
        ) from None
    kinds, features = len(card.settings.species), card.settings.features
    if weight.shape != (kinds, TERMS, features):
        raise ModelError(
            f"model {path}: weights of the shape {weight.shape} do not fit its metadata "
            f"({kinds} species, {features} features); train or copy it again"
        )
    return BarrierModel(card, weight, hashlib.sha256(content).hexdigest(), path)


def save(network: Any, card: BarrierCard, folder: Path | str) -> Path:
    """Write a :class:`~insitu.models.networks.barriers.BarrierNetwork` as an artefact, and return its file.

    Parameters
    ----------
    network
        The torch module.
    card
        Its metadata, which are also written beside it (``card.json``).
    folder
        Directory to write into; it is made.
    """
    import torch

    os.makedirs(folder, exist_ok=True)
    weights = io.BytesIO()
    np.savez(weights, weight=network.weight.detach().numpy())
    extra = {_CARD: card.to_json(), _WEIGHTS: weights.getvalue()}
    path = Path(folder) / "model.pt"
    torch.jit.save(torch.jit.script(network.eval()), str(path), _extra_files=extra)
    (Path(folder) / "card.json").write_text(card.to_json() + "\n")
    return path
