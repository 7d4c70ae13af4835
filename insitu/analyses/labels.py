# SPDX-License-Identifier: BSD-3-Clause
"""Labels from class probabilities, and their sums, on the CPU (on a device: `gpu_labels`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.surroundings import Surroundings

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


def chosen_threshold(given: float | None, of_model: float) -> float:
    """Return the probability below which an atom is unknown: the given one, or the model's own.

    Raises
    ------
    SettingError
        It is outside of 0 … 1.
    """
    threshold = of_model if given is None else float(given)
    if not 0.0 <= threshold <= 1.0:
        raise SettingError(f"threshold={given} is not a probability; give 0 … 1")
    return threshold


def decide_frame(
    batches: Iterable[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]],
    n_local: int, classes: int, threshold: float, odd: Surroundings | None,
) -> tuple[Labels, NDArray[np.float64], NDArray[np.float64], float]:  # fmt: skip
    """Return the labels of all owned atoms, and sums over the analysed ones.

    Parameters
    ----------
    batches
        Owned atoms, their class probabilities and the neighbours found.
    n_local, classes
        Number of owned atoms and of classes C.
    threshold
        Largest probability below which an atom is unknown.
    odd
        What is odd about the atoms' surroundings.

    Returns
    -------
    labels, count, confidence, neighbors
        Number of atoms and sum of their confidence, ``(C + 1,)`` with unknown last; sum of ball sizes.
    """
    here = Labels.unknown(n_local)
    count, confidence, size = np.zeros(classes + 1), np.zeros(classes + 1), 0.0
    for atoms, probabilities, found in batches:
        enough = found if odd is None else np.minimum(found, odd.others[atoms])
        labels, sure = decide(probabilities, threshold, enough)
        column = np.where(labels < 0, classes, labels)
        count += np.bincount(column, minlength=classes + 1)
        confidence += np.bincount(column, weights=sure, minlength=classes + 1)
        size += float(found.sum())
        here.labels[atoms], here.confidence[atoms] = labels, sure
    return here, count, confidence, size


def decide(
    probabilities: NDArray[np.float32], threshold: float, found: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels and confidence of some atoms.

    Parameters
    ----------
    probabilities
        ``(n, C)`` class probabilities. What they leave of 1 is the probability that an atom's structure
        is none of the classes: the atom is unknown where this is larger than the largest.
    threshold
        Largest probability below which an atom is unknown.
    found
        ``(n,)`` neighbours in the ball. With fewer than four an atom has no surroundings in three
        dimensions (vapour): it is unknown, whatever a network says of a nearly empty image.

    Returns
    -------
    labels, confidence
        ``(n,)`` int64, −1 is unknown; ``(n,)`` float32, the largest probability.
    """
    labels = probabilities.argmax(axis=1).astype(np.int64)
    confidence = probabilities.max(axis=1)
    none = 1.0 - probabilities.sum(axis=1)
    known = (confidence >= threshold) & (confidence >= none) & (found >= FEWEST)
    labels[~known] = -1
    return labels, confidence
