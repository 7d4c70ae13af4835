# SPDX-License-Identifier: BSD-3-Clause
"""Analyses beside the phases, on the frames of files: those of a run, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis
from insitu.analyses.base import System as AnalysedSystem
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import NOT_ANALYSED, Classification
from insitu.analyses.requests import Request
from insitu.analyses.running import gathered, local_results, together
from insitu.analyses.trigger import Trigger
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.offline.kinds import named_types, types_of
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.soundness import MOST_TYPES, listed, repeated
from insitu.pipeline.build import further_of


class Further:
    """What `--analyze` asks for, made at the first frame and kept from frame to frame.

    Parameters
    ----------
    requests
        The analyses.
    c
        The first frame [Å], of its atoms those that there are for the analysis.
    species
        Elements of the types 1, 2, …, as the user says; else those that the file has.
    units
        LAMMPS unit style.
    phases
        The classification.
    box
        Cell and origin at the first frame of the history that is continued [Å]; None: there is none.
    file
        For messages.

    Attributes
    ----------
    names
        Elements that the types 1, 2, … are, where the file has those and no types; else nothing.

    Raises
    ------
    SettingError
        An analysis needs what files do not have.
    """

    def __init__(
        self, requests: Sequence[Request], c: Configuration, species: Sequence[str], units: str,
        phases: Phases, box: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        file: str = "",
    ) -> None:  # fmt: skip
        if columns := [r.name for r in requests if r.columns]:
            raise SettingError(
                f"--analyze {columns[0]}: columns are those of LAMMPS, a file has none; leave them out"
            )
        self._units, self._phases, self._file = units, phases, file
        self.names = named_types(c, species)
        n_types = len(self.names) or (1 if c.types is None else int(c.types.max(initial=1)))
        self._check(c, n_types)
        bare = self._frame(c, 0, None)
        system = AnalysedSystem(
            n_types=n_types, units=units, cell=bare.cell if box is None else box[0],
            origin=bare.origin if box is None else box[1], pbc=bare.pbc,
            species=tuple(species) or self._species(c, n_types), classes=tuple(phases.classes),
        )  # fmt: skip
        try:
            self.analyses: list[Analysis[Any]] = further_of(requests, system, phases)
        except SettingError as error:  # its words are those of a deck
            text = str(error).replace("the deck has no masses in g/mol", "the file names none")
            raise SettingError(text.replace("example species ", "example --species ")) from None
        if triggers := [a.name for a in self.analyses if isinstance(a, Trigger)]:
            raise SettingError(
                f"--analyze {triggers[0]}: a trigger acts on a run, a file has none; leave it out"
            )
        if reading := [a for a in self.analyses if a.groups]:
            raise SettingError(
                f"--analyze {reading[0].name}: '{reading[0].groups[0]}' is a group of LAMMPS, a file has "
                "none; leave it out"
            )
        for a in self.analyses:
            if a.state:
                a.restore({})

    @staticmethod
    def _check(c: Configuration, n_types: int) -> None:
        """Refuse what no analysis could make sense of."""
        if (again := repeated(c)) is not None:
            raise SettingError(
                f"--analyze: several atoms have the id {again}, by which analyses tell them apart; correct "
                "the ids, or leave their column out"
            )
        if n_types > MOST_TYPES or (c.types is not None and c.types.min(initial=1) < 1):
            raise SettingError(
                f"--analyze: the atoms have the types {listed(c.types)}; give 1, 2, … up to {MOST_TYPES}"  # type: ignore[arg-type]
            )

    def _species(self, c: Configuration, n_types: int) -> tuple[str, ...]:
        """Return the element of each type, where all atoms of a type have one and the file says it."""
        if self.names or c.types is None or c.names is None or c.numbers is None:
            return self.names if c.numbers is not None else ()
        found = []
        for kind in range(1, n_types + 1):
            elements = np.unique(c.names[c.types == kind])
            if len(elements) != 1:
                return ()
            found.append(str(elements[0]))
        return tuple(found)

    def _frame(self, c: Configuration, step: int, selected: NDArray[np.bool_] | None) -> Frame:
        return Frame.from_arrays(
            c.positions, c.cell, c.pbc, reach=0.0, types=types_of(c, self.names, self._file),
            ids=c.ids, origin=c.origin, step=step, time=c.time or 0.0, units=self._units, selected=selected,
        )  # fmt: skip

    def __call__(self, c: Configuration, step: int, found: Classification) -> dict[str, Any]:
        """Return the values of all observables of a frame.

        Parameters
        ----------
        c
            The frame [Å].
        step
            Its step.
        found
            Phases of its atoms.
        """
        self._check(c, 1)
        analysed = found.analysed
        bare = self._frame(c, step, None if analysed.all() else analysed)
        kinds = len(self.names) or self.analyses[0].system.n_types
        if bare.n_local and not 1 <= int(bare.types.min()) <= int(bare.types.max()) <= kinds:
            raise SettingError(
                f"--analyze: step {step} has the atom types {np.unique(bare.types).tolist()}, the first "
                f"frame had 1 … {kinds}; give frames of one system"
            )
        reach = self._reach(bare)
        frame = bare.with_images(reach * 1.0001)
        search, ranks = Neighbors(frame, reach), Ranks()
        results: dict[str, Any] = {
            "phase": np.where(found.labels == NOT_ANALYSED, -1, found.labels),
            "confidence": found.confidence,
        }
        values: dict[str, Any] = {}
        for a in self.analyses:
            if a.rounds:
                a.halo = Halo(frame, ranks, a.exchanged, a.rounds, None, a.cutoff or reach)
            own = local_results(a, replace(frame, results=dict(results)), search)
            results |= {f"{a.name}/{column}": own[column] for column in a.columns if column in own}
            sums = {k: np.asarray(own[k], dtype=np.float64) for k in a.sums}
            values |= a.finish({**sums, **gathered(a, own, ranks), **together(a, ranks)})
        return values

    def _reach(self, bare: Frame) -> float:
        """Return how far the analyses look [Å]."""
        c = self._phases.classifier
        if c.scale_free and any(not a.cutoff for a in self.analyses) and bare.n_local:
            c.measure(spacing(bare))
        return max(a.cutoff or c.search for a in self.analyses)
