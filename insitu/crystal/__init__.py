# SPDX-License-Identifier: BSD-3-Clause
"""Crystals found in a frame: lattice, basis, space group; tensors and their symmetry."""
