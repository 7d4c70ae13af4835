# SPDX-License-Identifier: BSD-3-Clause
"""Readers of trajectories: LAMMPS dumps and H5MD as streams, all else by MDAnalysis or ASE."""
