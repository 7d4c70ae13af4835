# SPDX-License-Identifier: BSD-3-Clause
"""Colour and dashes of each phase, the same in every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insitu.history.datasets import present_phases

if TYPE_CHECKING:
    import xarray

# The hues are OVITO's, darkened for white paper. The lightness alone tells fcc, hcp and bcc apart,
# for readers who do not see red and green, and so does the dash pattern.
STYLES: dict[str, tuple[str, Any]] = {
    "fcc": ("#2eb82e", "-"),
    "hcp": ("#b8141e", (0, (5, 1.5))),
    "bcc": ("#4040e0", (0, (7, 1.5, 1.5, 1.5))),
    "cubic_diamond": ("#0d86d6", "-"),
    "hexagonal_diamond": ("#e07b00", (0, (5, 1.5))),
    "sc": ("#8f10e6", (0, (2, 1.2))),
    "icosahedral": ("#b89b00", (0, (1, 1))),
    "disordered": ("#404040", "-"),
    "liquid": ("#2f7fb3", "-"),
    "amorphous": ("#c0392b", (0, (5, 1.5))),
    # Phases of SiO2 by their coordination: tetrahedral from green to blue, octahedral orange to violet.
    "alpha_quartz": ("#0f7d5c", "-"),
    "beta_quartz": ("#4bab86", (0, (5, 1.5))),
    "alpha_cristobalite": ("#666f00", "-"),
    "beta_cristobalite": ("#98a13a", (0, (5, 1.5))),
    "low_tridymite": ("#8a5f10", "-"),
    "high_tridymite": ("#c2903f", (0, (5, 1.5))),
    "moganite": ("#2f9fb3", (0, (7, 1.5, 1.5, 1.5))),
    "keatite": ("#7a5c3a", (0, (2, 1.2))),
    "coesite": ("#3f6fd1", "-"),
    "stishovite": ("#e07b00", "-"),
    "seifertite": ("#8f10e6", "-"),
    "pyrite_type": ("#cc5c9c", "-"),
    "melt": ("#404040", "-"),
    "other": ("#404040", "-"),
    "unknown": ("#b3b3b3", (0, (3, 2))),
}
FURTHER = ("#008066", "#cc5c9c", "#a6761d", "#2f9fb3", "#7a5c3a", "#7d8a00")
INK = "#262626"


def shown_phases(datasets: list[xarray.Dataset]) -> dict[str, tuple[str, Any]]:
    """Return colour and dashes of every phase that exceeds 0.5 % in one of the histories."""
    further = iter(FURTHER * 4)
    names = list(dict.fromkeys(name for data in datasets for name in present_phases(data)))
    return {name: STYLES.get(name) or (next(further, "#000000"), "-") for name in names}
