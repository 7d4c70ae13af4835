# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of atoms over all ranks, and the union of their pieces without a rank that sees them all."""
