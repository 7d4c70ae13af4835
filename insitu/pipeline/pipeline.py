# SPDX-License-Identifier: BSD-3-Clause
"""view → frame → checked frame → neighbours → analyses → sums → history, on all ranks alike.

Every rank walks through the same stages. A stage that can fail on one rank is run inside
``try``; its failure travels in the next collective, after which all ranks raise or none.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.errors import InsituError, guarded
from insitu.frame.frame import Thermo
from insitu.frame.ghosts.cutoff import HostCutoff
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.threads import thread_count
from insitu.pipeline import overlap
from insitu.pipeline.budget import drawn
from insitu.pipeline.build import (
    Box,
    another_model,
    continued_box,
    make_budget,
    make_further,
    make_phases,
    with_classes,
)
from insitu.pipeline.delivery import Delivery
from insitu.pipeline.evaluation import Evaluated, Evaluation
from insitu.pipeline.frames import Frames
from insitu.pipeline.overlap import Overlap
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView
    from insitu.models.added import Extended

log = logging.getLogger(__name__)


class Pipeline:
    """One monitor's way from LAMMPS to its file.

    Parameters
    ----------
    settings
        Checked settings.
    view
        The LAMMPS instance, at the first callback.
    ranks
        Its ranks.

    Attributes
    ----------
    classes
        Names of the phases, ``unknown`` last.
    row_names
        What the further rows of fractions are: groups, then types.

    Raises
    ------
    InsituError
        On all ranks: the model cannot be loaded or used here, the file cannot be written, a group
        does not exist.
    """

    def __init__(self, settings: Settings, view: LammpsView, ranks: Ranks) -> None:
        self.settings = settings
        self.ranks = ranks
        self.row_names = [f"group {g}" for g in settings.groups]
        if settings.types:
            self.row_names += [f"type {t}" for t in range(1, view.setting("ntypes") + 1)]
        self._said: set[str] = set()
        #: Step of the last frame, from which the analyses' state is.
        self._analysed: int | None = None
        #: Frames that are analysed while LAMMPS goes on, if there are such.
        self.overlap: Overlap | None = None
        self._left = time.perf_counter()
        self._local_rank = 0 if settings.device == "cpu" else ranks.local_rank()
        more = with_classes(settings, ranks)
        box = continued_box(settings, ranks)
        ranks.agree(guarded(lambda: self._prepare(view, more, box)))
        ranks.agree(another_model(settings.model, self.analyzer.model, ranks))
        self.classes = self.analyzer.classes
        self.feedback = self._deliver.feedback

    def _prepare(self, view: LammpsView, more: Extended | None, box: Box | None) -> None:
        view.check()
        for group in (self.settings.group, *self.settings.groups):
            view.group_bit(group)
        view.check_neighbors(self.settings.neighbors)
        if self.ranks.rank == 0:
            from insitu.history.writing.file_access import check_writable

            check_writable(self.settings.file, self.settings.if_exists)
        self.analyzer = make_phases(self.settings, view, self._local_rank, more)
        #: Analyses beside that of the phases.
        self.further = make_further(self.settings, view, self.analyzer, box)
        asked = [g for a in self.further for g in a.groups]
        for group in asked:
            view.group_bit(group)
        groups = tuple(dict.fromkeys((*self.settings.groups, *asked)))
        self.frames = Frames(self.settings, view, self.ranks, self.analyzer, self.further, groups)
        self._evaluate = Evaluation(self.analyzer, self.further, self.ranks)
        self._budget = make_budget(self.settings, self.analyzer, self.further, self.ranks)
        overlap.check(self.settings, self.analyzer, self.further)
        beside = self.settings.overlap != "no"
        self._deliver = Delivery(
            self.settings, self.analyzer, self.further, self._evaluate, self.ranks,
            len(self.row_names), self._budget, overlap.OBSERVABLES if beside else (),
        )  # fmt: skip
        if beside:
            self.overlap = Overlap(
                self.settings, self.analyzer, self.further, self.ranks, self._deliver, self._advise
            )
        s, card = self.settings, self.analyzer.model.card
        if view.units == "lj" and not card.scale_free:
            raise InsituError(
                f"model '{card.name}' works on distances in Å and the deck has "
                "`units lj`, which have none; use a scale-free model, or units metal or real"
            )
        if s.species and not (card.elements or self.further) and not self.ranks.rank:
            log.warning(
                "insitu: species=%s is not used: model '%s' does not tell species apart",
                ",".join(s.species), card.name,
            )  # fmt: skip
        threads = thread_count(self.settings.threads)
        self.analyzer.model.threads = threads
        if not self.analyzer.model.native:
            import torch

            torch.set_num_threads(threads)

    def begin(self, view: LammpsView, first: bool = False) -> None:
        """Prepare for a run that is about to start, or has: deck and history; collective.

        Parameters
        ----------
        view
            The LAMMPS instance.
        first
            The present step will be analysed.

        Raises
        ------
        InsituError
            On all ranks: a column or all variables are missing; the clock was set back.
        """
        step = view.step + (not first)
        if self.overlap is not None:
            self.overlap.settle()
            self.overlap.begin(view.step)
        self.ranks.agree(guarded(lambda: self._deliver.begin(view, step)))
        self._deliver.check_memory(view)
        self._go_on(view, step)
        if self._budget is not None:
            self._budget.begin(view.step)
        self._left = time.perf_counter()

    def _go_on(self, view: LammpsView, step: int) -> None:
        """Take the analyses' state from the history before a step, if it is not that; collective."""
        if self._analysed is None or step <= self._analysed:
            began, _ = view.run_span
            first = step if began is None else min(step, began + 1)
            self._deliver.restore(first, view.units)
            self._analysed = step - 1

    def is_past_last(self, step: int) -> bool:
        """Return whether a step is later than that of the last frame; the same on all ranks."""
        return self._analysed is None or step > self._analysed

    def is_rewound(self, view: LammpsView) -> bool:
        """Return whether the history has frames of later steps than the present; collective."""
        last = self._deliver.recorder.last_step
        return bool(self.ranks.sum(np.array([last is not None and view.step < last], float))[0])

    def ghost_cutoff(
        self, view: LammpsView, host: HostCutoff, first: bool
    ) -> tuple[float, int, str]:
        """Return what a host is to do about ghosts, as :meth:`Frames.ghost_cutoff`; collective."""
        if first:
            self.settle()
        busy = self.overlap is not None and self.overlap.busy
        return self.frames.ghost_cutoff(view, host, first, busy)

    def frame(self, view: LammpsView, half_step: bool = False) -> None:
        """Analyse the present step and append it to the history; collective.

        Parameters
        ----------
        view
            The LAMMPS instance.
        half_step
            Velocities are not those of the step: leave LAMMPS' thermodynamic values out.
        """
        arrived = time.perf_counter()
        if self.overlap is not None and not self.overlap.admits(view):
            return
        thermo = Thermo() if half_step else view.thermo()  # collective in LAMMPS
        frame = replace(self.frames.take(view), thermo=thermo)
        if self.frames.repeated(frame):
            return
        if self._budget is not None and self._budget.sampled < 1.0:
            ids = frame.ids[: frame.n_local]
            frame = frame.sample(drawn(ids, frame.step, self._budget.sampled))
        self._go_on(view, frame.step)
        self._analysed = frame.step
        spent = {"simulation": arrived - self._left, "arrays": time.perf_counter() - arrived}
        if self.overlap is not None and self.overlap.take(view, frame, spent):
            self._left = time.perf_counter()
            return
        found = self._evaluate(frame, spent)
        self._deliver(view, frame, found, self.overlap.values() if self.overlap else {})
        self._advise(found.sums, frame.step)
        if found.sums["asked_to_end"]:
            self._end(view, frame.step, "SIGTERM")
        elif self._deliver.ends:
            self._end(view, frame.step, "a trigger")
        self._account(frame.step, found, arrived)
        self._left = time.perf_counter()

    def between(self, view: LammpsView) -> None:
        """Go on with what is done beside the simulation, at a step that is not analysed; collective."""
        if self.overlap is not None:
            self.overlap.between(view)

    def settle(self) -> None:
        """Wait for what is done beside the simulation; collective."""
        if self.overlap is not None:
            self.overlap.settle()

    def ended(self) -> None:
        """Do what is left to do after a run; collective."""
        self.settle()
        self._deliver.ended()

    def _advise(self, sums: dict[str, Any], step: int) -> None:
        if self.ranks.rank:
            return
        kind, advice = "sample", self.analyzer.classifier.advice(sums)
        if not sums["atoms"]:
            kind, advice = "empty", f"there are no atoms at step {step}: its fractions are NaN"
        elif not sums["count"].sum():
            among = self.settings.neighbors
            advice = (
                f"group '{self.settings.group}' has no atoms at step {step}"
                + (f" that belong to neighbors={','.join(among)}" if among else "")
                + ": its fractions are NaN there; define the group before the run"
            )
        if advice and kind not in self._said:
            self._said.add(kind)
            log.warning("insitu: %s", advice)

    def _account(self, step: int, found: Evaluated, arrived: float) -> None:
        """Tell the budget what a frame has cost; collective."""
        if self._budget is None:
            return
        now = time.perf_counter()
        of = round(float(found.sums["population"]))
        self._budget.spend(step, arrived - self._left, now - arrived, found.spent, of)
        if self.ranks.rank == 0 and "budget" not in self._said and self._budget.advice:
            self._said.add("budget")
            log.warning("insitu: %s", self._budget.advice)

    def is_affordable(self, step: int) -> bool:
        """Return whether the setting `overhead` lets a step be analysed, which could be."""
        return self._budget is None or self._budget.is_due(step)

    @property
    def often(self) -> bool:
        """Whether more steps may be analysed because of an event."""
        return self._deliver.often

    def is_often(self, step: int) -> bool:
        """Return whether a step is analysed because of an event, which is not otherwise."""
        return self._deliver.is_often(step)

    def _end(self, view: LammpsView, step: int, why: str) -> None:
        """End LAMMPS' run after this step, as all ranks have agreed."""
        view.end_run()
        if self.ranks.rank == 0:
            log.warning(
                "insitu: %s: the run ends at step %d, which is in the history; the deck goes on "
                "after `run`, further runs are skipped", why, step,
            )  # fmt: skip

    def disable(self, view: LammpsView, reason: str) -> None:
        """End the analysis, not the run; every rank is told, none needs to answer."""
        step = view.step
        if self.overlap is not None:
            if self.overlap.lost is not None:  # its analysis is what failed
                step = self.overlap.lost
            guarded(self.overlap.settle)
        self._deliver.disable(view, reason, step)

    def close(self) -> None:
        """Close the history: every frame in it is already on disk."""
        if self.overlap is not None:
            self.overlap.end()
        self._deliver.recorder.close()
