# SPDX-License-Identifier: BSD-3-Clause
"""The lattice of its label fitted to each atom, and orientations compared."""
