# SPDX-License-Identifier: BSD-3-Clause
"""Crystals that were found, as CIF files."""

from __future__ import annotations

from insitu.crystal.cells import cif
from insitu.crystal.found import Crystal

#: First line of a file of ours.
HEAD = "found by insitu: mean positions of a crystal's atoms, symmetry imposed"


def cif_of(c: Crystal, names: dict[int, str], number: int = 1) -> str:
    """Return the conventional cell of a crystal as a block of a CIF file.

    Parameters
    ----------
    c
        The crystal.
    names
        Symbol or label of each number in ``c.kinds``.
    number
        Of the block.
    """
    symbols = [names[int(z)] for z in c.conventional_kinds]
    group = "none" if c.group is None else f"{c.group.symbol} ({c.group.number})"
    notes = [
        HEAD,
        f"space group {group} within {c.tolerance:.4f} Angstrom",
    ]
    return cif(c.conventional, c.conventional_sites, symbols, name=f"crystal_{number}", notes=notes)
