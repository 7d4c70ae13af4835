# SPDX-License-Identifier: BSD-3-Clause
"""Small histories, written frame by frame, here or by another process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

from insitu.history import reader
from insitu.history.writing.writer import Observable, Series

CLASSES, CODES = ["fcc", "hcp", "unknown"], [1, 2, 0]
OBSERVABLES = [
    Observable("phases/fraction", (3,), "f8", "", "fraction of the atoms"),
    Observable("phases/count", (3,), "i8", "", "number of atoms"),
    Observable("thermo/temperature", (), "f8", "K", "temperature"),
    Observable("thermo/pressure", (), "f8", "bar", "pressure"),
    Observable("timing/write", (), "f8", "s", "wall time of writing"),
]
PROVENANCE = {"model": "metals", "ranks": 4, "overhead": 0.02, "settings": {"every": [1, 2]}}

# The same history, from a process of its own: prints each step once append() has returned.
WRITER = """
import sys
sys.path[:0] = {path!r}
from small_histories import create, frame
series = create(sys.argv[1], if_exists="append")
step = -1 if series.last_step is None else series.last_step
print("ready", step, flush=True)
while True:
    step += 1
    series.append(step, 0.5 * step, frame(step))
    print(step, flush=True)
"""


def create(path: Path | str, observables=OBSERVABLES, **more) -> Series:
    settings = {"time_unit": "ps", "provenance": PROVENANCE, "classes": CLASSES, "codes": CODES}
    return Series.create(path, observables, **{**settings, **more})


def frame(step: int) -> dict[str, object]:
    """A frame that tells its step everywhere."""
    return {
        "phases/fraction": np.array([1.0, 0.0, 0.0]) + step,
        "phases/count": np.array([1, 2, 3]) + step,
        "thermo/temperature": 300.0 + step,
        "thermo/pressure": float("nan"),
        "timing/write": step / 1000,
    }


def written(path: Path, steps, **more) -> Path:
    history = create(path, **more)
    for step in steps:
        history.append(step, 0.5 * step, frame(step))
    history.close()
    return path


def assert_frames(path: Path, steps: list[int]) -> None:
    dataset = reader.open(path)
    assert dataset.step.values.tolist() == steps
    np.testing.assert_array_equal(dataset.time, 0.5 * np.array(steps))
    np.testing.assert_array_equal(dataset.temperature, 300.0 + np.array(steps))
    np.testing.assert_array_equal(dataset["count"][:, 2], 3 + np.array(steps))


def spawn(path: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    code = textwrap.dedent(WRITER).format(path=[str(here), str(here.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
