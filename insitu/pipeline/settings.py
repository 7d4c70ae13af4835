# SPDX-License-Identifier: BSD-3-Clause
"""Settings of the monitor: one definition for Python keywords and for the words of a fix line."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from insitu.analyses import requests
from insitu.analyses.phases.labels import Coverage, sureness
from insitu.analyses.requests import Request
from insitu.errors import SettingError, one_of
from insitu.frame.threads import check_threads
from insitu.gpu.device import check_device
from insitu.history import IF_EXISTS
from insitu.models.engines import check_engine

#: What LAMMPS takes as the interval of a fix.
MOST_STEPS = 2**31 - 1
MOST_BINS = 10_000
#: MB; a message of MPI has less than 2 GB.
MOST_MEMORY = 4000.0
ON_ERROR = ("stop", "disable")
ON_WRITE_ERROR = ("continue", "stop")
ON_SIGTERM = ("end", "die")
GHOSTS = ("auto", "ask")
OVERLAP = ("no", "wait", "skip")
_COLUMN = {"labels": "phase", "confidence": "confidence"}


@dataclass(frozen=True)
class Settings:
    """What a deck can set.

    Parameters
    ----------
    model
        Name of a shipped model (``insitu models``) or path of a ``model.pt``.
    classes
        Classes that are added to the model, each from a file with its structure (CIF, POSCAR, LAMMPS
        data …): ``omega=omega.cif,A15=a15.cif``, in Python ``{"omega": "omega.cif"}``.
    file
        History to write, HDF5 (H5MD).
    every
        Analyse at multiples of this step number; None: whenever the fix calls.
    overhead
        Share of the wall time that the analysis may take, for example 0.02: first the interval between
        frames grows, up to `every_max`, then a random sample of the atoms is analysed. None: every step
        that `every` asks for, all atoms.
    every_max
        Longest interval that `overhead` may choose [steps]; None: ten times the first one, without a
        limit where all atoms are needed (graph networks such as `metals`, analyses of clusters or
        lattices).
    overlap
        Whether frames are analysed in a thread while LAMMPS goes on, on a spare core of each rank: ``no``;
        ``wait``, LAMMPS waits at a frame until the one before it is done; ``skip``, it never waits, and a
        frame that comes too early is left out.
    group
        LAMMPS group whose atoms are classified; neighbours outside of it still count.
    neighbors
        Whose atoms make up the surroundings: names of LAMMPS groups and numbers of atom types, for
        example ``O`` or ``1,3``; none: all. Every other atom is left out as if it were not there, and is
        not analysed itself, also where it is in `group`.
    threshold
        Largest class probability below which an atom is unknown, 0 … 1; None: the model's own.
    coverage
        In place of `threshold`: the share of each class's atoms that keep their label, for example 0.98
        (:class:`insitu.analyses.phases.labels.Coverage`); each class has its own limit then.
    if_exists
        What to do if `file` exists, or if the clock is set back during the run: ``refuse``;
        ``append`` (continue it; frames after the step at which the run begins are replaced);
        ``overwrite``; ``new`` (the next free name: phases_1.h5, phases_2.h5 …).
    on_error
        What to do if the analysis fails during the run: ``stop`` it, or ``disable`` the analysis;
        the simulation then goes on, and the history says from which step and why.
    on_write_error
        What to do if the file system does not take a frame of the history (full disk, quota, broken
        server): ``continue``, the run goes on, later frames are tried again, and the history says which
        are missing; ``stop``, as `on_error` has it.
    write_limit
        How long the ranks wait for the file system at a time [s]. One that does not answer by then is given
        up: as `on_write_error` has it, ``continue`` without a history from there on.
    on_sigterm
        What SIGTERM means, which batch systems send ahead of a time limit: ``end`` the run at the next
        analysed frame (the deck goes on after ``run``, further runs are skipped), or ``die``.
    ghosts
        What to do where LAMMPS' ghost atoms do not reach as far as the analysis needs: ``auto``, `fix
        insitu` raises LAMMPS' ghost cutoff before the run, and says so; ``ask``, the run is refused with
        the line to add to the deck. `fix python/invoke` cannot tell LAMMPS and always asks.
    groups
        Further LAMMPS groups whose fractions are recorded, among the analysed atoms.
    types
        Also record the fractions of each atom type.
    labels, confidence
        Columns of a ``fix property/atom`` that receive each atom's phase (``i_name``) and the
        probability of it (``d_name``).
    variables
        Beginning of the names of string variables that receive the fractions: ``phase`` fills
        ``phase_fcc``, ``phase_unknown`` and so on, as many as the deck defines.
    first
        Also analyse the step at which the first run starts (only `fix insitu` can; `fix
        python/invoke` is not called there).
    threads
        Threads of the analysis on each rank; None: OMP_NUM_THREADS, else 1, as in LAMMPS.
    engine
        What runs the network: ``native``, the kernels, without torch; ``torchscript``, the
        reference; ``auto``, the kernels if the model has weights for them.
    device
        Where the analysis runs: ``cpu``; ``cuda``, the GPUs of a node in turn; ``cuda:N``; ``auto``, a
        GPU if there is one that can be used.
    species
        Elements of the atom types in their order, for models that tell species apart; None: told
        from the masses.
    analyze
        Further analyses: ``analyze rdf cutoff 10`` on a fix line, the words after the name are its
        settings; in Python settings by name, ``{"rdf": {"cutoff": 10.0}}``
        (:func:`insitu.analyses.requests.requests`). ``insitu analyses`` lists them.
    config
        A TOML file of settings; those that are also given beside it win, analyses are added.
    atoms
        Also write the atoms, at multiples of this step number that are analysed: ids, types, positions,
        box, phase and confidence, into a file beside the history (``phases.atoms.h5md``), which is
        linked from it as its H5MD particles.
    atoms_memory
        What a rank that writes gathers of them at a time takes at most so much [MB].
    atoms_writers
        Ranks that write them, each a file of its own; at most as many as there are. With more than one
        ``phases.atoms.h5md`` shows the files ``phases.atoms.1.h5md`` … as one.
    rdf
        Short for ``analyze rdf cutoff …``: also record the radial distribution function g(r) up to this
        distance [Å], in all and of each pair of atom types.
    rdf_bins
        Bins of g(r).
    profile
        Short for ``analyze profile axis … bins …``: also count the phases in bins along an axis:
        ``z,50`` (axis and number of bins, over the box of the first analysed step), or ``z,50,0,400``
        (from 0 to 400, in the deck's unit of length).
    """

    model: str = "metals"
    classes: dict[str, str] | None = None
    file: str = "phases.h5"
    every: int | None = None
    overhead: float | None = None
    every_max: int | None = None
    overlap: str = "no"
    group: str = "all"
    neighbors: tuple[str, ...] = ()
    threshold: float | None = None
    coverage: float | None = None
    if_exists: str = "refuse"
    on_error: str = "stop"
    on_write_error: str = "continue"
    write_limit: float = 60.0
    on_sigterm: str = "end"
    ghosts: str = "auto"
    groups: tuple[str, ...] = ()
    types: bool = False
    labels: str | None = None
    confidence: str | None = None
    variables: str | None = None
    first: bool = False
    threads: int | None = None
    engine: str = "auto"
    device: str = "cpu"
    species: tuple[str, ...] = ()
    analyze: tuple[Request, ...] = ()
    config: str | None = None
    atoms: int | None = None
    atoms_memory: float = 64.0
    atoms_writers: int = 1
    rdf: float | None = None
    rdf_bins: int = 160
    profile: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("every", "atoms"):
            steps: int | None = getattr(self, name)
            if steps is not None and not 1 <= steps <= MOST_STEPS:
                raise SettingError(
                    f"{name}={steps} is not a number of steps; give 1 … {MOST_STEPS}"
                )
        if self.overhead is not None and not 0.0 < self.overhead < 1.0:
            raise SettingError(
                f"overhead={self.overhead} is not a share of the wall time; give for example 0.02, or "
                "leave it out"
            )
        if self.every_max is not None:
            if self.overhead is None:
                raise SettingError(
                    f"every_max={self.every_max} has no effect without `overhead`, the share of the wall "
                    "time that the analysis may take; give both, or neither"
                )
            every = self.every or 1
            if not every <= self.every_max <= MOST_STEPS:
                raise SettingError(
                    f"every_max={self.every_max} is not a number of steps that can be the longest "
                    f"interval; give {every} … {MOST_STEPS}"
                )
            check_multiple("every_max", self.every_max, every)
        if not 0.01 <= self.atoms_memory <= MOST_MEMORY:
            raise SettingError(
                f"atoms_memory={self.atoms_memory:g} is not usable; give 0.01 … {MOST_MEMORY:g} MB"
            )
        if self.atoms_writers < 1:
            raise SettingError(
                f"atoms_writers={self.atoms_writers} is no number of ranks; give 1 or more"
            )
        if not 0.1 <= self.write_limit <= 86400.0:
            raise SettingError(
                f"write_limit={self.write_limit:g} is not usable; give 0.1 … 86400 s"
            )
        check_threads(self.threads)
        sureness(self.threshold, self.coverage)
        for name, allowed in (
            ("if_exists", IF_EXISTS), ("on_error", ON_ERROR), ("on_write_error", ON_WRITE_ERROR),
            ("on_sigterm", ON_SIGTERM), ("ghosts", GHOSTS), ("overlap", OVERLAP),
        ):  # fmt: skip
            one_of(name, getattr(self, name), allowed)
        check_engine(self.engine)
        check_device(self.device)
        if self.rdf is not None and not 0.1 <= self.rdf <= 100.0:
            raise SettingError(f"rdf={self.rdf} is not a usable distance; give 0.1 … 100 Å")
        if not 1 <= self.rdf_bins <= MOST_BINS:
            raise SettingError(f"rdf_bins={self.rdf_bins} is not usable; give 1 … {MOST_BINS}")
        for name in ("model", "file", "group", "labels", "confidence", "variables", "config"):
            if getattr(self, name) == "":
                raise SettingError(f"{name} is empty; give a name")
        for name, start in (("labels", "i_"), ("confidence", "d_")):
            column = getattr(self, name)
            if column is not None and not (column.startswith(start) and len(column) > 2):
                raise SettingError(
                    f"{name}='{column}' is not a column of fix property/atom that can hold them; its "
                    f"name starts with {start}, for example {start}{_COLUMN[name]}, and the deck has "
                    f"`fix columns all property/atom {start}{_COLUMN[name]}`"
                )
        requests.check_names(self.analyses)
        if self.overlap != "no":
            self._check_overlap()
        for name in ("groups", "neighbors"):
            given: tuple[str, ...] = getattr(self, name)
            twice = sorted({g for g in given if given.count(g) > 1})
            if twice or "" in given:
                raise SettingError(
                    f"{name}={','.join(given)} names "
                    + ("an empty group" if "" in given else f"'{twice[0]}' twice")
                    + "; give each group once, separated by commas"
                )

    def _check_overlap(self) -> None:
        """Refuse results that LAMMPS is to have at the step of a frame, of which it is past."""
        columns = [f"columns of analyze {r.name}" for r in self.analyses if r.columns]
        given = {"labels": self.labels, "confidence": self.confidence, "variables": self.variables}
        for name in (*(n for n, v in given.items() if v is not None), *columns):
            raise SettingError(
                f"overlap={self.overlap}: {name} would be of an earlier step than the one at which LAMMPS "
                "reads them; leave out one of them, or define a second analysis, without overlap, for what "
                "LAMMPS is to read"
            )
        if self.overhead is not None:
            raise SettingError(
                f"overlap={self.overlap} and overhead={self.overhead:g}: what runs beside the simulation "
                "is no share of its time; give one of them"
            )

    @property
    def sureness(self) -> float | Coverage | None:
        """Below what an atom is unknown."""
        return sureness(self.threshold, self.coverage)

    @property
    def analyses(self) -> tuple[Request, ...]:
        """All further analyses: those of the short forms, then those of `analyze`."""
        found = []
        if self.profile:
            from insitu.analyses.profile.settings import ProfileSettings

            parsed = ProfileSettings.parse(self.profile)
            given = {k: v for k, v in asdict(parsed).items() if v is not None}
            found.append(requests.request("profile", given))
        if self.rdf is not None:
            found.append(requests.request("rdf", {"cutoff": self.rdf, "bins": self.rdf_bins}))
        return (*found, *self.analyze)


def check_multiple(name: str, value: int, of: int) -> None:
    """Raise SettingError unless a number of steps is a multiple of those between two calls."""
    if value % of:
        raise SettingError(
            f"{name}={value} is not a multiple of {of}, the steps between two frames; give one"
        )
