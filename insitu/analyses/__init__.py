# SPDX-License-Identifier: BSD-3-Clause
"""What is made of a frame: phases, profile, g(r), bond order, one module each; and their contract."""

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting

__all__ = ["Analysis", "Column", "Observable", "Panel", "System", "setting"]
