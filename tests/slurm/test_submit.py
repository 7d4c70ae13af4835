# SPDX-License-Identifier: BSD-3-Clause
"""`insitu submit`, `insitu watch JOBID` and the further scripts of slurm/, on a real controller."""

from __future__ import annotations

import re
import subprocess

import pytest
from jobs import DECK, ENDLESS, SCRIPTS, Cluster

import insitu
from insitu.training.recipes import RECIPES

SHORT = "-var cells 3 -var every 20 -var total 60"


def insitu_command(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line beside the controller."""
    return subprocess.run(
        ["insitu", *words], cwd=cluster.folder, text=True, capture_output=True, check=False,
        timeout=60, stdin=subprocess.DEVNULL, env=cluster.slurm.environment | cluster.variables,
    )  # fmt: skip


def submitted(done: subprocess.CompletedProcess[str]) -> str:
    """Return the number of the job that was handed in."""
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("job "), done.stdout
    return done.stdout.split()[1]


def test_submit_and_watch(wheel: Cluster) -> None:
    words = ["submit", str(DECK), "--tasks", "2", "--time", "10", "--args", SHORT]
    dry = insitu_command(wheel, *words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert not (wheel.folder / "in.job.sbatch").exists()
    job = submitted(insitu_command(wheel, *words, "--sbatch=--begin=now+1hour"))
    kept = (wheel.folder / "in.job.sbatch").read_text()
    assert kept == dry.stdout.replace(
        "#SBATCH --open-mode=append", "#SBATCH --open-mode=append\n#SBATCH --begin=now+1hour"
    )
    waiting = insitu_command(wheel, "watch", job, "--once")
    assert waiting.returncode == 1
    assert f"job {job} is PENDING: no history in {wheel.folder} yet" in waiting.stdout
    wheel.call("scontrol", "update", f"jobid={job}", "starttime=now")
    assert wheel.slurm.ended(job) == "COMPLETED", wheel.output(job)
    assert wheel.steps() == [20, 40, 60]
    seen = insitu_command(wheel, "watch", job, "--once")
    assert seen.returncode == 0, seen.stderr
    assert "phases.h5" in seen.stdout
    assert "step 60 of 60" in seen.stdout
    # The script is the user's: one that was changed is not replaced.
    (wheel.folder / "in.job.sbatch").write_text(kept + "# mine\n")
    again = insitu_command(wheel, *words)
    assert again.returncode == 2
    assert "is there already and differs from this script" in again.stderr
    assert (wheel.folder / "in.job.sbatch").read_text().endswith("# mine\n")


def test_the_wheels_own_script_hands_sigterm_on(wheel: Cluster) -> None:
    """`lmp` of the wheel is a Python that starts the program; SLURM's signal reaches both."""
    del wheel.variables["INSITU_ENV"]
    words = ["submit", str(DECK), "--tasks", "2", "--time", "10", "--launch", "srun --mpi=pmi2"]
    job = submitted(insitu_command(wheel, *words, "--args", " ".join(ENDLESS)))
    wheel.jobs.append(job)
    wheel.frames(2)
    wheel.call("scancel", "--signal=TERM", job)
    assert wheel.slurm.ended(job) == "COMPLETED", wheel.output(job)
    wheel.assert_sound()
    assert "SIGTERM: the run ends" in wheel.output(job)


def test_what_slurm_refuses_is_said(wheel: Cluster) -> None:
    done = insitu_command(wheel, "submit", str(DECK), "--partition", "gpu")
    assert done.returncode == 2
    assert "invalid partition" in done.stderr
    assert "submit it again: sbatch in.job.sbatch" in done.stderr
    done = insitu_command(wheel, "watch", "999999999")
    assert done.returncode == 2
    assert "SLURM does not know job 999999999" in done.stderr


def test_watch_names_what_it_cannot_choose(wheel: Cluster) -> None:
    array = wheel.sbatch("--array=3-4", "--wrap", "true")
    for member in ("3", "4"):
        assert wheel.slurm.ended(f"{array}_{member}") == "COMPLETED"
    done = insitu_command(wheel, "watch", array)
    assert done.returncode == 2
    assert f"job {array} is an array of 2; give one of {array}_3, {array}_4" in done.stderr
    done = insitu_command(wheel, "watch", f"{array}_3")
    assert done.returncode == 2
    assert "is COMPLETED and left no history" in done.stderr


def test_scaling_study(wheel: Cluster) -> None:
    wheel.variables["SCALE"] = "tasks"
    job = wheel.sbatch("--ntasks=2", SCRIPTS / "scaling.sbatch", DECK, *SHORT.split())
    assert wheel.slurm.ended(job) == "COMPLETED", wheel.output(job)
    table = wheel.output(job).partition("efficiency\n")[2].splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["1", "108"], ["2", "108"]]
    for ranks in (1, 2):
        about = insitu.open(str(wheel.folder / f"scaling_{ranks}" / "phases.h5")).attrs
        assert about["ranks"] == ranks


@pytest.mark.full
@pytest.mark.timeout(900)
def test_train(wheel: Cluster) -> None:
    """A small recipe of the shipped one's kind, data by molecular dynamics included."""
    text = (RECIPES / "crystals-cnn.toml").read_text()
    changes = {
        "train_seeds": "[1]", "validation_seeds": "[2]", "test_seeds": "[3]",
        "removed": "[0.0, 0.5]", "crystal_maps": "600", "disordered_maps": "1200",
        "ramp_steps": "600", "snapshots": "3", "melt_steps": "500", "cool_steps": "300",
        "epochs": "2", "liquid": "[4, 4, 3]", "ramp": "[0.1, 0.5]",
    }  # fmt: skip
    for key, value in changes.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
    head, *systems = text.split("[[system]]")
    kept = [s for s in systems if '"Al"' in s or '"Fe"' in s]
    (wheel.folder / "small.toml").write_text("[[system]]".join([head, *kept]))
    job = wheel.sbatch("--cpus-per-task=2", SCRIPTS / "train.sbatch", "small.toml")
    assert wheel.slurm.ended(job, 800) == "COMPLETED", wheel.output(job)
    assert (wheel.folder / "model" / "model.pt").is_file()
