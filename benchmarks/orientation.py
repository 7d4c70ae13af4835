# SPDX-License-Identifier: BSD-3-Clause
"""Orientations by `analyze lattice` and by PTM, against the known one of single crystals.

    python benchmarks/orientation.py [--elements Al,Fe,Mg] [--atoms 1400]

Crystals along the axes of the box at 0.03 and at 0.9 of the melting point, from a short molecular dynamics
(`insitu.bench.samples`), all atoms labelled as their crystal. Printed are the median and the 99th
percentile of the angle between an atom's orientation and the known one, for each atom by itself (`averaged
no`) and averaged over like neighbours (the default), beside OVITO's PTM without a limit of the RMSD, on
the atoms that it takes for that crystal; and how many atoms of those have PTM's orientation within 0.5
degrees by themselves.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from ovito_labels import collection

from insitu.analyses.base import System
from insitu.analyses.lattice.analysis import Lattice
from insitu.analyses.lattice.misorientation import nearest
from insitu.analyses.requests import request
from insitu.bench.samples import Element, sample
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.lattices.perfect import lattice
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metal:
    """A crystal: lattice constants [Å] at rest and at 0.9 of the melting point [K], mass, potential."""

    structure: str
    cold: float
    hot: float
    melting: float
    mass: float
    potential: str

    def at(self, symbol: str, part: float) -> Element:
        """Return it at a part of the melting point."""
        a = self.cold if part < 0.5 else self.hot
        t = part * self.melting
        return Element(symbol, self.structure, a, t, self.mass, self.potential, 0.1)


#: Melting points of the potentials: Mendelev et al., Philos. Mag. 88, 1723 (2008) and 83, 3977 (2003);
#: Wilson and Mendelev, J. Chem. Phys. 144, 144707 (2016).
METALS = {
    "Al": Metal("fcc", 4.045, 4.11, 926.0, 26.982, "Al_mm.eam.fs"),
    "Fe": Metal("bcc", 2.855, 2.91, 1772.0, 55.845, "Fe_mm.eam.fs"),
    "Mg": Metal("hcp", 3.184, 3.25, 914.0, 24.305, "Mg_mm.eam.fs"),
}


def apart(q: Array, known: Array, hexagonal: bool) -> Array:
    """Return the angles ``(n,)`` [degrees] of orientations ``(n, 4)`` to a known one, or to others."""
    to = np.broadcast_to(known, q.shape)
    chord = np.linalg.norm(nearest(q, to, hexagonal) - to, axis=1)
    return np.degrees(4.0 * np.arcsin(np.minimum(0.5 * chord, 1.0)))


def times(p: Array, q: Array) -> Array:
    """Return products ``(n, 4)`` of quaternions and one."""
    w = p[:, 0] * q[0] - p[:, 1:] @ q[1:]
    v = p[:, :1] * q[1:] + q[0] * p[:, 1:] + np.cross(p[:, 1:], q[1:])
    return np.column_stack([w, v])


def ours(r: Array, cell: Array, structure: str, averaged: bool) -> Array:
    """Return the orientations ``(n, 4)`` by `analyze lattice`."""
    system = System(cell=cell, classes=(structure, "unknown"))
    analysis = Lattice(request("lattice", {"cutoff": 7.0, "averaged": averaged}).settings, system)
    frame = Frame.from_arrays(r, cell, True, reach=7.01)
    analysis.halo = Halo(frame, Ranks(), analysis.exchanged, analysis.rounds, None, 7.0)
    frame = replace(frame, results={"phase": np.zeros(frame.n_local, dtype=int)})
    found = analysis(frame, Neighbors(frame, 7.0))
    return np.column_stack([found[f"q{c}"] for c in "wxyz"])


def of_ptm(r: Array, cell: Array, structure: str) -> tuple[NDArray[np.bool_], Array] | None:
    """Return which atoms PTM takes for the crystal, and their orientations; None without OVITO."""
    try:
        from ovito.modifiers import PolyhedralTemplateMatchingModifier
    except ImportError:
        return None
    data = collection(r, cell)
    data.apply(PolyhedralTemplateMatchingModifier(rmsd_cutoff=0.0, output_orientation=True))
    kinds = PolyhedralTemplateMatchingModifier.Type
    right = np.asarray(data.particles["Structure Type"]) == int(getattr(kinds, structure.upper()))
    x = np.asarray(data.particles["Orientation"]).astype(np.float64)
    return right, np.roll(x, 1, axis=1)


def line(name: str, angles: Array, more: str = "") -> str:
    """Return the median and the 99th percentile, as a line of the table."""
    return f"  {name:<22}{np.median(angles):8.3f}{np.percentile(angles, 99):8.3f}  {more}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elements", default="Al,Fe,Mg")
    parser.add_argument("--atoms", type=int, default=1400)
    a = parser.parse_args()
    for symbol in a.elements.split(","):
        metal = METALS[symbol]
        hexagonal = metal.structure == "hcp"
        for part in (0.03, 0.9):
            s = sample(metal.at(symbol, part), a.atoms)
            print(
                f"{metal.structure} {symbol} at {part:g} T_m, {len(s.positions):,} atoms ({s.origin})"
            )
            unit = np.array([1.0, 0.0, 0.0, 0.0])
            single = ours(s.positions, s.cell, metal.structure, False)
            mean = ours(s.positions, s.cell, metal.structure, True)
            print(line("insitu", apart(mean, unit, hexagonal)))
            print(line("insitu, averaged no", apart(single, unit, hexagonal)))
            by_ptm = of_ptm(s.positions, s.cell, metal.structure)
            if by_ptm is None:
                continue
            right, q = by_ptm
            perfect = lattice(metal.structure, metal.cold, (6, 6, 6))
            known = of_ptm(*perfect, metal.structure)
            assert known is not None
            error = apart(q[right], known[1][0], hexagonal)
            # PTM's axes of a crystal may be others: its rotations from the perfect crystal.
            rotations = times(q[right], known[1][0] * [1.0, -1.0, -1.0, -1.0])
            near = apart(single[right], rotations, hexagonal) < 0.5
            print(line("PTM", error, f"of {100 * right.mean():.1f} % of the atoms"))
            print(f"  within 0.5° of PTM     {100 * near.mean():.2f} %")


if __name__ == "__main__":
    main()
