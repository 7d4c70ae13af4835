# SPDX-License-Identifier: BSD-3-Clause
"""What is read of a powder pattern: systems, extinction groups, cells, lines."""

from __future__ import annotations

from dataclasses import dataclass

from insitu.diffraction.symmetry.extinctions import SYSTEMS_OF

#: Kind of the lattice of each crystal system that is indexed.
KIND_OF = {system: kind for kind, systems in SYSTEMS_OF.items() for system in systems}


@dataclass(frozen=True)
class Candidate:
    """An extinction group that a pattern may have.

    Attributes
    ----------
    name : str
        Crystal system and extinction symbol in one setting, such as "cubic F - - -".
    probability : float
    space_groups : tuple of int
        Space groups that it allows, 1-based.
    """

    name: str
    probability: float
    space_groups: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """A lattice that explains lines of the pattern.

    Attributes
    ----------
    kind : str
        "monoclinic", "orthorhombic", "tetragonal", "hexagonal" (of trigonal groups too) or "cubic".
    lengths : tuple of float
        a, b, c [Å].
    beta : float
        Of a monoclinic cell, whose unique axis is b [degrees]; else 90.
    """

    kind: str
    lengths: tuple[float, float, float]
    beta: float = 90.0


@dataclass(frozen=True)
class Line:
    """A line of the pattern.

    Attributes
    ----------
    q : float
        4 pi sin(theta) / wavelength [1/Å], the zero of the angle corrected by that of the lattice.
    height : float
        Over the background; of the highest 1.
    hkl : tuple of int or None
        Indices on the cell of the most probable system, allowed by its most probable group; None: it has
        none, there is no such cell, or the pattern is unknown.
    """

    q: float
    height: float
    hkl: tuple[int, int, int] | None


@dataclass(frozen=True)
class Symmetry:
    """What `symmetry` finds.

    Attributes
    ----------
    systems : dict
        Probability of each of the seven crystal systems, if it is one crystal; sum 1.
    groups : list of Candidate
        All 101 extinction groups, best first; sum 1.
    unknown : float
        Probability that it is no single crystal: a melt, noise, a mixture.
    cells : list of Cell
        The lattice of each kind, orthorhombic to cubic, that explains the lines best; whether it is the
        crystal's is for `systems` to say. Also a monoclinic one if none of the others explains all lines,
        and it does far better than by chance. Empty without lines.
    lines : list of Line
        By their place.
    """

    systems: dict[str, float]
    groups: list[Candidate]
    unknown: float
    cells: list[Cell]
    lines: list[Line]

    @property
    def system(self) -> str:
        """The most probable crystal system."""
        return max(self.systems, key=lambda name: self.systems[name])

    @property
    def cell(self) -> Cell | None:
        """The cell of the most probable system; None where it has none, or where the pattern is unknown."""
        kind = KIND_OF.get(self.system)
        known = [cell for cell in self.cells if cell.kind == kind] if self.unknown <= 0.5 else []
        return known[0] if known else None

    @property
    def explained(self) -> float:
        """Part of the lines, by their heights, that has indices on the cell; 0 where there is no cell."""
        total = sum(line.height for line in self.lines)
        return sum(line.height for line in self.lines if line.hkl) / total if total else 0.0

    def __str__(self) -> str:
        system = self.system
        if self.unknown > 0.5:
            return f"unknown ({self.unknown:.0%}): no single crystal"
        best = self.groups[0]
        return f"{system} {self.systems[system]:.0%}; {best.name} {best.probability:.0%}"
