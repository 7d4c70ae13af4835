# SPDX-License-Identifier: BSD-3-Clause
"""What `make demo` does, in small: run with progress, table, plot."""

import subprocess
import sys
from pathlib import Path

from conftest import BIN, require

import insitu

RUN = Path(__file__).parents[2] / "lammps_inputs" / "melting_al" / "run.py"


def test_demo_in_small(tmp_path: Path) -> None:
    require("wheel")
    out = tmp_path / "melting.h5"
    command = [sys.executable, str(RUN), "--cells", "6", "--steps", "100", "--every", "50"]
    run = subprocess.run(
        [*command, "--out", str(out)], cwd=tmp_path, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "864 atoms of Al, 100 steps, 3 analysed frames" in run.stdout
    assert "frame 3/3" in run.stdout
    history = insitu.open(str(out))
    assert history["step"].values.tolist() == [0, 50, 100]
    assert abs(float(history["temperature"][-1]) - 950) < 200
    table = subprocess.run(
        [str(BIN / "insitu"), "show", str(out), "--width", "80"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "fcc" in table.stdout
    assert max(len(line) for line in table.stdout.splitlines()) <= 80
    subprocess.run([str(BIN / "insitu"), "plot", str(out)], check=True)
    assert (tmp_path / "melting.png").stat().st_size > 10_000


def test_demo_reports_a_failing_lammps(tmp_path: Path) -> None:
    require("wheel")
    run = subprocess.run(
        [sys.executable, str(RUN), "--cells", "0", "--out", str(tmp_path / "x.h5")],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert run.returncode != 0
    assert "LAMMPS ended with code" in run.stderr


def test_the_deck_is_within_the_demos_limits() -> None:
    text = (RUN.parent / "in.melting_al").read_text()
    values = dict(line.split()[1:4:2] for line in text.splitlines() if line.startswith("variable"))
    assert 4 * int(values["cells"]) ** 3 >= 16_000
    assert int(values["steps"]) // int(values["every"]) + 1 <= 60
