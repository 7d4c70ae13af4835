# SPDX-License-Identifier: BSD-3-Clause
"""frame → analyzer → reduce → history, with the points at which all ranks agree to go on.

Every rank walks through the same stages. A stage that can fail on one rank is run inside
``try``; its failure travels in the next collective, behind which all ranks raise or none.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
import traceback
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu import __version__
from insitu.analyzers.base import Observable
from insitu.analyzers.phases import Phases
from insitu.errors import InsituError
from insitu.frame import ANGSTROM, Frame
from insitu.ghosts import check, unstable
from insitu.halo import Halo
from insitu.lammps_view import THERMO_UNITS, LammpsView, Thermo
from insitu.models.store import load
from insitu.neighbors import Neighbors, survey
from insitu.reduce import Packing, Ranks
from insitu.settings import Settings

if TYPE_CHECKING:
    from insitu.series import Series

log = logging.getLogger(__name__)

_STAGES = ("neighbors", "descriptor", "model")
_WALL = ("simulation", *_STAGES)


class Pipeline:
    """One monitor's way from LAMMPS to its file.

    Parameters
    ----------
    settings
        Checked settings.
    view
        The LAMMPS instance, at the first callback.
    ranks
        Its ranks.

    Raises
    ------
    InsituError
        On all ranks: the model cannot be loaded or used here, the file cannot be written, the
        group does not exist.
    """

    def __init__(self, settings: Settings, view: LammpsView, ranks: Ranks) -> None:
        self.settings = settings
        self.ranks = ranks
        self.series: Series | None = None
        self._warned = False
        self._write_time = 0.0
        self._left = time.perf_counter()
        ranks.agree(guarded(lambda: self._prepare(view)))
        ranks.agree(self._another_model())
        self._packing = Packing(
            {"failed": (), **{f"wall_{s}": () for s in _WALL}, **self.analyzer.sums}
        )

    def _prepare(self, view: LammpsView) -> None:
        view.check()
        view.group_bit(self.settings.group)
        if self.ranks.rank == 0:
            from insitu.series import check_writable

            check_writable(self.settings.file, self.settings.if_exists)
        self.analyzer = Phases(load(self.settings.model), self.settings.threshold)
        if view.units == "lj" and not self.analyzer.model.card.descriptor.scale_free:
            raise InsituError(
                f"model '{self.analyzer.model.card.name}' works on distances in Å and the deck has "
                "`units lj`, which have none; use a scale-free model, or units metal or real"
            )
        if not self.analyzer.model.native:
            import torch

            torch.set_num_threads(self.settings.threads)

    def _another_model(self) -> str | None:
        """Return what is wrong if the ranks loaded different files under one name; collective."""
        mine = self.analyzer.model.sha256
        words = np.array([int(mine[k : k + 8], 16) for k in range(0, 64, 8)], dtype=np.float64)
        rows = self.ranks.allgather(words)
        if (rows == rows[0]).all():
            return None
        return (
            f"model='{self.settings.model}' is not the same file on all ranks (here "
            f"{self.analyzer.model.path}, SHA-256 {mine[:12]}…): give a path that all nodes share, or "
            "copy one file to all"
        )

    def require_ghosts(self, view: LammpsView, ghost_cutoff: float, skin: float) -> None:
        """Check LAMMPS' ghost cutoff before the first step (a host that knows it; deck's units).

        Raises
        ------
        InsituError
            It is shorter than the descriptor's radius and the neighbour skin.
        """
        if self.analyzer.scale_free:  # the sample's density is known at the first frame
            return
        needed = self.analyzer.cutoff / ANGSTROM[view.units] + skin
        if ghost_cutoff < needed * (1.0 - 1e-9):
            raise InsituError(self._ghost_advice(view, skin, f"reach {ghost_cutoff:g}", True))

    def _ghost_advice(self, view: LammpsView, skin: float, found: str, known: bool = False) -> str:
        length = 1.0 / ANGSTROM[view.units]
        line = (
            np.ceil((self.analyzer.advised_cutoff * length * 1.00001 + skin) / length * 10)
            / 10
            * length
        )
        hint = "" if known else " (for a skin of 2 Å; add what your `neighbor` skin has more)"
        return (
            f"the ghost atoms {found}, but model '{self.analyzer.model.card.name}' needs all atoms "
            f"within {self.analyzer.cutoff * length:g} and the neighbour skin of {skin:g} (units "
            f"{view.units}); add to the deck, before the run:\n    comm_modify cutoff {line:g}{hint}"
        )

    def frame(self, view: LammpsView, half_step: bool = False) -> None:
        """Analyse the present step and append it to the history; collective.

        Parameters
        ----------
        view
            The LAMMPS instance.
        half_step
            Velocities are not those of the step: leave LAMMPS' thermodynamic values out.
        """
        arrived = time.perf_counter()
        thermo = Thermo() if half_step else view.thermo()  # collective in LAMMPS
        frame = self.take(view)
        sums, waited = self._analyse(frame, arrived - self._left)
        started = time.perf_counter()
        share = 1.0 / self.ranks.size
        values = self.analyzer.finish(sums) | {
            "thermo/temperature": thermo.temperature,
            "thermo/potential_energy": thermo.potential_energy,
            "thermo/pressure": thermo.pressure,
            "timing/reduce": waited,
            # The time of a write is known behind it: a frame holds that of the one before.
            "timing/write": self._write_time,
        }
        values |= {f"timing/{s}": float(sums[f"wall_{s}"]) * share for s in _WALL}
        self.ranks.agree(guarded(lambda: self._write(view, frame, values)))
        self._write_time = time.perf_counter() - started
        self._advise(sums, frame.step)
        self._left = time.perf_counter()

    def take(self, view: LammpsView) -> Frame:
        """Return this rank's frame once all ranks have one whose ghosts can be relied on; collective.

        Raises
        ------
        InsituError
            On all ranks: ghosts are missing or stale, or a rank has no frame.
        """
        frame: Frame | None = None
        trouble = None
        try:
            frame = view.frame(self.settings.group)
            trouble = unstable(frame)
        except Exception as error:
            trouble = describe(error)
        self.ranks.agree(trouble)
        assert frame is not None
        if self.analyzer.scale_free:
            self.analyzer.measure(self.ranks.sum(survey(frame)), frame.cell)
        missing, drift = check(frame, self.analyzer.cutoff, self.ranks)
        if drift:
            trouble = (
                f"the ghost atoms are stale by up to {drift:.2g} Å at step {frame.step}: a fix that "
                "changes the box at the end of a step (fix deform, fix press/berendsen) is defined "
                "before the analysis; move the insitu fix line above it"
            )
        elif missing:
            trouble = self._ghost_advice(
                view, 2.0 / ANGSTROM[view.units], f"lack {missing} atoms at step {frame.step}"
            )
        self.ranks.agree(trouble)
        return frame

    def _analyse(self, frame: Frame, simulation: float) -> tuple[dict[str, Any], float]:
        """Return the sums over all ranks, and how long this one waited for them [s]."""
        mine: dict[str, Any] | None = None
        neighbors: Neighbors | None = None
        trouble = None
        started = time.perf_counter()
        try:
            neighbors = Neighbors(frame, self.analyzer.search)
        except Exception as error:
            trouble = describe(error)
        wall = {"simulation": simulation, "neighbors": time.perf_counter() - started}
        if self.analyzer.scale_free:
            # The analysis exchanges features: all ranks begin it, or none.
            self.ranks.agree(trouble)
            a = self.analyzer
            a.halo = Halo(frame, a.margin, self.ranks, a.rounds)
        try:
            if neighbors is None:
                raise InsituError(trouble or "no neighbour search")
            sums = self.analyzer(frame, neighbors)
            wall |= self.analyzer.timing
            mine = {**sums, "failed": 0.0, **{f"wall_{stage}": s for stage, s in wall.items()}}
        except Exception as error:
            trouble = describe(error)
        if self.analyzer.halo is not None:
            self.analyzer.halo.finish()
        started = time.perf_counter()
        vector = self._packing.pack(mine)
        vector[0] = mine is None
        total = self._packing.unpack(self.ranks.sum(vector))
        if total["failed"]:
            self.ranks.agree(trouble)
        return total, time.perf_counter() - started

    def _advise(self, sums: dict[str, Any], step: int) -> None:
        if self.ranks.rank == 0 and not self._warned:
            advice = self.analyzer.advice(sums)
            if not sums["count"].sum():
                advice = (
                    f"group '{self.settings.group}' has no atoms at step {step}: its fractions are "
                    "NaN there; define the group before the run"
                )
            if advice:
                self._warned = True
                log.warning("insitu: %s", advice)

    def _write(self, view: LammpsView, frame: Frame, values: dict[str, Any]) -> None:
        if self.ranks.rank == 0:
            if self.series is None:
                self.series = self._create(view, frame)
            self.series.append(frame.step, frame.time, values)

    def _create(self, view: LammpsView, frame: Frame) -> Series:
        from insitu.series import Series

        kelvin, energy, pressure = THERMO_UNITS[view.units]
        observables = [
            *self.analyzer.observables,
            Observable("thermo/temperature", (), "f8", kelvin, "compute thermo_temp"),
            Observable("thermo/potential_energy", (), "f8", energy, "compute thermo_pe, all atoms"),
            Observable("thermo/pressure", (), "f8", pressure, "compute thermo_press"),
            Observable("timing/simulation", (), "f8", "s", "since the last frame, mean of ranks"),
            *[Observable(f"timing/{s}", (), "f8", "s", "mean of the ranks") for s in _STAGES],
            Observable("timing/reduce", (), "f8", "s", "waiting and all-reduce, rank 0"),
            Observable("timing/write", (), "f8", "s", "of the frame before, rank 0"),
        ]
        return Series.create(
            self.settings.file,
            observables,
            time_unit=view.time_unit,
            provenance=self._provenance(view),
            classes=self.analyzer.classes,
            codes=self.analyzer.codes,
            if_exists=self.settings.if_exists,
            first_step=frame.step,
        )

    def _provenance(self, view: LammpsView) -> dict[str, Any]:
        model = self.analyzer.model
        versions = {
            "insitu": __version__,
            "lammps": view.version,
            "python": platform.python_version(),
        }
        for package in ("numpy", "h5py", "torch", "mpi4py"):
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = "not installed"
        return {
            "model": model.card.name,
            "model_sha256": model.sha256,
            "descriptor": model.card.descriptor.as_dict(),
            "threshold": self.analyzer.threshold,
            "settings": asdict(self.settings),
            "versions": versions,
            "units": view.units,
            "atoms": view.n_atoms,
            "ranks": self.ranks.size,
            "host": platform.node(),
            "folder": os.getcwd(),
            "command": _command(),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def close(self) -> None:
        """Close the history (every frame in it is already on disk)."""
        if self.series is not None:
            self.series.close()
            self.series = None


def _command() -> str:
    """Return the command line of the process: LAMMPS' own, where Python is embedded."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return " ".join(sys.orig_argv)


def guarded(stage: Any) -> str | None:
    """Run a local stage; return its problem in words, or None."""
    try:
        stage()
    except Exception as error:
        return describe(error)
    return None


def describe(error: Exception) -> str:
    """Return an error as a message: our own as they are, others with where they happened."""
    if isinstance(error, InsituError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
    log.debug("insitu: %s", text, exc_info=error)
    return text
