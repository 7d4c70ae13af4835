# SPDX-License-Identifier: BSD-3-Clause
"""Why no piezoelectric tensor is predicted: the published ones do not tell which way the crystal pointed.

    pip download --no-deps --no-binary :all: --no-build-isolation matminer==0.4.0    and unpack it
    python benchmarks/piezoelectric_signs.py FOLDER/matminer/datasets/piezoelectric_tensor.csv

A tensor agrees with the symmetry of its crystal in spglib's standard frame, not in that of the structure
beside it. In zincblende that frame is known but for a quarter turn, which changes the sign of e14. With
cation and anion taken along [111], e14 of compounds that are alike should have one sign, see the table.
Needs insitu[train,crystal] and pymatgen.
"""

import argparse
import json

import numpy as np
import spglib
from pymatgen.core import Element

from insitu.crystal import spacegroup
from insitu.crystal.prediction.graph import graph
from insitu.crystal.tensors.projection import symmetry_breaking
from insitu.crystal.tensors.voigt import from_voigt
from insitu.frame.species import SYMBOLS
from insitu.training.structures.tensor_tables import poscar, rows

COLUMNS = ("piezoelectric_tensor", "poscar", "material_id", "formula")
#: Groups of the periodic table, cation and anion.
FAMILIES = {(12, 16): "II-VI", (2, 16): "IIa-VI", (11, 17): "I-VII", (13, 15): "III-V"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table")
    options = parser.parse_args()
    broken = {"structure": [], "standard": []}
    families = {}
    for row in rows(options.table, COLUMNS):
        values = np.array(json.loads(row["piezoelectric_tensor"]))
        cell, sites, numbers = poscar(row["poscar"])
        group = spacegroup.find(cell, sites, numbers, 0.01)
        turn = spglib.get_symmetry_dataset((cell, sites, numbers), 0.01).std_rotation_matrix
        tensor = from_voigt(values)
        turned = [turn @ r @ turn.T for r in group.rotations]
        for name, rotations in (("structure", group.rotations), ("standard", turned)):
            broken[name].append(symmetry_breaking(tensor, rotations, "piezoelectric"))
        if len(numbers) != 2 or group.point_group != "-43m":
            continue
        cation, anion = sorted((0, 1), key=lambda k: Element.from_Z(int(numbers[k])).X)
        g = graph(cell @ turn.T, sites, numbers)
        bond = (g.first == cation) & (g.second == anion) & (g.length < 1.35)
        handed = np.sign(g.direction[bond].prod(axis=1).mean())
        columns = tuple(Element.from_Z(int(numbers[k])).group for k in (cation, anion))
        name = SYMBOLS[numbers[cation]] + SYMBOLS[numbers[anion]]
        if columns in FAMILIES and handed:
            families.setdefault(FAMILIES[columns], []).append((name, handed * values[0, 3]))
    for name, each in broken.items():
        share = 100 * np.mean(np.array(each) < 0.05)
        print(
            f"{share:.0f} % of {len(each)} tensors have the crystal's symmetry in the frame: {name}"
        )
    print("\n| family | e14 (C/m²), cation to anion along [111] |\n|---|---|")
    for family, each in families.items():
        print(f"| {family} | {', '.join(f'{n} {v:+.2f}' for n, v in sorted(each))} |")


if __name__ == "__main__":
    main()
