# SPDX-License-Identifier: BSD-3-Clause
"""``insitu bench --startup``: time, memory and file accesses of a rank's start.

On many ranks the last number counts: each opens, looks for and reads the same files at the same time,
and a parallel file system serves thousands of such requests a second, not millions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from insitu.errors import SettingError

#: What a rank imports, stage by stage; each is a program of its own.
_FAST = (
    "import insitu; insitu.monitor(); import insitu.pipeline.pipeline, insitu.lammps.view; "
    "from insitu.models.store import load; load({model})"
)
_MPI = "import mpi4py; mpi4py.rc.initialize = mpi4py.rc.finalize = False; from mpi4py import MPI; "
STAGES: Mapping[str, str] = {
    "python alone": "",
    "import insitu": "import insitu",
    "and numpy": "import insitu, numpy",
    "a rank with metals": _MPI + _FAST.format(model="'metals'"),
    "rank 0 with metals (HDF5)": _MPI
    + _FAST.format(model="'metals'")
    + "; import insitu.history.writing.writer",
    "a rank with torch (engine torchscript)": _MPI
    + _FAST.format(model="'crystals-cnn', engine='torchscript'"),
}
#: What a program prints when it is there: its own resident memory, in all and not shared [kB].
_TELL = """
import json
def _kb(file, name):
    return next((int(x.split()[1]) for x in open(file) if x.startswith(name)), 0)
own = sum(_kb('/proc/self/smaps_rollup', f'Private_{k}:') for k in ('Clean', 'Dirty'))
print(json.dumps([_kb('/proc/self/status', 'VmRSS:'), own]), flush=True)
import sys; sys.stdin.read()
"""
_MB = 1024.0


@dataclass(frozen=True)
class Start:
    """One stage of a rank's start.

    Parameters
    ----------
    name
        What is loaded.
    seconds
        From the start of the process until it is there, median; of several at once the slowest.
    resident, own
        Memory in all, and what this process shares with no other [MB].
    accesses
        System calls that name a file (open, stat …), including those that find none; None without strace.
    """

    name: str
    seconds: float
    resident: float
    own: float
    accesses: int | None


def measure(name: str, ranks: int = 1, repeats: int = 5, python: str = sys.executable) -> Start:
    """Measure a stage.

    Parameters
    ----------
    name
        Of :data:`STAGES`.
    ranks
        Processes that start at the same time.
    repeats
        How often; the median counts.
    python
        The interpreter.
    """
    code = STAGES[name]
    runs = [_start(python, code, ranks) for _ in range(repeats)]
    last = runs[-1][1]
    return Start(
        name,
        statistics.median(seconds for seconds, _ in runs),
        statistics.mean(resident for resident, _ in last) / _MB,
        statistics.mean(own for _, own in last) / _MB,
        _accesses(python, code),
    )


def _environment() -> dict[str, str]:
    # As a rank has it: one thread, and no launcher that would take the process for a rank.
    dropped = ("PMI_", "PMIX_", "OMPI_", "SLURM_", "PYTHONSTARTUP")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)} | {
        "OMP_NUM_THREADS": "1"
    }


def _start(python: str, code: str, ranks: int) -> tuple[float, list[tuple[int, int]]]:
    """Start processes at once; return how long the slowest took, and each one's memory [kB]."""
    with tempfile.TemporaryDirectory() as folder:  # a current folder without modules in it
        started = time.perf_counter()
        processes = [
            subprocess.Popen(
                [python, "-P", "-c", code + _TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, cwd=folder, env=_environment(),
            )
            for _ in range(ranks)
        ]  # fmt: skip
        try:
            lines = [p.stdout.readline() for p in processes if p.stdout]
            seconds = time.perf_counter() - started
        finally:
            errors = [p.communicate()[1] for p in processes]
    if not all(lines):
        raise SettingError(
            f'`{python} -c "{code}"` fails: {errors[0].strip().splitlines()[-1:]}; install what is '
            "missing (insitu doctor lists it)"
        )
    return seconds, [(int(a), int(b)) for a, b in map(json.loads, lines)]


def _accesses(python: str, code: str) -> int | None:
    """Return how many system calls of a start name a file; None without strace."""
    program = shutil.which("strace")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "calls"
        done = subprocess.run(
            [program, "-f", "-e", "trace=%file", "-o", str(out), python, "-P", "-c", code or "pass"],
            capture_output=True, cwd=folder, env=_environment(), check=False,
        )  # fmt: skip
        if done.returncode:
            return None  # tracing is not allowed here
        lines = out.read_text(errors="replace").splitlines()
    return sum("(" in line and "resumed" not in line for line in lines)


def format_table(found: list[Start], ranks: int) -> str:
    """Return the stages as a table."""
    head = (
        "start of one process" if ranks == 1 else f"start of {ranks} processes at once, the slowest"
    )
    lines = [
        f"{head}, page cache warm",
        f"{'':34s} {'time':>8s} {'memory':>9s} {'its own':>9s} {'file accesses':>14s}",
    ]
    for s in found:
        files = "–" if s.accesses is None else f"{s.accesses:,}"
        lines.append(
            f"{s.name:34s} {s.seconds:6.3f} s {s.resident:6.0f} MB {s.own:6.0f} MB {files:>14s}"
        )
    if found[0].accesses is None:
        lines.append("File accesses are counted with strace, which is not here or not allowed.")
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Measure all stages and print them; `arguments` has ranks, repeats."""
    import importlib.util

    ranks, repeats = arguments.ranks, arguments.repeats
    for name, value in (("ranks", ranks), ("repeats", repeats)):
        if value < 1:
            raise SettingError(f"--{name} {value} is not usable; give 1 or more")
    lacking = {"torch": "crystals-cnn", "mpi4py": "a rank"}
    stages = [
        s for s in STAGES
        if all(importlib.util.find_spec(m) or word not in s for m, word in lacking.items())
    ]  # fmt: skip
    print(format_table([measure(s, ranks, repeats) for s in stages], ranks))  # noqa: T201
    return 0
