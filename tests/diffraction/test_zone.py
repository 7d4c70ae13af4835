# SPDX-License-Identifier: BSD-3-Clause
"""Electron diffraction along a zone axis against LAMMPS' compute saed and the reflections of a crystal."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from insitu.diffraction import zone_pattern
from insitu.errors import SettingError
from insitu.testing import lattice

SAED = """units metal
lattice bcc 2.87
region b block 0 7 0 6 0 5
create_box 1 b
create_atoms 1 box
displace_atoms all random 0.2 0.2 0.2 7 units box
mass 1 55.845
pair_style zero 4
pair_coeff * *
compute s all saed 0.0251 Fe Kmax 0.9 Zone 1 1 0 dR_Ewald 0.02 c 1 1 1
fix h all ave/time 1 1 1 c_s mode vector file saed.txt format " %.12g"
dump d all custom 1 saed.dump id type x y z
dump_modify d sort id format float %.15g
run 0
"""


def test_intensities_are_those_of_compute_saed(tmp_path: Path) -> None:
    (tmp_path / "in.saed").write_text(SAED)
    program = Path(sys.executable).parent / "lmp"
    subprocess.run(
        [program, "-in", "in.saed", "-log", "none", "-screen", "none"], cwd=tmp_path, check=True
    )
    theirs = np.loadtxt(tmp_path / "saed.txt", skiprows=4)[:, 1]
    lines = (tmp_path / "saed.dump").read_text().splitlines()
    low, high = np.array([line.split() for line in lines[5:8]], float).T
    atoms = np.array([line.split() for line in lines[9:]], float)
    found = zone_pattern(
        atoms[:, 2:] - low, high - low, True, "Fe", (1, 1, 0), k_max=0.9, thickness=0.02, threads=1
    )
    # The direct beam is a node of both.
    assert len(theirs) == len(found.intensity) > 80
    ours, theirs = np.sort(found.intensity), np.sort(theirs)
    # The direct beam is 40,000 times the median, and gemmi's coefficients are single precision.
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-4 * np.median(theirs))


def test_spots_of_a_zone_are_its_reflections() -> None:
    r, cell = lattice("fcc", 4.05, (6, 6, 6))
    found = zone_pattern(r, cell, True, "Al", (0, 0, 1), k_max=0.8, threads=1)
    bright = found.points[found.intensity > 1e-3 * found.intensity.max()] * 4.05
    expected = {
        (h, k)
        for h in range(-3, 4)
        for k in range(-3, 4)
        if h % 2 == k % 2 == 0 and h * h + k * k < 10.4
    }
    assert {tuple(np.rint(p).astype(int)) for p in bright} == expected
    assert np.abs(bright - np.rint(bright)).max() < 1e-9
    image = found.image(128)
    assert image.shape == (128, 128)
    y, x = np.unravel_index(image.argmax(), image.shape)
    assert {int(x), int(y)} <= {63, 64}
    assert np.allclose(image, image.T, rtol=1e-6, atol=1e-6 * image.max())


def test_no_direction_is_refused() -> None:
    with pytest.raises(SettingError, match=r"zone=\(0, 0, 0\)"):
        zone_pattern(np.zeros((1, 3)), np.eye(3) * 5, True, "Al", (0, 0, 0))
