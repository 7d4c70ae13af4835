# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS: what a fix calls, and a view of the running instance."""
