# SPDX-License-Identifier: BSD-3-Clause
"""The unit styles of LAMMPS: their lengths in Å, and what the history calls the other units."""

#: Å per length unit of the LAMMPS unit styles. ``lj`` has no length in Å: reduced units stay.
ANGSTROM = {
    "real": 1.0,
    "metal": 1.0,
    "si": 1e10,
    "cgs": 1e8,
    "electron": 0.529177210544,
    "micro": 1e4,
    "nano": 10.0,
    "lj": 1.0,
}

#: Neighbour skin of the unit styles where the deck sets none, in the deck's unit of length.
DEFAULT_SKIN = {
    "real": 2.0,
    "metal": 2.0,
    "si": 0.001,
    "cgs": 0.1,
    "electron": 2.0,
    "micro": 0.1,
    "nano": 0.1,
    "lj": 0.3,
}

#: Unit of time of the LAMMPS unit styles, as written into the history.
TIME_UNIT = {
    "real": "fs",
    "metal": "ps",
    "si": "s",
    "cgs": "s",
    "electron": "fs",
    "micro": "us",
    "nano": "ns",
    "lj": "lj",
}

#: Units of temperature, energy and pressure of the LAMMPS unit styles.
THERMO_UNITS = {
    "real": ("K", "kcal mol-1", "atm"),
    "metal": ("K", "eV", "bar"),
    "si": ("K", "J", "Pa"),
    "cgs": ("K", "erg", "dyn cm-2"),
    "electron": ("K", "Eh", "Pa"),
    "micro": ("K", "pg um+2 us-2", "pg um-1 us-2"),
    "nano": ("K", "ag nm+2 ns-2", "ag nm-1 ns-2"),
    "lj": ("", "", ""),
}
