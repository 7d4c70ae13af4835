# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of SLURM, and the history that a job writes: ``insitu watch JOBID``.

A history says which jobs wrote it (`provenance`); where to look for it, SLURM says.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from insitu.errors import HistoryError, InsituError, SettingError
from insitu.history.reader import writers
from insitu.jobs.submit import run

_JOB = re.compile(r"\d+(_\d+)?")
#: Folders below the job's own that are searched, and files that are opened at most.
_DEPTH, _MOST = 3, 2000


@dataclass(frozen=True)
class Known:
    """What SLURM says of a job.

    Parameters
    ----------
    number
        As histories have it: for a member of an array the number of its own.
    state
        As PENDING, RUNNING, COMPLETED.
    folder
        Where it runs.
    """

    number: str
    state: str
    folder: Path


def is_job(word: str) -> bool:
    """Return whether a word is a job's number, as 1234 or 1234_5, and no file."""
    return bool(_JOB.fullmatch(word)) and not Path(word).exists()


def find(word: str) -> Known:
    """Return what SLURM knows of a job.

    Raises
    ------
    InsituError
        There is no SLURM here.
    SettingError
        It knows no such job, or the job is an array.
    """
    if not shutil.which("scontrol"):
        raise InsituError(
            f"job {word}: scontrol is not on PATH, so SLURM cannot be asked where the job runs; give "
            "the history instead: insitu watch phases.h5"
        )
    done = run(["scontrol", "show", "job", "-o", word])
    rows = [row for row in done.stdout.splitlines() if row.startswith("JobId=")]
    if done.returncode or not rows:
        return _from_accounting(word, done.stderr.strip())
    if len(rows) > 1:
        members = sorted(f"{word}_{_field(row, 'ArrayTaskId')}" for row in rows)
        raise SettingError(
            f"job {word} is an array of {len(rows)}; give one of {', '.join(members[:8])}"
            + (" …" if len(members) > 8 else "")
        )
    (row,) = rows
    return Known(_field(row, "JobId"), _field(row, "JobState"), Path(_field(row, "WorkDir")))


def _field(row: str, name: str) -> str:
    found = re.search(rf"(?:^|\s){name}=(.*?)(?=\s\w+=|\s*$)", row)
    return found[1] if found else ""


def _from_accounting(word: str, said: str) -> Known:
    """Return what SLURM's accounting kept of a job that has left its memory."""
    if shutil.which("sacct"):
        done = run(["sacct", "-X", "-n", "-P", "-j", word, "-o", "JobIDRaw,State,WorkDir"])
        for row in done.stdout.splitlines():
            number, state, folder = row.split("|", 2)
            return Known(number, state.split()[0], Path(folder))
    raise SettingError(
        f"SLURM does not know job {word} ({said or 'no answer'}); `squeue --me` lists yours. Of a job "
        "that ended long ago give the history: insitu watch phases.h5"
    )


def histories(job: Known) -> list[Path]:
    """Return the histories that a job has written to, the newest first."""
    found = [path for path in _files(job.folder, _DEPTH) if job.number in _writers(path)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _writers(path: Path) -> list[str]:
    try:
        return writers(path)
    except HistoryError:
        return []  # not a history, or just being replaced


def _files(folder: Path, depth: int) -> Iterator[Path]:
    left = _MOST
    level = [folder]
    for _ in range(depth):
        below: list[Path] = []
        for where in level:
            try:
                entries = list(where.iterdir())
            except OSError:
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.suffix in (".h5", ".hdf5", ".h5md"):
                    yield entry
                    left -= 1
                    if not left:
                        return
                elif entry.is_dir() and not entry.is_symlink():
                    below.append(entry)
        level = below


def history_of(word: str) -> tuple[Known, Path | None]:
    """Return a job and its history; None while there is none.

    Raises
    ------
    SettingError
        SLURM knows no such job, or the job writes several histories, which are named.
    HistoryError
        The job has ended and left no history.
    """
    job = find(word)
    found = histories(job)
    if len(found) > 1:
        raise SettingError(
            f"job {word} writes {len(found)} histories; give one: insitu watch "
            + ", or ".join(str(path) for path in found[:6])
        )
    if found:
        return job, found[0]
    if job.state not in (
        "PENDING",
        "RUNNING",
        "CONFIGURING",
        "REQUEUED",
        "SUSPENDED",
        "COMPLETING",
    ):
        raise HistoryError(
            f"job {word} is {job.state} and left no history in '{job.folder}' or below; see its output "
            f"(slurm-{job.number}.out), or give the history if it was written elsewhere"
        )
    return job, None
