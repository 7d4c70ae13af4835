# SPDX-License-Identifier: BSD-3-Clause
"""Messages between ranks of a real MPI: every one arrives, once, in the delivery that it belongs to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BIN

PROGRAM = """
import numpy as np
from mpi4py import MPI
from insitu.frame.ranks.reduce import Ranks
ranks = Ranks(MPI.COMM_WORLD)
shared = np.random.default_rng(7)  # the same on all ranks: each knows what all send
n = 0
for k in range(200):
    sent = shared.random((ranks.size, ranks.size)) < 0.5
    lengths = shared.integers(0, 2000, (ranks.size, ranks.size))
    mine = {r: np.full(lengths[ranks.rank, r], 1000 * k + ranks.rank) for r in range(ranks.size)
            if sent[ranks.rank, r]}
    came = ranks.deliver(mine, np.int64)
    assert set(came) == {r for r in range(ranks.size) if sent[r, ranks.rank]}, (k, came.keys())
    for r, a in came.items():
        assert len(a) == lengths[r, ranks.rank] and (a == 1000 * k + r).all()
    others = [r for r in range(ranks.size) if r != ranks.rank]
    back = ranks.between({r: np.arange(k + 3 * ranks.rank, dtype=float) for r in others}, float)
    assert {r: len(a) for r, a in back.items()} == {r: k + 3 * r for r in others}
    assert ranks.any(ranks.rank == k % ranks.size) and not ranks.any(False)
    n += 1
assert n == 200
print("done")
"""


def output(folder: Path, program: str, size: int) -> str:
    """Return what a program prints on some ranks, on which it ends well."""
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [str(BIN / "mpiexec"), "-n", str(size), sys.executable, "-P", "program.py"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("size", [1, 2, 3])
def test_messages_arrive_in_their_delivery(tmp_path: Path, size: int) -> None:
    assert (
        output(tmp_path, PROGRAM, size).count("done") == size
    )  # lines of several ranks may be mixed


LATE = """
import os
import time
from mpi4py import MPI
from insitu.frame.ranks.reduce import Ranks
ranks = Ranks(MPI.COMM_WORLD)
while ranks.rank and not os.path.exists("left"):
    time.sleep(0.01)
print("all", ranks.come(0.3), flush=True)
if ranks.rank == 0:
    open("left", "w").close()
"""


@pytest.mark.parametrize("size", [2, 3])
def test_who_comes_late_learns_that_another_has_left(tmp_path: Path, size: int) -> None:
    """One that had waited in vain does not take part in what the others would do together."""
    assert output(tmp_path, LATE, size).count("all False") == size
