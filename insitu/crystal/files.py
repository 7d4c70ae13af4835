# SPDX-License-Identifier: BSD-3-Clause
"""Crystals that were found, as CIF files."""

from __future__ import annotations

from pathlib import Path

from insitu.crystal.cells import cif
from insitu.crystal.finding.found import Crystal
from insitu.errors import InsituError
from insitu.frame.species import SYMBOLS

#: First line of a file of ours.
HEAD = "found by insitu: mean positions of a crystal's atoms, symmetry imposed"


def cif_of(c: Crystal, names: dict[int, str], number: int = 1) -> str:
    """Return the conventional cell of a crystal as a block of a CIF file.

    Sites that species share have a line for each of them, with its occupancy.

    Parameters
    ----------
    c
        The crystal.
    names
        Symbol or label of each number in ``c.kinds``.
    number
        Of the block.
    """
    held = [
        (site, species, share)
        for site, kind in zip(c.conventional_sites, c.conventional_kinds.tolist(), strict=True)
        for species, share in (c.mixture[kind] if c.mixed else {kind: 1.0}).items()
    ]
    named = [names[species] for _, species, _ in held]
    # Readers of CIF files take no other names than those of elements, and X for one that is not known.
    symbols = [n if n in SYMBOLS else "X" for n in named]
    group = "none" if c.group is None else f"{c.group.symbol} ({c.group.number})"
    notes = [
        HEAD,
        f"space group {group} within {c.tolerance:.4f} Angstrom",
    ]
    if odd := dict.fromkeys(n for n in named if n not in SYMBOLS):
        notes.append(f"X: {', '.join(odd)}")
    return cif(
        c.conventional, [site for site, _, _ in held], symbols, name=f"crystal_{number}", notes=notes,
        occupancy=[share for _, _, share in held],
    )  # fmt: skip


def write(path: Path, c: Crystal, names: dict[int, str]) -> None:
    """Write a crystal as a CIF file, in place of an earlier one of ours.

    Parameters
    ----------
    path
        Of the file.
    c, names
        As of :func:`cif_of`.

    Raises
    ------
    InsituError
        The file is another's, or cannot be written.
    """
    try:
        if path.exists() and not path.read_text(errors="replace").startswith(f"# {HEAD}"):
            raise InsituError(
                f"'{path}' exists and is not of insitu; give another cif, or remove it"
            )
        beside = path.with_name(f"{path.name}.part")
        beside.write_text(cif_of(c, names))
        beside.replace(path)
    except OSError as error:
        raise InsituError(
            f"'{path}' cannot be written ({error.strerror or error}); give another cif"
        ) from None
