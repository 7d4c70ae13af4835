# SPDX-License-Identifier: BSD-3-Clause
"""Elastic tensors of crystals by LAMMPS beside the networks' prediction: docs/crystal.md.

    python benchmarks/elastic.py
    python benchmarks/elastic.py --hot WORK [--steps 100000]

The potentials are empirical and the networks were trained on DFT: the table says how far these differ.
With `--hot` the deck in.elastic runs, at some temperatures: the potential's tensor by fluctuations of the
stress (compute born/matrix), the same by the mean stress of strained boxes, and what `analyze crystal` with
`elastic yes` predicts of the hot atoms. A few minutes of a core for each temperature.
Needs insitu[train,crystal].
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np

import insitu
from insitu.crystal.prediction.tensors import elastic_tensor, voigt
from insitu.crystal.spacegroup import find
from insitu.crystal.tensors.moduli import moduli
from insitu.crystal.tensors.projection import symmetry_breaking
from insitu.crystal.tensors.voigt import from_voigt
from insitu.frame.lattices.perfect import LATTICES
from insitu.frame.species import SYMBOLS
from insitu.training.data.elastic_runs import Potential, elastic_run
from insitu.training.runs import potentials_folder, run_lammps

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


#: Hot crystals: variables of the deck, temperatures [K].
HOT = {
    "Cu, Cu_mishin1": ({}, (300, 600, 900)),
    "Al, Al_mm": ({"style": "eam/fs", "element": "Al", "potential": "Al_mm.eam.fs", "a": 4.05}, (300,)),
    "Fe bcc, Fe_mm": ({"style": "eam/fs", "element": "Fe", "potential": "Fe_mm.eam.fs", "a": 2.86,
                       "kind": "bcc", "cells": 6}, (300,)),
}  # fmt: skip
DECK = Path(__file__).resolve().parents[1] / "lammps_inputs" / "in.elastic"
#: Strain of the boxes, and what is strained.
STRAIN = 0.005
STRAINED = """\
units metal
box tilt large
read_data held.data
pair_style {style}
pair_coeff * * {potential} {element}
timestep 0.002
change_box all triclinic
change_box all {change} remap units box
fix move all nvt temp {temperature} {temperature} 0.2
run {settle}
variable xx equal pxx
variable yy equal pyy
variable zz equal pzz
variable xy equal pxy
reset_timestep 0
fix mean all ave/time 5 {samples} {steps} v_xx v_yy v_zz v_xy
run {steps}
print "STRESS $(f_mean[1]) $(f_mean[2]) $(f_mean[3]) $(f_mean[4])"
"""


def hot(work, steps):
    """Print the tensors of hot crystals by the deck's fluctuations, by strained boxes, and predicted."""
    print("| crystal | K | by | C11 | C12 | C44 |\n|---|---|---|---|---|---|")
    for name, (variables, temperatures) in HOT.items():
        defaults = {"style": "eam/alloy", "element": "Cu", "potential": "Cu_mishin1.eam.alloy"}
        v = defaults | variables
        v["potential"] = potentials_folder() / v["potential"]
        for temperature in temperatures:
            folder = work / f"{v['element']}_{temperature}"
            folder.mkdir(parents=True, exist_ok=True)
            given = v | {"temperature": temperature, "steps": steps, "host": "plugin"}
            deck = "".join(f"variable {k} index {x}\n" for k, x in given.items())
            run_lammps(
                folder, f"{deck}include {DECK}\nwrite_data held.data nocoeff\n", name="in.hot"
            )
            text = (folder / "log").read_text()
            said = re.findall(r"C11 (\S+) C12 (\S+) C44 (\S+) GPa$", text, re.M)[-1]
            print(f"| {name} | {temperature} | fluctuations of the stress | {' | '.join(said)} |")
            side = float(re.findall(r"^variable +side equal (\S+)$", text, re.M)[-1])
            each = []
            for change in ("x final 0 {0}", "xy final {1}"):
                for sign in (1, -1):
                    words = change.format(side * (1 + sign * STRAIN), side * sign * STRAIN)
                    strained = STRAINED.format(
                        **v, change=words, temperature=temperature, settle=steps // 20,
                        samples=steps // 20, steps=steps // 4,
                    )  # fmt: skip
                    run_lammps(folder, strained, name="in.strained")
                    row = re.findall(r"^STRESS (.*)$", (folder / "log").read_text(), re.M)[-1]
                    each.append(np.array(row.split(), dtype=float))
            along, across = ((a - b) / (-2 * STRAIN) * 1e-4 for a, b in (each[:2], each[2:]))
            print(f"| {name} | {temperature} | strained boxes | {along[0]:.1f} | "
                  f"{along[1:3].mean():.1f} | {across[3]:.1f} |")  # fmt: skip
            history = insitu.open(str(folder / "elastic.h5"))
            c = history["crystal_stiffness"].values.reshape(-1, 6, 6)
            c = c[np.isfinite(c[:, 0, 0])].mean(axis=0)
            own, mixed = np.diag(c), np.mean([c[0, 1], c[0, 2], c[1, 2]])
            means = f"{own[:3].mean():.1f} | {mixed:.1f} | {own[3:].mean():.1f}"
            print(f"| {name} | {temperature} | network | {means} |", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hot", type=Path, metavar="WORK", help="hot crystals; runs are kept here")
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    if options.hot:
        hot(options.hot, options.steps)
        return
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
