# SPDX-License-Identifier: BSD-3-Clause
"""Data from molecular dynamics, training, and accuracy tables."""
