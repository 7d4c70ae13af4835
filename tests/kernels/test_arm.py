# SPDX-License-Identifier: BSD-3-Clause
"""The kernels on ARM, built by a cross compiler and run by qemu: the same ties, the same labels."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
from arm_samples import results

from insitu.testing import LATTICES, lattice

BUILD = Path(__file__).parents[2] / "tools" / "arm_kernels.sh"


@pytest.fixture(scope="module")
def arm() -> list[str]:
    """The command of an ARM Python with the kernels."""
    built = subprocess.run(
        ["sh", str(BUILD)], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if built.returncode == 3:
        pytest.skip(f"the kernels cannot be built for ARM here: {built.stderr[-400:]}")
    assert built.returncode == 0, built.stderr[-2000:]
    return [*built.stdout.splitlines()[-1].split(), "-P"]  # not the sources of the folder


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_ties_and_labels_are_those_of_this_machine(arm: list[str], tmp_path: Path) -> None:
    rng, samples = np.random.default_rng(3), {}
    for name in LATTICES:
        for part, noise in (("perfect", 0.0), ("hot", 0.05), ("molten", 0.15)):
            r, cell = lattice(name, 4.0, (4, 3, 3))
            spacing = np.cbrt(np.linalg.det(cell) / len(r))
            samples[f"{name}-{part}:r"] = r + rng.normal(0.0, 1.0, r.shape) * noise * spacing
            samples[f"{name}-{part}:cell"] = cell
    np.savez(tmp_path / "samples.npz", **samples)
    here = Path(__file__).parents[1] / "arm_samples.py"
    subprocess.run(
        [*arm, str(here), str(tmp_path / "samples.npz"), str(tmp_path / "arm.npz")], check=True
    )
    results(tmp_path / "samples.npz", tmp_path / "here.npz")
    with np.load(tmp_path / "arm.npz") as there, np.load(tmp_path / "here.npz") as own:
        assert set(there) == set(own)
        assert len(set(np.concatenate([own[k] for k in own if k.endswith("labels")]))) > 6
        for key in own:
            if key.endswith((":rows", ":labels")):
                np.testing.assert_array_equal(there[key], own[key], err_msg=key)
            else:  # rounding of sums in another order
                np.testing.assert_allclose(there[key], own[key], atol=3e-4, err_msg=key)


@pytest.mark.full
def test_the_kernels_are_of_that_machine(arm: list[str]) -> None:
    said = subprocess.run(
        [*arm, "-c", "import platform, insitu._kernels; print(platform.machine())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "aarch64" != platform.machine()
