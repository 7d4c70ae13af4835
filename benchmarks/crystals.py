# SPDX-License-Identifier: BSD-3-Clause
"""Crystals found in hot samples, beside what is known of them: docs/crystal.md.

    python benchmarks/crystals.py run            LAMMPS' box of runs at constant pressure
    python benchmarks/crystals.py prototypes     AFLOW's prototypes (pymatgen), atoms displaced at random
    python benchmarks/crystals.py melts          liquids
    python benchmarks/crystals.py cost           processor time
    python benchmarks/crystals.py example        what the command prints
    python benchmarks/crystals.py transition FILE    of the history of lammps_inputs/in.martensite

Needs insitu[train,crystal], and pymatgen for the prototypes.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import insitu
from insitu.crystal import closest_symmetry, elastic_tensor
from insitu.crystal.finding.search import find_crystals
from insitu.crystal.tensors.voigt import from_voigt
from insitu.frame.lattices.copies import repeated
from insitu.frame.lattices.perfect import LATTICES
from insitu.testing import lattice
from insitu.training.data.elastic_runs import Potential, elastic_run
from insitu.training.runs import potentials_folder, read_dump, run_lammps, write_data

#: Crystal: elements of the types, lattice, constant [Å], copies, types of the cell's atoms, pair style,
#: coefficients, melting point of the potential or below [K], space group.
CRYSTALS = {
    "Al fcc": (("Al",), "fcc", 4.05, (8, 8, 8), [1], "eam/fs", "Al_mm.eam.fs Al", 926, 225),
    "Fe bcc": (("Fe",), "bcc", 2.87, (10, 10, 10), [1], "eam/fs", "Fe_mm.eam.fs Fe", 1772, 229),
    "Mg hcp": (("Mg",), "hcp", 3.2, (10, 6, 6), [1], "eam/fs", "Mg_mm.eam.fs Mg", 914, 194),
    "Si diamond": (("Si",), "cubic_diamond", 5.43, (6, 6, 6), [1], "sw", "Si.sw Si", 1691, 227),
    "NiAl B2": (("Ni", "Al"), "bcc", 2.88, (10, 10, 10), [1, 2], "eam/alloy",
                "NiAlH_jea.eam.alloy Ni Al", 1700, 221),
    "Ni3Al L1_2": (("Ni", "Al"), "fcc", 3.57, (8, 8, 8), [2, 1, 1, 1], "eam/alloy",
                   "NiAlH_jea.eam.alloy Ni Al", 1600, 221),
    "SiC zincblende": (("Si", "C"), "cubic_diamond", 4.32, (6, 6, 6), [1] * 4 + [2] * 4, "tersoff",
                       "SiC.tersoff Si C", 3000, 216),
}  # fmt: skip


def hot(name, temperature, steps, seed=4711, melt=False):
    """Return positions, cell and types of one frame of a run at constant pressure."""
    _, kind, a, repeat, types, style, coefficients, melting, _ = CRYSTALS[name]
    r, cell = lattice(kind, a, repeat)
    z = np.tile(types, len(r) // len(types))
    file, *elements = coefficients.split()
    masses = {"Al": 26.98, "Fe": 55.85, "Mg": 24.31, "Si": 28.09, "Ni": 58.69, "C": 12.01}
    deck = (
        "units metal\nboundary p p p\natom_style atomic\nread_data data\n"
        f"pair_style {style}\npair_coeff * * {potentials_folder() / file} {' '.join(elements)}\n"
    )
    deck += "".join(f"mass {k + 1} {masses[e]}\n" for k, e in enumerate(elements))
    start = 2 * temperature
    deck += f"timestep 0.002\nvelocity all create {start} {seed} mom yes rot no dist gaussian\n"
    if melt:
        deck += f"fix move all npt temp {3 * melting} {3 * melting} 0.1 iso 0 0 1\nrun 4000\nunfix move\n"
    deck += f"fix move all npt temp {temperature} {temperature} 0.1 aniso 0 0 1\n"
    deck += (
        f"run {steps}\nwrite_dump all custom dump id type x y z modify sort id format float %.10g\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "data", r, cell, z)
        run_lammps(Path(folder), deck)
        ((_, positions, box),) = read_dump(Path(folder) / "dump")
    return positions, box, z, np.asarray(repeat)


def of_box(name, box, repeat):
    """Return a, b, c of the crystal by the box [Å]: hcp's orthogonal cell is (a, √3 a, c)."""
    sides = np.diag(box) / repeat
    return sides / np.array([1, np.sqrt(3), 1]) if "hcp" in name else sides


def run(steps):
    print(
        "| crystal | T/Tm | space group | a, c (Å) | box | apart | cut-out part | apart | u (Å) |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (*_, melting, number) in CRYSTALS.items():
        for share in (0.3, 0.9):
            r, box, z, repeat = hot(name, share * melting, steps)
            found = find_crystals(r, box, True, z).crystals
            known = of_box(name, box, repeat)
            a, c = known[:2].mean(), known[2]
            if "hcp" not in name:
                a = c = known.mean()
            # A part as it grew, not by where its atoms are now: that would choose displaced ones.
            ideal, cell = lattice(CRYSTALS[name][1], CRYSTALS[name][2], CRYSTALS[name][3])
            at = ideal @ np.linalg.inv(cell)
            part = (at < 0.72).all(axis=1)
            s = r @ np.linalg.inv(box) - at
            s = at + s - np.rint(s)
            cut = find_crystals((s @ box)[part], None, False, z[part]).crystals
            cells = []
            for crystals in (found, cut):
                if not crystals:
                    cells.append(("none", np.nan))
                    continue
                p = crystals[0].parameters
                away = max(abs(p[0] / a - 1), abs(p[2] / c - 1))
                right = crystals[0].group.number == number
                cells.append((f"{p[0]:.4f}, {p[2]:.4f}" + ("" if right else " (!)"), away))
            group = found[0].group.symbol if found else "none"
            u = found[0].deviation if found else np.nan
            print(f"| {name} | {share} | {group} | {cells[0][0]} | {a:.4f}, {c:.4f} | {cells[0][1]:.1e} "
                  f"| {cells[1][0]} | {cells[1][1]:.1e} | {u:.2f} |", flush=True)  # fmt: skip


def prototypes(share, first):
    """Space groups of AFLOW's prototypes with displaced atoms, beside spglib's of the perfect ones."""
    import gzip
    import json

    import pymatgen.analysis.prototypes as package
    from pymatgen.core import Structure

    from insitu.crystal.spacegroup import find

    names = list(Path(package.__file__).parent.rglob("aflow_prototypes.json.gz"))
    entries = json.loads(gzip.decompress(names[0].read_bytes()))

    rows, started = {}, time.process_time()
    for n, entry in enumerate(entries[first :: max(1, round(1 / share))]):
        snl = entry["snl"]
        s = Structure.from_dict(
            {k: v for k, v in snl.items() if k != "about"}
            | {"@module": "pymatgen.core.structure", "@class": "Structure"}
        )
        cell, sites = np.array(s.lattice.matrix), np.array(s.frac_coords)
        numbers = np.array(s.atomic_numbers)
        perfect = find(cell, sites, numbers, 0.01)
        if perfect is None:
            continue
        r, box, site = repeated(perfect.primitive_sites, perfect.primitive, 14.0)
        scale = np.cbrt(abs(np.linalg.det(perfect.primitive)) / len(perfect.primitive_sites))
        r, box = r * scale, box * scale
        z = perfect.primitive_numbers[site]
        d = (
            np.sort(s.distance_matrix + 1e9 * np.eye(len(s)), axis=1)[:, 0].min()
            if len(s) > 1
            else 1e9
        )
        d = min(d, np.linalg.norm(perfect.primitive, axis=1).min())
        for sigma in (0.02, 0.04):
            rng = np.random.default_rng(n)
            moved = r + rng.normal(scale=sigma * d / np.sqrt(3), size=r.shape)
            found = find_crystals(moved, box, True, z, most=1).crystals
            got = found[0].group.number if found and found[0].group else 0
            rows.setdefault(sigma, []).append(
                (
                    got == perfect.number,
                    bool(found),
                    len(perfect.primitive),
                    len(perfect.primitive_sites),
                    s.formula,
                    perfect.symbol,
                    got,
                )
            )
    for sigma, row in rows.items():
        small = [k[0] for k in row if k[3] <= 12]
        print(
            f"displaced by {sigma:.0%} of the nearest distance: {np.mean([k[0] for k in row]):.3f} of "
            f"{len(row)} prototypes right, {np.mean(small):.3f} of {len(small)} with up to 12 atoms; "
            f"no crystal found {np.mean([not k[1] for k in row]):.3f}"
        )
    print("wrong:", [(k[4], k[3], k[5], k[6]) for k in rows[0.02] if not k[0]][:40])
    print(f"{time.process_time() - started:.0f} s of processor time")


def melts(steps):
    for name in ("Al fcc", "Fe bcc", "Si diamond"):
        CRYSTALS[name] = (*CRYSTALS[name][:3], (5, 5, 5), *CRYSTALS[name][4:])
        r, box, z, _ = hot(name, 1.3 * CRYSTALS[name][7], steps, melt=True)
        found = find_crystals(r, box, True, z)
        print(name, "molten:", len(found.crystals), "crystals;", found.reasons[:1])


def example(steps):
    """What `insitu crystal` prints for the last frame of a run of NiAl at 600 K."""
    from insitu.cli.command import main

    r, box, z, _ = hot("NiAl B2", 600, steps)
    rows = "".join(
        f"{k + 1} {t} {x} {y} {w}\n" for k, (t, (x, y, w)) in enumerate(zip(z, r, strict=True))
    )
    head = f"ITEM: TIMESTEP\n{steps}\nITEM: NUMBER OF ATOMS\n{len(r)}\nITEM: BOX BOUNDS pp pp pp\n"
    head += "".join(f"0 {side}\n" for side in np.diag(box))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nial.dump"
        file.write_text(f"{head}ITEM: ATOMS id type x y z\n{rows}")
        main(["crystal", str(file), "--species", "Ni,Al", "--elastic"])


def cost(steps):
    """Processor time of a frame, beside that of the search for neighbours in it."""
    del steps
    for repeat in (10, 20):
        r, cell = lattice("fcc", 4.05, (repeat,) * 3)
        r = r + np.random.default_rng(0).normal(scale=0.12, size=r.shape)
        before = time.process_time()
        find_crystals(r, cell, True)
        print(f"{len(r):,} atoms: {time.process_time() - before:.2f} s of processor time")


def transition(path):
    """What the history of in.martensite says of the transformation, in stretches of equal length."""
    history = insitu.open(path)
    print("| ps | K | bcc, hcp | space groups | symmetry breaking | bulk, shear (GPa) |")
    print("|---|---|---|---|---|---|")
    for part in np.array_split(np.arange(len(history.step)), 10):
        h = history.isel(step=part)
        share = h.fraction.sel(phase=["bcc", "hcp"]).mean("step").values
        groups = h.crystal_space_group.values
        kinds, counts = np.unique(groups[groups > 0], return_counts=True)
        told = ", ".join(
            f"{k}: {n}" for n, k in sorted(zip(counts, kinds, strict=True), reverse=True)
        )
        b = h.crystal_symmetry_breaking.values
        bulk, shear = (np.nanmean(h[f"crystal_{m}_modulus"].values) for m in ("bulk", "shear"))
        print(
            f"| {float(h.time[0]):.1f} … {float(h.time[-1]):.1f} | {float(h.temperature.mean()):.0f} "
            f"| {100 * share[0]:.0f} %, {100 * share[1]:.0f} % | {told} | {np.nanmean(b):.3f}, "
            f"{np.nanmin(b):.3f} … {np.nanmax(b):.3f} | {bulk:.0f}, {shear:.0f} |"
        )
    potential = Potential("eam/fs", ("* * {potentials}/Zr_mm.eam.fs Zr",), ("Zr",))
    cell, sites = np.diag([3.23, 3.23 * np.sqrt(3), 5.17]), np.array(LATTICES["hcp"][1])
    tensors = {
        "LAMMPS": from_voigt(elastic_run(cell, sites, [1] * 4, potential).stiffness),
        "network": elastic_tensor(cell, sites, [40] * 4).tensor,
    }
    for who, tensor in tensors.items():
        print(f"hcp at 0 K, {who}: symmetry breaking {closest_symmetry(tensor, 'cubic')[0]:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "what", choices=("run", "prototypes", "melts", "cost", "example", "transition")
    )
    parser.add_argument("history", nargs="?", help="of transition: martensite.h5")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--share", type=float, default=1.0, help="of the prototypes")
    parser.add_argument("--first", type=int, default=0, help="number of the first prototype")
    options = parser.parse_args()
    if options.what == "transition":
        transition(options.history)
    elif options.what == "prototypes":
        prototypes(options.share, options.first)
    else:
        {"run": run, "melts": melts, "cost": cost, "example": example}[options.what](options.steps)
