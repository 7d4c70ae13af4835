# SPDX-License-Identifier: BSD-3-Clause
"""The callable of a deck's ``fix python/invoke``, and what both kinds of fix do at a step."""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable
from typing import Any

from insitu.errors import InsituError, SettingError, describe, launched, leave, write_line
from insitu.pipeline import signals
from insitu.pipeline.given_settings import make
from insitu.pipeline.settings import Settings

log = logging.getLogger(__name__)


class Monitor:
    """The callable behind a deck line; made by :func:`monitor`.

    One is one history. It may be called more often than it analyses (`every`), and again at a
    step that it has seen.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.of_plugin = False
        #: Whether a run has begun (plug-in), and whether its first step was analysed.
        self.begun = self.analysed = False
        #: Ghost cutoff that LAMMPS is to have, 0 for no more than it has; steps; a line about it.
        self.ghost_cutoff: tuple[float, int, str] = (0.0, 0, "")
        #: Whether a minimisation was met, which is said once (plug-in).
        self.minimised = False
        #: Whether atoms were minimised since the last run, which no frame has seen (plug-in).
        self.unseen = False
        #: Whether an error ended the analysis (`on_error` disable); nothing is done any more.
        self.disabled = False
        self.pipeline: Any = None
        self._ranks: Any = None
        self._watching = False
        self._at_exit: Callable[[], None] | None = None

    def __call__(self, pointer: Any, vflag: int | None = None) -> None:
        """Analyse the present step; the callback of ``fix python/invoke`` on every rank.

        Parameters
        ----------
        pointer
            LAMMPS instance: the capsule of ``fix python/invoke``, or its address.
        vflag
            Given by LAMMPS at ``post_force``, where velocities are those of the half step:
            temperature, energy and pressure are then left out (NaN).

        Raises
        ------
        InsituError
            On all ranks or on none.
        """
        try:
            self.attempt(pointer, lambda view: self._visit(view, half_step=vflag is not None))
        except InsituError as error:
            # All ranks are here with the same message. LAMMPS ends the run when it sees the error
            # and would have Python print a traceback on each of them.
            _print_once(self._rank)
            raise error from None

    def _visit(self, view: Any, half_step: bool) -> None:
        first_call = self.pipeline is None
        self.prepare(view)
        if first_call:
            self.pipeline.begin(view, first=True)
        if self._is_due(view.step):
            self.pipeline.frame(view, half_step=half_step)
        elif not first_call:
            self.pipeline.between(view)
        else:
            self.pipeline.frames.take(view)  # with N = 1 a short ghost cutoff shows at step 1

    def _is_due(self, step: int) -> bool:
        """Return whether a step is analysed: by number and time budget, or because of an event."""
        every, p = self.settings.every, self.pipeline
        on_time = every is None or step % every == 0
        due: bool = (on_time and p.is_affordable(step)) or p.is_often(step)
        return due

    def step(self, view: Any) -> None:
        """Analyse a step at which ``fix insitu`` calls, if it is due; collective."""
        if self._is_due(view.step):
            self.pipeline.frame(view)
        else:
            self.pipeline.between(view)

    def attempt(self, pointer: Any, stage: Callable[[Any], None]) -> None:
        """Run a collective stage on a view of LAMMPS; `on_error` says what a failure means.

        Raises
        ------
        InsituError
            On all ranks or on none: the stage failed and the run has to stop.
        """
        if self.disabled:
            return
        from insitu.lammps.view import LammpsView, handle_of

        view = LammpsView(handle_of(pointer))
        try:
            stage(view)
        except InsituError as error:
            if self.settings.on_error == "stop":
                raise
            self._disable(view, str(error))
        except Exception as error:
            alone = self._ranks is not None and self._ranks.size == 1
            if self.settings.on_error == "stop" or not alone:
                self.stop_all(error)
            self._disable(view, describe(error))

    def _disable(self, view: Any, reason: str) -> None:
        self.disabled = True
        self._release()
        if self.pipeline is not None:
            self.pipeline.disable(view, reason)
        elif self._rank == 0:
            log.warning("insitu: the analysis is disabled, the simulation goes on: %s", reason)

    @property
    def _rank(self) -> int:
        rank: int = self._ranks.rank if self._ranks is not None else 0
        return rank

    def prepare(self, view: Any) -> Any:
        """Load the model and check everything that can be checked before the first frame."""
        if self.pipeline is None:
            from insitu.frame.ranks.launch import lammps_ranks
            from insitu.pipeline.pipeline import Pipeline

            world = view.setting("world_size")
            try:
                self._ranks = lammps_ranks(view.communicator, world, view.setting("universe_size"))
                if self.settings.overlap != "no":
                    # A partition frees its communicator before Python ends, which may be with a frame.
                    self._ranks = self._ranks.lasting()
            except Exception as error:
                # It may be this rank alone (a broken node), and without MPI ranks cannot agree.
                if world > 1:
                    leave(str(error))
                raise
            self.pipeline = Pipeline(self.settings, view, self._ranks)
            if self.settings.on_sigterm == "end":
                signals.watch()
                self._watching = True
            if self.pipeline.overlap is not None:
                # No fix may tell its end before Python's, after which no thread goes on.
                self._at_exit = atexit.register(self.pipeline.close)
            if self.settings.first and not self.of_plugin and self._ranks.rank == 0:
                log.warning(
                    "insitu: first=yes has no effect: LAMMPS does not call fix python/invoke at the "
                    "step at which a run starts (fix insitu can)"
                )
        return self.pipeline

    def stop_all(self, error: Exception) -> None:
        """End the run on all ranks after an error on which they cannot agree."""
        # Not one of the agreed errors: a collective call may have failed half way, the other
        # ranks may wait in it. Nothing but an abort ends them.
        import traceback

        text = "".join(traceback.format_exception(error))
        if self._ranks is not None:
            self._ranks.abort(text)
        if launched()[0] > 1:
            leave(text)
        raise error

    def close(self) -> None:
        """Close the history."""
        self._release()
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
            self._at_exit = None
        if self.pipeline is not None:
            self.pipeline.close()
            beside = self.pipeline.overlap
            if beside is not None and not beside.left and self._ranks is not None:
                self._ranks.give_back()
                self._ranks = None

    def _release(self) -> None:
        if self._watching:
            self._watching = False
            signals.release()


def monitor(
    model: str = "metals",
    file: str = "phases.h5",
    every: int | None = None,
    group: str = "all",
    **more: Any,
) -> Monitor:
    """Return the callable for ``fix python/invoke`` that writes a phase history.

    Parameters
    ----------
    model, file, every, group, **more
        Fields of :class:`insitu.pipeline.settings.Settings`, where each is described.

    Returns
    -------
    Monitor
        To be named in the deck::

            python  phases here "import insitu; phases = insitu.monitor(file='phases.h5')"
            fix     phases all python/invoke 100 end_of_step phases

    Raises
    ------
    SettingError
        Unknown setting or unusable value.
    """
    try:
        main = {"model": model, "file": file, "every": every, "group": group}
        if "config" in more:  # a default is not meant to win over the file
            main = {k: v for k, v in main.items() if v != getattr(Settings, k)}
        return Monitor(make(**main, **more))
    except SettingError:
        _print_once(0)
        raise


def _print_once(rank: int) -> None:
    """Have the interpreter inside LAMMPS print our errors as one sentence, on one rank."""
    before = sys.excepthook

    def show(kind: type[BaseException], value: BaseException, trace: Any) -> None:
        if not issubclass(kind, InsituError):
            before(kind, value, trace)
        elif rank == 0:
            write_line(str(value))

    if not sys.orig_argv:  # embedded: no Python program was started
        sys.excepthook = show
