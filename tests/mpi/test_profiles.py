# SPDX-License-Identifier: BSD-3-Clause
"""Profiles in a run: what NumPy counts in LAMMPS' own dump, on 1 to 3 ranks, in both hosts; a restart."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import Host

import insitu
from insitu.history.check import check_file

#: Crystal at the bottom of a skewed box, disorder above; a group of two layers in the crystal.
DECK = """units metal
lattice fcc 4.05
region b prism 0 5 0 5 0 7 1.2 0.5 0.7 units lattice
create_box 1 b
create_atoms 1 box
variable soft atom "z > 12"
group soft variable soft
displace_atoms soft random 1.1 1.1 1.1 11 units box
variable low atom "z > 3 && z < 7"
group piston variable low
mass 1 26.98
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 7.2
neighbor 1.0 bin
fix columns all property/atom i_phase
velocity all create 300 4711 loop geom
fix move all nve
timestep 0.001
"""
WORDS = (
    "profile name plane direction 1,-1,2 bins 8 "
    "analyze profile name ball shape sphere origin center members piston bins 5 "
    "analyze profile name pushed axis z origin high members piston low 0 high 15 bins 10 "
    "analyze profile name moving axis z origin front phase fcc low -8 high 8 bins 8"
)


def dumped(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, further columns and cell of the last frame of a dump."""
    text = path.read_text().split("ITEM: TIMESTEP")[-1]
    bounds = text.split("ITEM: BOX BOUNDS")[1].splitlines()[1:4]
    (xlo, xhi, xy), (ylo, yhi, xz), (zlo, zhi, yz) = (map(float, b.split()) for b in bounds)
    xlo, xhi = xlo - min(0, xy, xz, xy + xz), xhi - max(0, xy, xz, xy + xz)
    ylo, yhi = ylo - min(0, yz), yhi - max(0, yz)
    assert (xlo, ylo, zlo) == pytest.approx((0, 0, 0), abs=1e-9)
    cell = np.array([[xhi, 0, 0], [xy, yhi, 0], [xz, yz, zhi]])
    rows = np.array([r.split() for r in text.split("ITEM: ATOMS")[1].splitlines()[1:]], float)
    return rows[:, 1:4], rows[:, 4:], cell


def test_as_numpy_counts_them(host: Host, tmp_path: Path) -> None:
    fronts = {}
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck = DECK + host.monitor(10, file="a.h5", labels="i_phase", analyze=WORDS)
        deck += "run 20\nvariable mine atom gmask(piston)\n"
        deck += "dump d all custom 1 d.dump id x y z i_phase v_mine\n"
        deck += "dump_modify d sort id format float %.17g\nrun 0\n"
        run = host.run(folder, deck, ranks)
        assert run.code == 0, run.text[-2000:]
        assert check_file(folder / "a.h5") == []
        last = insitu.open(folder / "a.h5").isel(step=-1)
        r, more, cell = dumped(folder / "d.dump")
        s = r @ np.linalg.inv(cell)
        r = (s - np.floor(s)) @ cell
        fcc = more[:, 0] == int(last["code"].sel(phase="fcc"))
        assert 0.2 < fcc.mean() < 0.8

        def check(name: str, at: np.ndarray, fcc: np.ndarray = fcc, last: object = last) -> None:
            count = last[f"{name}_count"]  # type: ignore[index]
            bins = len(count)
            for got, those in ((count.sum("phase"), at >= 0), (count.sel(phase="fcc"), fcc)):
                some = those & (at >= 0) & (at < bins)
                assert got.values.tolist() == np.bincount(at[some], minlength=bins).tolist()

        u = np.array([1.0, -1.0, 2.0]) / np.sqrt(6.0)
        corners = np.array(list(product((0, 1), repeat=3))) @ cell @ u
        low, span = corners.min(), np.ptp(corners)
        check("plane", np.floor((r @ u - low) / span * 8).astype(int))
        piston = more[:, 1] == 1
        shifts = np.array(list(product((-1, 0, 1), repeat=3))) @ cell
        centre = last["ball_origin"].values
        # The mean of a layer that fills the box along x and y: only its height says something.
        assert centre[2] == pytest.approx(r[piston, 2].mean(), abs=1e-6)
        near = np.linalg.norm((r - centre)[:, None] + shifts, axis=2).min(axis=1)
        half = 0.5 / np.linalg.norm(np.linalg.inv(cell), axis=0).max()
        check("ball", np.floor(near / (half / 5)).astype(int))
        volume = 4 / 3 * np.pi * np.diff((np.arange(6) * half / 5) ** 3)
        atoms = last["ball_count"].sum("phase").values
        assert last["ball_density"].values == pytest.approx(atoms / volume)
        face = r[piston, 2].max()
        assert last["pushed_origin"].values[2] == pytest.approx(face, abs=1e-9)
        above = (r[:, 2] - face + cell[2, 2] / 2) % cell[2, 2] - cell[2, 2] / 2
        at = np.floor(np.round(above, 9) / 1.5).astype(int)
        check("pushed", at)
        front = float(last["moving_front"])
        assert 9.0 < front < 15.0
        above = (r[:, 2] - front + cell[2, 2] / 2) % cell[2, 2] - cell[2, 2] / 2
        check("moving", np.floor((above + 8) / 2).astype(int))
        share = last["moving"].sel(phase="fcc").values
        assert share[:3].min() > 0.8
        assert share[5:7].max() < 0.4
        fronts[ranks] = front
    # Atoms are numbered, and displaced, otherwise on other ranks: near, not equal.
    assert np.ptp(list(fronts.values())) < 1.5


def test_a_restart_goes_on_with_its_front(host: Host, tmp_path: Path) -> None:
    monitor = host.monitor(10, file="a.h5", if_exists="append", analyze=WORDS)
    deck = DECK + monitor + "run 20\nwrite_restart r.bin\nrun 20\n"
    assert host.run(tmp_path, deck, 2).code == 0
    before = insitu.open(tmp_path / "a.h5")["moving_front"].values
    again = "read_restart r.bin\npair_style soft 2.0\npair_coeff * * 1.0\ncomm_modify cutoff 7.2\n"
    again += "neighbor 1.0 bin\nfix move all nve\ntimestep 0.001\n" + monitor + "run 20\n"
    run = host.run(tmp_path, again, 2)
    assert run.code == 0, run.text[-2000:]
    after = insitu.open(tmp_path / "a.h5")
    assert after["step"].values.tolist() == [10, 20, 30, 40]
    assert after["moving_front"].values == pytest.approx(before, abs=0.3)


def test_a_group_that_is_not_there_is_refused(host: Host, tmp_path: Path) -> None:
    deck = DECK + host.monitor(
        10, file="a.h5", analyze="profile axis z origin low members no bins 3"
    )
    run = host.run(tmp_path, deck + "run 10\n", 2)
    assert run.code != 0
    assert "'no'" in run.text
