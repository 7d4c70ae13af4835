# SPDX-License-Identifier: BSD-3-Clause
"""A share of the wall time that the analysis may take (setting `overhead`).

The costs of a step and of a frame are measured, on all ranks together. From them follows when the next
frame is due: first the interval grows; where it may not grow further, a part of the atoms is analysed,
drawn by a hash of their ids, the same atoms on any number of ranks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.frame.ranks.reduce import Ranks

#: The longest interval, where the deck gives none, in those of the first two frames.
LONGEST = 10
#: Atoms of a sample, at least: a fraction of 0.5 then has an error of 0.016.
FEWEST = 1_000
#: Weight of the latest frame in the costs: they follow a change within some frames, not a single hiccup.
WEIGHT = 0.3
#: A share that is missed by less is not worth a word.
_MARGIN = 1.05
#: Seed of the samples.
SEED = 20_261_129


@dataclass
class Costs:
    """What a step and a frame cost [s], smoothed over the frames; NaN: not known yet.

    Parameters
    ----------
    step
        Of the simulation.
    fixed
        Part of a frame that any sample of the atoms needs.
    atoms
        The rest, for all atoms.
    """

    step: float = math.nan
    fixed: float = math.nan
    atoms: float = math.nan

    def add(self, **measured: float) -> None:
        """Take in what was measured."""
        for name, value in measured.items():
            before = getattr(self, name)
            after = value if math.isnan(before) else before + WEIGHT * (value - before)
            setattr(self, name, after)


class Budget:
    """When the next frame is due, and how many of the atoms it analyses.

    Analysis earns time while the simulation runs and spends it: what a frame takes beyond its share, also
    one that a trigger asked for, is paid back by those after it. All ranks decide alike, since they
    decide by what all of them measured.

    Parameters
    ----------
    overhead
        Share of the wall time, 0 … 1.
    longest
        Interval [steps] beyond which atoms are sampled; None: :data:`LONGEST` times the first interval, or
        as long as it takes where no part of the atoms can be analysed.
    samples
        Whether a part of the atoms can be analysed.
    ranks
        The ranks of the simulation.

    Attributes
    ----------
    sampled
        Share of the atoms that the next frame analyses.
    """

    def __init__(self, overhead: float, longest: int | None, samples: bool, ranks: Ranks) -> None:
        self.sampled = 1.0
        self._overhead = overhead
        #: What a second of the simulation earns [s].
        self._rate = overhead / (1.0 - overhead)
        self._longest, self._samples, self._ranks = longest, samples, ranks
        self._costs = Costs()
        self._last: int | None = None
        self._next, self._interval, self._began = 0, 0, 0
        #: What is left of the time that was earned [s]; below 0: to be paid back.
        self._balance = 0.0
        self._simulated = self._spent = 0.0
        #: A sentence where the share cannot be kept, else ``""``.
        self.advice = ""

    def is_due(self, step: int) -> bool:
        """Return whether a step is analysed, at which the analysis could be."""
        return self._last is None or step >= self._next or step < self._last

    def begin(self, step: int) -> None:
        """Note that a run begins at a step: the time before it is nobody's."""
        self._began = step

    def spend(
        self, step: int, simulation: float, frame: float, atoms: float, population: int
    ) -> None:
        """Take in the times of a frame, and decide when the next one is due; collective.

        Parameters
        ----------
        step
            Of the frame.
        simulation
            Wall time since the last frame [s].
        frame, atoms
            Wall time of the frame, and the part of it that grows with the atoms analysed [s].
        population
            Atoms that a sample is drawn from, over all ranks.
        """
        # The simulation's is what the fastest rank saw: the others waited for rank 0 to write.
        most = self._ranks.largest(np.array([-simulation, frame, atoms], dtype=float))
        simulation, frame, atoms = max(-float(most[0]), 0.0), float(most[1]), float(most[2])
        steps = 0 if self._last is None else step - max(self._last, self._began)
        self._last = step
        if steps <= 0:
            # The start, with files that are made and modules that are loaded, is not a frame like others.
            self._next = step + 1
            return
        if self._longest is None:
            self._longest = LONGEST * steps if self._samples else sys.maxsize
        self._simulated += simulation
        self._spent += frame
        atoms = min(atoms, frame)
        self._costs.add(step=simulation / steps, fixed=frame - atoms, atoms=atoms / self.sampled)
        c = self._costs
        saved = self._balance + self._rate * simulation - frame
        # After a time in which it was cheap it may take one frame at once, not more.
        self._balance = min(saved, c.fixed + c.atoms)
        self._interval, self.sampled, self.advice = self._decide(population)
        self._next = step + self._interval

    def _decide(self, population: int) -> tuple[int, float, str]:
        """Return the steps to the next frame, the share of the atoms, and what is to be said."""
        c, earned = self._costs, self._rate * self._costs.step
        assert self._longest is not None
        whole = c.fixed + c.atoms - self._balance
        steps = math.ceil(whole / earned) if earned > 0 else self._longest
        if steps <= self._longest:
            return max(steps, 1), 1.0, ""
        least = min(1.0, FEWEST / max(population, 1)) if self._samples else 1.0
        left = self._balance + earned * self._longest - c.fixed
        share = left / c.atoms if c.atoms > 0 else 1.0
        if share >= least:
            return self._longest, min(share, 1.0), ""
        cost = c.fixed + c.atoms * least
        needed = cost / (cost + c.step * self._longest)
        advice = (
            f"overhead={self._overhead:g} cannot be kept: a frame "
            + (f"with {least:.2g} of the atoms " if least < 1 else "of all atoms ")
            + f"every {self._longest} steps takes {needed:.3f} of the wall time; give a larger overhead or "
            "every_max"
        )
        return self._longest, least, advice if needed > _MARGIN * self._overhead else ""

    def observables(self) -> tuple[Observable, ...]:
        """Return what the history has of it."""
        return (
            Observable(
                "budget/interval", (), "i8", "",
                "steps that were chosen from the frame before to this one at least; 0: not yet",
            ),
            Observable("budget/sampled", (), "f8", "", "share of the atoms that was analysed"),
            Observable(
                "budget/share", (), "f8", "",
                "share of the wall time that the analysis took so far, before this frame",
            ),
        )  # fmt: skip

    def values(self) -> Mapping[str, Any]:
        """Return the observables of the present frame, before its costs are known."""
        total = self._simulated + self._spent
        return {
            "budget/interval": self._interval,
            "budget/sampled": self.sampled,
            "budget/share": self._spent / total if total else math.nan,
        }


def drawn(ids: NDArray[np.int64], step: int, share: float) -> NDArray[np.bool_]:
    """Return which atoms ``(n,)`` are in the sample of a step: each with the same probability.

    Parameters
    ----------
    ids
        ``(n,)`` of the atoms.
    step
        Each has its own sample.
    share
        Probability of an atom, 0 … 1.

    References
    ----------
    The hash is the finaliser of SplitMix64: G. L. Steele et al., OOPSLA 2014, doi:10.1145/2660193.2660195.
    """
    if share >= 1.0:
        return np.ones(len(ids), dtype=bool)
    with np.errstate(over="ignore"):
        h = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h += _mixed(np.array([step], dtype=np.int64).astype(np.uint64) + np.uint64(SEED))
    below: NDArray[np.bool_] = _mixed(h) < np.uint64(int(share * 2.0**64))
    return below


def _mixed(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = h ^ (h >> np.uint64(31))
    return mixed
