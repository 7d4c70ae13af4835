# SPDX-License-Identifier: BSD-3-Clause
"""sums → values → LAMMPS and history: what was found in a frame goes to where it is wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.analyses.base import Analysis, Observable
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.trigger import THERMO, Decision, Trigger
from insitu.errors import guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.packing import Packing
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline.atoms_output import AtomsOutput
from insitu.pipeline.atoms_parts import AtomsParts
from insitu.pipeline.budget import Budget
from insitu.pipeline.evaluation import Evaluated, Evaluation
from insitu.pipeline.events import Events
from insitu.pipeline.feedback import Feedback, Results
from insitu.pipeline.recording import Moment, Recorder
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView

log = logging.getLogger(__name__)


class Delivery:
    """Hands a frame's results back to LAMMPS on every rank, and to the history on rank 0.

    Parameters
    ----------
    settings
        Of the run.
    phases, analyses
        Whose results they are.
    evaluation
        Makes values of sums.
    ranks
        The ranks of the simulation.
    rows
        Number of further rows of fractions (groups, types).
    budget
        What keeps the setting `overhead`, if it is given.
    overlap
        What is written of the setting `overlap`.

    Attributes
    ----------
    feedback, recorder
        Where the results go.
    """

    def __init__(
        self, settings: Settings, phases: Phases, analyses: Sequence[Analysis[Any]],
        evaluation: Evaluation, ranks: Ranks, rows: int, budget: Budget | None = None,
        overlap: Sequence[Observable] = (),
    ) -> None:  # fmt: skip
        self._budget = budget
        self._phases, self._evaluation, self._ranks = phases, evaluation, ranks
        self._with_state = tuple(a for a in analyses if a.state)
        self.feedback = Feedback(settings, phases.classes, rows)
        self._triggers = tuple(a for a in analyses if isinstance(a, Trigger))
        self._events = Events(settings, self._triggers, phases, ranks) if self._triggers else None
        self.recorder = Recorder(
            settings, phases, analyses, evaluation.stages, ranks.size,
            (*(budget.observables() if budget else ()), *overlap),
        )  # fmt: skip
        output = AtomsParts if settings.atoms_writers > 1 else AtomsOutput
        self._atoms = output(settings, phases, ranks, self.recorder) if settings.atoms else None
        self._write_time = 0.0

    def begin(self, view: LammpsView, first_step: int) -> None:
        """Look up what the deck defines, and make the history ready for a run; local.

        Raises
        ------
        InsituError
            A column or all variables are missing; the clock was set back.
        """
        self.feedback.check(view)
        if self._events is not None:
            self._events.begin(view)
        if self._atoms is not None:
            self._atoms.check(view)
        self.recorder.continue_at(view.step + 1, first_step)

    def check_memory(self, view: LammpsView) -> None:
        """Refuse frames that would take too much memory; collective."""
        if self._events is not None:
            self._events.check_memory(view)

    def restore(self, first_step: int, units: str) -> None:
        """Let the analyses go on from the last frame before a step, or begin anew; collective.

        Parameters
        ----------
        first_step
            The step.
        units
            Unit style of the deck.

        Raises
        ------
        InsituError
            On all ranks: the history cannot be read.
        """
        if not self._with_state:
            return
        known = {o.path: o for a in self._with_state for o in a.observables if o.path in a.state}
        packing = Packing({"found": (), **{path: o.shape for path, o in known.items()}})
        kept: dict[str, Any] = {}

        def read() -> None:
            if self._ranks.rank == 0:
                kept.update(self.recorder.values_before(first_step, tuple(known)))

        self._ranks.agree(guarded(read))
        last = int(kept.pop("step", -1))
        mine = packing.pack({"found": 1.0, **kept} if kept else None)
        total = packing.unpack(self._ranks.sum(mine))
        for a in self._with_state:
            values = {p: total[p].astype(known[p].dtype) for p in a.state} if total["found"] else {}
            a.restore(values)
        if self._events is not None:
            events = self._events
            self._ranks.agree(guarded(lambda: events.go_on(first_step, self.recorder.continues)))
            events.recall(first_step, last, units)

    def __call__(
        self, view: LammpsView, frame: Frame, found: Evaluated, more: Mapping[str, Any]
    ) -> None:
        """Hand over a frame's results; collective, all ranks raise or none.

        Parameters
        ----------
        view, frame, found
            LAMMPS at the frame, the frame, and what was found in it.
        more
            Observables that are not an analysis', by path.
        """
        started = time.perf_counter()
        values = dict(more)
        self._ranks.agree(guarded(lambda: self._hand_over(view, frame, found, values)))
        if self._events is not None:
            decisions = self._decide(values)
            self._events(view, frame, decisions, self.ends or bool(found.sums["asked_to_end"]))
        self._ranks.agree(guarded(lambda: self._record(view, frame, found, values)))
        if self._atoms is not None:
            self._atoms(view, frame)
        self._write_time = time.perf_counter() - started

    def later(
        self, moment: Moment, frame: Frame, found: Evaluated, more: Mapping[str, Any]
    ) -> None:
        """Hand over the results of a frame that LAMMPS is past: to the history; collective as the other."""
        started = time.perf_counter()

        def write() -> None:
            values = {**more, **self._evaluation.finish(found), **_thermo(frame)}
            if self._ranks.rank == 0:
                timing = {"reduce": found.waited, "write": self._write_time}
                self.recorder.append(None, moment, frame, values, found.sums, timing)

        self._ranks.agree(guarded(write))
        self._write_time = time.perf_counter() - started

    def _hand_over(
        self, view: LammpsView, frame: Frame, found: Evaluated, values: dict[str, Any]
    ) -> None:
        values |= self._evaluation.finish(found)
        rows = [values.get(f"phases/by_{k}/fraction", ()) for k in ("group", "type")]
        wanted = self.feedback.wants_atoms  # on a GPU they stay there otherwise
        results = Results(
            frame.of_rank(self._phases.atom_codes(frame), -1) if wanted else np.zeros(0, np.int32),
            frame.of_rank(self._phases.confidence, 0.0) if wanted else np.zeros(0, np.float32),
            values["phases/fraction"],
            np.array([row for part in rows for row in part]).reshape(-1, len(self._phases.classes)),
            {k: frame.of_rank(v, np.nan) for k, v in found.columns.items()},
        )
        self.feedback.write(view, results)
        values |= _thermo(frame)
        values |= self._budget.values() if self._budget else {}

    def _decide(self, values: dict[str, Any]) -> list[Decision]:
        """Return what the triggers make of a frame: rank 0 has seen it, all decide; collective."""
        seen, decisions = np.zeros(len(self._triggers)), []
        for k, t in enumerate(self._triggers):
            if self._ranks.rank == 0:  # one after another: a trigger can watch one before it
                seen[k] = t.judge(values)
                decisions.append(t.decide(seen[k]))
                values |= t.finish({})
        told = self._ranks.sum(seen)
        if self._ranks.rank:
            decisions = [t.decide(float(v)) for t, v in zip(self._triggers, told, strict=True)]
        return decisions

    def _record(
        self, view: LammpsView, frame: Frame, found: Evaluated, values: dict[str, Any]
    ) -> None:
        if self._ranks.rank == 0:
            # The time of a write is known after it: a frame holds that of the one before.
            timing = {"reduce": found.waited, "write": self._write_time}
            self.recorder.append(view, Moment.of(view), frame, values, found.sums, timing)
            if self._atoms is not None:
                self._atoms.keep_before(view, frame)

    def ended(self) -> None:
        """Do what is to be done after a run, also one that was halted; collective."""
        if self._events is not None:
            self._events.ended()

    @property
    def ends(self) -> bool:
        """Whether an event of this frame is to end the run; the same on all ranks."""
        return any(t.settings.end and t.fired for t in self._triggers)

    @property
    def often(self) -> bool:
        """Whether more steps may be analysed because of an event."""
        return any(t.settings.often for t in self._triggers)

    def is_often(self, step: int) -> bool:
        """Return whether a step is analysed because of an event, which is not otherwise."""
        return any(t.is_often(step) for t in self._triggers)

    def disable(self, view: LammpsView | None, reason: str, step: int) -> None:
        """End the analysis from a step on, not the run; every rank is told, none needs to answer."""
        if view is not None:
            self.feedback.blank(view)
        if self._ranks.rank == 0:
            noted = guarded(lambda: self.recorder.note(view, step, reason))
            log.warning(
                "insitu: the analysis is disabled from step %d on, the simulation goes on: %s%s",
                step, reason, f" (this is not in the history: {noted})" if noted else "",
            )  # fmt: skip
        self.recorder.close()


def _thermo(frame: Frame) -> dict[str, float]:
    """Return LAMMPS' own values of a frame as observables."""
    return {f"thermo/{name}": getattr(frame.thermo, name) for name in THERMO}
