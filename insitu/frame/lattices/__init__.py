# SPDX-License-Identifier: BSD-3-Clause
"""Crystals as sites and cells: perfect ones, hot and strained copies, random symmetry."""
