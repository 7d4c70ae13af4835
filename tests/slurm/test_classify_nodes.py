# SPDX-License-Identifier: BSD-3-Clause
"""`srun insitu classify` on the ranks of two nodes of a real controller."""

from __future__ import annotations

import numpy as np
from conftest import BIN
from jobs import SCRIPTS, Cluster
from offline.dumps import frame

import insitu
from insitu.testing import lattice


def test_frames_are_shared_by_the_ranks_of_two_nodes(wheel: Cluster) -> None:
    """Two daemons on one machine, which SLURM and srun take for two nodes: the history of one process."""
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    rng = np.random.default_rng(0)
    whole = [
        frame(r + rng.normal(scale=0.02 + 0.05 * k, size=r.shape), cell, 10 * k) for k in range(7)
    ]
    for k in range(7):
        (wheel.folder / f"dump.{k}").write_text(whole[k])
    alone = wheel.call(
        str(BIN / "insitu"), "classify", "dump.*", "--device", "cpu", "--out", "one.h5"
    )
    words = ("--nodes=2", "--ntasks-per-node=2", "--time=10", SCRIPTS / "classify.sbatch")
    job = wheel.sbatch(*words, "dump.*", "--device", "cpu", "--out", "two.h5")
    assert wheel.slurm.ended(job) == "COMPLETED", wheel.output(job)
    assert wheel.slurm.field(job, "NumNodes") == "2"
    head, *lines = wheel.output(job).splitlines()
    assert head == f"job {job} on n[1-2]: 4 ranks"
    assert [line for line in lines if ": frame" in line] == alone.splitlines()
    one, two = (insitu.open(str(wheel.folder / f"{n}.h5")) for n in ("one", "two"))
    assert one.equals(two)
    missing = wheel.sbatch(*words, "no.dump")
    assert wheel.slurm.ended(missing) == "FAILED"
    assert wheel.output(missing).count("'no.dump' is not a file") == 1
