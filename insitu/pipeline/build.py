# SPDX-License-Identifier: BSD-3-Clause
"""The analyses that a deck's settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from insitu.analyses.loading import load
from insitu.analyses.phases import Phases
from insitu.analyses.profile import Profile, ProfileSettings
from insitu.analyses.rdf import Rdf
from insitu.frame.species import check_species, from_masses
from insitu.frame.units import ANGSTROM
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView


def make_phases(settings: Settings, view: LammpsView, local_rank: int) -> Phases:
    """Return the classification of the atoms; its errors are those of model, device and species."""
    s = settings
    model = load(s.model, engine=s.engine, device=s.device, local_rank=local_rank)
    analyzer = Phases(
        model, s.threshold, s.groups, view.setting("ntypes") if s.types else 0,
        _profile(settings, view, len(model.card.classes) + 1),
    )  # fmt: skip
    if known := model.card.elements:
        masses = {e: about["mass"] for e, about in known.items()}
        species = s.species or from_masses(view.masses(), masses)
        check_species(species, view.setting("ntypes"), known)
        analyzer.color(dict(enumerate(species, 1)))
    return analyzer


def make_further(settings: Settings, view: LammpsView) -> list[Rdf]:
    """Return the analyses beside that of the phases."""
    if settings.rdf is None:
        return []
    unit = "" if view.units == "lj" else "Angstrom"
    return [Rdf(settings.rdf, settings.rdf_bins, view.setting("ntypes"), unit)]


def _profile(settings: Settings, view: LammpsView, n_phases: int) -> Profile | None:
    """Return the bins along an axis, if the settings ask for them."""
    if not settings.profile:
        return None
    length = ANGSTROM[view.units]
    cell, origin, pbc = view.box()
    return Profile(
        ProfileSettings.parse(settings.profile), cell * length, origin * length, pbc,
        length=length, unit="" if view.units == "lj" else "Angstrom", n_phases=n_phases,
    )  # fmt: skip
