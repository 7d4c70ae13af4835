# SPDX-License-Identifier: BSD-3-Clause
"""`insitu diffraction` of trajectories, and `sample_symmetry` of arrays."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from insitu.cli.command import main
from insitu.diffraction import sample_symmetry
from insitu.errors import SettingError
from insitu.testing import lattice


def bcc(
    strain: float, seed: int, sigma: float = 0.1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return iron whose z axis is strained, as a box that fluctuates is."""
    r, cell = lattice("bcc", 2.87, (8, 8, 8))
    stretch = np.array([1 - strain / 2, 1 - strain / 2, 1 + strain])
    moved = np.random.default_rng(seed).normal(scale=sigma, size=r.shape)
    return r * stretch + moved, cell * stretch


def write(path: Path, frames: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    lines = []
    for k, (r, cell) in enumerate(frames):
        lines += ["ITEM: TIMESTEP", str(100 * k), "ITEM: NUMBER OF ATOMS", str(len(r))]
        lines += ["ITEM: BOX BOUNDS pp pp pp", *(f"0 {cell[a, a]:.9f}" for a in range(3))]
        lines += ["ITEM: ATOMS id type x y z"]
        lines += [f"{i + 1} 1 {x:.6f} {y:.6f} {z:.6f}" for i, (x, y, z) in enumerate(r)]
    path.write_text("\n".join(lines) + "\n")


def test_a_box_that_fluctuates_is_cubic_on_average() -> None:
    """One frame alone is strained by a percent, and tetragonal; in the mean box it is cubic."""
    frames = [bcc(s, k) for k, s in enumerate((0.01, -0.01, 0.008, -0.008))]
    one = sample_symmetry(*frames[0], True, "Fe", threads=1)
    assert one.system == "tetragonal"
    r, cells = np.array([f[0] for f in frames]), np.array([f[1] for f in frames])
    found = sample_symmetry(r, cells, True, "Fe", threads=1)
    assert found.system == "cubic"
    assert 229 in found.groups[0].space_groups
    assert found.cell is not None
    assert found.cell.lengths == pytest.approx((2.87,) * 3, rel=1e-3)
    with pytest.raises(SettingError, match="cell has 3 frames and positions 4"):
        sample_symmetry(r, cells[:3], True, "Fe")


def test_fcc_beside_bcc_is_unknown_and_each_alone_is_not() -> None:
    fcc, cell = lattice("fcc", 3.60, (8, 8, 8))
    other, _ = lattice("bcc", 2.88, (10, 10, 10))
    rng = np.random.default_rng(4)
    lower, upper = fcc[fcc[:, 2] < 14.0], other[other[:, 2] > 14.6]
    both = np.concatenate([lower, upper])
    both = both + rng.normal(scale=0.06, size=both.shape)
    assert sample_symmetry(both, cell, True, "Cu", threads=1).unknown > 0.5
    alone = fcc + rng.normal(scale=0.06, size=fcc.shape)
    assert sample_symmetry(alone, cell, True, "Cu", threads=1).unknown < 0.1


def test_the_command_reads_a_trajectory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    melt = np.random.default_rng(0).random((1024, 3)) * 22.96
    write(Path("fe.dump"), [bcc(0.0, 1), bcc(0.0, 2), (melt, np.eye(3) * 22.96)])
    assert (
        main(["diffraction", "fe.dump", "--species", "Fe", "--index", "0:2", "--lines", "3"]) == 0
    )
    out = capsys.readouterr().out
    assert out.startswith("fe.dump frames 0 to 1: cubic 100%; cubic I - - -")
    rows = [line.split() for line in out[out.index("2theta") :].splitlines()[1:]]
    assert [row[3:] for row in rows] == [["1", "1", "0"], ["2", "0", "0"], ["2", "1", "1"]]
    d = [2.87 / np.sqrt(n) for n in (2, 4, 6)]
    assert [float(row[1]) for row in rows] == pytest.approx(d, rel=1e-3)
    assert (
        main(["diffraction", "fe.dump", "--species", "Fe"]) == 0
    )  # the last ten: the last decides
    assert capsys.readouterr().out.startswith("fe.dump frames 0 to 2: unknown (100%)")
    assert main(["diffraction", "fe.dump"]) == 2
    assert "does not say which elements its atoms are; give --species" in capsys.readouterr().err
    Path("cu.xy").write_text("1 2\n3 4\n")
    assert main(["diffraction", "fe.dump", "cu.xy"]) == 2
    assert "holds atoms and another file does not" in capsys.readouterr().err
