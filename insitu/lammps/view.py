# SPDX-License-Identifier: BSD-3-Clause
"""A running LAMMPS instance in the terms of the analysis: frames, groups, columns, the clock.

Tested with LAMMPS of 29 Sep 2021 and of 22 Jul 2025.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError, SettingError, did_you_mean
from insitu.frame.frame import Frame, Thermo
from insitu.frame.units import ANGSTROM, DEFAULT_SKIN, TIME_UNIT
from insitu.lammps import memory as lammps_memory
from insitu.lammps.library import Instance, in_place, string_setter

#: `lammps_id_name` of older releases crashes on the place of a group that was deleted.
_GROUPS_HAVE_HOLES = 20250722
#: `rerun` of older releases does not move LAMMPS' clock: all its frames have the time 0.
_RERUN_HAS_TIME = 20250722


def handle_of(pointer: Any) -> int:
    """Return the address of the LAMMPS instance that a fix handed over (capsule or integer)."""
    if isinstance(pointer, int):
        return pointer
    name, get = c.pythonapi.PyCapsule_GetName, c.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = c.c_char_p, [c.py_object]
    get.restype, get.argtypes = c.c_void_p, [c.py_object, c.c_char_p]
    address: int = get(pointer, name(pointer))
    return address


class LammpsView(Instance):
    """Reads a running LAMMPS instance in place. Arrays are valid inside the callback only."""

    def __init__(self, handle: int) -> None:
        super().__init__(handle)
        self.units = (c.string_at(self._pointer("units")) or b"").decode()

    @property
    def n_atoms(self) -> int:
        """Atoms of the whole simulation."""
        return int(self._lib.lammps_get_natoms(self._lmp))

    @property
    def communicator(self) -> int:
        """Fortran handle of the instance's MPI communicator."""
        return int(self._lib.lammps_get_mpi_comm(self._lmp))

    @property
    def step(self) -> int:
        """Current step."""
        return self._bigint("ntimestep")

    @property
    def time(self) -> float:
        """Simulated time in the deck's unit of time, as thermo's ``time`` has it."""
        elapsed, before = self.step - self._bigint("atimestep"), self._double("atime")
        if not elapsed and not before and self.version < _RERUN_HAS_TIME:
            return self.step * self.timestep
        return before + elapsed * self.timestep

    @property
    def timestep(self) -> float:
        """Length of a step in the deck's unit of time."""
        return self._double("dt")

    @property
    def run_span(self) -> tuple[int | None, int | None]:
        """First and last step of the present run, None if they are not known."""
        if self.setting("bigint") != 8:
            return None, None
        names = ("ntimestep", "atime", "atimestep")
        return lammps_memory.run_span(*[self._pointer(n) for n in names])

    @property
    def time_unit(self) -> str:
        """Unit of :attr:`time`."""
        return TIME_UNIT.get(self.units, "")

    def group_bit(self, name: str) -> int:
        """Return the bit of a LAMMPS group in the atoms' mask.

        Raises
        ------
        SettingError
            The deck defines no such group.
        """
        if name == "all":
            return 1
        groups = self._groups()
        if name not in groups:
            defined = list(groups)
            raise SettingError(
                f"group '{name}' is not defined in the deck; defined: {', '.join(defined)}."
                f"{did_you_mean(name, defined)} Define it before the run: group {name} …"
            )
        return groups[name]

    def _groups(self) -> dict[str, int]:
        if self.version < _GROUPS_HAVE_HOLES and (found := lammps_memory.group_bits(self._handle)):
            return found
        text = c.create_string_buffer(256)
        groups = {}
        for k in range(32):  # LAMMPS' limit; deleted groups leave holes
            if self._lib.lammps_id_name(self._lmp, b"group", k, text, len(text)):
                groups[text.value.decode()] = 1 << k
        return groups

    def end_run(self) -> None:
        """End the run after the present step, and skip later ones: LAMMPS' `timer timeout`, now.

        To be called on all ranks or on none. The deck goes on after its `run` command.
        """
        self._lib.lammps_force_timeout(self._lmp)

    def check(self) -> None:
        """Raise DeckError if this simulation cannot be analysed at all."""
        if self.setting("dimension") == 2:
            raise DeckError("dimension 2: two-dimensional systems are not supported, only 3")
        if self.units not in ANGSTROM:
            raise DeckError(f"units '{self.units}' are not known; known: {', '.join(ANGSTROM)}")

    def column(self, name: str) -> NDArray[Any]:
        """Return the owned atoms' values of a ``fix property/atom`` column, to be written.

        Parameters
        ----------
        name
            ``i_…`` or ``d_…``; ``(n_local,)`` int32 or float64 is returned.

        Raises
        ------
        DeckError
            The deck has no such column.
        """
        n = self.setting("nlocal")
        address = self._lib.lammps_extract_atom(self._lmp, name.encode())
        if not address:
            if n == 0:
                return np.zeros(0)
            raise DeckError(
                f"the deck has no column '{name}' for the results; add to it, before the run:\n"
                f"    fix columns all property/atom {name}\n"
                "(LAMMPS forbids read_restart and some of change_box after such a fix; the results of "
                "fix insitu are also its own per-atom values, f_ID[1] and f_ID[2])"
            )
        return in_place(address, (n,), np.int32 if name.startswith("i_") else np.float64)

    def has(self, kind: str, name: str) -> bool:
        """Return whether the deck defines a "variable", "fix", "group" … of that name."""
        return bool(self._lib.lammps_has_id(self._lmp, kind.encode(), name.encode()))

    @staticmethod
    def doubles(address: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return doubles of the plug-in as an array, to be written."""
        return in_place(address, shape, np.float64)

    def set_variable(self, name: str, text: str) -> None:
        """Give a string variable of the deck a new value.

        Raises
        ------
        DeckError
            It is not defined, or of another style.
        """
        if getattr(self._lib, string_setter(self._lib))(self._lmp, name.encode(), text.encode()):
            raise DeckError(
                f"variable '{name}' cannot be set; define it as `variable {name} string 0`, "
                "before the run"
            )

    @property
    def skin(self) -> float:
        """Neighbour skin in the deck's unit of length."""
        if address := self._lib.lammps_extract_global(self._lmp, b"neigh_skin"):
            return float(c.c_double.from_address(address).value)
        found = lammps_memory.skin(self._handle)  # releases before 22 Jul 2025
        return DEFAULT_SKIN.get(self.units, 0.0) if found is None else found

    @property
    def multi_cutoffs(self) -> bool:
        """Whether the deck has ``comm_modify mode multi``: ghost cutoffs differ between atoms."""
        return self.setting("comm_mode") > 0

    def check_neighbors(self, words: Sequence[str]) -> None:
        """Check that the groups and atom types that make up the surroundings exist.

        Raises
        ------
        SettingError
            One does not, or a group has a number as its name.
        """
        kinds = self.setting("ntypes")
        for word in words:
            if not word.isdecimal():
                try:
                    self.group_bit(word)
                except SettingError as error:
                    raise SettingError(
                        f"neighbors={','.join(words)}: {error}; or give atom types by number, 1 … {kinds}"
                    ) from None
            elif word in self._groups():
                raise SettingError(
                    f"neighbors={','.join(words)}: {word} is an atom type, and the deck has a group of "
                    "that name: give the group another one"
                )
            elif not 1 <= int(word) <= kinds:
                raise SettingError(
                    f"neighbors={','.join(words)}: the deck has no atom type {word}; it has 1 … {kinds}"
                )

    def frame(
        self,
        group: str = "all",
        groups: Sequence[str] = (),
        with_ghosts: bool = True,
        neighbors: Sequence[str] = (),
    ) -> Frame:
        """Return this rank's owned atoms, and its ghosts, as they are now.

        Lengths are in Å (reduced ones with ``units lj``); with units real or metal the positions
        are LAMMPS' own memory. `group` selects the atoms to be analysed, `groups` are recorded as
        members. `neighbors`, groups and atom types by number, says which owned atoms make up the
        surroundings; where these are types, and without ghosts, all others are left out at once.
        """
        n_local = self.setting("nlocal")
        n = n_local + (self.setting("nghost") if with_ghosts else 0)
        scale = ANGSTROM[self.units]
        tag = np.int32 if self.setting("tagint") == 4 else np.int64
        x = self._positions(n)
        ids = self._array(b"id", n, tag).astype(np.int64)
        if len(ids) != n or (n and not ids.all()):
            raise DeckError("the atoms have no ids; remove `atom_modify id no` from the deck")
        mask, types = self._array(b"mask", n_local, np.int32), self._array(b"type", n, np.int32)
        cell, origin, pbc = self.box()
        frame = Frame(
            positions=x if scale == 1.0 else x * scale,
            types=types,
            ids=ids,
            n_local=n_local,
            cell=cell * scale,
            origin=origin * scale,
            pbc=pbc,
            step=self.step,
            time=self.time,
            units=self.units,
            selected=None if group == "all" else (mask & self.group_bit(group)) != 0,
            members={name: (mask & self.group_bit(name)) != 0 for name in groups},
        )
        if not neighbors:
            return frame
        kinds = [int(word) for word in neighbors if word.isdecimal()]
        own = np.isin(types, kinds)
        if len(kinds) == len(neighbors):
            return frame.only(own)
        own = own[:n_local]
        for word in neighbors:
            if not word.isdecimal():
                own |= (mask & self.group_bit(word)) != 0
        return replace(frame, belongs=own) if with_ghosts else frame.only(own)

    def masses(self) -> NDArray[np.float64] | None:
        """Return the mass of each atom type ``(n_types,)`` [g/mol], None where the deck has none such."""
        address = self._lib.lammps_extract_atom(self._lmp, b"mass")
        if not address or self.units not in ("metal", "real", "electron"):
            return None
        return in_place(address, (self.setting("ntypes") + 1,), np.float64)[
            1:
        ]  # the first is of no type

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return cell ``(3, 3)`` (rows are vectors), origin and periodicity, in LAMMPS' units."""
        # Not by lammps_extract_box: it has LAMMPS go through all fixes, one of which may be about to be
        # replaced by the one that asks.
        low, high = (
            np.array((c.c_double * 3).from_address(self._pointer(name)))
            for name in ("boxlo", "boxhi")
        )
        xy, xz, yz = (self._double(name) for name in ("xy", "xz", "yz"))
        length = high - low
        cell = np.array([[length[0], 0.0, 0.0], [xy, length[1], 0.0], [xz, yz, length[2]]])
        periodic = (c.c_int * 3).from_address(self._pointer("periodicity"))
        return cell, low, np.array(periodic, dtype=bool)

    def thermo(self) -> Thermo:
        """Return LAMMPS' own temperature, energy and pressure; collective.

        LAMMPS adds energy and virial up only at steps that asked for it (those of thermo output,
        those that ``fix insitu`` announces). Asking at another step would end the run, so there
        the values are NaN.
        """
        energy, virial = False, False
        if self.setting("bigint") == 8:
            begin, end = self._pointer("ntimestep"), self._pointer("units")
            energy, virial = lammps_memory.tallied(begin, end, self.step)
        return Thermo(
            self._compute("thermo_temp"),
            self._compute("thermo_pe") if energy else float("nan"),
            self._compute("thermo_press") if virial else float("nan"),
        )
