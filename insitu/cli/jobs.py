# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of the command line that talk to SLURM: submit, and the history of a job for watch."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from insitu.errors import SettingError

Run = Callable[[argparse.Namespace], int]
Verb = Callable[[str, Run, str, str], argparse.ArgumentParser]


def add_jobs(verb: Verb) -> None:
    """Add the verb that hands jobs to SLURM to the command line."""
    sub = verb(
        "submit", _submit,
        "Write the sbatch script of a deck and submit it.",
        "insitu submit in.melt --nodes 2 --tasks 128 --time 4:00:00 --env slurm/env/example.sh --dry-run\n"
        "  insitu submit in.melt --tasks 64 --sbatch=--qos=high --args '-var steps 100000'",
    )  # fmt: skip
    sub.add_argument("deck", help="LAMMPS input; the job runs in the current folder")
    sub.add_argument("--nodes", type=int, metavar="N", help="nodes (SLURM's default)")
    sub.add_argument("--tasks", type=int, metavar="N", help="MPI ranks in all (SLURM's default: 1)")
    sub.add_argument("--gpus", type=int, metavar="N", help="GPUs of each node (none)")
    sub.add_argument(
        "--time", default="1:00:00", help="time limit: minutes, H:MM:SS, D-HH (1:00:00)"
    )
    sub.add_argument("--account", help="account to charge (yours)")
    sub.add_argument("--partition", help="partition (the cluster's default)")
    sub.add_argument("--name", default="", help="name of the job (the deck's)")
    sub.add_argument(
        "--grace", type=int, default=120, metavar="S",
        help="SIGTERM this many seconds before the time limit: the run ends at its next frame (120)",
    )  # fmt: skip
    sub.add_argument("--args", default="", metavar="'WORDS'",
                     help="arguments for LAMMPS in quotes, such as '-var steps 1000'")  # fmt: skip
    sub.add_argument("--sbatch", action="append", default=[], metavar="OPTION",
                     help="a further option of sbatch, passed on unchanged; may be repeated")  # fmt: skip
    sub.add_argument(
        "--env", default=os.environ.get("INSITU_ENV"), metavar="FILE",
        help="shell file that loads the modules and sets LMP, LAUNCH, HOST, like those in slurm/env "
        "(the variable INSITU_ENV)",
    )  # fmt: skip
    sub.add_argument("--launch", default="srun", help="without --env: what starts the ranks (srun)")
    sub.add_argument("--lmp", default="lmp", help="without --env: the LAMMPS program (lmp)")
    sub.add_argument(
        "--out", metavar="FILE", help="the script (the deck's name with .sbatch, here)"
    )
    sub.add_argument("--dry-run", action="store_true", help="only print the script")


def _submit(options: argparse.Namespace) -> int:
    from insitu.jobs.submit import Job, script, submit

    job = Job(
        deck=Path(options.deck), nodes=options.nodes, tasks=options.tasks, gpus=options.gpus,
        time=options.time, account=options.account, partition=options.partition, name=options.name,
        grace=options.grace, options=tuple(options.sbatch), arguments=tuple(shlex.split(options.args)),
        environment=Path(options.env) if options.env else None, launch=options.launch,
        program=options.lmp,
    )  # fmt: skip
    path = Path(options.out or f"{job.deck.name}.sbatch")
    text = script(job, Path.cwd(), path)
    if options.dry_run:
        print(text, end="")
        return 0
    if path.exists() and path.samefile(job.deck):
        raise SettingError(
            f"--out {path} is the deck itself, which would be lost; give another name"
        )
    if path.exists() and path.read_text() != text and not options.out:
        raise SettingError(
            f"'{path}' is there already and differs from this script; name another with --out, or submit "
            f"it as it is: sbatch {shlex.quote(str(path))}"
        )
    number = submit(text, path)
    print(f"job {number} is queued: sbatch {shlex.quote(str(path))}")
    print(f"  insitu watch {number}      its history, once there is one")
    print(f"  squeue -j {number}         its place in the queue")
    print(f"  scancel {number}           ends it at once; --signal=TERM: at its next frame")
    return 0


def history_of_job(word: str, seconds: float, once: bool) -> Path | None:
    """Return the history of a job, waiting for it where there is none yet.

    Parameters
    ----------
    word
        Number of the job.
    seconds
        Time between two looks [s].
    once
        Look once: None if there is no history yet.
    """
    from insitu.jobs.slurm import history_of

    said = ""
    while True:
        job, path = history_of(word)
        if path is not None:
            return path
        text = f"job {word} is {job.state}: no history in {job.folder} yet"
        if text != said:
            print(text, flush=True)
            said = text
        if once:
            return None
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:
            return None
