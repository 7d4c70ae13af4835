# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of atoms of some phases, known again from frame to frame."""
