# SPDX-License-Identifier: BSD-3-Clause
"""The lattice that the lines of a powder pattern belong to."""
