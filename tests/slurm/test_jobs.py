# SPDX-License-Identifier: BSD-3-Clause
"""The scripts of slurm/ on a real controller: what becomes of the history, however a job ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from conftest import MakeCluster, StartCluster
from jobs import DECK, ENDLESS, SCRIPTS, Cluster

import insitu
from insitu.history.reader import writers


@pytest.fixture(scope="module", autouse=True)
def limited(start_cluster: StartCluster) -> Iterator[tuple[Cluster, str]]:
    """A job with the shortest time limit there is, which runs beside the other tests.

    On the node that is taken last, and not on the one that is going to fail; with the lowest priority.
    """
    with start_cluster("wheel") as cluster:
        gentle = cluster.folder / "gentle.sh"
        gentle.write_text(f'source {SCRIPTS}/env/wheel.sh\nLAUNCH="$LAUNCH nice -n 19"\n')
        cluster.variables["INSITU_ENV"] = str(gentle)
        where = ("--ntasks=1", "--nodelist=n1", "--time=1", "--signal=TERM@1")
        yield cluster, cluster.sbatch(*where, SCRIPTS / "run_cpu.sbatch", DECK, *ENDLESS)


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
def test_requeue_continues_the_same_history(make_cluster: MakeCluster, host: str) -> None:
    cluster = make_cluster(host)
    job = cluster.run(*ENDLESS)
    cluster.frames(4)  # after the restart file of step 60
    cluster.call("scontrol", "requeue", job)
    cluster.slurm.wait(lambda: cluster.slurm.state(job) == "PENDING", "the requeued job")
    cluster.gone()
    # SLURM waits two minutes; in the second of the requeue its nodes refuse the job, whose credential
    # they have just revoked.
    cluster.call("scontrol", "update", f"jobid={job}", "starttime=now+2")
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
    """Each job waits for the one before and continues it; those after the end do nothing."""
    wheel.variables["SBATCH_TIMELIMIT"] = "10"
    first, second = wheel.call(str(SCRIPTS / "chain.sh"), "2", str(DECK), *ENDLESS).split()
    wheel.jobs += [first, second]
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
        "--array=1-2", "--ntasks=2", SCRIPTS / "ensemble.sbatch", DECK,
        "-var", "cells", "3", "-var", "every", "20", "-var", "total", "40",
    )  # fmt: skip
    for member in ("1", "2"):
        assert wheel.slurm.ended(f"{job}_{member}") == "COMPLETED", wheel.output(f"{job}_{member}")
    together = insitu.open(
        [str(p) for p in sorted(wheel.folder.glob("run_*/phases.h5"))], ensemble=True
    )
    assert together.sizes["run"] == 2
    one, two = together["temperature"].isel(step=-1).values
    assert one != two


def test_time_limit_with_a_signal_ahead(limited: tuple[Cluster, str]) -> None:
    """A real time limit: SLURM itself sends SIGTERM, up to a minute before the time it was told."""
    cluster, job = limited
    assert cluster.slurm.ended(job, 80) == "COMPLETED", cluster.output(job)
    cluster.assert_sound()
    assert "SIGTERM: the run ends" in cluster.output(job)


@pytest.mark.full
def test_time_limit_without_a_signal_ahead(wheel: Cluster) -> None:
    """At the limit itself SLURM sends SIGTERM, and SIGKILL after KillWait: still a clean end."""
    job = wheel.sbatch(
        "--ntasks=2", "--time=1", "--signal=TERM@0", SCRIPTS / "run_cpu.sbatch", DECK, *ENDLESS
    )
    assert wheel.slurm.ended(job, 150) == "TIMEOUT", wheel.output(job)
    wheel.gone()
    wheel.assert_sound()
