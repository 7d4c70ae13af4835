# SPDX-License-Identifier: BSD-3-Clause
"""Counts of the phases in a sample and in its groups and types, and what the history has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.frame.frame import Frame


def fractions(count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return counts as fractions of their last axis' sum, NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction: NDArray[np.float64] = count / count.sum(axis=-1, keepdims=True)
    return fraction


def standard_error(count: NDArray[np.int64], population: Any) -> NDArray[np.float64]:
    """Return the error of fractions of a sample that was drawn at random, without replacement.

    Parameters
    ----------
    count
        ``(…, C)`` atoms of the sample by phase.
    population
        ``(…)`` atoms that it was drawn from.

    References
    ----------
    W. G. Cochran, Sampling Techniques (1977), equation 3.8.
    """
    n = count.sum(axis=-1, keepdims=True).astype(float)
    of = np.maximum(np.asarray(population, dtype=float)[..., None], n)
    if (n == of).all() and n.all():
        return np.zeros(count.shape)
    p = fractions(count)
    with np.errstate(invalid="ignore", divide="ignore"):
        error: NDArray[np.float64] = np.sqrt(p * (1.0 - p) / (n - 1.0) * (1.0 - n / of))
    # One atom of one is no sample; one of several says nothing of its error.
    return np.where((n == of) & (n > 0), 0.0, error)


class PhaseCounts:
    """From labels to sums, and from their totals to observables.

    Parameters
    ----------
    n_phases
        Columns of the history, with ``unknown``, the last.
    groups
        LAMMPS groups to count on their own, among the analysed atoms.
    n_types
        Atom types to count on their own, 1 … `n_types`.
    """

    def __init__(self, n_phases: int, groups: Sequence[str] = (), n_types: int = 0) -> None:
        self._n, self._groups, self._n_types = n_phases, tuple(groups), n_types
        p = n_phases
        self.sums: Mapping[str, tuple[int, ...]] = {
            "count": (p,), "population": (), "confidence": (p,), "neighbors": (), "own_images": (),
            "coincident": (), "by_group": (len(groups), p), "by_type": (n_types, p),
        }  # fmt: skip
        self.observables = (
            Observable("phases/fraction", (p,), "f8", "", "fraction of the atoms in each phase"),
            Observable("phases/count", (p,), "i8", "", "number of atoms in each phase"),
            Observable(
                "phases/standard_error", (p,), "f8", "",
                "sampling error of the fraction; 0: every atom was analysed",
            ),
            Observable(
                "phases/confidence", (p,), "f8", "",
                "mean largest probability of the atoms of each phase; NaN without atoms",
            ),
            *_subsets("group", self._groups, p),
            *_subsets("type", tuple(range(1, n_types + 1)), p),
        )  # fmt: skip

    @property
    def reads_labels(self) -> bool:
        """Whether labels are looked at; else they may stay on a device."""
        return bool(self._groups or self._n_types)

    def subsets(self, frame: Frame, labels: NDArray[np.int64] | None) -> dict[str, Any]:
        """Return one rank's counts of groups and types.

        Parameters
        ----------
        frame
            This rank's frame.
        labels
            ``(n_local,)``, −1 is unknown; None if :attr:`reads_labels` does not ask for them.
        """
        p = self._n
        if labels is None:
            return {"by_group": np.zeros((0, p)), "by_type": np.zeros((0, p))}
        column = np.where(labels < 0, p - 1, labels)
        counted = np.ones(frame.n_local, bool) if frame.selected is None else frame.selected
        types = frame.types[: frame.n_local]
        subsets = {
            "by_group": [counted & frame.members[g] for g in self._groups],
            "by_type": [counted & (types == t) for t in range(1, self._n_types + 1)],
        }
        return {
            name: np.array([np.bincount(column[m], minlength=p) for m in masks]).reshape(-1, p)
            for name, masks in subsets.items()
        }

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return fraction, count, standard error and mean confidence of each phase."""
        count = np.rint(sums["count"]).astype(np.int64)
        values: dict[str, Any] = {
            "phases/fraction": fractions(count),
            "phases/count": count,
            "phases/standard_error": standard_error(count, sums["population"]),
        }
        with np.errstate(invalid="ignore", divide="ignore"):
            values["phases/confidence"] = sums["confidence"] / sums["count"]
        for name in ("group", "type"):
            part = np.rint(sums[f"by_{name}"]).astype(np.int64)
            if len(part):
                values[f"phases/by_{name}/count"] = part
                values[f"phases/by_{name}/fraction"] = fractions(part)
        return values


def _subsets(name: str, values: tuple[Any, ...], p: int) -> list[Observable]:
    if not values:
        return []
    shape, rows = (len(values), p), (name, values)
    what = f"of the analysed atoms of each {name}"
    return [
        Observable(f"phases/by_{name}/fraction", shape, "f8", "", f"fractions {what}", rows),
        Observable(f"phases/by_{name}/count", shape, "i8", "", f"numbers {what}", rows),
    ]
