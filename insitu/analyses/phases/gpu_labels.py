# SPDX-License-Identifier: BSD-3-Clause
"""Labels and their sums where the probabilities are: on a device. Only the sums come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.labels import Labels
from insitu.gpu.device import Device, blocks_of
from insitu.gpu.search import DeviceSearch

_THREADS = 256
_UNIT = 2.0**-32  # of the sums of confidence: whole numbers, which no order of adding changes


@dataclass
class DeviceLabels:
    """Labels and confidence of a frame's rows, in device memory until they are read."""

    device: Device
    n_local: int
    selected: NDArray[np.bool_] | None
    atoms: Any
    labels: Any
    confidence: Any

    def read(self) -> Labels:
        """Return those of the owned atoms in memory."""
        device = self.device
        found = Labels.unknown(self.n_local)
        with device.here():
            atoms = device.read(self.atoms)
            found.labels[atoms] = device.read(self.labels)
            found.confidence[atoms] = device.read(self.confidence)
        if self.selected is not None:
            found.labels[~self.selected], found.confidence[~self.selected] = -1, 0.0
        return found


def decide_on_device(
    search: DeviceSearch, probabilities: Any, found: Any, limits: NDArray[np.float32], fewest: int
) -> tuple[DeviceLabels, NDArray[np.float64], NDArray[np.float64], float]:
    """Return the labels of all rows, and sums over the frame's selected atoms.

    Parameters
    ----------
    search
        Whose rows they are.
    probabilities, found
        ``(n, C)`` and ``(n,)`` on the device.
    limits
        ``(C,)`` probability of each class below which an atom is unknown.
    fewest
        Neighbours below which it is.

    Returns
    -------
    labels, count, confidence, neighbors
        Number of atoms and sum of their confidence, ``(C + 1,)`` with unknown last; sum of ball sizes.
    """
    device, frame = search.device, search.frame
    xp, (n, classes) = device.xp, probabilities.shape
    labels, confidence = xp.empty(n, dtype=np.int32), xp.empty(n, dtype=np.float32)
    selected = None
    if frame.selected is not None:
        selected = device.array(frame.selected, np.uint8)[search.atoms]
    entries = 2 * (classes + 1) + 1
    sums = xp.zeros(entries, dtype=np.uint64)
    if n:
        device.launch(
            "phase_labels", blocks_of(n, _THREADS), _THREADS,
            [probabilities, found, selected, np.int32(n), np.int32(classes),
             device.array(limits, np.float32), np.int32(fewest), labels, confidence, sums],
            8 * entries,
        )  # fmt: skip
    host = device.read(sums).astype(np.float64)
    count, sure = host[: classes + 1], host[classes + 1 : -1] * _UNIT
    there = DeviceLabels(device, frame.n_local, frame.selected, search.atoms, labels, confidence)
    return there, count, sure, float(host[-1])
