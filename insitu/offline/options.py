# SPDX-License-Identifier: BSD-3-Clause
"""What `insitu classify` can be told, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from insitu.analyses.phases.labels import Coverage, sureness
from insitu.analyses.requests import Request, check_names
from insitu.errors import SettingError, one_of
from insitu.frame.species import check_option
from insitu.frame.units import ANGSTROM
from insitu.history import IF_EXISTS
from insitu.offline.readers.expression import parse
from insitu.offline.readers.topology import boundary_of


@dataclass(frozen=True)
class Options:
    """What `insitu classify` can be told.

    Parameters
    ----------
    model, threshold, coverage, engine, device
        As in :func:`insitu.classify`.
    classes
        Classes to add to the model: ``omega=omega.cif,A15=a15.cif``, or ``""``.
    index
        Frames: a number or a slice over the frames of all files.
    labels
        File to write: a LAMMPS dump if it ends in .dump, .lammpstrj or .lammpsdump, else extended XYZ. With
        columns ``phase`` (the codes of the history files) and ``confidence``, ids, types and steps where
        the file has them, and structure type and colour, by which OVITO shows it.
    out
        History to write (HDF5, H5MD).
    if_exists
        What to do if `out` exists: refuse, append, overwrite, new.
    species
        Elements of the types 1, 2, … for models that tell species apart.
    types
        Also count the phases of each type.
    group
        Expression of what the file says of an atom (:mod:`insitu.offline.readers.expression`): which atoms
        are classified and counted; the others still count as neighbours.
    neighbors
        Types or elements whose atoms make up the surroundings; all other atoms are left out, and are
        not analysed themselves.
    topology
        File that says who the atoms are, for files that do not (DCD, XTC, TRR): data file, dump, PSF, PDB …
    boundary
        LAMMPS' words for the three directions (p, f, s, m); none: as the files say, else periodic.
    units
        LAMMPS unit style of files that do not say it.
    timestep
        Length of a step [unit of time of the style], for files without times.
    workers
        Processes; None: one for each core.
    analyze
        Analyses beside the phases, whose results are in `out`.
    """

    model: str = "metals"
    threshold: float | None = None
    coverage: float | None = None
    engine: str = "auto"
    device: str = "cpu"
    classes: str = ""
    index: str = ":"
    labels: str | None = None
    out: str | None = None
    if_exists: str = "refuse"
    species: tuple[str, ...] = ()
    types: bool = False
    group: str | None = None
    neighbors: tuple[str, ...] = ()
    topology: str | None = None
    boundary: tuple[str, ...] = ()
    units: str | None = None
    timestep: float | None = None
    workers: int | None = None
    analyze: tuple[Request, ...] = ()

    def __post_init__(self) -> None:
        one_of("--if-exists", self.if_exists, IF_EXISTS)
        boundary_of(self.boundary)
        if self.units is not None:
            one_of("--units", self.units, tuple(ANGSTROM))
        if self.workers is not None and self.workers < 1:
            raise SettingError(
                f"--workers {self.workers} is no number of processes; give 1 or more"
            )
        if self.timestep is not None and not self.timestep > 0:
            raise SettingError(
                f"--timestep {self.timestep:g} is no length of a step; give one above 0"
            )
        check_option(self.species)
        if self.analyze and not self.out:
            raise SettingError(
                f"--analyze {self.analyze[0].name}: its results are in a history; give one, for example "
                "--out phases.h5"
            )
        check_names(self.analyze)
        sureness(self.threshold, self.coverage)
        if self.group is not None:
            parse(self.group)
        if self.labels and Path(self.labels).exists():
            raise SettingError(f"--labels {self.labels} exists; give another name or remove it")

    @property
    def sureness(self) -> float | Coverage | None:
        """Below what an atom is unknown."""
        return sureness(self.threshold, self.coverage)
