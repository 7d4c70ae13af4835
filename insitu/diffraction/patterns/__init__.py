# SPDX-License-Identifier: BSD-3-Clause
"""Patterns as files and on the grid of the symmetry models, and their lines."""
