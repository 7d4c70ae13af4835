# SPDX-License-Identifier: BSD-3-Clause
"""The emulation itself: would it show what a GPU does?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from emulated_device import EmulatedDevice, OnDevice

_SPOILED = """
import sys, numpy as np
from pathlib import Path
from emulated_device import EmulatedDevice
from device_samples import SAMPLES
from insitu.analyses.phases.classification import classify_with
from insitu.models import store
model = store.load("metals")
want = classify_with(model, *SAMPLES["hot"], True).probabilities
model.move(EmulatedDevice(Path(sys.argv[1]), bool(int(sys.argv[3])), kernels=Path(sys.argv[2])))
got = classify_with(model, *SAMPLES["hot"], True).probabilities
sys.exit(int(not np.abs(got - want).max() <= 1e-3))
"""


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("", ""),
        ("warp_ball.hpp", "        b.place[rank] = b.found[i];\n    }\n    __syncwarp();"),
        ("tile_network.hpp", "    __syncthreads();\n"),
    ],
)
def test_the_emulation_shows_a_barrier_that_is_missing(
    folder: Path, tmp_path: Path, file: str, line: str
) -> None:
    kernels = tmp_path / "kernels"
    shutil.copytree(Path(__file__).parents[2] / "kernels", kernels)
    if file:
        source = kernels / "cuda" / file
        text = source.read_text()
        assert line in text
        less = line.replace("__syncwarp();", "").replace("__syncthreads();", "")
        source.write_text(text.replace(line, less))
    ends = []
    for reverse in "01":
        command = [sys.executable, "-P", "-c", _SPOILED, str(folder), str(kernels), reverse]
        path = {"PYTHONPATH": str(Path(__file__).parents[1])}
        run = subprocess.run(command, env=os.environ | path, capture_output=True, cwd=tmp_path)
        ends.append(run.returncode)
    assert any(ends) == bool(file), "in neither order of the threads was there a difference"


def test_the_emulated_arrays_are_as_strict_as_cupy(folder: Path) -> None:
    there = EmulatedDevice(folder).array(np.arange(3.0), np.float64)
    assert isinstance(there + 1.0, OnDevice)
    with pytest.raises(TypeError, match="array of the host"):
        _ = there + np.arange(3.0)
    with pytest.raises(TypeError, match="array of the host"):
        _ = there[np.array([0, 1])]
    with pytest.raises(TypeError, match="hidden copy"):
        _ = float(there.sum())
