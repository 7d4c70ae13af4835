# SPDX-License-Identifier: BSD-3-Clause
"""``insitu submit``: a sbatch script for a deck, written beside the job's files and handed to SLURM."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from insitu.errors import InsituError, SettingError

_TIME = re.compile(r"(\d+|\d+:\d\d|\d+:\d\d:\d\d|\d+-\d+(:\d\d){0,2})")


class _Script(Template):
    delimiter = "@"  # $ belongs to the shell


@dataclass(frozen=True)
class Job:
    """What a job asks for; each is an option of sbatch of that name.

    Parameters
    ----------
    deck
        LAMMPS input; the job runs in the present folder.
    nodes, tasks, gpus
        Nodes, MPI ranks in all, GPUs a node; None leaves it to SLURM.
    time
        Time limit, as sbatch takes it (minutes, H:MM:SS, D-HH).
    account, partition
        Where to; None: SLURM's default.
    name
        Of the job; the deck's name if empty.
    grace
        Seconds before the time limit at which the ranks get SIGTERM; 0: never.
    options
        Further options for sbatch, as they are.
    arguments
        For LAMMPS, after ``-in DECK``.
    environment
        Shell file that the job sources (slurm/env): it sets LMP, LAUNCH and HOST. None: the job starts
        `program` with `launch` as they are found now.
    launch, program
        What starts the ranks, and LAMMPS.
    """

    deck: Path
    nodes: int | None = None
    tasks: int | None = None
    gpus: int | None = None
    time: str = "1:00:00"
    account: str | None = None
    partition: str | None = None
    name: str = ""
    grace: int = 120
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Path | None = None
    launch: str = "srun"
    program: str = "lmp"

    def __post_init__(self) -> None:
        if not self.deck.is_file():
            raise SettingError(f"deck '{self.deck}' does not exist; give a LAMMPS input file")
        for option in ("nodes", "tasks", "gpus"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise SettingError(
                    f"--{option} {value} is not usable; give 1 or more, or leave it out"
                )
        if self.grace < 0:
            raise SettingError(
                f"--grace {self.grace} is not usable; give seconds, 0 for no SIGTERM"
            )
        if not _TIME.fullmatch(self.time):
            raise SettingError(
                f"--time {self.time} is not a time limit; give minutes, H:MM:SS or D-HH, as sbatch "
                "takes them, for example 4:00:00"
            )
        if 0 < _seconds(self.time) <= self.grace:
            raise SettingError(
                f"--grace {self.grace} is not shorter than --time {self.time}: the job would get SIGTERM "
                "when it begins, and end at its first frame; give fewer seconds, 0 for no SIGTERM"
            )
        if self.environment is not None and not self.environment.is_file():
            raise SettingError(
                f"--env {self.environment} does not exist; give the shell file that loads the modules "
                "of your cluster (slurm/env/example.sh is one to fill in)"
            )
        for option in self.options:
            if not re.match(r"-[A-Za-z]\b|--[a-z]", option):
                raise SettingError(
                    f"--sbatch {option} is not an option of sbatch; write it as sbatch takes it, for "
                    "example --sbatch=--qos=high"
                )


def _seconds(time: str) -> int:
    """Return a time limit as sbatch reads it: minutes, M:SS, H:MM:SS, D-H, D-H:MM or D-H:MM:SS [s]."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not dash and len(parts) < 3:
        parts = [0, *parts]
    return 86400 * int(days or 0) + sum(u * p for u, p in zip((3600, 60, 1), parts, strict=False))


def script(job: Job, folder: Path, path: Path) -> str:
    """Return the sbatch script of a job.

    Parameters
    ----------
    job
        What it asks for.
    folder
        Where it is to run.
    path
        Name that the script will have.
    """
    asked: list[tuple[str, object]] = [
        ("nodes", job.nodes), ("ntasks", job.tasks), ("gpus-per-node", job.gpus), ("time", job.time),
        ("account", job.account), ("partition", job.partition),
        ("signal", f"TERM@{job.grace}" if job.grace else None),
    ]  # fmt: skip
    lines = [f"#SBATCH --{name}={value}" for name, value in asked if value is not None]
    lines += ["#SBATCH --open-mode=append"]  # a requeued job keeps what it has printed
    lines += [f"#SBATCH {option}" for option in job.options]
    deck = shlex.quote(str(job.deck.resolve()))
    arguments = " ".join(map(shlex.quote, job.arguments))
    if job.environment is not None:
        environment = f"source {shlex.quote(str(job.environment.resolve()))}"
        command = f'$LAUNCH "$LMP" -in {deck} -var host "$HOST" {arguments}'
    else:
        program = shutil.which(job.program) or job.program
        environment = "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}"
        command = f"{job.launch} {shlex.quote(program)} -in {deck} {arguments}"
    text = resources.files("insitu.jobs").joinpath("submit.sbatch").read_text()
    return _Script(text).substitute(
        name=job.name or re.sub(r"[^\w.+-]", "_", job.deck.name), options="\n".join(lines),
        deck=job.deck.name, script=shlex.quote(path.name), folder=shlex.quote(str(folder)),
        environment=environment, command=command.rstrip(),
    )  # fmt: skip


def submit(text: str, path: Path) -> str:
    """Write a script and hand it to sbatch; return the job's number.

    Parameters
    ----------
    text
        The script.
    path
        Where it is kept.

    Raises
    ------
    InsituError
        There is no SLURM here, or it refuses the job; the script is kept.
    """
    path.write_text(text)
    path.chmod(0o755)
    program = shutil.which("sbatch")
    if program is None:
        raise InsituError(
            f"sbatch is not on PATH: this machine has no SLURM, or its module is not loaded. The "
            f"script is '{path}'; submit it where SLURM is: sbatch {shlex.quote(str(path))}"
        )
    done = run([program, "--parsable", str(path)])
    if done.returncode:
        raise InsituError(
            f"sbatch refused '{path}': {done.stderr.strip()}\nchange the options (insitu submit --help) "
            f"or the script, and submit it again: sbatch {shlex.quote(str(path))}"
        )
    return done.stdout.strip().split(";")[0]


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a client of SLURM."""
    return subprocess.run(
        list(command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"LC_ALL": "C"}, timeout=120,
    )  # fmt: skip
