# SPDX-License-Identifier: BSD-3-Clause
"""Labels from class probabilities, and their sums, on the CPU (on a device: `gpu_labels`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.neighbors.surroundings import Surroundings
from insitu.models.card import Card

#: Neighbours without which there is no phase to speak of.
FEWEST = 4


@dataclass(frozen=True)
class Labels:
    """Labels and confidence of a frame's owned atoms.

    Parameters
    ----------
    labels, confidence
        ``(n_local,)`` int64, −1 is unknown; ``(n_local,)`` float32, the largest probability. Atoms
        that were not analysed are unknown with a confidence of 0.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]

    @classmethod
    def unknown(cls, n_local: int) -> Labels:
        """Return those of atoms that were not analysed."""
        return cls(np.full(n_local, -1, dtype=np.int64), np.zeros(n_local, dtype=np.float32))

    def read(self) -> Labels:
        """Return them in memory, as they are."""
        return self


@dataclass(frozen=True)
class Coverage:
    """Limits of each class's own in place of one threshold: split conformal prediction, class by class.

    An atom is unknown if its most probable class has a probability below the limit of this class: the one
    that a share of `share` of the class's atoms reach on trajectories that took no part in training, each
    trajectory with the same weight.

    References
    ----------
    V. Vovk, Proc. Mach. Learn. Res. 25, 475 (2012) (conditional on the class); R. Dunn, L. Wasserman,
    A. Ramdas, J. Am. Stat. Assoc. 118, 2491 (2023), doi:10.1080/01621459.2022.2060112 (groups of
    observations, here trajectories: the pooled distribution functions).
    """

    share: float


def sureness(threshold: float | None, coverage: object) -> float | Coverage | None:
    """Return below what an atom is unknown, as it was asked for; None: the model's own threshold.

    Raises
    ------
    SettingError
        Both are given; the threshold is no probability, or the coverage no share.
    """
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise SettingError(f"threshold={threshold} is not a probability; give 0 … 1")
    if coverage is None:
        return threshold
    if not isinstance(coverage, int | float):
        raise SettingError(f"coverage={coverage!r} is not a number; give for example 0.98")
    if threshold is not None:
        raise SettingError(
            f"coverage={coverage:g} and threshold={threshold:g} both say which atoms are unknown; give one"
        )
    if not 0.0 < coverage < 1.0:
        raise SettingError(
            f"coverage={coverage:g} is no share of a class's atoms; give for example 0.98"
        )
    return Coverage(coverage)


def chosen_limits(given: float | Coverage | None, card: Card) -> NDArray[np.float32]:
    """Return the probability ``(C,)`` below which an atom is unknown, for each class that it may have.

    Parameters
    ----------
    given
        One threshold for all, a coverage, or None: the model's own threshold.
    card
        Of the model. Classes that were added to it have no coverage: the model's threshold is theirs.

    Raises
    ------
    SettingError
        The threshold is outside of 0 … 1; the model knows no limits for the coverage.
    """
    if isinstance(given, Coverage):
        known = card.more.get("coverage", {})
        if f"{given.share:g}" not in known:
            listed = f"limits for {', '.join(known)}; give one of these, or"
            there = listed if known else "no limits by class;"
            raise SettingError(
                f"coverage={given.share:g}: model '{card.name}' has {there} leave coverage out and give a "
                "threshold"
            )
        own = known[f"{given.share:g}"]
        return np.array([own.get(c, card.threshold) for c in card.classes], dtype=np.float32)
    threshold = card.threshold if given is None else sureness(given, None)
    return np.full(len(card.classes), threshold, dtype=np.float32)


def decide_frame(
    batches: Iterable[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]],
    n_local: int, limits: NDArray[np.float32], odd: Surroundings | None,
) -> tuple[Labels, NDArray[np.float64], NDArray[np.float64], float]:  # fmt: skip
    """Return the labels of all owned atoms, and sums over the analysed ones.

    Parameters
    ----------
    batches
        Owned atoms, their class probabilities and the neighbours found.
    n_local
        Number of owned atoms.
    limits
        ``(C,)`` probability of each class below which an atom is unknown.
    odd
        What is odd about the atoms' surroundings.

    Returns
    -------
    labels, count, confidence, neighbors
        Number of atoms and sum of their confidence, ``(C + 1,)`` with unknown last; sum of ball sizes.
    """
    here, classes = Labels.unknown(n_local), len(limits)
    count, confidence, size = np.zeros(classes + 1), np.zeros(classes + 1), 0.0
    for atoms, probabilities, found in batches:
        enough = found if odd is None else np.minimum(found, odd.others[atoms])
        labels, sure = decide(probabilities, limits, enough)
        column = np.where(labels < 0, classes, labels)
        count += np.bincount(column, minlength=classes + 1)
        confidence += np.bincount(column, weights=sure, minlength=classes + 1)
        size += float(found.sum())
        here.labels[atoms], here.confidence[atoms] = labels, sure
    return here, count, confidence, size


def decide(
    probabilities: NDArray[np.float32], limits: NDArray[np.float32], found: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels and confidence of some atoms.

    Parameters
    ----------
    probabilities
        ``(n, C)`` class probabilities. What they leave of 1 is the probability that an atom's structure
        is none of the classes: the atom is unknown where this is larger than the largest.
    limits
        ``(C,)`` probability of the most probable class below which an atom is unknown.
    found
        ``(n,)`` neighbours in the ball. With fewer than four an atom has no surroundings in three
        dimensions (vapour): it is unknown, whatever a network says of a nearly empty image.

    Returns
    -------
    labels, confidence
        ``(n,)`` int64, −1 is unknown; ``(n,)`` float32, the largest probability.
    """
    labels = probabilities.argmax(axis=1).astype(np.int64, copy=False)
    by_class = np.ascontiguousarray(probabilities.T)  # NumPy goes through few, long rows far faster
    confidence = by_class.max(axis=0)
    none = 1.0 - by_class.sum(axis=0)
    known = (confidence >= limits[labels]) & (confidence >= none) & (found >= FEWEST)
    labels[~known] = -1
    return labels, confidence
