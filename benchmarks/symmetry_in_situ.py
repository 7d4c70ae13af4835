# SPDX-License-Identifier: BSD-3-Clause
"""The symmetry that `analyze diffraction symmetry yes` reads in runs of known crystals and of their melts.

Each crystal is held at 300 K and at parts of its melting temperature, at no pressure with free lengths of
the box, and analysed by the fix; its melt, made 2.2 times as hot, at 1.3 T_m. The table says what the last
frame's history says. Two further samples are two crystals side by side (fcc and bcc), and a crystal that is
half molten.

    python -P benchmarks/symmetry_in_situ.py WORK [--only Cu,Fe] [--cost 20]
    python -P benchmarks/symmetry_in_situ.py WORK --offline [--no-melts]

WORK keeps the histories; what is there is not run again. With `--offline` the same runs write the frames
that the fix would read, which are read afterwards: after a change of what reads them no run is needed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import insitu
from insitu.analyses.diffraction.symmetry import KNOWN
from insitu.diffraction.sample import Reflections, follow, reflections_of, symmetry_of_frames
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, MERGED_GROUPS, class_of
from insitu.frame.species import elements_of_masses
from insitu.training.runs import potentials_folder, run_lammps

Numbers = np.ndarray[Any, np.dtype[Any]]
_FCC = "basis 0 0 0 basis 0 .5 .5 basis .5 0 .5 basis .5 .5 0"
_ROCKSALT = f"{_FCC} basis .5 0 0 basis .5 .5 .5 basis 0 0 .5 basis 0 .5 0"
_WURTZITE = (
    "basis 0 0 0 basis .5 .5 0 basis 0 .33333333 .5 basis .5 .83333333 .5 basis 0 0 .375 "
    "basis .5 .5 .375 basis 0 .33333333 .875 basis .5 .83333333 .875"
)
_EAM = "pair_style eam/{}\npair_coeff * * {{}}/{} {}\n"
#: Fumi and Tosi's rigid ions, with charges.
_SALT = """set type 1 charge 1
set type 2 charge -1
pair_style born/coul/long 8.0
kspace_style pppm 1e-4
pair_coeff 1 1 0.2637 0.317 2.340 1.0486 -0.4993
pair_coeff 1 2 0.2110 0.317 2.755 6.9906 -8.6758
pair_coeff 2 2 0.1582 0.317 3.170 72.4022 -145.4285
"""


@dataclass(frozen=True)
class Material:
    """A crystal: its lattice, what moves it, about where it melts [K], and its space group."""

    lattice: str
    cells: tuple[int, int, int]
    masses: tuple[float, ...]
    pair: str
    melting: int
    group: int
    types: str = ""
    structure: str = ""


def _cubic(a: float, basis: str) -> str:
    return f"custom {a} a1 1 0 0 a2 0 1 0 a3 0 0 1 {basis}"


_LAST_FOUR = "basis 5 2 basis 6 2 basis 7 2 basis 8 2"
MATERIALS = {
    "Cu": Material("fcc 3.615", (8, 8, 8), (63.55,), _EAM.format("alloy", "Cu_mishin1.eam.alloy", "Cu"),
                   1327, 225, structure="fcc"),
    "Al": Material("fcc 4.05", (8, 8, 8), (26.98,), _EAM.format("fs", "Al_mm.eam.fs", "Al"), 926, 225,
                   structure="fcc"),
    "Fe": Material("bcc 2.87", (10, 10, 10), (55.85,), _EAM.format("fs", "Fe_mm.eam.fs", "Fe"), 1772, 229,
                   structure="bcc"),
    "Si": Material("diamond 5.431", (6, 6, 6), (28.09,),
                   "pair_style sw\npair_coeff * * {}/Si.sw Si\n", 1683, 227, structure="diamond"),
    "Mg": Material("hcp 3.2", (10, 6, 6), (24.305,), _EAM.format("fs", "Mg_mm.eam.fs", "Mg"), 914, 194,
                   structure="hcp"),
    "Ni3Al": Material(_cubic(3.57, _FCC), (8, 8, 8), (58.69, 26.98),
                      _EAM.format("alloy", "NiAlH_jea.eam.alloy", "Ni Al"), 1650, 221, "basis 1 2", "L1_2"),
    "NiAl": Material(_cubic(2.88, "basis 0 0 0 basis .5 .5 .5"), (10, 10, 10), (58.69, 26.98),
                     _EAM.format("alloy", "NiAlH_jea.eam.alloy", "Ni Al"), 1780, 221, "basis 2 2", "B2"),
    "GaN": Material("custom 3.19 a1 1 0 0 a2 0 1.7320508 0 a3 0 0 1.633 " + _WURTZITE, (8, 5, 5),
                    (69.72, 14.007), "pair_style sw\npair_coeff * * {}/GaN.sw Ga N\n", 2700, 186,
                    _LAST_FOUR, "wurtzite"),
    "NaCl": Material(_cubic(5.64, _ROCKSALT), (6, 6, 6), (22.99, 35.45), _SALT, 1064, 225, _LAST_FOUR,
                     "rock salt"),
}  # fmt: skip
FRAMES = 10
ANALYSIS = f"analyze diffraction frames {FRAMES} two_theta 10,90 symmetry yes"


def deck(m: Material, kelvin: float, kind: str, apart: float = 0.1) -> str:
    """Return a deck: kind crystal, melt, or half (molten); frames are so far apart [ps]."""
    step = 0.002 if min(m.masses) > 20 else 0.001
    picosecond = round(1 / step)
    every = round(apart / step)
    hot = 2.2 * m.melting
    lines = [
        "units metal", f"atom_style {'charge' if 'charge' in m.pair else 'atomic'}", f"lattice {m.lattice}",
        f"region box block 0 {m.cells[0]} 0 {m.cells[1]} 0 {m.cells[2]}", f"create_box {len(m.masses)} box",
        f"create_atoms 1 box {m.types}", *(f"mass {k} {v}" for k, v in enumerate(m.masses, 1)),
        m.pair.replace("{}", str(potentials_folder())), f"timestep {step}",
        "comm_modify cutoff 9.5",
        f"velocity all create {2 * (hot if kind == 'melt' else kelvin)} 4711 mom yes rot yes dist gaussian",
    ]  # fmt: skip
    if kind == "melt":
        lines += [
            f"fix m all npt temp {hot} {hot} 0.1 iso 0 0 0.5", f"run {4 * picosecond}", "unfix m",
            f"fix m all npt temp {hot} {kelvin} 0.1 iso 0 0 0.5", f"run {2 * picosecond}", "unfix m",
        ]  # fmt: skip
    if kind == "half":  # the lower half stands still meanwhile
        lines += [
            f"region upper block INF INF INF INF {m.cells[2] / 2} INF", "group upper region upper",
            "group lower subtract all upper", "velocity lower set 0 0 0",
            f"fix m upper nvt temp {hot} {hot} 0.1", f"run {4 * picosecond}", "unfix m",
            f"velocity all create {kelvin} 12 mom yes",
        ]  # fmt: skip
    lines += [
        f"fix m all npt temp {kelvin} {kelvin} 0.1 aniso 0 0 1.0",
        f"run {(1 if kind == 'half' else 2) * picosecond}",
        f"fix p all insitu {every} file run.h5 if_exists overwrite first yes {ANALYSIS}",
        f"run {(FRAMES - 1) * every}",
    ]
    return "\n".join(lines) + "\n"


def two_crystals() -> str:
    """Return a deck: fcc and bcc copper side by side."""
    return f"""units metal
lattice fcc 3.61
region box block 0 8 0 8 0 16
create_box 1 box
region lower block INF INF INF INF -0.1 7.9
create_atoms 1 region lower
lattice bcc 2.888
region upper block INF INF INF INF 10.01 INF
create_atoms 1 region upper
mass 1 63.55
{MATERIALS["Cu"].pair.replace("{}", str(potentials_folder()))}
comm_modify cutoff 9.5
timestep 0.001
velocity all create 600 4711 mom yes
fix m all nvt temp 300 300 0.1
run 100
fix p all insitu 20 file run.h5 if_exists overwrite first yes {ANALYSIS}
run {20 * (FRAMES - 1)}
"""


def offline(text: str) -> str:
    """Return a deck whose run writes the frames that the fix reads."""
    begin = text.index("fix p all insitu")
    line = text[begin : text.index("\n", begin)]
    every = line.split()[4]
    dump = (
        f"dump d all custom {every} run.dump id type x y z\ndump_modify d sort id format float %.8g"
    )
    return text.replace(line, dump)


@dataclass(frozen=True)
class Read:
    """What was read: atoms, reflections of a frame, probabilities of `KNOWN` and of groups, the cell."""

    atoms: int
    reflections: float
    systems: Numbers
    groups: Numbers
    cell: Sequence[float]


def of_history(folder: Path) -> Read:
    """Return what the last frame of a history says."""
    last = insitu.open(folder / "run.h5").isel(step=-1)
    return Read(
        int(last["count"].sum()), float(last["diffraction_reflections"]),
        last["diffraction_system"].values, last["diffraction_group"].values,
        last["diffraction_cell"].values.tolist(),
    )  # fmt: skip


def of_frames(folder: Path, masses: Sequence[float]) -> Read:
    """Return what the frames of a run say together."""
    elements = np.array(elements_of_masses(masses))
    frames: list[Reflections] = []
    atoms = 0
    for part in (folder / "run.dump").read_text().split("ITEM: TIMESTEP\n")[1:]:
        lines = part.splitlines()
        atoms = int(lines[2])
        ends = np.array([line.split() for line in lines[4:7]], dtype=float)
        rows = np.array([line.split() for line in lines[8 : 8 + atoms]], dtype=float)
        kinds = elements[rows[:, 1].astype(int) - 1]
        follow(frames, reflections_of(rows[:, 2:], np.ptp(ends, axis=1), True, kinds))
    found = symmetry_of_frames(frames[-FRAMES:])
    known = 1 - found.unknown
    by_name = {g.name: g.probability for g in found.groups}
    return Read(
        atoms, sum(len(f.hkl) for f in frames) / len(frames),
        np.array([*(known * found.systems[s] for s in KNOWN[:-1]), found.unknown]),
        known * np.array([by_name[g.name] for g in EXTINCTION_GROUPS]),
        found.cell.lengths if found.cell else (np.nan,) * 3,
    )  # fmt: skip


def row(name: str, what: str, kelvin: float, group: int, read: Read) -> str:
    """Return a row of the table."""
    systems, groups = read.systems, read.groups
    best = int(systems.argmax())
    order = np.argsort(-groups)
    cell = " ".join(f"{v:.3f}" for v in read.cell)
    text = f"| {name} | {what} | {kelvin:.0f} | {read.atoms} "
    text += f"| {read.reflections:.0f} | {systems[-1]:.0%} "
    text += f"| {KNOWN[best]} {systems[best]:.0%} "
    if KNOWN[best] == "unknown":
        return f"{text}| | | |"
    text += f"| {EXTINCTION_GROUPS[order[0]].name} {groups[order[0]]:.0%} "
    if not group:
        return f"{text}| | {cell} |"
    own = MERGED_GROUPS[class_of(group, merged=True)].space_groups
    merged = [float(sum(p for p, g in zip(groups, EXTINCTION_GROUPS, strict=True)
                        if set(g.space_groups) <= set(m.space_groups))) for m in MERGED_GROUPS]  # fmt: skip
    p = next(v for v, m in zip(merged, MERGED_GROUPS, strict=True) if m.space_groups == own)
    return f"{text}| {1 + sum(v > p for v in merged)} ({p:.0%}) | {cell} |"


def cost(cells: int) -> None:
    """Print processor times for copper of 4 cells³ atoms: pattern, reflections, and what reads them."""
    from insitu.diffraction import powder_pattern
    from insitu.diffraction.scattering import mesh
    from insitu.diffraction.scattering.reflections import bright_nodes, reach, reflections, vectors
    from insitu.diffraction.symmetry.classification import symmetry_of_reflections
    from insitu.testing import lattice

    r, cell = lattice("fcc", 3.615, (cells,) * 3)
    r = r + np.random.default_rng(0).normal(scale=0.1, size=r.shape)
    begin = time.process_time()
    powder_pattern(r, cell, True, "Cu", two_theta=(10, 90), spacing=0.05, threads=1)
    pattern = time.process_time()
    q_max = reach(float(np.linalg.det(cell)), len(r))
    slabs = mesh.slabs(cell, q_max, 2e9)
    nodes = bright_nodes(
        r @ np.linalg.inv(cell), np.zeros(len(r), int), ["Cu"], cell, slabs, "xray", q_max
    )
    hkl, intensity = reflections(nodes)
    found = np.linalg.norm(vectors(hkl, cell), axis=1), intensity
    looked = time.process_time()
    symmetry_of_reflections(*found)
    first = time.process_time()
    symmetry_of_reflections(*found)
    read = time.process_time()
    print(
        f"| {len(r):,} | {pattern - begin:.2f} s | {looked - pattern:.2f} s | {read - first:.2f} s "
        f"(first {first - looked:.1f} s) |", flush=True,
    )  # fmt: skip


def samples_of(
    options: argparse.Namespace,
) -> list[tuple[str, str, float, int, str, tuple[float, ...]]]:
    """Return material, state, temperature, space group (0: none), deck and masses of each sample."""
    samples = []
    for name in options.only.split(",") if options.only else MATERIALS:
        m = MATERIALS[name]
        melts = [] if options.no_melts else [1.3]
        for part in [300 / m.melting, *map(float, options.parts.split(",")), *melts]:
            kind, kelvin = ("melt" if part > 1 else "crystal"), part * m.melting
            what = f"{m.structure}, {part:.1f} T_m" if part < 1 else "melt"
            group = m.group if part < 1 else 0
            samples.append((name, what, kelvin, group, deck(m, kelvin, kind), m.masses))
    if not options.only:
        m = MATERIALS["Cu"]
        alloy = MATERIALS["NiAl"]
        hot = 0.9 * alloy.melting
        text = deck(alloy, hot, "crystal", 1.0)
        samples.append(
            ("NiAl", "B2, 0.9 T_m, frames 1 ps apart", hot, alloy.group, text, alloy.masses)
        )
        half = deck(m, m.melting, "half")
        samples.append(("Cu", "half molten", m.melting, 225, half, m.masses))
        samples.append(("Cu", "fcc beside bcc", 300, 0, two_crystals(), m.masses))
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", help="names of materials, separated by commas")
    parser.add_argument(
        "--parts", default="0.5,0.9", help="temperatures, in units of that of melting"
    )
    parser.add_argument("--cost", help="cells of copper along each side, separated by commas")
    parser.add_argument(
        "--offline", action="store_true", help="read frames that the runs write, not histories"
    )
    parser.add_argument("--no-melts", action="store_true", help="without the nine melts")
    options = parser.parse_args()
    if options.cost:
        print("| atoms | pattern | reflections | symmetry |\n|---|---|---|---|")
        for cells in options.cost.split(","):
            cost(int(cells))
        return 0
    print(
        "| sample | | K | atoms | reflections | unknown | system | best group | true rank | cell (Å) |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, what, kelvin, group, text, masses in samples_of(options):
        text = offline(text) if options.offline else text
        folder = options.work / f"{name}_{what}_{kelvin:.0f}".replace(" ", "_").replace(",", "")
        folder.mkdir(parents=True, exist_ok=True)
        done = folder / "in.done"
        if not (done.exists() and done.read_text() == text):
            run_lammps(folder, text)
            done.write_text(text)
        read = of_frames(folder, masses) if options.offline else of_history(folder)
        print(row(name, what, kelvin, group, read), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
