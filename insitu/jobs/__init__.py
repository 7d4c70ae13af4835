# SPDX-License-Identifier: BSD-3-Clause
"""Batch jobs of SLURM."""
