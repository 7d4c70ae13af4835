# SPDX-License-Identifier: BSD-3-Clause
"""Clusters in a run: those of LAMMPS' compute cluster/atom, on 1 to 3 ranks, in both hosts; a restart."""

from pathlib import Path

import numpy as np
from conftest import Host

import insitu
from insitu.history.check import check_file

#: Columns of crystal in disorder, so that there are clusters of all sizes.
DECK = """units metal
lattice fcc 4.05
region b prism 0 5 0 5 0 7 1.2 0.5 0.7 units lattice
create_box 1 b
create_atoms 1 box
variable soft atom "sin(x*0.62)+sin(y*0.55)+sin(z*0.5) > -0.4"
group soft variable soft
displace_atoms soft random 1.1 1.1 1.1 11 units box
mass 1 26.98
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 7.2
neighbor 1.0 bin
fix columns all property/atom i_phase d_id d_size d_identity
velocity all create 300 4711 loop geom
fix move all nve
timestep 0.001
"""
WORDS = "clusters phase fcc cutoff 3.2 largest 3 columns id=d_id,size=d_size,identity=d_identity"
AFTER = """dump d all custom 1 d.dump id i_phase d_id d_size d_identity
dump_modify d sort id format float %.17g
run 0
undump d
unfix columns
write_data end.data nocoeff
"""
JUDGE = """units metal
read_data end.data nocoeff
pair_style soft 4.0
pair_coeff * * 1.0
group inside id {ids}
compute c inside cluster/atom 3.2
dump d all custom 1 judge.dump id c_c
dump_modify d sort id
run 0
"""


def rows(path: Path) -> np.ndarray:
    """Return the atoms ``(n, columns)`` of a dump of one frame, by id."""
    lines = path.read_text().split("ITEM: ATOMS")[1].splitlines()[1:]
    return np.array([line.split() for line in lines], dtype=float)


def test_as_lammps_has_them(host: Host, tmp_path: Path) -> None:
    found = {}
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck = DECK + host.monitor(10, file="a.h5", labels="i_phase", analyze=WORDS)
        run = host.run(folder, deck + "run 20\n" + AFTER, ranks)
        assert run.code == 0, run.text[-2000:]
        assert check_file(folder / "a.h5") == []
        history = insitu.open(folder / "a.h5")
        last = history.isel(step=-1)
        ids, phase, label, size, identity = rows(folder / "d.dump").T
        inside = phase == 1
        words = " ".join(str(int(i)) for i in ids[inside])
        run = host.run(folder, JUDGE.format(ids=words), 1)
        assert run.code == 0, run.text[-2000:]
        theirs = rows(folder / "judge.dump")[:, 1]
        assert 0.1 < inside.mean() < 0.9
        assert (label[inside] == theirs[inside]).all()
        assert (label[~inside] == 0).all()
        names, sizes = np.unique(theirs[inside], return_counts=True)
        assert last["clusters_number"].values[0] == len(names) > 1
        assert last["clusters_size"].values[0].tolist() == [*sorted(sizes)[::-1], 0][:3]
        assert (size[inside] == sizes[np.searchsorted(names, theirs[inside])]).all()
        biggest = label == last["clusters_id"].values[0, 0]
        assert (identity[biggest] == last["clusters_identity"].values[0, 0]).all()
        found[ranks] = history
    for ranks in (2, 3):
        for name in ("number", "sizes", "size", "count", "spanning", "identity"):
            key = f"clusters_{name}"
            assert (found[ranks][key].values == found[1][key].values).all(), (ranks, name)
        for name in ("center", "radius"):
            key = f"clusters_{name}"
            assert np.allclose(found[ranks][key], found[1][key], atol=1e-5, equal_nan=True)


def test_identities_after_a_restart(host: Host, tmp_path: Path) -> None:
    """A run that goes on from a restart file gives the clusters the numbers that they had."""

    def monitor(file: str) -> str:
        return host.monitor(4, file=file, if_exists="append", analyze=WORDS)

    deck = DECK + monitor("a.h5") + "restart 20 at.*\nrun 40\n"
    assert host.run(tmp_path, deck, 2).code == 0
    whole = insitu.open(tmp_path / "a.h5")
    lines = ("mass", "pair_", "comm_", "neighbor", "fix", "timestep")
    head = "".join(x for x in DECK.splitlines(keepends=True) if x.startswith(lines))
    deck = "units metal\nread_restart at.20\n" + head + monitor("a.h5") + "run 20\n"
    run = host.run(tmp_path, deck, 3)
    assert run.code == 0, run.text[-2000:]
    again = insitu.open(tmp_path / "a.h5")
    for name in ("identity", "identities", "size", "members"):
        assert (again[f"clusters_{name}"].values == whole[f"clusters_{name}"].values).all(), name
    given = whole["clusters_identities"].values[:, 0]
    assert given[-1] > given[4] > given[0]  # there is something to be remembered
