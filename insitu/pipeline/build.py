# SPDX-License-Identifier: BSD-3-Clause
"""The analyses that a deck's settings ask for."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, System
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.loading import load
from insitu.analyses.registry import find
from insitu.analyses.requests import Request
from insitu.analyses.trigger import Trigger
from insitu.errors import HistoryError, SettingError, guarded
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.species import ELEMENTS, check_species, from_masses
from insitu.frame.units import ANGSTROM
from insitu.pipeline.budget import Budget
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView
    from insitu.models.added import Extended
    from insitu.models.engines.loaded import LoadedModel

log = logging.getLogger(__name__)

#: Cell vectors ``(3, 3)`` and origin ``(3,)`` [Å].
Box = tuple[NDArray[np.float64], NDArray[np.float64]]

#: What the history has of every run: no analysis may be called so.
_TAKEN = (
    "phases", "thermo", "timing", "simulation", "arrays", "neighbors", "descriptor", "model", "reduce",
    "write", "overlap",
)  # fmt: skip


def with_classes(settings: Settings, ranks: Ranks) -> Extended | None:
    """Return the model with the classes that the settings add, made on rank 0 for all; collective.

    Raises
    ------
    InsituError
        On all ranks: a file is no structure that can be a class, or the model takes none.
    """
    named = settings.classes
    if not named:
        return None
    from insitu.models.added import Extended
    from insitu.models.store import extended

    made: list[Extended] = []
    trouble = None
    if ranks.rank == 0:
        trouble = guarded(lambda: made.append(extended(settings.model, named)))
    ranks.agree(trouble)
    card, weights = ranks.from_first(
        [made[0].card.encode(), made[0].weights] if made else [b"", b""]
    )
    return Extended(card.decode(), weights)


def make_phases(
    settings: Settings, view: LammpsView, local_rank: int, more: Extended | None = None
) -> Phases:
    """Return the classification of the atoms; its errors are those of model, device and species.

    `more` is the model with added classes, if the settings name some.
    """
    s = settings
    model = load(s.model, engine=s.engine, device=s.device, local_rank=local_rank, more=more)
    kinds = view.setting("ntypes")
    analyzer = Phases(model, s.sureness, s.groups, kinds if s.types else 0)
    unseen: set[int] = set()  # which types a group has is not known before the run
    if s.neighbors and all(w.isdecimal() for w in s.neighbors):
        unseen = set(range(1, kinds + 1)) - set(map(int, s.neighbors))
    if known := model.card.elements:
        masses = {e: about["mass"] for e, about in known.items()}
        species = s.species or from_masses(view.masses(), masses, unseen)
        check_species(species, kinds, known, unseen)
        model.name_types({k: e for k, e in enumerate(species, 1) if k not in unseen})
    elif s.species:
        check_species(s.species, kinds, dict.fromkeys(ELEMENTS), unseen)
    return analyzer


def another_model(name: str, model: LoadedModel, ranks: Ranks) -> str | None:
    """Return what is wrong if the ranks loaded different files under one name; collective."""
    mine = model.sha256
    words = np.array([int(mine[k : k + 8], 16) for k in range(0, 64, 8)], dtype=np.float64)
    # Sums of whole numbers: exact, and equal to a rank's own share on all ranks only if all agree.
    if (ranks.sum(words) == words * ranks.size).all():
        return None
    return (
        f"model='{name}' is not the same file on all ranks (here {model.path}, SHA-256 {mine[:12]}…): give "
        "a path that all nodes share, or copy one file to all"
    )


def make_budget(
    settings: Settings, phases: Phases, further: Sequence[Analysis[Any]], ranks: Ranks
) -> Budget | None:
    """Return what keeps the setting `overhead`, if it is given."""
    if settings.overhead is None:
        return None
    whole = [f"analyze {a.name}" for a in further if not a.samples]
    if phases.model.exchanged:
        whole.append(f"model '{phases.model.card.name}'")
    if whole and ranks.rank == 0:
        log.warning(
            "insitu: overhead=%g is kept by the interval between frames alone: %s needs all atoms",
            settings.overhead, ", ".join(whole),
        )  # fmt: skip
    return Budget(settings.overhead, settings.every_max, not whole, ranks)


def continued_box(settings: Settings, ranks: Ranks) -> Box | None:
    """Return the box at the first frame of the history that is continued; collective.

    None where none is, or where it does not say. By it bins stay where they are, whatever the box has
    become.
    """
    if settings.if_exists != "append" or not settings.analyses:
        return None
    said = b""
    if ranks.rank == 0 and os.path.exists(settings.file):
        from insitu.history.writing.continuation import first_box

        with contextlib.suppress(HistoryError):  # what is wrong with the file is said by its check
            if (box := first_box(settings.file)) is not None:
                said = np.concatenate([box[0].ravel(), box[1]]).tobytes()
    (told,) = ranks.from_first([said])
    values = np.frombuffer(told)
    return (values[:9].reshape(3, 3), values[9:]) if len(values) else None


def make_further(
    settings: Settings, view: LammpsView, phases: Phases, box: Box | None = None
) -> list[Analysis[Any]]:
    """Return the analyses beside that of the phases, in the order in which they are carried out.

    `box` is that of the history's first frame, if one is continued.

    Raises
    ------
    SettingError
        Two of them would write the same, or one reads what none before it gives.
    """
    if not settings.analyses:
        return []
    system = _system(settings, view, phases)
    if box is not None:
        system = replace(system, cell=box[0], origin=box[1])
    return further_of(settings.analyses, system, phases, settings.every)


def further_of(
    requests: Sequence[Request], system: System, phases: Phases, every: int | None = None
) -> list[Analysis[Any]]:
    """Return the analyses of a system beside that of the phases, in their order.

    Parameters
    ----------
    requests
        What is asked for.
    system, phases
        The simulation, and the classification of its atoms.
    every
        Steps between two frames.

    Raises
    ------
    SettingError
        As :func:`make_further`.
    """
    found = [_make(r, system) for r in requests]
    given, paths = {"phase", "confidence"}, {o.path: "the phases" for o in phases.observables}
    for a in found:
        if lacking := [r for r in a.reads if r not in given]:
            raise SettingError(
                f"analyze {a.name} reads '{lacking[0]}', which nothing before it gives; there is: "
                f"{', '.join(sorted(given))}"
            )
        given |= {f"{a.name}/{c}" for c in a.columns}
        for o in a.observables:
            if o.path in paths:
                raise SettingError(
                    f"analyze {a.name} writes {o.path}, and so does {paths[o.path]}; give one of them "
                    "another name"
                )
            paths[o.path] = f"analyze {a.name}"
    # A trigger may watch another one that is decided before it, not itself.
    everything = [*phases.observables]
    everything += [o for a in found if not isinstance(a, Trigger) for o in a.observables]
    for a in found:
        if isinstance(a, Trigger):
            a.watch(everything)
            everything += a.observables
            _check_often(a, every)
    return found


def _check_often(t: Trigger, every: int | None) -> None:
    often = t.settings.often
    if often is not None and (every is None or every % often):
        raise SettingError(
            f"analyze {t.name}: often={often} and every={every or 'not given'}; give `every`, the steps "
            f"between two frames as long as nothing happens, as a multiple of {often}, and a fix that is "
            f"called every {often} steps"
        )


def _make(request: Request, system: System) -> Analysis[Any]:
    if request.name in _TAKEN:
        raise SettingError(
            f"analyze {request.analysis}: the name '{request.name}' is taken by the history's own; "
            "give another"
        )
    try:
        made = find(request.analysis)(request.settings, system, request.name)
    except SettingError as error:
        raise SettingError(f"analyze {request.name}: {error}") from None
    for result in request.columns:
        if result not in made.columns:
            raise SettingError(
                f"analyze {request.name}: columns={result}=… and it has "
                f"{', '.join(made.columns) or 'nothing for atoms'}"
            )
    return made


def _system(settings: Settings, view: LammpsView, phases: Phases) -> System:
    length = ANGSTROM[view.units]
    cell, origin, pbc = view.box()
    masses = view.masses()
    return System(
        n_types=view.setting("ntypes"),
        units=view.units,
        cell=cell * length,
        origin=origin * length,
        pbc=pbc,
        masses=None if masses is None else tuple(masses.tolist()),
        species=settings.species,
        classes=tuple(phases.classes),
        timestep=view.timestep,
        sampled=settings.overhead is not None,
    )
