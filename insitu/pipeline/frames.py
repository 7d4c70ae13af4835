# SPDX-License-Identifier: BSD-3-Clause
"""A rank's frames: taken from LAMMPS once all ranks have one whose ghosts can be relied on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu.analyses.base import Analysis
from insitu.analyses.phases.analysis import Phases
from insitu.errors import DeckError, describe
from insitu.frame.frame import Frame
from insitu.frame.ghosts import check
from insitu.frame.ghosts.belonging import Belonging
from insitu.frame.ghosts.cutoff import GhostCutoff, HostCutoff, Need
from insitu.frame.neighbors.density import spacing
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView


class Frames:
    """The frames of a run as the analyses need them.

    Parameters
    ----------
    settings
        Checked settings.
    view
        The LAMMPS instance, at the first callback.
    ranks
        Its ranks.
    analyzer, further
        Analysis of the phases, and those beside it: how far ghosts have to be there.
    groups
        LAMMPS groups that are told atom by atom.
    """

    def __init__(
        self, settings: Settings, view: LammpsView, ranks: Ranks, analyzer: Phases,
        further: Sequence[Analysis[Any]], groups: tuple[str, ...],
    ) -> None:  # fmt: skip
        self._settings, self._ranks, self._groups = settings, ranks, groups
        self._classifier, self._further = analyzer.classifier, further
        self._model = analyzer.model.card.name
        self._belonging = Belonging(ranks)
        self._seen: tuple[int, float, int] | None = None
        #: LAMMPS' ghost cutoff, where the host knows it and can set it.
        self._ghosts = GhostCutoff(settings.ghosts == "ask")
        self._system = (view.units, view.setting("ntypes"))

    def ghost_cutoff(
        self, view: LammpsView, host: HostCutoff, first: bool, busy: bool
    ) -> tuple[float, int, str]:
        """Return the ghost cutoff that a host is to set, 0 for none; collective.

        Also in how many steps it should ask again (at a re-neighbouring), and a line to print.

        Parameters
        ----------
        view
            The LAMMPS instance; its ghosts need not be there yet.
        host
            What it has.
        first
            A run begins.
        busy
            A frame is being analysed beside the simulation, with radii of its own.

        Raises
        ------
        InsituError
            On all ranks: the deck has to be changed.
        """
        self._ghosts.begin(host, first)
        if not view.n_atoms:
            return 0.0, 0, ""
        if self._classifier.scale_free:
            frame = self._local(view, with_ghosts=False)
            # A dynamic group is filled later than this; from nothing no density is told.
            if self._settings.neighbors and not self._ranks.any(frame.n_local > 0):
                return 0.0, 0, ""
            if busy:
                found = self._classifier.reaches(spacing(frame, self._ranks))
                return self._ghosts.request(self._needed(*found), view.units)
            self._measure(frame)
        return self._ghosts.request(self._need, view.units)

    def next_look(self) -> int:
        """Return in how many steps a host should ask again for the ghost cutoff, after a frame."""
        return self._ghosts.next_look(self._need, self._system[0])

    @property
    def _need(self) -> Need:
        return self._needed(self._classifier.cutoff, self._classifier.advised_cutoff)

    def _needed(self, cutoff: float, advised: float) -> Need:
        """Return what is needed of the ghosts with the radii of the model [Å]."""
        needs = [Need(cutoff, advised, f"model '{self._model}'")]
        needs += [Need(f.cutoff, f.cutoff, f.name) for f in self._further]
        most = max(needs, key=lambda need: need.within)
        return dataclasses.replace(most, advised=max(need.advised for need in needs))

    def take(self, view: LammpsView) -> Frame:
        """Return this rank's frame once all ranks have one whose ghosts can be relied on; collective.

        Raises
        ------
        InsituError
            On all ranks: ghosts are missing or stale, or a rank has no frame.
        """
        frame = self._local(view)
        if self._classifier.scale_free:
            self._measure(frame if frame.belongs is None else frame.only(frame.belongs))
        if frame.belongs is not None:
            frame = self._belonging.only(frame, self._need.within)
        check.require(
            frame, self._need, self._ranks,
            lambda: self._ghosts.host or HostCutoff(0.0, 0.0, view.skin, view.multi_cutoffs),
        )  # fmt: skip
        return frame

    def repeated(self, frame: Frame) -> bool:
        """Return whether this very frame was taken just before; collective if the step is the same.

        Two fixes may call one monitor, and `rerun` calls twice where it begins.
        """
        seen = (frame.step, float(frame.positions[: frame.n_local].sum()), frame.n_local)
        before, self._seen = self._seen, seen
        if before is None or before[0] != frame.step:  # as on all ranks
            return False
        return not self._ranks.sum(np.array([seen != before], float))[0]

    def _local(self, view: LammpsView, with_ghosts: bool = True) -> Frame:
        """Return this rank's frame once all ranks have one; collective."""
        frame: Frame | None = None
        trouble = None
        try:
            if (view.units, view.setting("ntypes")) != self._system:
                raise DeckError(
                    "units or number of atom types are no longer those of the first frame (`clear`): "
                    "define the analysis again after it, with a file of its own"
                )
            s = self._settings
            frame = view.frame(s.group, self._groups, with_ghosts, s.neighbors)
            trouble = check.unstable(frame)
        except Exception as error:
            trouble = describe(error)
        self._ranks.agree(trouble)
        assert frame is not None
        return frame

    def _measure(self, frame: Frame) -> None:
        self._classifier.measure(spacing(frame, self._ranks))
