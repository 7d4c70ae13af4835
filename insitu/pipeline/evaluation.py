# SPDX-License-Identifier: BSD-3-Clause
"""checked frame → neighbours → analyses → sums over all ranks → values of the observables.

A rank that fails takes part in every exchange that is left, with zeros; its failure travels in the
all-reduce of the sums.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.running import gathered, local_results, together
from insitu.errors import InsituError, describe
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.packing import Packing
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline import signals

#: Stages of every frame whose wall times are summed over the ranks.
STAGES = ("arrays", "neighbors", "descriptor", "model")
#: Those that take as much longer as there are more atoms to analyse.
_OF_ATOMS = ("neighbors", "descriptor", "model")


@dataclass(frozen=True)
class Evaluated:
    """What all ranks found in a frame.

    Parameters
    ----------
    sums
        Over all ranks, by name; of a further analysis ``NAME/sum``.
    gathered
        ``NAME/gather``: on rank 0 ids ``(k,)`` in their order and values; and what the ranks found
        together, as the analysis has it.
    columns
        This rank's atoms, ``NAME/column``: ``(n_local,)``.
    waited
        How long this rank exchanged and waited for others [s].
    spent
        How long its maps and networks took, which grows with the atoms analysed [s].
    """

    sums: dict[str, Any]
    gathered: dict[str, Any]
    columns: dict[str, NDArray[np.float64]]
    waited: float
    spent: float


class Evaluation:
    """Carries out the analyses of a frame on all ranks.

    Parameters
    ----------
    phases
        The classification, which comes first.
    analyses
        Those beside it, in their order.
    ranks
        The ranks of the simulation.

    Attributes
    ----------
    stages
        Names of the wall times.
    """

    def __init__(self, phases: Phases, analyses: Sequence[Analysis[Any]], ranks: Ranks) -> None:
        self._phases, self._classifier = phases, phases.classifier
        self._analyses, self._ranks = tuple(analyses), ranks
        self.stages = tuple(dict.fromkeys((*STAGES, *(a.stage for a in analyses))))
        self._packing = Packing(
            {
                **{"failed": (), "atoms": (), "asked_to_end": ()},
                **{f"wall_{s}": () for s in ("simulation", *self.stages)},
                **phases.sums,
                **{f"{a.name}/{k}": shape for a in analyses for k, shape in a.sums.items()},
            }
        )

    def __call__(self, frame: Frame, spent: Mapping[str, float]) -> Evaluated:
        """Return what all ranks found; collective.

        Parameters
        ----------
        frame
            This rank's frame, whose ghosts can be relied on.
        spent
            Wall times of what came before, to be summed as well [s].

        Raises
        ------
        InsituError
            On all ranks, if one of them failed.
        """
        wall = dict.fromkeys(("simulation", *self.stages), 0.0) | dict(spent)
        mine: dict[str, Any] | None = None
        local: dict[str, Any] = {}
        trouble = None
        started = time.perf_counter()
        try:
            neighbors = self._phases.neighbors(frame)
        except Exception as error:
            neighbors, trouble = None, describe(error)
        searched = time.perf_counter()
        wall["neighbors"] += searched - started
        halos = self._exchange(frame, trouble)
        waited = time.perf_counter() - searched
        try:
            if neighbors is None:
                raise InsituError(trouble or "no neighbour search")
            sums = self._phases(frame, neighbors)
            waited += self._classifier.waited
            for stage, seconds in self._phases.timing.items():
                wall[stage] += seconds
            local = self._further(frame, neighbors, wall)
            waited += sum(h.waited for h in halos)
            mine = {
                **sums,
                **local,
                "failed": 0.0,
                "atoms": frame.n_of_rank,
                "asked_to_end": float(signals.asked()),
                **{f"wall_{stage}": seconds for stage, seconds in wall.items()},
            }
            vector = self._packing.pack(mine)
        except Exception as error:
            trouble, vector = describe(error), self._packing.pack(None)
            vector[0] = 1.0
        for halo in [self._classifier.halo, *halos]:
            if halo is not None:
                halo.finish()
        started = time.perf_counter()
        total = self._packing.unpack(self._ranks.sum(vector))
        if total["failed"]:
            self._ranks.agree(trouble)
        collected: dict[str, Any] = {}
        for a in self._analyses:
            own = {k: local[f"{a.name}/{k}"] for k in a.gathers}
            collected |= {f"{a.name}/{k}": v for k, v in gathered(a, own, self._ranks).items()}
            for name, value in together(a, self._ranks).items():
                (local if name in a.later else collected)[f"{a.name}/{name}"] = value
        waited += time.perf_counter() - started
        columns = {
            f"{a.name}/{k}": local[f"{a.name}/{k}"] for a in self._analyses for k in a.columns
        }
        return Evaluated(total, collected, columns, waited, sum(wall[s] for s in _OF_ATOMS))

    def _exchange(self, frame: Frame, trouble: str | None) -> list[Halo]:
        """Prepare the exchange of features, if there is one; collective. All ranks begin it, or none."""
        those = [a for a in self._analyses if a.rounds]
        if not self._classifier.model.exchanged and not those:
            return []
        self._ranks.agree(trouble)
        self._classifier.exchange(frame, self._ranks)
        found: list[Halo] = []
        for a in those:
            before = a.halo or self._classifier.halo or (found[-1] if found else None)
            reach = a.cutoff or self._classifier.cutoff
            a.halo = Halo(frame, self._ranks, a.exchanged, a.rounds, before, reach)
            a.halo.waited = 0.0  # the caller counts how long this took
            found.append(a.halo)
        return found

    def _further(self, frame: Frame, search: Any, wall: dict[str, float]) -> dict[str, Any]:
        """Return the local results of the analyses beside the phases, ``NAME/result``."""
        read = {r for a in self._analyses for r in a.reads}
        results: dict[str, Any] = {}
        if "phase" in read:
            results["phase"] = self._phases.labels
        if "confidence" in read:
            results["confidence"] = self._phases.confidence
        found: dict[str, Any] = {}
        for a in self._analyses:
            started = time.perf_counter()
            if not isinstance(search, Neighbors) or a.cutoff > search.cutoff:
                # One of its own where it goes further (the images' is as short as can be) or where
                # that one is on a device.
                radii = [a.cutoff or self._classifier.search for a in self._analyses]
                search = Neighbors(frame, max(radii))
                now = time.perf_counter()
                wall["neighbors"] += now - started
                started = now
            own = local_results(a, replace(frame, results=dict(results)), search)
            for name, value in own.items():
                found[f"{a.name}/{name}"] = value
                if f"{a.name}/{name}" in read:
                    results[f"{a.name}/{name}"] = value
            exchanged = a.halo.waited if a.halo is not None else 0.0
            wall[a.stage] += time.perf_counter() - started - exchanged
        return found

    def finish(self, found: Evaluated) -> dict[str, Any]:
        """Return the values of the observables; of what only the file needs, on rank 0."""
        values = self._phases.finish(found.sums)
        everything = {**found.sums, **found.gathered}
        for a in self._analyses:
            if a.everywhere or self._ranks.rank == 0:
                own = {
                    k.removeprefix(f"{a.name}/"): v
                    for k, v in everything.items()
                    if k.startswith(f"{a.name}/")
                }
                values |= a.finish(own)
        return values
