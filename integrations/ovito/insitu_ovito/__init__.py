# SPDX-License-Identifier: BSD-3-Clause
"""OVITO extensions: structures of the atoms by the models of insitu, and a reader for its histories."""

from insitu_ovito.modifier import IdentifyStructuresModifier
from insitu_ovito.reader import HistoryFileReader

__all__ = ["HistoryFileReader", "IdentifyStructuresModifier"]
