# SPDX-License-Identifier: BSD-3-Clause
"""How a history came to be: what is written to ``parameters/insitu``."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from insitu import __version__
from insitu.analyses.base import Analysis, System
from insitu.analyses.phases.analysis import Phases
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView


def provenance(
    settings: Settings, analyzer: Phases, further: Sequence[Analysis[Any]], view: LammpsView,
    n_ranks: int,
) -> dict[str, Any]:  # fmt: skip
    """Return model, descriptor, settings, versions and host of a run."""
    return {
        **of_model(analyzer),
        **(of_box(further[0].system) if further else {}),
        "group": settings.group,
        "neighbors": ",".join(settings.neighbors) or "all",
        "settings": asdict(settings),
        "units": view.units,
        "atoms": view.n_atoms,
        "last_step": view.run_span[1],  # `insitu watch` tells the time left
        "ranks": n_ranks,
        **of_process({"lammps": view.version}),
    }


def of_model(analyzer: Phases) -> dict[str, Any]:
    """Return what classified the atoms."""
    model = analyzer.model
    return {
        "model": model.card.name,
        "model_sha256": model.sha256,
        "engine": model.engine,
        "device": "cpu" if model.on_device is None else model.on_device.device.name,
        "descriptor": model.card.inputs,
        "threshold": analyzer.threshold,  # the lowest, where each class has its own
        "coverage": analyzer.coverage,  # 0: one threshold for all classes
        # Of classes that were added to the model: their files and hashes, and how often they are found.
        **({"classes": model.card.more["added"]} if "added" in model.card.more else {}),
    }


def of_box(system: System) -> dict[str, Any]:
    """Return the box of the first frame [Å], by which a run that continues the history goes on."""
    return {"box": {"cell": system.cell.tolist(), "origin": system.origin.tolist()}}


def of_process(versions: Mapping[str, Any]) -> dict[str, Any]:
    """Return versions (and further ones), host, folder, command and date."""
    from importlib import metadata  # on rank 0 only: it brings 30 modules with it

    versions = {"insitu": __version__, **versions, "python": platform.python_version()}
    for package in ("numpy", "h5py", "torch", "mpi4py"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "versions": versions,
        "host": platform.node(),
        "folder": os.getcwd(),
        "command": _command(),
        "job": os.environ.get("SLURM_JOB_ID", ""),  # `insitu watch JOBID`
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _command() -> str:
    """Return the command line of the process: LAMMPS' own, where Python is embedded."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return " ".join(sys.orig_argv)
