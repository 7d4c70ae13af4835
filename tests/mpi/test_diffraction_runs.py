# SPDX-License-Identifier: BSD-3-Clause
"""Diffraction in a run: both methods, 1 to 3 ranks, both hosts; a mesh that is too large ends all ranks."""

from pathlib import Path

import numpy as np
from conftest import Host

import insitu
from insitu.diffraction import powder_pattern
from insitu.history.check import check_file

#: A hot tilted crystal of two elements; its atoms move from rank to rank.
SAMPLE = """units metal
lattice fcc 4.05
region b prism 0 4 0 4 0 4 1 -0.5 0.7
create_box 2 b
create_atoms 1 box
set type 1 type/ratio 2 0.4 991
displace_atoms all random 0.2 0.2 0.2 11 units box
mass 1 58.69
mass 2 26.98
"""
#: LAMMPS numbers new atoms rank by rank: the sample comes from a file.
DECK = """units metal
read_data sample.data
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 9.2
neighbor 1.0 bin
velocity all create 300 4711 loop geom
fix move all nve
timestep 0.001
"""
WORDS = (
    "diffraction two_theta 20,80 frames 2 analyze diffraction name pairs method histogram cutoff 8 "
    "two_theta 20,80 radiation neutron"
)


def test_the_pattern_of_a_run_does_not_depend_on_the_ranks(host: Host, tmp_path: Path) -> None:
    found = {}
    write = "pair_style soft 2.0\npair_coeff * * 1.0\nwrite_data sample.data nocoeff\n"
    assert host.run(tmp_path, SAMPLE + write, 1).code == 0
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck = DECK + host.monitor(10, file="a.h5", analyze=WORDS)
        (folder / "sample.data").symlink_to(tmp_path / "sample.data")
        deck += "dump d all custom 10 d.dump id type xu yu zu\ndump_modify d format float %.17g\n"
        run = host.run(folder, deck + "run 20\n", ranks)
        assert run.code == 0, run.text[-2000:]
        assert check_file(folder / "a.h5") == []
        found[ranks] = insitu.open(folder / "a.h5")
    one = found[1]
    assert one["diffraction_intensity"].dims == ("step", "two_theta")
    assert one["pairs_intensity"].dims == ("step", "pairs_two_theta")
    assert one["diffraction_frames"].values.tolist() == [1, 2]
    for ranks in (2, 3):
        for name in ("diffraction_intensity", "diffraction_structure_factor", "pairs_intensity"):
            a, b = found[ranks][name].values, one[name].values
            assert (
                np.abs(a - b).max() < 1e-5 * np.abs(b).max()
            )  # float32; forces are summed in another order
    # The same by arrays, from the dump of the first frame.
    lines = (tmp_path / "1" / "d.dump").read_text().splitlines()
    n = int(lines[3])
    start = next(i for i, line in enumerate(lines) if line == "10") - 1  # second frame: step 10
    rows = np.array([line.split() for line in lines[start + 9 : start + 9 + n]], dtype=float)
    cell = np.array([[16.2, 0, 0], [4.05, 16.2, 0], [-2.025, 2.835, 16.2]])
    species = np.array([28, 13])[rows[:, 1].astype(int) - 1]
    arrays = powder_pattern(
        rows[:, 2:], cell, True, species, two_theta=(20, 80), spacing=0.05, threads=1
    )
    mine = one["diffraction_intensity"].isel(step=0).values
    assert np.abs(mine - arrays.intensity).max() < 1e-5 * arrays.intensity.max()
    assert np.allclose(one["two_theta"], arrays.two_theta)


def test_a_mesh_that_is_too_large_ends_the_run_on_all_ranks(host: Host, tmp_path: Path) -> None:
    for words, message in (
        ("diffraction memory 1", "memory allows"),
        ("diffraction memory 1 two_theta 10,11", "method histogram, which gathers none"),
    ):
        # Enough atoms that they alone are above 1 MB.
        deck = (
            SAMPLE
            + "pair_style soft 2.0\npair_coeff * * 1.0\nreplicate 4 4 3\ncomm_modify cutoff 9.2\n"
        )
        deck += host.monitor(10, file="b.h5", analyze=words)
        run = host.run(tmp_path, deck + "run 20\n", 3)
        assert run.code != 0
        assert message in run.text, run.text[-2000:]


def test_the_symmetry_of_a_run_does_not_depend_on_the_ranks(host: Host, tmp_path: Path) -> None:
    deck = """units metal
lattice bcc 2.87
region b block 0 7 0 7 0 7
create_box 1 b
create_atoms 1 box
displace_atoms all random 0.12 0.12 0.12 11 units box
mass 1 55.85
pair_style zero 5.0
pair_coeff * *
comm_modify cutoff 9.2
timestep 0.001
fix move all nve
"""
    deck += host.monitor(
        10, file="s.h5", analyze="diffraction two_theta 20,80 frames 2 symmetry yes"
    )
    found = {}
    for ranks in (1, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        run = host.run(folder, deck + "run 20\n", ranks)
        assert run.code == 0, run.text[-2000:]
        assert check_file(folder / "s.h5") == []
        found[ranks] = insitu.open(folder / "s.h5")
    one = found[1]
    assert one["diffraction_system"].sel(crystal_system="cubic").values.min() > 0.8
    assert one["diffraction_hkl"].values[-1, :2].tolist() == [[1, 1, 0], [2, 0, 0]]
    for name in ("system", "group", "cell", "reflections"):
        a, b = (found[ranks][f"diffraction_{name}"].values for ranks in (3, 1))
        assert np.abs(a - b).max() < 1e-5
