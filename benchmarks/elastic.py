# SPDX-License-Identifier: BSD-3-Clause
"""Elastic tensors of crystals by LAMMPS beside the networks' prediction: docs/crystal.md.

    python benchmarks/elastic.py

The potentials are empirical and the networks were trained on DFT: the table says how far these differ.
Needs insitu[train,crystal].
"""

import time

import numpy as np

from insitu.crystal.moduli import moduli
from insitu.crystal.prediction import elastic_tensor, voigt
from insitu.crystal.spacegroup import find
from insitu.crystal.tensors import symmetry_breaking
from insitu.crystal.voigt import from_voigt
from insitu.frame.lattices import LATTICES
from insitu.frame.species import SYMBOLS
from insitu.training.data.elastic_runs import Potential, elastic_run

NI_AL = Potential("eam/alloy", ("* * {potentials}/NiAlH_jea.eam.alloy Ni Al",), ("Ni", "Al"))
#: Crystal: potential, lattice, constants [Å], types of the cell's atoms.
CRYSTALS = {
    "Cu fcc, Cu_mishin1": (Potential("eam/alloy", ("* * {potentials}/Cu_mishin1.eam.alloy Cu",), ("Cu",)),
                           "fcc", (3.615,) * 3, [1] * 4),
    "Al fcc, Al_mm": (Potential("eam/fs", ("* * {potentials}/Al_mm.eam.fs Al",), ("Al",)),
                      "fcc", (4.05,) * 3, [1] * 4),
    "Ni fcc, NiAlH_jea": (NI_AL, "fcc", (3.52,) * 3, [1] * 4),
    "Fe bcc, Fe_mm": (Potential("eam/fs", ("* * {potentials}/Fe_mm.eam.fs Fe",), ("Fe",)),
                      "bcc", (2.855,) * 3, [1] * 2),
    "Zr hcp, Zr_mm": (Potential("eam/fs", ("* * {potentials}/Zr_mm.eam.fs Zr",), ("Zr",)),
                      "hcp", (3.23, 3.23 * np.sqrt(3), 5.17), [1] * 4),
    "NiAl B2, NiAlH_jea": (NI_AL, "bcc", (2.88,) * 3, [1, 2]),
    "Ni3Al L1_2, NiAlH_jea": (NI_AL, "fcc", (3.57,) * 3, [2, 1, 1, 1]),
    "Si diamond, Si.sw": (Potential("sw", ("* * {potentials}/Si.sw Si",), ("Si",)),
                          "cubic_diamond", (5.43,) * 3, [1] * 8),
    "SiC zincblende, SiC.tersoff": (Potential("tersoff", ("* * {potentials}/SiC.tersoff Si C",),
                                              ("Si", "C")),
                                    "cubic_diamond", (4.32,) * 3, [1] * 4 + [2] * 4),
    "GaN zincblende, GaN.tersoff": (Potential("tersoff", ("* * {potentials}/GaN.tersoff Ga N",),
                                              ("Ga", "N")),
                                    "cubic_diamond", (4.5,) * 3, [1] * 4 + [2] * 4),
}  # fmt: skip


def main():
    print(
        "| crystal, potential | by | C11 | C12 | C44 | C33 | C13 | bulk | shear | breaking | apart | |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name, (potential, kind, lengths, types) in CRYSTALS.items():
        sites, cell = np.array(LATTICES[kind][1]), np.diag(lengths)
        numbers = [SYMBOLS.index(potential.elements[t - 1]) for t in types]
        group = find(cell, sites, numbers, 0.01)
        before = time.time()
        made = elastic_run(cell, sites, types, potential)
        took = time.time() - before
        predicted = elastic_tensor(cell, sites, numbers)
        c, p = made.stiffness, voigt(predicted)
        rows = (("LAMMPS", c, f"{took:.1f} s"), ("network", p, ""))
        for who, m, more in rows:
            apart = np.linalg.norm(m - c) / np.linalg.norm(c)
            b = symmetry_breaking(from_voigt(m), group.rotations, "elastic")
            h = moduli(m)
            values = [m[0, 0], m[0, 1], m[3, 3], m[2, 2], m[0, 2], h.bulk, h.shear]
            print(f"| {name} | {who} | " + " | ".join(f"{v:.1f}" for v in values)
                  + f" | {b:.0e} | {apart:.2f} | {more} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
