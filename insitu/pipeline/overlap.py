# SPDX-License-Identifier: BSD-3-Clause
"""Frames that are analysed in a thread while LAMMPS goes on (setting `overlap`), one at a time.

A copy of the frame is analysed as any frame is. The main thread does what its ranks exchange at the next
calls, and writes it then. Analysed at once, as without `overlap`, is what cannot wait: the first frame,
one after which LAMMPS does not call again in the run, one whose atoms are written, one at which the run is
to end.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from insitu.analyses.base import Analysis, Observable
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.trigger import Trigger
from insitu.errors import SettingError, guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.ranks.relay import Beside
from insitu.pipeline import signals
from insitu.pipeline.delivery import Delivery
from insitu.pipeline.evaluation import Evaluated, Evaluation
from insitu.pipeline.recording import Moment
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView

log = logging.getLogger(__name__)

#: How long a rank waits for the others at the end of the program, where one may have failed [s].
_PATIENT = 10.0

OBSERVABLES = (
    Observable(
        "overlap/beside", (), "f8", "s",
        "of the analysis beside the simulation, mean of the ranks; 0: the simulation waited for all of it",
    ),
    Observable(
        "overlap/skipped", (), "i8", "",
        "frames that were left out before this one, since one before them was not done",
    ),
)  # fmt: skip


def check(settings: Settings, phases: Phases, further: Sequence[Analysis[Any]]) -> None:
    """Refuse what cannot go with the setting `overlap`.

    Raises
    ------
    SettingError
        A trigger, or a model on a GPU.
    """
    if settings.overlap == "no":
        return
    for a in further:
        if isinstance(a, Trigger):
            raise SettingError(
                f"overlap={settings.overlap}: analyze {a.name} acts on a frame before LAMMPS goes on; "
                "leave out one of them"
            )
    if phases.model.on_device is not None:
        raise SettingError(
            f"overlap={settings.overlap} and device={settings.device}: only an analysis on the CPU goes on "
            "beside the simulation; give device cpu, or leave out overlap"
        )


@dataclass(frozen=True)
class _Underway:
    """A frame that is being analysed, LAMMPS' clock at it, and how many were left out before it."""

    frame: Frame
    moment: Moment
    skipped: int


class Overlap:
    """The frame that is analysed beside the simulation; every rank has one, its methods are collective.

    Parameters
    ----------
    settings
        Of the run.
    phases, further
        The analyses.
    ranks
        The ranks of the simulation.
    deliver
        Takes a frame's results.
    advise
        Is told the sums of a frame, and its step.

    Attributes
    ----------
    stride
        Steps between two calls of LAMMPS; 0: not known yet.
    lost
        Step of a frame whose analysis failed.
    left
        Whether a frame was left unfinished at the end, and with it exchanges between the ranks.
    """

    def __init__(
        self, settings: Settings, phases: Phases, further: Sequence[Analysis[Any]], ranks: Ranks,
        deliver: Delivery, advise: Callable[[dict[str, Any], int], None],
    ) -> None:  # fmt: skip
        self.stride = 0
        self.lost: int | None = None
        self.left = False
        self._settings, self._ranks = settings, ranks
        self._deliver, self._advise = deliver, advise
        self._beside: Beside[Evaluated] = Beside(ranks)
        self._evaluate = Evaluation(phases, further, self._beside.ranks)
        self._underway: _Underway | None = None
        #: Step of the last frame that is in the history, or will be.
        self._last: int | None = None
        self._called: int | None = None
        self._held, self._skipped = 0.0, 0
        self._blank = self._ending = False
        if ranks.rank == 0 and len(os.sched_getaffinity(0)) < 2:
            log.warning(
                "insitu: overlap=%s: this process may use one core only, on which nothing runs beside the "
                "simulation; give each rank two (srun --cpus-per-task=2, mpirun --bind-to none)",
                settings.overlap,
            )  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether a frame is being analysed."""
        return self._underway is not None

    def begin(self, step: int) -> None:
        """Note that a run begins at a step."""
        self._called = None
        if self._last is not None and step < self._last:
            self._last = None

    def admits(self, view: LammpsView) -> bool:
        """Return whether a step that is to be analysed can be, when the frame before it is done.

        Raises
        ------
        InsituError
            On all ranks: the analysis of the frame before it failed.
        """
        step = self._note(view)
        # What asks all ranks to end is not to wait for one frame more.
        self._ending = self._ranks.any(signals.asked())
        if self._underway is None:
            return True
        before = self._underway.frame.step
        if step == before:  # two fixes may call one monitor
            return False
        must = self._settings.overlap == "wait" or step < before
        if not self._go_on(must or self._at_once(view, step)):
            self._skipped += 1
            return False
        return True

    def between(self, view: LammpsView) -> None:
        """Go on with the frame at a step that is not analysed.

        Raises
        ------
        InsituError
            As of :meth:`admits`.
        """
        step = self._note(view)
        self._blank_results(view)
        if self._underway is not None:
            self._go_on(self._is_last_call(self._underway.moment.ends, step))

    def settle(self) -> None:
        """Wait for the frame that is being analysed, if there is one.

        Raises
        ------
        InsituError
            As of :meth:`admits`.
        """
        if self._underway is not None:
            self._go_on(wait=True)

    def end(self) -> None:
        """Do the same at the end of the program, if all ranks get there; never raises."""
        if self._underway is None:
            return
        step = self._underway.frame.step
        trouble: str | None = "the other ranks cannot be reached any more"
        if sys.is_finalizing():
            trouble = "its thread ended with Python"
        elif self._ranks.size == 1:
            trouble = guarded(self.settle)
        else:
            try:
                there = self._ranks.come(_PATIENT)
            except Exception:  # of MPI: the program has freed the communicator
                there = False
            if there:
                trouble = guarded(self.settle)
        self.left = trouble is not None
        if trouble and self._ranks.rank == 0:
            log.warning("insitu: the frame of step %d is not in the history: %s", step, trouble)

    def take(self, view: LammpsView, frame: Frame, spent: Mapping[str, float]) -> bool:
        """Begin with a frame, unless it has to be evaluated at once; return whether it is begun.

        Raises
        ------
        InsituError
            On all ranks: no thread can be started.
        """
        first = self._last is None or frame.step <= self._last
        self._last = frame.step
        if first or self._at_once(view, frame.step):
            self._blank = False  # its results are to be seen until the next call
            return False
        started = time.perf_counter()
        own, work = frame.copied(), self._evaluate
        self._ranks.agree(guarded(lambda: self._beside.start(lambda: work(own, spent))))
        self._underway = _Underway(own, Moment.of(view), self._skipped)
        self._skipped = 0
        self._held = time.perf_counter() - started
        self._blank_results(view)
        return True

    def values(self) -> dict[str, Any]:
        """Return the observables of a frame that is analysed at once."""
        skipped, self._skipped = self._skipped, 0
        return {"overlap/beside": 0.0, "overlap/skipped": skipped}

    def _go_on(self, wait: bool) -> bool:
        """Do what the frame asks for, and write it if it is done; return whether it is."""
        started = time.perf_counter()
        done = self._beside.advance(wait)
        self._held += time.perf_counter() - started
        if done:
            self._write()
        return done

    def _write(self) -> None:
        assert self._underway is not None
        this, self._underway = self._underway, None
        self.lost = this.frame.step
        found = self._beside.result()
        # What the simulation waited for is what the frame took; the stages ran beside it.
        stages = [f"wall_{s}" for s in self._evaluate.stages if s != "arrays"]
        beside = sum(float(found.sums[s]) for s in stages) / self._ranks.size
        found = replace(found, sums=found.sums | dict.fromkeys(stages, 0.0), waited=self._held)
        more = {"overlap/beside": beside, "overlap/skipped": this.skipped}
        self._deliver.later(this.moment, this.frame, found, more)
        self._advise(found.sums, this.frame.step)
        self.lost = None

    def _note(self, view: LammpsView) -> int:
        """Learn how often LAMMPS calls; return the step."""
        step = view.step
        if self._called is not None and step > self._called:
            apart = step - self._called
            self.stride = min(self.stride, apart) if self.stride else apart
        self._called = step
        return step

    def _is_last_call(self, last: int | None, step: int) -> bool:
        """Return whether LAMMPS may not call again in a run, as far as is known."""
        return last is None or not self.stride or step + self.stride > last

    def _at_once(self, view: LammpsView, step: int) -> bool:
        atoms = self._settings.atoms
        written = atoms is not None and step % atoms == 0
        return written or self._ending or self._is_last_call(view.run_span[1], step)

    def _blank_results(self, view: LammpsView) -> None:
        """Let LAMMPS have no results: those of an earlier step would pass for today's."""
        if not self._blank:
            self._deliver.feedback.blank(view)
            self._blank = True
