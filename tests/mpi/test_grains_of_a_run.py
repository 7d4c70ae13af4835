# SPDX-License-Identifier: BSD-3-Clause
"""Grains of an annealed polycrystal in a run: those put in, those of OVITO; 1 to 3 ranks, both hosts."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host, require
from scipy.spatial.transform import Rotation

import insitu
from insitu.history.check import check_file

SIDE, SEEDS, A = 40.5, 5, 4.05
ANNEAL = """units metal
read_data start.data
pair_style eam/fs
pair_coeff * * {potentials}/Al_mm.eam.fs Al
minimize 1e-6 1e-6 50 500
velocity all create 1000 4711 mom yes rot no dist gaussian
timestep 0.002
fix move all nve
fix bath all langevin 500 500 0.1 991
run 400
write_data end.data nocoeff
"""
#: Nothing moves: the same positions on any ranks.
WATCH = """units metal
read_data end.data nocoeff
pair_style eam/fs
pair_coeff * * {potentials}/Al_mm.eam.fs Al
comm_modify cutoff 8.2
fix columns all property/atom d_grain d_edge
"""
WORDS = (
    "lattice analyze grains phase fcc cutoff 3.5 smallest 50 largest 6 "
    "columns id=d_grain,boundary=d_edge"
)


def polycrystal() -> tuple[np.ndarray, np.ndarray, Rotation]:
    """Return atoms of turned fcc crystals in Voronoi cells of a periodic box, their crystals, the turns."""
    rng = np.random.default_rng(12)
    seeds = rng.random((SEEDS, 3)) * SIDE
    turns = Rotation.random(SEEDS, rng=rng)
    n = np.arange(-9, 10)
    grid = np.stack(np.meshgrid(n, n, n), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    fcc = (grid + basis).reshape(-1, 3) * A
    kept, which = [], []
    for k in range(SEEDS):
        # Of each crystal what is nearer to its seed than to any image of another, all before wrapping.
        x = seeds[k] + turns[k].apply(fcc)
        others = x[:, None] - seeds
        others -= SIDE * np.rint(others / SIDE)
        distance = np.linalg.norm(others, axis=2)
        distance[:, k] = np.linalg.norm(x - seeds[k], axis=1)
        own = (distance.argmin(axis=1) == k) & (np.abs(x - seeds[k]) < SIDE / 2).all(axis=1)
        kept.append(x[own] % SIDE)
        which.append(np.full(own.sum(), k))
    r, crystal = np.concatenate(kept), np.concatenate(which)
    apart = r[:, None] - r[None]
    apart -= SIDE * np.rint(apart / SIDE)
    near = np.triu(np.einsum("ijk,ijk->ij", apart, apart) < 2.2**2, 1)
    gone = near.any(axis=0)
    return r[~gone], crystal[~gone], turns


@pytest.fixture(scope="module")
def annealed(potentials: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the polycrystal after some hundred steps at 500 K."""
    folder = tmp_path_factory.mktemp("polycrystal")
    r, _, _ = polycrystal()
    box = "".join(f"0 {SIDE} {x}lo {x}hi\n" for x in "xyz")
    rows = "".join(f"{i + 1} 1 {x} {y} {z}\n" for i, (x, y, z) in enumerate(r))
    (folder / "start.data").write_text(
        f"Polycrystal\n\n{len(r)} atoms\n1 atom types\n{box}\nMasses\n\n1 26.98\n\nAtoms\n\n{rows}"
    )
    run = require("wheel").run(folder, ANNEAL.format(potentials=potentials), 1)
    assert run.code == 0, run.text[-2000:]
    return folder


def watched(host: Host, annealed: Path, folder: Path, potentials: Path, ranks: int) -> np.ndarray:
    """Return id, x, y, z, grain and boundary ``(n, 6)`` of the atoms, as the run has them in its dump."""
    folder.mkdir()
    (folder / "end.data").write_text((annealed / "end.data").read_text())
    deck = WATCH.format(potentials=potentials) + host.monitor(1, file="a.h5", analyze=WORDS)
    deck += "run 1\ndump d all custom 1 d.dump id x y z d_grain d_edge\n"
    deck += "dump_modify d sort id format float %.17g\nrun 0\n"
    run = host.run(folder, deck, ranks)
    assert run.code == 0, run.text[-2000:]
    assert check_file(folder / "a.h5") == []
    lines = (folder / "d.dump").read_text().split("ITEM: ATOMS")[-1].splitlines()[1:]
    return np.array([line.split() for line in lines], dtype=float)


def test_the_grains_that_were_put_in(
    host: Host, annealed: Path, potentials: Path, tmp_path: Path
) -> None:
    rows = {n: watched(host, annealed, tmp_path / str(n), potentials, n) for n in (1, 2, 3)}
    history = insitu.open(tmp_path / "1" / "a.h5").isel(step=-1)
    for n in (2, 3):
        assert np.array_equal(rows[n], rows[1])
        other = insitu.open(tmp_path / str(n) / "a.h5").isel(step=-1)
        for name in ("number", "id", "identity", "size", "boundary"):
            assert other[f"grains_{name}"].equals(history[f"grains_{name}"]), name
        assert np.allclose(
            other["grains_orientation"], history["grains_orientation"], atol=1e-6, equal_nan=True
        )
    ids, grain, edge = rows[1][:, 0].astype(int), rows[1][:, 4], rows[1][:, 5]
    _, crystal, turns = polycrystal()
    crystal = crystal[ids - 1]
    assert int(history["grains_number"]) == SEEDS
    assert float(history["grains_boundary"]) == edge.sum()
    group = Rotation.create_group("O")
    for k in range(SEEDS):
        name = history["grains_id"].values[k]
        atoms = grain == name
        assert atoms.sum() == history["grains_size"].values[k]
        best = np.bincount(crystal[atoms]).argmax()
        mean = Rotation.from_quat(np.roll(history["grains_orientation"].values[k], -1))
        off = min((mean.inv() * turns[best] * g).magnitude() for g in group)
        assert np.degrees(off) < 2.0
        # Boundaries move a little during the anneal, and their atoms go to either grain.
        assert (crystal[atoms] == best).mean() > 0.85
        assert (crystal[atoms & (edge == 0)] == best).mean() > 0.97


def test_the_grains_of_ovito(annealed: Path, potentials: Path, tmp_path: Path) -> None:
    pytest.importorskip("ovito", reason="OVITO is not installed")
    from ovito.io import import_file
    from ovito.modifiers import GrainSegmentationModifier, PolyhedralTemplateMatchingModifier

    rows = watched(require("wheel"), annealed, tmp_path / "a", potentials, 1)
    history = insitu.open(tmp_path / "a" / "a.h5").isel(step=-1)
    pipeline = import_file(str(tmp_path / "a" / "d.dump"))
    pipeline.modifiers.append(
        PolyhedralTemplateMatchingModifier(rmsd_cutoff=0.0, output_orientation=True)
    )
    pipeline.modifiers.append(GrainSegmentationModifier(min_grain_size=50, orphan_adoption=False))
    data = pipeline.compute()
    theirs = np.array(data.particles["Grain"])[np.argsort(data.particles.identifiers)]
    assert data.attributes["GrainSegmentation.grain_count"] == int(history["grains_number"])
    both = (rows[:, 4] > 0) & (theirs >= 0)
    assert both.mean() > 0.4  # PTM has half of the atoms at 500 K
    ours = np.unique(rows[both, 4], return_inverse=True)[1]
    table = np.zeros((SEEDS, SEEDS), dtype=int)
    np.add.at(table, (ours, theirs[both]), 1)
    # Each grain has its counterpart, and atoms that are elsewhere are at boundaries.
    assert sorted(table.argmax(axis=1)) == list(range(SEEDS))
    assert table.max(axis=1).sum() / both.sum() > 0.98
    elsewhere = table.argmax(axis=1)[ours] != theirs[both]
    assert rows[both, 5][elsewhere].mean() > 0.9
