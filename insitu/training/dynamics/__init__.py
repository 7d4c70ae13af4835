# SPDX-License-Identifier: BSD-3-Clause
"""Molecular dynamics from recipes: trajectories, stages, phases and interfaces, with labels."""
