# SPDX-License-Identifier: BSD-3-Clause
"""Unit cells: parameters, orientation by parameters, CIF."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: g/cm³ of one g/mol/Å³.
DENSITY = 1.66053906892


def parameters(cell: ArrayLike) -> NDArray[np.float64]:
    """Return a, b, c [Å] and α, β, γ [degrees] of a cell.

    Parameters
    ----------
    cell
        ``(3, 3)`` cell vectors as rows [Å].
    """
    m = np.asarray(cell, dtype=np.float64)
    length = np.linalg.norm(m, axis=1)
    cosine = [m[i] @ m[j] / (length[i] * length[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.concatenate([length, np.degrees(np.arccos(np.clip(cosine, -1, 1)))])


def from_parameters(six: ArrayLike) -> NDArray[np.float64]:
    """Return cell vectors ``(3, 3)`` of parameters: a along x, b in the plane xy."""
    a, b, c, *angles = np.asarray(six, dtype=np.float64)
    ca, cb, cg = np.cos(np.radians(angles))
    sg = np.sqrt(1 - cg**2)
    x, y = cb, (ca - cb * cg) / sg
    return np.array(
        [[a, 0, 0], [b * cg, b * sg, 0], [c * x, c * y, c * np.sqrt(max(1 - x * x - y * y, 0.0))]]
    )


def cif(
    cell: ArrayLike,
    sites: ArrayLike,
    symbols: Sequence[str],
    *,
    name: str = "insitu",
    occupancy: ArrayLike | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return a crystal as the text of a CIF file, all of its atoms written (P 1).

    Parameters
    ----------
    cell, sites
        ``(3, 3)`` [Å], and ``(n, 3)`` fractional coordinates.
    symbols
        ``(n,)`` element of each site, or a label.
    name
        Of the data block.
    occupancy
        ``(n,)``; 1 by default.
    notes
        Lines of comment at the head.

    References
    ----------
    S. R. Hall, F. H. Allen, I. D. Brown, Acta Cryst. A 47, 655 (1991), doi:10.1107/S010876739101067X.
    """
    full = np.ones(len(symbols)) if occupancy is None else np.asarray(occupancy)
    lines = [f"# {note}" for note in notes]
    lines.append(f"data_{name}")
    words = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{w:12s} {v:.6f}" for w, v in zip(words, parameters(cell), strict=True)]
    lines += [f"_cell_volume       {abs(np.linalg.det(np.asarray(cell))):.6f}"]
    lines += ["_symmetry_space_group_name_H-M 'P 1'", "_symmetry_Int_Tables_number 1"]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'", "loop_"]
    lines += [f"_atom_site_{w}" for w in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")]
    lines.append("_atom_site_occupancy")
    for k, (s, r, o) in enumerate(zip(symbols, np.asarray(sites) % 1.0, full, strict=True)):
        lines.append(f"{s}{k + 1} {s} {r[0]:.6f} {r[1]:.6f} {r[2]:.6f} {o:.4f}")
    return "\n".join(lines) + "\n"
