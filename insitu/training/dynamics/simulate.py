# SPDX-License-Identifier: BSD-3-Clause
"""Molecular dynamics of the general model's recipe: decks, LAMMPS runs, labelled snapshots."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError
from insitu.training.dynamics.trajectories import MOLTEN, Job
from insitu.training.runs import holds, potentials_folder, read_dump, run_lammps, write_data
from insitu.training.structures.perfect import Structure, crystal, random_flags, stacking
from insitu.training.structures.sample import MASKED, Sample

#: A quenched atom this part of the spacing away from its site has left it.
_LEFT = 0.15
#: Relative change of the cell's proportions beyond which the crystal has transformed.
_TRANSFORMED = 0.06
#: Share of crystalline atoms beyond which a quenched melt is no glass any more.
_CRYSTALLISED = 0.2
#: Cut-offs of common neighbour analysis for close-packed and body-centred crystals, in units of
#: (volume an atom)^(1/3): halfway between the shells that count and those that do not.
_CLOSE, _CENTRED = 1.355, 1.521


def head(material: dict[str, Any], seed: int, start: float, data: str = "data") -> str:
    """Return the first lines of a deck: units, atoms, potential, velocities."""
    folder = str(potentials_folder())
    charged = "charges" in material
    text = "units metal\nboundary p p p\n"
    text += (
        f"atom_style {'charge' if charged else 'atomic'}\natom_modify map array\nbox tilt large\n"
    )
    text += f"read_data {data}\npair_style {material['pair']}\n"
    text += "".join(f"pair_coeff {c.format(potentials=folder)}\n" for c in material["coeff"])
    if "kspace" in material:
        text += f"kspace_style {material['kspace']}\n"
    text += "".join(f"mass {k + 1} {m}\n" for k, m in enumerate(material["masses"]))
    text += f"timestep {material.get('timestep', 0.002)}\n"
    text += "neigh_modify every 1 delay 0 check yes\nthermo 1000\n"
    return text + f"velocity all create {start} {seed} mom yes rot no dist gaussian\n"


def _stairs(job: Job, protocol: dict[str, Any]) -> str:
    """Return the commands that hold the sample at each temperature and write its snapshots."""
    melting, dt = job.material["melting"], job.material.get("timestep", 0.002)
    liquid = job.kind in MOLTEN
    hold = protocol["quenched_hold" if job.kind == "glass" else "equilibrate"]
    text = ""
    press = f"fix move all nph {'iso' if liquid else 'aniso'} 0 0 {500 * dt}\n"
    if liquid:
        text += (
            press + f"fix bath all langevin {2.5 * melting} {2.5 * melting} {50 * dt} {job.seed}\n"
        )
        text += f"run {round(4.0 / dt)}\n"
    elif not job.strains:
        text += press
    write = (
        "write_dump all custom thermal.dump id x y z modify append yes sort id format float %.10g\n"
    )
    for t in job.temperatures:
        kelvin = t * melting
        text += f"fix bath all langevin {kelvin} {kelvin} {50 * dt} {job.seed + 1}\n"
        if job.strains:
            text += (
                press + f"run {round(protocol['equilibrate'] / dt)}\nunfix move\nfix move all nve\n"
            )
            text += "variable lx equal lx\nvariable ly equal ly\nvariable lz equal lz\n"
            text += _triclinic(job.material)
            text += "".join(f"variable {v}0 equal ${{{v}}}\n" for v in ("lx", "ly", "lz"))
            for e in job.strains:
                xx, yy, zz, xy, xz, yz = e
                text += (
                    f"change_box all x final 0 $(v_lx0*(1+{xx})) y final 0 $(v_ly0*(1+{yy})) "
                    f"z final 0 $(v_lz0*(1+{zz})) xy final $(v_ly0*{xy}) xz final $(v_lz0*{xz}) "
                    f"yz final $(v_lz0*{yz}) remap units box\n"
                    f"run {round(protocol['equilibrate'] / dt)}\n" + write
                )
            continue
        text += f"run {round(hold / dt)}\n" + write
        for _ in range(protocol["snapshots"] - 1):
            text += f"run {round(protocol['gap'] / dt)}\n" + write
    return text


def _triclinic(material: dict[str, Any]) -> str:
    again = f"kspace_style {material['kspace']}\n" if "kspace" in material else ""
    return f"change_box all triclinic\n{again}"


def quench(
    folder: Path, material: dict[str, Any], steps: list[int], *, tilted: bool = False
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Take snapshots of ``thermal.dump`` to their inherent structures.

    Parameters
    ----------
    folder
        Of a run that has ended.
    material
        Entry of a recipe.
    steps
        Of the snapshots.
    tilted
        Whether the snapshots' cells are triclinic.

    Returns
    -------
    list of tuple
        Positions ``(n, 3)`` and cell ``(3, 3)`` [Å] of each.
    """
    text = head(material, 1, 1.0) + (_triclinic(material) if tilted else "")
    text += "fix move all nve\nmin_style cg\n"
    for step in steps:
        text += f"read_dump thermal.dump {step} x y z box yes replace yes\n"
        text += "minimize 0 1e-3 80 400\n"
        text += f"reset_timestep {step}\n"
        text += "write_dump all custom quenched.dump id x y z modify append yes sort id format float %.8g\n"
    run_lammps(folder, text, name="in.quench")
    return [(r, cell) for _, r, cell in read_dump(folder / "quenched.dump")]


def crystalline(folder: Path, material: dict[str, Any]) -> list[NDArray[np.bool_]]:
    """Return which atoms ``(n,)`` of each snapshot of ``quenched.dump`` are in a crystal.

    By common neighbour analysis of the inherent structure, as fcc, hcp or bcc (LAMMPS' ``compute
    cna/atom``; Faken & Jonsson, Comput. Mater. Sci. 2, 279 (1994)).
    """
    text, steps = head(material, 1, 1.0), []
    for step, r, cell in read_dump(folder / "quenched.dump"):
        spacing = (abs(float(np.linalg.det(cell))) / len(r)) ** (1 / 3)
        text += f"read_dump quenched.dump {step} x y z box yes replace yes\n"
        text += f"compute close all cna/atom {_CLOSE * spacing}\n"
        text += f"compute centred all cna/atom {_CENTRED * spacing}\n"
        text += (
            f"run 0\nwrite_dump all custom cna.{step} c_close c_centred modify sort id\n"
            "uncompute close\nuncompute centred\n"
        )
        steps.append(step)
    run_lammps(folder, text, name="in.cna")
    found = []
    for step in steps:
        close, centred = np.loadtxt(folder / f"cna.{step}", skiprows=9).T
        found.append((close == 1) | (close == 2) | (centred == 3))
    return found


def start(job: Job) -> Structure:
    """Return the starting structure of a trajectory; it depends on nothing but the job."""
    m = job.material
    kind, rng = job.kind, np.random.default_rng(job.seed)
    if kind in MOLTEN:
        kind = next(iter(m["structures"]))
    if kind.startswith("stack"):
        diamond = "cubic_diamond" in m["structures"]
        first = "cubic_diamond" if diamond else "fcc"
        layers = 9 if diamond else 14
        width = round(np.sqrt(job.atoms / layers / (2 if diamond else 1)))
        flags = random_flags(layers, rng.choice([0.25, 0.5]), rng)
        if kind == "stack-faults":  # one intrinsic fault (two layers) and two twin boundaries
            flags = np.zeros(20, dtype=bool)
            flags[[4, 5, 10, 16]] = True
            width = round(np.sqrt(job.atoms / 20))
        return stacking(flags, m["structures"][first] / np.sqrt(2.0), width, diamond=diamond)
    kind = kind.removesuffix("-strained")
    return crystal(kind, m["structures"][kind], job.atoms, len(m["masses"]))


def on_site(
    s: Structure, positions: NDArray[np.float64], cell: NDArray[np.float64], *, proportions: bool
) -> NDArray[np.bool_]:
    """Return which atoms ``(n,)`` of a quenched snapshot are on their sites of the structure.

    The drift of the whole crystal is taken out, and the cell may have changed its volume. With
    `proportions` a cell whose proportions changed has no atom on its site.
    """
    ratio = np.diag(cell) / np.diag(s.cell)
    if proportions and np.abs(ratio / ratio.mean() - 1.0).max() > _TRANSFORMED:
        return np.zeros(len(positions), dtype=bool)
    d = positions @ np.linalg.inv(cell) - s.positions @ np.linalg.inv(s.cell)
    # The drift: a circular mean, then the median of what is left.
    d -= np.angle(np.exp(2j * np.pi * d).mean(axis=0)) / (2 * np.pi)
    d -= np.rint(d)
    d -= np.median(d, axis=0)
    away = np.linalg.norm(d @ cell, axis=1)
    small: NDArray[np.bool_] = away < _LEFT * s.spacing * ratio.mean()
    return small


def deck(job: Job, protocol: dict[str, Any]) -> str:
    """Return the LAMMPS deck of a trajectory."""
    hot = 2.5 if job.kind in MOLTEN else job.temperatures[0]
    return head(job.material, job.seed, 2.0 * hot * job.material["melting"]) + _stairs(
        job, protocol
    )


def simulate(job: Job, protocol: dict[str, Any], out: Path) -> Path:
    """Run a trajectory unless `out` holds it, from the same deck; return its ``.npz`` file."""
    result = out / f"{job.name}.npz"
    commands = deck(job, protocol)
    if holds(result, commands):
        return result
    s = start(job)
    folder = out / job.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_data(folder / "data", s.positions, s.cell, s.types, job.material.get("charges"))
    failed = ""
    try:
        run_lammps(folder, commands)
    except DeckError as error:  # a molten or evaporated crystal may end a run: keep what there is
        failed = str(error)
        if not (folder / "thermal.dump").exists():
            raise
    frames = list(read_dump(folder / "thermal.dump"))
    each = len(job.strains) or protocol["snapshots"]
    temperatures = np.repeat(job.temperatures, each)[: len(frames)]
    labels = np.full((len(frames), len(s.positions)), "disordered", dtype="<U17")
    steps = [f[0] for f in frames]
    if job.kind == "glass":
        quench(folder, job.material, steps)
        for k, ordered in enumerate(crystalline(folder, job.material)):
            labels[k][ordered] = MASKED
            if ordered.mean() > _CRYSTALLISED:
                labels[k:] = MASKED
                break
    elif job.kind != "melt":
        for k, (r, cell) in enumerate(
            quench(folder, job.material, steps, tilted=bool(job.strains))
        ):
            intact = on_site(s, r, cell, proportions=not job.strains)
            labels[k] = np.where(intact, s.labels, MASKED)
            # Molten, or about to: what is left on sites then is chance.
            if intact.mean() < 0.9:
                labels[k] = MASKED
    np.savez_compressed(
        result, deck=commands, failed=failed, labels=labels, temperature=temperatures,
        positions=np.array([f[1] for f in frames]), cell=np.array([f[2] for f in frames]),
    )  # fmt: skip
    shutil.rmtree(folder)
    return result


def load(job: Job, out: Path) -> list[Sample]:
    """Return the snapshots of a trajectory."""
    with np.load(out / f"{job.name}.npz") as z:
        columns = zip(z["temperature"], z["positions"], z["cell"], z["labels"], strict=True)
        return [
            Sample(
                job.material["name"],
                job.kind,
                job.seed,
                float(t),
                r,
                cell,
                labels,
                k if job.strains else -1,
            )
            for k, (t, r, cell, labels) in enumerate(columns)
        ]
