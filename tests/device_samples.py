# SPDX-License-Identifier: BSD-3-Clause
"""Samples on which a device is compared with the CPU."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame
from insitu.gpu.device import has_driver
from insitu.testing import lattice

#: Where there is a GPU it is tested as well; INSITU_TEST_GPU makes a missing one a failure.
GPU = has_driver() or bool(os.environ.get("INSITU_TEST_GPU"))

Sample = tuple[NDArray[np.float64], NDArray[np.float64]]


def samples() -> dict[str, Sample]:
    rng = np.random.default_rng(5)
    crystal, cell = lattice("fcc", 4.05, (3, 3, 4))
    hot = crystal + rng.normal(scale=0.15, size=crystal.shape)
    tilted = cell.copy()
    tilted[1, 0], tilted[2, 0], tilted[2, 1] = 3.1, -2.2, 1.4
    diamond, box = lattice("cubic_diamond", 5.43, (2, 2, 3))
    iron, cube = lattice("bcc", 2.87, (3, 3, 3))
    simple, layers = lattice("sc", 3.36, (4, 4, 3))
    layers[2, 2] *= 3
    return {
        "perfect fcc": (crystal, cell),
        "perfect diamond": (diamond, box),
        "bcc with vacancies": (np.delete(iron, [5, 6, 31, 40], axis=0), cube),
        "slab of sc": (simple, layers),
        "hot": (hot, cell),
        "triclinic": (hot @ np.linalg.inv(cell) @ tilted, tilted),
        "half removed": (hot[rng.random(len(hot)) > 0.5], cell),
        "gas": (60.0 * rng.random((50, 3)), 60.0 * np.eye(3)),
        "one atom far away": (np.vstack([hot, hot[0] + 4e4]), None),
        "alone": (np.zeros((1, 3)), None),
    }


SAMPLES = samples()


def frame_of(sample: Sample, reach: float) -> Frame:
    return Frame.from_arrays(*sample, sample[1] is not None, reach=reach * 1.0001)
