# SPDX-License-Identifier: BSD-3-Clause
"""The contract of an analysis: one class that says everything the rest has to know about it.

A deck asks for it by name, ``analyze NAME keyword value …``. Each rank turns its own atoms into
local results; they are summed over the ranks (and gathered by id, where that is asked for); means
and errors are derived from the sums, so that nothing depends on how the atoms are spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.settings import check, setting
from insitu.errors import InsituError
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.units import ANGSTROM

if TYPE_CHECKING:
    import xarray

__all__ = ["Analysis", "Column", "Observable", "Panel", "System", "setting"]


@dataclass(frozen=True)
class Observable:
    """One time-dependent quantity of the history.

    Parameters
    ----------
    path
        Place below ``observables/``, for example ``phases/fraction``.
    shape
        Shape of one frame, ``()`` for a scalar.
    dtype
        NumPy type, ``"f8"``, ``"f4"`` or ``"i8"``.
    unit
        Unit as H5MD writes it, ``""`` for a dimensionless quantity.
    description
        One line for readers.
    rows
        What the first axis of `shape` runs over, if it is not the classes: the name of the
        coordinate and its values, for example ``("group", ("surface", "bulk"))``.
    axes
        What all axes run over, where none are the classes: name, values and unit of each.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    description: str
    rows: tuple[str, tuple[Any, ...]] | None = None
    axes: tuple[tuple[str, tuple[Any, ...], str], ...] = ()


@dataclass(frozen=True)
class Column:
    """One value an atom, which a deck can have written into a column of ``fix property/atom``."""

    unit: str
    description: str


@dataclass(frozen=True)
class Panel:
    """A part of a figure.

    Parameters
    ----------
    draw
        Draws a history into axes of matplotlib and sets their label: ``draw(axes, view)``;
        `view.data` is the history and `view.x` the abscissa. It need not import matplotlib.
    height
        Relative to the other panels.
    has_data
        Whether a history has what is drawn.
    default
        Drawn where it has data; otherwise only where it is asked for.
    """

    draw: Callable[[Any, Any], None]
    height: float
    has_data: Callable[[xarray.Dataset], bool]
    default: bool = True


@dataclass(frozen=True)
class System:
    """What is known of a simulation before its first frame; the same on every rank.

    Parameters
    ----------
    n_types
        Atom types 1 … `n_types`.
    units
        LAMMPS unit style of the deck.
    cell, origin, pbc
        Box at the first step, as in a Frame [Å].
    masses
        Mass of each type [g/mol], or None.
    species
        Element of each type, where the deck or a model says so.
    classes
        Columns of the phases, ``unknown`` last; none where no phases are told.
    timestep
        Of the deck, in its unit of time.
    sampled
        Frames may be random samples of the atoms (setting `overhead`).
    """

    n_types: int = 1
    units: str = "metal"
    cell: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pbc: NDArray[np.bool_] = field(default_factory=lambda: np.ones(3, dtype=bool))
    masses: tuple[float, ...] | None = None
    species: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    timestep: float = 0.0
    sampled: bool = False

    @property
    def length(self) -> float:
        """The deck's unit of length [Å]; 1 in reduced units."""
        return ANGSTROM[self.units]

    @property
    def length_unit(self) -> str:
        """Unit of the analysis' lengths in a file: ``Angstrom``, or ``""`` in reduced units."""
        return "" if self.units == "lj" else "Angstrom"


S = TypeVar("S")


class Analysis(Generic[S]):
    """Base of every analysis.

    A subclass sets :attr:`name` and :attr:`Settings`, and in ``__init__``, after
    ``super().__init__(settings, system, name)``, what it needs and what it gives. One object lives
    as long as the run and may keep state from frame to frame (each rank its own). A second one of
    the same kind has another `name`: build paths, and axes whose values depend on the settings,
    with :meth:`path` and :meth:`axis`. The first paragraph of the class' docstring, the fields of
    `Settings` and the observables are its documentation (``insitu analyses NAME``).

    Parameters
    ----------
    settings
        What the deck says, checked.
    system
        The simulation.
    name
        Of this one among several of its kind; by default the kind's own.
    """

    #: Word after ``analyze``, and entry point in the group ``insitu.analyses``.
    name: str
    #: Frozen dataclass of :func:`setting` fields: the keywords.
    Settings: ClassVar[type]

    # What it needs.
    #: Radius [Å] around every owned atom within which all atoms have to be there; 0: as far as the phases'
    #: model looks, ``neighbors.cutoff`` says how far.
    cutoff: float = 0.0
    #: What has to be known in ``frame.thermo``: ``"temperature"``, ``"potential_energy"``, ``"pressure"``.
    thermo: Sequence[str] = ()
    #: What it reads in ``frame.results`` ``(n_local,)``: ``"phase"``, ``"confidence"``, or
    #: ``"NAME/COLUMN"`` of an analysis before it.
    reads: Sequence[str] = ()
    #: LAMMPS groups that it reads in ``frame.members``.
    groups: Sequence[str] = ()
    #: Values of an atom that :meth:`with_ghosts` exchanges, of 4 bytes each (one of 8 counts twice), and
    #: how often it is called in a frame.
    exchanged: int = 0
    rounds: int = 0

    # What it gives; known before the first frame, the same on every rank.
    #: Shape of each local result that is summed over the ranks.
    sums: Mapping[str, tuple[int, ...]] = {}
    #: Shape, for one atom, of each local result that rank 0 gathers by id: a pair ``(ids, values)``
    #: of ``(k,)`` and ``(k, *shape)`` for any `k` owned atoms. All of it is in rank 0's memory.
    gathers: Mapping[str, tuple[int, ...]] = {}
    #: Local results ``(n_local,)`` for columns of ``fix property/atom``; NaN: not analysed.
    columns: Mapping[str, Column] = {}
    #: Those of them that :meth:`together` returns, not :meth:`__call__`: no other analysis reads them.
    later: Sequence[str] = ()
    #: What is written into the history.
    observables: Sequence[Observable] = ()
    #: Paths of observables that hold what the next frame needs of this one: see :meth:`restore`.
    state: Sequence[str] = ()
    #: Whether every rank needs what :meth:`finish` returns; else it runs on rank 0 alone.
    everywhere: bool = False
    #: Whether its results are right on a random sample of the atoms (``frame.population``).
    samples: bool = False
    #: Name of its wall time in the history; by default `name`.
    stage: str = ""

    #: Exchange with other ranks for the present frame; None: all atoms are here.
    halo: Halo | None = None

    def __init__(self, settings: S, system: System, name: str = "") -> None:
        check(settings)
        self.settings, self.system = settings, system
        self._kind = self.name
        self.name = name or self.name
        self.stage = self.stage or self.name

    def __call__(self, frame: Frame, neighbors: Neighbors) -> Mapping[str, Any]:
        """Return this rank's results for a frame: one for each of sums, gathers and columns.

        Only atoms that ``frame.selected`` names are analysed: those of ``neighbors.atoms``. All
        atoms are neighbours. A rank may have no atoms at all.
        """
        raise NotImplementedError

    def together(self, ranks: Ranks) -> Mapping[str, Any]:
        """Return what the ranks find together, in as many exchanges as it takes; collective.

        Called after :meth:`__call__`, once all ranks are known to be well: methods of `ranks`, and
        :meth:`with_ghosts` with any width, may be called any number of times, by all ranks alike. An
        exception on one of several ranks ends the run at once. What is needed of the frame has to be
        kept by :meth:`__call__`.

        Returns
        -------
        dict
            What :meth:`finish` gets beside the sums, and each column of :attr:`later`.
        """
        return {}

    def finish(self, sums: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the value of each observable by its path.

        Parameters
        ----------
        sums
            Sums over all ranks by name, and what :meth:`together` returned; on rank 0 also what was
            gathered, sorted by id.
        """
        raise NotImplementedError

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a frame of the history, or from the beginning; on all ranks.

        Called before the first frame of a run that continues a history, and where the clock is set
        back.

        Parameters
        ----------
        values
            Of the observables in :attr:`state` in the last frame that is kept; none: there is no frame.
        """

    @classmethod
    def panel(cls, name: str) -> Panel | None:
        """Return the panel of a figure that shows the analysis of that name, if there is one."""
        return None

    @classmethod
    def more_panels(cls, name: str) -> dict[str, Panel]:
        """Return further panels by their names, each ``NAME_what``; drawn where they are asked for."""
        return {}

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return a line that ``insitu show`` prints for the analysis of that name, or ``""``."""
        return ""

    def path(self, quantity: str = "") -> str:
        """Return where a quantity is in the history: ``NAME/quantity``, or ``NAME`` alone."""
        return f"{self.name}/{quantity}" if quantity else self.name

    def axis(self, name: str) -> str:
        """Return the name of an axis whose values depend on the settings: distinct where it has to be."""
        return name if self.name == self._kind else f"{self.name}_{name}"

    def with_ghosts(self, values: NDArray[Any], neighbors: Neighbors) -> NDArray[Any]:
        """Return values of the owned and the ghost atoms, each ghost's from its owner; collective.

        To be called :attr:`rounds` times in a frame, by every rank.

        Parameters
        ----------
        values
            ``(n_local, k)`` of the owned atoms: float32 or int32, or float64 or int64, and then
            `exchanged` is 2 `k`.
        neighbors
            The search over the frame.

        Returns
        -------
        values
            ``(n_local + n_ghost, k)`` of the same type; NaN or −1 for ghosts beyond the cutoff.

        Raises
        ------
        InsituError
            It is called more often, or with more, than declared; a ghost belongs to no rank.
        """
        width = values.shape[1] * values.dtype.itemsize // 4
        if self.halo is not None and self.halo.unlimited:
            return self.halo.of_all_atoms(values, neighbors)
        if width != self.exchanged or (self.halo is not None and self.halo.left < 1):
            raise InsituError(
                f"analyze {self.name} exchanges {width} values of 4 bytes, and once more than before; it "
                f"declares exchanged={self.exchanged}, rounds={self.rounds}; correct the analysis"
            )
        halo = self.halo if self.halo is not None else Halo.alone(neighbors.frame)
        return halo.of_all_atoms(values, neighbors)
