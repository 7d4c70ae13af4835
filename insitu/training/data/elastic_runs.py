# SPDX-License-Identifier: BSD-3-Clause
"""Elastic tensors by LAMMPS: finite strains with internal relaxation, of any crystal and potential.

The crystal is relaxed with its cell; then six strains are applied, each to both sides, the atoms relaxed in
the strained cell, and the stress read. What was predicted for a crystal can be checked in this way, and
tensors of *this* potential can be made for training.

References
----------
Y. Le Page and P. Saxe, Phys. Rev. B 65, 104104 (2002), doi:10.1103/PhysRevB.65.104104.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.crystal.tensors.voigt import strain_from_voigt, stress_from_lammps, stress_to_voigt
from insitu.errors import DeckError, SettingError
from insitu.frame.lattices.copies import repeated
from insitu.frame.species import MASSES, SYMBOLS
from insitu.training.runs import potentials_folder, run_lammps, write_data

#: Strain that is applied to both sides, and the least height of the cell that is strained [Å].
STRAIN, HEIGHT = 1e-3, 9.0
#: Stress that may be left in the relaxed cell [GPa], and how often it is relaxed at most.
_STRESS, _TRIES = 0.02, 5
#: By what a deck is run in a folder: ``run(folder, deck, name=…)``.
Runs = Callable[..., None]
_MINIMIZE = "minimize 0 1e-8 5000 50000\n"


@dataclass(frozen=True)
class Potential:
    """A potential of LAMMPS (``units metal``).

    Parameters
    ----------
    style
        ``pair_style``.
    coefficients
        ``pair_coeff`` lines; ``{potentials}`` stands for LAMMPS' folder of potentials.
    elements
        Of the types 1, 2, …
    """

    style: str
    coefficients: tuple[str, ...]
    elements: tuple[str, ...]

    def lines(self) -> str:
        """Return the lines of a deck."""
        text = f"pair_style {self.style}\n"
        for line in self.coefficients:
            text += f"pair_coeff {line.format(potentials=potentials_folder())}\n"
        for k, element in enumerate(self.elements):
            text += f"mass {k + 1} {MASSES[SYMBOLS.index(element)]}\n"
        return text


@dataclass(frozen=True)
class ElasticRun:
    """An elastic tensor by LAMMPS.

    Parameters
    ----------
    stiffness
        ``(6, 6)`` in Voigt notation, in the axes of the cell that was given [GPa], symmetrized.
    asymmetry
        Largest difference of two components that have to be equal, before that [GPa].
    cell
        ``(3, 3)`` relaxed cell [Å]: of the cell that was given, or of a multiple.
    volume, energy
        Of an atom [Å³, eV].
    sites, types
        ``(m, 3)`` fractional coordinates in the relaxed cell, ``(m,)``.
    stress
        Largest component of the stress that is left in the relaxed crystal [GPa].
    change
        Largest component of the mean stress of opposite strains [GPa]: of a crystal that stays what it is,
        near that.
    """

    stiffness: NDArray[np.float64]
    asymmetry: float
    cell: NDArray[np.float64]
    volume: float
    energy: float
    sites: NDArray[np.float64]
    types: NDArray[np.int64]
    stress: float
    change: float


def elastic_run(
    cell: ArrayLike,
    sites: ArrayLike,
    types: ArrayLike,
    potential: Potential,
    strain: float = STRAIN,
    run: Runs = run_lammps,
) -> ElasticRun:
    """Return the elastic tensor of a crystal by a potential, at 0 K.

    Parameters
    ----------
    cell, sites
        ``(3, 3)`` [Å] and ``(n, 3)`` fractional coordinates, near the potential's own.
    types
        ``(n,)`` from 1.
    potential
        The potential.
    strain
        That is applied to both sides.
    run
        By what decks are run: LAMMPS' program, or :meth:`insitu.training.runs.LammpsLibrary.run`.

    Raises
    ------
    SettingError
        The types are not those of the potential.
    DeckError
        LAMMPS is missing or failed.
    """
    lattice, s = np.asarray(cell, dtype=np.float64), np.asarray(sites, dtype=np.float64)
    kinds = np.asarray(types, dtype=np.int64)
    if kinds.min() < 1 or kinds.max() > len(potential.elements):
        raise SettingError(
            f"types has {kinds.min()} … {kinds.max()}; the potential has {len(potential.elements)} elements"
        )
    scale = float(np.cbrt(abs(np.linalg.det(lattice)) / len(s)))
    r, big, site = repeated(s, lattice, HEIGHT / scale)
    r, big, kinds = r * scale, big * scale, kinds[site]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(_TRIES):
            big, r, left = _relaxed(folder, r, big, kinds, potential, run)
            if left < _STRESS:
                break
        inside = r @ np.linalg.inv(big)
        deck, turns = "", []
        for k in range(6):
            for sign in (1.0, -1.0):
                e = strain_from_voigt(np.eye(6)[k] * strain * sign)
                strained = big @ (np.eye(3) + e)
                turned, turn = _upright(strained)
                turns.append(turn)
                label = f"data.{len(turns)}"
                _write(folder / label, inside, turned, kinds, potential)
                deck += ("clear\n" if deck else "") + _head(label, potential) + _MINIMIZE
                deck += 'print "PRESSURE $(pxx) $(pyy) $(pzz) $(pxy) $(pxz) $(pyz)"\n'
        run(folder, deck, name="in.strains")
        rows = re.findall(r"^PRESSURE (.*)$", (folder / "log").read_text(), re.M)
        energy = float((folder / "energy").read_text())
    if len(rows) != 12:
        raise DeckError(
            f"LAMMPS gave {len(rows)} of 12 stresses; look at the potential {potential.style}"
        )
    stresses = []
    for row, turn in zip(rows, turns, strict=True):
        xx, yy, zz, yz, xz, xy = stress_from_lammps([float(v) for v in row.split()])
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        stresses.append(stress_to_voigt(turn @ stress @ turn.T))
    c = np.array([(stresses[2 * k] - stresses[2 * k + 1]) / (2 * strain) for k in range(6)])
    volume = abs(float(np.linalg.det(big))) / len(kinds)
    return ElasticRun(
        0.5 * (c + c.T), float(np.abs(c - c.T).max()), big, volume, energy / len(kinds), inside, kinds,
        left, float(np.abs(np.reshape(stresses, (6, 2, 6)).mean(axis=1)).max()),
    )  # fmt: skip


def _upright(cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a cell as LAMMPS has it, and the rotation that turns columns back: ``cell = upright @ Rᵀ``."""
    q, lower = np.linalg.qr(cell.T)
    sign = np.sign(np.diag(lower))
    q, lower = q * sign, lower.T * sign
    if np.linalg.det(q) < 0:
        raise SettingError("the cell is left-handed; exchange two of its vectors")
    return np.asarray(lower), np.asarray(q)


def _head(data: str, potential: Potential) -> str:
    return (
        "units metal\nboundary p p p\natom_style atomic\natom_modify map array sort 0 0\nbox tilt large\n"
        f"read_data {data}\nchange_box all triclinic\n{potential.lines()}thermo 100000\n"
        "thermo_style custom step pe press pxx pyy pzz pxy pxz pyz\nmin_style cg\n"
    )


def _write(
    path: Path, inside: NDArray[np.float64], cell: NDArray[np.float64], kinds: NDArray[np.int64],
    potential: Potential,
) -> None:  # fmt: skip
    write_data(path, inside @ cell, cell, kinds)
    text = path.read_text()
    # All elements of the potential have a type, whether the crystal has them or not.
    path.write_text(re.sub(r"\d+ atom types", f"{len(potential.elements)} atom types", text))


def _relaxed(
    folder: Path, r: NDArray[np.float64], cell: NDArray[np.float64], kinds: NDArray[np.int64],
    potential: Potential, run: Runs,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:  # fmt: skip
    """Return cell and positions at no stress, in the axes of the cell that was given, and what is left."""
    upright, turn = _upright(cell)
    _write(folder / "data", r @ np.linalg.inv(cell), upright, kinds, potential)
    deck = _head("data", potential)
    for _ in range(4):  # each new fix has the present cell as its reference
        deck += (
            "fix relax all box/relax tri 0.0 vmax 1e-3\n" + _MINIMIZE + "unfix relax\n" + _MINIMIZE
        )
    deck += (
        'print "$(lx:%.12g) $(ly:%.12g) $(lz:%.12g) $(xy:%.12g) $(xz:%.12g) $(yz:%.12g)" file cell\n'
        'print "$(pe:%.12g)" file energy\n'
        'print "$(pxx) $(pyy) $(pzz) $(pxy) $(pxz) $(pyz)" file stress\n'
        "dump atoms all custom 1 dump id xs ys zs\n"
        "dump_modify atoms sort id format float %.14g\nrun 0\n"
    )
    run(folder, deck)
    lx, ly, lz, xy, xz, yz = map(float, (folder / "cell").read_text().split())
    relaxed = np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]]) @ turn.T
    rows = (folder / "dump").read_text().splitlines()[-len(kinds) :]
    inside = np.array([row.split()[1:4] for row in rows], dtype=np.float64)
    left = stress_from_lammps([float(v) for v in (folder / "stress").read_text().split()])
    return relaxed, inside @ relaxed, float(np.abs(left).max())
