# SPDX-License-Identifier: BSD-3-Clause
"""Properties of a phase's crystal, predicted by networks: what `analyze crystal` adds where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from insitu.analyses.base import Observable
from insitu.crystal.finding.found import Crystal
from insitu.crystal.prediction.scalars import formation_energy
from insitu.crystal.prediction.tensors import dielectric_tensor, elastic_tensor
from insitu.crystal.prediction.weights import loaded
from insitu.crystal.tensors.moduli import moduli, stable
from insitu.crystal.tensors.symmetry_distance import closest_symmetry
from insitu.crystal.tensors.voigt import to_voigt
from insitu.errors import SettingError
from insitu.frame.species import SYMBOLS


@dataclass(frozen=True)
class Properties:
    """Which properties are predicted.

    Parameters
    ----------
    elastic
        Elastic tensor [GPa], and the moduli of a polycrystal.
    dielectric
        Static dielectric tensor of an insulator.
    energy
        Formation energy [eV/atom].
    parent
        Crystal system whose symmetry the elastic tensor is compared with; None: it is not.
    elastic_model
        File of the elastic tensor's model; None: the shipped one.
    """

    elastic: bool = False
    dielectric: bool = False
    energy: bool = False
    parent: str | None = None
    elastic_model: str | None = None

    def check(self, names: Sequence[str]) -> None:
        """Refuse atom types that are no elements, and a model that does not know them.

        Raises
        ------
        SettingError
            A property is asked for, and a species is no element, or none of the model's.
        ModelError
            The model's file is none.
        """
        asked = [
            text
            for text, wanted in (
                ("elastic=yes", self.elastic), ("dielectric=yes", self.dielectric),
                ("energy=yes", self.energy), (f"parent={self.parent}", self.parent is not None),
            )
            if wanted
        ]  # fmt: skip
        if asked and not all(s in SYMBOLS for s in names):
            raise SettingError(
                f"{asked[0]}: properties are predicted for elements, and those of the atom types are not "
                "known; name them in the order of the types, for example species Ni,Al"
            )
        if self.elastic_model is not None:
            if not self.elastic and self.parent is None:
                raise SettingError(
                    f"elastic_model={self.elastic_model}: nothing asks for it; add elastic yes, or leave "
                    "it out"
                )
            known = loaded("elastic", self.elastic_model)[1].get("elements", names)
            if odd := [n for n in names if n not in known]:
                raise SettingError(
                    f"elastic_model={self.elastic_model}: it was trained on {', '.join(known)} and the "
                    f"atom types have {odd[0]}; leave it out for the one that was trained on DFT"
                )

    def observables(
        self, of: Callable[..., Observable], axis: Callable[[str], str]
    ) -> tuple[Observable, ...]:
        """Return what is added to the history.

        Parameters
        ----------
        of
            Makes an observable of each phase: name, type, unit, description, further axes.
        axis
            Makes a name of an axis the analysis' own.
        """
        found: list[Observable] = []
        if self.elastic:
            rows, columns = (
                (axis(n), ("xx", "yy", "zz", "yz", "xz", "xy"), "") for n in ("stress", "strain")
            )
            found += [
                of("stiffness", "f8", "GPa", "predicted, in the axes of the box", rows, columns),
                of("bulk_modulus", "f8", "GPa", "of the predicted tensor, Hill's mean"),
                of("shear_modulus", "f8", "GPa", "of the predicted tensor, Hill's mean"),
            ]
        if self.dielectric:
            field, strength = (
                (axis(n), ("x", "y", "z"), "") for n in ("displacement_field", "electric_field")
            )
            about = "predicted, static, in the axes of the box"
            found.append(of("dielectric", "f8", "", about, field, strength))
        if self.energy:
            about = "predicted, from the elements, of the cell with its symmetry imposed"
            found.append(of("formation_energy", "f8", "eV", about + ", per atom"))
            about = (
                "likeness of the most alike crystal that it was trained on, 0 … 1: worse if small"
            )
            found.append(of("formation_alike", "f8", "", about))
        if self.parent is not None:
            found.append(
                of(
                    "symmetry_breaking", "f8", "",
                    "norm of the part of the predicted elastic tensor that no orientation of the parent's "
                    "symmetry allows, relative to the tensor's",
                )
            )  # fmt: skip
        return tuple(found)

    def of(self, crystal: Crystal) -> dict[str, Any]:
        """Return the properties of a crystal by the names of the observables.

        Of a crystal to which a network does not apply (an element that it does not know, atoms that lie on
        each other, a solid solution) they are left out, and so NaN in the history: no simulation ends for
        that.
        """
        found: dict[str, Any] = {}
        if crystal.mixed:
            return found
        for of in (self._elastic, self._dielectric, self._energy):
            with suppress(SettingError):
                found |= of(crystal)
        return found

    def _elastic(self, crystal: Crystal) -> dict[str, Any]:
        if not self.elastic and self.parent is None:
            return {}
        found: dict[str, Any] = {}
        tensor = elastic_tensor(
            crystal.cell, crystal.sites, crystal.kinds, self.elastic_model
        ).tensor
        if self.elastic:
            stiffness = to_voigt(tensor)
            found["stiffness"] = stiffness
            if stable(stiffness):  # else it has no moduli of a polycrystal
                m = moduli(stiffness)
                found |= {"bulk_modulus": m.bulk, "shear_modulus": m.shear}
        if self.parent is not None:
            found["symmetry_breaking"], _ = closest_symmetry(tensor, self.parent)
        return found

    def _dielectric(self, crystal: Crystal) -> dict[str, Any]:
        if not self.dielectric:
            return {}
        found = dielectric_tensor(crystal.cell, crystal.sites, crystal.kinds)
        return {"dielectric": found.tensor}

    def _energy(self, crystal: Crystal) -> dict[str, Any]:
        if not self.energy:
            return {}
        whole = crystal.conventional, crystal.conventional_sites, crystal.conventional_kinds
        found = formation_energy(*whole)
        return {"formation_energy": found.value, "formation_alike": found.alike}
