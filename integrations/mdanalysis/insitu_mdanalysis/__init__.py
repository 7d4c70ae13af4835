# SPDX-License-Identifier: BSD-3-Clause
"""Structures of the atoms of MDAnalysis trajectories by the models of insitu."""

from insitu_mdanalysis.structure import StructureAnalysis

__all__ = ["StructureAnalysis"]
