# SPDX-License-Identifier: BSD-3-Clause
"""The symmetry that a diffractometer would read from trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from insitu.errors import SettingError
from insitu.frame.units import ANGSTROM
from insitu.offline.readers.dump_frame import Tell
from insitu.offline.readers.topology import completed
from insitu.offline.readers.trajectories import read_many

if TYPE_CHECKING:
    from insitu.diffraction.symmetry.found import Symmetry


def symmetry_of_files(
    files: Sequence[str], index: str, species: Sequence[str], boundary: Sequence[str], tell: Tell
) -> tuple[str, Symmetry]:
    """Return which frames were read, and the symmetry that they show together.

    Parameters
    ----------
    files
        Names, of one trajectory.
    index
        Frames: a number or a slice over the frames of all files.
    species
        Elements of the types 1, 2, …, where the files do not say them.
    boundary
        Three words of LAMMPS (p, f, s, m); none: what the files say.
    tell
        Is told which frames were left out, and why.

    Raises
    ------
    SettingError
        A file cannot be read, or nobody says what the atoms are.
    InsituError
        What diffraction or torch need is not installed.
    """
    from insitu.diffraction.sample import Reflections, follow, reflections_of, symmetry_of_frames

    frames: list[Reflections] = []
    numbers: list[int] = []
    for file, number, c in completed(read_many(files, index, tell), None, boundary, tell):
        if species and c.types is not None:
            if len(c.types) and c.types.max() > len(species):
                raise SettingError(
                    f"--species {','.join(species)} names {len(species)} elements and '{file}' has type "
                    f"{int(c.types.max())}; give one for each type 1, 2, …"
                )
            kinds = np.array(species)[c.types - 1]
        elif c.numbers is not None:
            kinds = c.numbers
        else:
            raise SettingError(
                f"'{file}' does not say which elements its atoms are; give --species, for example "
                "--species Ni,Al for types 1 and 2"
            )
        length = ANGSTROM[c.units or "metal"]
        cell = c.cell * length if c.pbc.any() or np.any(c.cell) else None
        follow(frames, reflections_of(c.positions * length, cell, c.pbc, kinds))
        numbers.append(number)
    numbers = numbers[-len(frames) :]
    name = Path(files[-1]).name
    what = (
        f"{name} frame {numbers[0]}"
        if len(numbers) == 1
        else f"{name} frames {numbers[0]} to {numbers[-1]}"
    )
    return what, symmetry_of_frames(frames)
