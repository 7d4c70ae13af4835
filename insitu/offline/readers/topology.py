# SPDX-License-Identifier: BSD-3-Clause
"""What a trajectory does not say: who its atoms are (`--topology`), and its boundaries (`--boundary`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from insitu.errors import SettingError
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import Tell
from insitu.offline.readers.mdanalysis_files import is_for_mdanalysis, topology_of
from insitu.offline.readers.soundness import repeated
from insitu.offline.readers.trajectories import read_file

Item = tuple[str, int, Configuration]


class Topology:
    """Ids, types and names for trajectories that have none: DCD, XTC, TRR, dumps of some columns.

    Parameters
    ----------
    path
        The file, for messages.
    atoms
        What it says. Where it has ids, they are put in their order, in which LAMMPS writes such
        trajectories (`dump dcd` and `dump xtc` sort by id).
    """

    def __init__(self, path: str, atoms: Configuration) -> None:
        self.path = path
        if (again := repeated(atoms)) is not None:
            raise SettingError(
                f"--topology {path}: several atoms have the id {again}; correct the ids"
            )
        if atoms.ids is not None:
            order = np.argsort(atoms.ids, kind="stable")
            atoms = replace(atoms)
            for name in ("ids", "types", "names"):
                values = getattr(atoms, name)
                setattr(atoms, name, None if values is None else values[order])
        self._atoms = atoms

    def complete(self, c: Configuration, file: str) -> Configuration:
        """Return a configuration with what it does not say itself.

        Parameters
        ----------
        c, file
            The configuration, and where it is from.

        Raises
        ------
        SettingError
            It has other atoms.
        """
        mine = self._atoms
        if c.ids is not None and mine.ids is not None:
            at = np.searchsorted(mine.ids, c.ids)
            at = np.minimum(at, max(len(mine) - 1, 0))
            if len(c) and (not len(mine) or (mine.ids[at] != c.ids).any()):
                missing = c.ids if not len(mine) else c.ids[mine.ids[at] != c.ids]
                raise SettingError(
                    f"--topology {self.path} has no atom of id {missing[0]}, which '{file}' has; give the "
                    "file of the same run"
                )
        elif len(c) != len(mine):
            raise SettingError(
                f"--topology {self.path} has {len(mine)} atoms and '{file}' has {len(c)}; give the file of "
                "the same atoms, or dump them all"
            )
        else:
            at = np.arange(len(c))
        found = replace(c)
        for name in ("ids", "types", "names"):
            values = getattr(mine, name)
            if getattr(found, name) is None and values is not None:
                setattr(found, name, values[at])
        if not c.boundary_known and mine.boundary_known:
            found.pbc, found.boundary_known = mine.pbc, True
        return found


def topology(path: str) -> Topology:
    """Read the topology of a file: its first frame, or what it says without positions (PSF, TPR, ITP …).

    Raises
    ------
    SettingError
        It cannot be read.
    """
    if is_for_mdanalysis(path, topology=True):
        return Topology(path, topology_of(path))
    frames = read_file(path, lambda k: k == 0, lambda text: None)
    first = next(frames, None)
    frames.close()  # type: ignore[attr-defined]
    if first is None:
        raise SettingError(f"--topology {path} has no complete frame; give a file that has one")
    return Topology(path, first)


def boundary_of(words: Sequence[str]) -> tuple[bool, bool, bool] | None:
    """Return which directions are periodic by LAMMPS' words (p, f, s, m); None: nothing is said.

    Raises
    ------
    SettingError
        They are others, or not three.
    """
    if not words:
        return None
    if len(words) != 3 or not set(words) <= set("pfsm"):
        raise SettingError(
            f"--boundary {','.join(words)}: give p (periodic), f, s or m for each direction, as in the "
            "deck: p,p,f"
        )
    x, y, z = (w == "p" for w in words)
    return x, y, z


def completed(
    frames: Iterator[Item], path: str | None, boundary: Sequence[str], tell: Tell
) -> Iterator[Item]:
    """Yield file, number and configuration of frames, with what another file and the user say of them.

    Parameters
    ----------
    frames
        What :func:`insitu.offline.readers.trajectories.read_many` yields.
    path
        Topology; None: there is none.
    boundary
        Three words of LAMMPS (p, f, s, m); none: what the files say.
    tell
        Is told once if nobody says in which directions a box is periodic.

    Raises
    ------
    SettingError
        The topology cannot be read, or is of other atoms.
    """
    periodic = boundary_of(boundary)
    atoms = topology(path) if path else None
    told = False
    for file, number, c in frames:
        if atoms is not None:
            c = atoms.complete(c, file)
        if periodic is not None:
            c.pbc, c.boundary_known = np.array(periodic), True
        elif not c.boundary_known and not told:
            told = True
            tell(
                f"'{file}' does not say in which directions it is periodic: all three are taken; for a "
                "slab give --boundary p,p,f, or a dump as --topology"
            )
        yield file, number, c
