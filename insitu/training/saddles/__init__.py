# SPDX-License-Identifier: BSD-3-Clause
"""Saddle points around a minimum and the energy barriers of atoms, by LAMMPS driven from Python."""
