# SPDX-License-Identifier: BSD-3-Clause
"""Are this rank's ghost atoms complete and current? Checked exactly, at every analysed frame.

LAMMPS' C library does not tell how far its ghosts reach, and a ball with missing atoms looks like
a surface. Two questions are put to the owners instead: how many atoms they have within reach of
this rank's atoms, and where a few of its ghosts are now.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError
from insitu.frame.cell import heights, inverse
from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.ghosts.cutoff import HostCutoff, Need, asked_for, line
from insitu.frame.ghosts.partners import partners_of
from insitu.frame.ranks.reduce import Ranks

#: Ghosts of a rank whose owners are asked for the position.
_SAMPLES = 8
#: Share of the radius by which a ghost may be off: distances are not told apart any finer. Fixes that
#: correct positions at the end of a step (ehex) leave less.
_DRIFT = 1e-5

#: Cells that an atom can be outside of a periodic box between two neighbour lists.
_STRAYED = 10.0
#: Directions of lower and upper ends.
_BOTH = [0, 1, 2, 0, 1, 2]
_OUTWARD = np.repeat([-1.0, 1.0], 3)


def unstable(frame: Frame) -> str | None:
    """Return what is wrong with the owned atoms' positions themselves, or None.

    Parameters
    ----------
    frame
        This rank's frame.
    """
    own, periodic = frame.bounds.tolist(), frame.pbc.tolist() * 2
    if not frame.n_local or all(
        abs(end) <= (_STRAYED if p else np.inf) for end, p in zip(own, periodic, strict=True)
    ):
        return None
    r = frame.positions[: frame.n_local]
    s = np.abs((r - frame.origin) @ inverse(frame.cell)) * frame.pbc
    bad = ~np.isfinite(r).all(axis=1) | ~(s <= _STRAYED).all(axis=1)
    if not bad.any():
        return None
    i = int(bad.argmax())
    return (
        f"atom {int(frame.ids[i])} is at {r[i].tolist()} Å at step {frame.step}, far outside of the "
        "box: the simulation has become unstable; check the time step and the potential"
    )


class GhostCheck:
    """Completeness and freshness of one frame's ghosts; each rank calls every method in turn.

    Parameters
    ----------
    frame
        This rank's frame, with finite positions.
    reach
        Distance around the owned atoms that has to be complete [Å].
    """

    def __init__(self, frame: Frame, reach: float) -> None:
        self._frame = frame
        # Off any round number: a shell of a perfect crystal at exactly this distance would be
        # counted differently by owner and receiver.
        self._reach = reach * (1.0 + 0.73e-5)
        self._cell = frame.origin, inverse(frame.cell)

    def question(self) -> NDArray[np.float64]:
        """Return this rank's region (fractional bounds) and a few of its ghosts, for its partners."""
        row = np.full(6 + 4 * _SAMPLES, np.nan)
        frame = self._frame
        if not frame.n_local:
            return row
        part = self._reach / heights(frame.cell)
        row[:6] = frame.bounds
        row[:3] -= part
        row[3:6] += part
        if frame.n_ghost:
            # The outermost ghosts move most when the box is remapped.
            ends = frame.n_local, len(frame.positions)
            far = compiled().outermost(frame.positions, *ends, *self._cell, _SAMPLES)
            samples = row[6 : 6 + 4 * len(far)].reshape(-1, 4)
            samples[:, 0], samples[:, 1:] = frame.ids[far], frame.positions[far]
        return row

    def answer(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return how many atoms (with periodic images) this rank has in the region of each row."""
        return self._inside(rows[:, :6], self._frame.n_local, self._frame.pbc)

    def _inside(
        self, regions: NDArray[np.float64], atoms: int, pbc: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        found: NDArray[np.int64] = compiled().count_inside(
            self._frame.positions, atoms, *self._cell, pbc.view(np.uint8), regions
        )
        return found

    def missing(self, mine: NDArray[np.float64], there: int, blur: float = 0.0) -> int:
        """Return how many of the atoms that are in this rank's region LAMMPS did not give it.

        Negative: how many more it gave. Atoms as near to the border as `blur` [Å] may be on either
        side of it.
        """
        if np.isnan(mine[0]):
            return 0
        margin = (blur / heights(self._frame.cell))[_BOTH] * _OUTWARD
        regions = mine[:6] + np.array([[-1.0], [1.0]]) * margin if blur else mine[None, :6]
        # Owned atoms and ghosts: images are points of their own.
        here = self._inside(regions, len(self._frame.positions), np.zeros(3, dtype=bool))
        return there - min(max(there, int(here[0])), int(here[-1]))

    def stale(self, rows: NDArray[np.float64]) -> float:
        """Return the largest distance of a sampled ghost from where its owner has it now [Å].

        Only the ghosts whose owner is this rank are judged here; every sample has one owner.
        """
        frame = self._frame
        if not frame.n_local:
            return 0.0
        samples = rows[:, 6:].reshape(-1, 4)
        samples = samples[np.isfinite(samples[:, 0])]
        if not len(samples):
            return 0.0
        atom = compiled().places_of_ids(frame.ids, frame.n_local, samples[:, 0].astype(np.int64))
        mine = atom >= 0
        if not mine.any():
            return 0.0
        difference = samples[mine, 1:] - frame.positions[atom[mine]]
        images = np.rint(difference @ inverse(frame.cell)) * frame.pbc
        return float(np.abs(difference - images @ frame.cell).max())


def check(frame: Frame, reach: float, ranks: Ranks) -> tuple[int, float]:
    """Return how many atoms this rank's ghosts lack and how stale its atoms' ghosts are; collective.

    Parameters
    ----------
    frame
        This rank's frame.
    reach
        Distance around the owned atoms that has to be complete [Å].
    ranks
        The ranks of the simulation.

    Returns
    -------
    missing, drift
        Atoms within reach that LAMMPS did not give this rank, negative if it gave too many; largest
        distance of a sampled ghost from its owner's present position [Å], 0 if within rounding.
        Drift that is too small to matter is no reason for missing atoms: those at the border of the
        region are then counted in either way.
    """
    return _found(frame, reach, ranks) or (0, 0.0)


def _found(frame: Frame, reach: float, ranks: Ranks) -> tuple[int, float] | None:
    """Return what :func:`check` returns; None on all ranks if all is well; collective."""
    this = GhostCheck(frame, reach)
    mine = this.question()
    near = partners_of(frame, reach, ranks).near
    questions = {r: mine for r in near}
    came = ranks.trade(questions, dict.fromkeys(near, len(mine)), np.float64)
    rows = np.array([mine, *came.values()])  # periodic images of a rank's own atoms are its ghosts
    counts = this.answer(rows)
    answers = {r: counts[k : k + 1] for k, r in enumerate(came, 1)}
    others = ranks.trade(answers, dict.fromkeys(near, 1), np.int64)
    found = int(counts[0]) + sum(int(n[0]) for n in others.values())
    missing, drift = this.missing(mine, found), this.stale(rows)
    if drift:
        size = max(float(np.abs(a).max(initial=0.0)) for a in (frame.cell, frame.positions))
        drift = drift if drift > 1e-8 * (1.0 + size) else 0.0
    trouble = ranks.sum(np.array([missing != 0, drift > 0.0], dtype=np.float64))
    if not trouble.any():
        return None
    worst = float(ranks.largest(np.array([drift]))[0])
    if worst > _DRIFT * reach:
        return missing, worst
    return this.missing(mine, found, 2.0 * worst), 0.0


def require(frame: Frame, need: Need, ranks: Ranks, host: Callable[[], HostCutoff]) -> None:
    """Raise, on all ranks, if the frame's ghosts cannot be relied on; collective.

    Parameters
    ----------
    frame
        This rank's frame.
    need
        What has to be complete.
    ranks
        The ranks of the simulation.
    host
        Gives what the advice has to know of the deck.

    Raises
    ------
    DeckError
        With what to do.
    """
    found = _found(frame, need.within, ranks)
    if found is None:
        return
    missing, drift = found
    lacking, surplus = ranks.sum(np.array([max(missing, 0), max(-missing, 0)], dtype=np.float64))
    if drift or surplus:
        by = f" by up to {drift:.2g} Å" if drift else ""
        raise DeckError(
            f"the ghost atoms are stale{by} at step {frame.step}: they are not where their owners are. "
            "A fix that is defined before the analysis has moved atoms or the box after LAMMPS' last "
            "communication of the step, as fix deform, press/berendsen, ehex and the drude transforms "
            "do. Define the analysis above it; fix insitu brings ghosts up to date by itself"
        )
    if lacking:
        deck = host()
        units = frame.units
        raise DeckError(
            f"the ghost atoms lack {lacking:.0f} atoms at step {frame.step}: "
            f"{asked_for(need, deck.skin, units)}; add to the deck, before the run:\n"
            f"    {line(need, deck.skin, units, deck.multi)}"
        )
