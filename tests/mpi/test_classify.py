# SPDX-License-Identifier: BSD-3-Clause
"""`insitu classify` under mpiexec: the ranks share the frames, the results are those of one process."""

import subprocess
from pathlib import Path

import numpy as np
from conftest import BIN, require
from offline.dumps import frame

import insitu
from insitu.testing import lattice


def test_frames_are_shared_by_ranks(tmp_path: Path) -> None:
    require("wheel")  # and so MPICH's mpiexec
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    rng = np.random.default_rng(0)
    whole = [
        frame(r + rng.normal(scale=0.02 + 0.05 * k, size=r.shape), cell, 10 * k) for k in range(7)
    ]
    (tmp_path / "a.dump").write_text("".join(whole) + whole[0][:5000])
    command = [str(BIN / "insitu"), "classify", "a.dump", "--device", "cpu", "--out"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )

    alone = run(*command, "one.h5")
    shared = run(str(BIN / "mpiexec"), "-n", "3", *command, "three.h5")
    assert alone.returncode == shared.returncode == 0, shared.stderr
    assert shared.stdout == alone.stdout
    assert len(shared.stdout.splitlines()) == 7
    assert "frame 7 (step 0) is incomplete" in shared.stderr
    one, three = (insitu.open(str(tmp_path / f"{n}.h5")) for n in ("one", "three"))
    assert one.equals(three)
    assert len(np.unique(three["fraction"].sel(phase="fcc"))) > 2
    missing = run(str(BIN / "mpiexec"), "-n", "2", str(BIN / "insitu"), "classify", "no.dump")
    assert missing.returncode == 2
    assert missing.stderr.count("'no.dump' is not a file") == 1
