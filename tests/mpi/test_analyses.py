# SPDX-License-Identifier: BSD-3-Clause
"""Further analyses in a run: words and short forms alike, columns, 1 to 3 ranks, in both hosts."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host

import insitu
from insitu.history.check import check_file

#: A hot crystal, soft enough to move a little; ghosts reach one cutoff of the bonds, not two.
DECK = """units metal
lattice fcc 4.05
region b block 0 5 0 5 0 5
create_box 1 b
create_atoms 1 box
displace_atoms all random 0.3 0.3 0.3 11 units box
mass 1 26.98
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 7.2
neighbor 1.0 bin
fix columns all property/atom d_q6 d_q4
velocity all create 300 4711 loop geom
fix move all nve
timestep 0.001
"""
WORDS = (
    "rdf cutoff 5 bins 50 analyze profile axis z bins 8 analyze steinhardt cutoff 3.8 columns "
    "q6=d_q6,q4=d_q4 analyze rdf name near cutoff 3 bins 10"
)


def orders(path: Path) -> np.ndarray:
    """Return q6 and q4 ``(2, 500)`` of the last frame, by x: LAMMPS numbers atoms rank by rank."""
    rows = np.array([r.split() for r in path.read_text().splitlines()[-500:]], dtype=float)
    return rows[np.argsort(rows[:, 1]), 4:].T


def test_words_short_forms_and_columns(host: Host, tmp_path: Path) -> None:
    found = {}
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck = DECK + host.monitor(10, file="long.h5", analyze=WORDS)
        deck += host.monitor(
            10, identity="short", file="short.h5", rdf=5, rdf_bins=50, profile="z,8"
        )
        deck += "dump d all custom 10 d.dump id x y z d_q6 d_q4\n"
        deck += "dump_modify d sort id format float %.17g\n"
        run = host.run(folder, deck + "run 20\n", ranks)
        assert run.code == 0, run.text[-2000:]
        assert check_file(folder / "long.h5") == []
        found[ranks] = insitu.open(folder / "long.h5")
        short = insitu.open(folder / "short.h5")
        for name in ("rdf", "profile", "profile_count", "fraction"):
            assert found[ranks][name].equals(short[name])
    long = found[1]
    assert long["near"].dims == ("step", "pair", "near_radius")
    assert long["near"].attrs["long_name"] == "radial distribution function g(r)"
    assert (long["steinhardt_count"] == 500).all()
    # The columns of the dump at a step are those of the frame: their mean is in the history.
    q6, q4 = orders(tmp_path / "1" / "d.dump")
    last = long["steinhardt_mean"].isel(step=-1)
    assert last.sel(order="q6") == pytest.approx(q6.mean(), abs=1e-9)
    assert last.sel(order="q4") == pytest.approx(q4.mean(), abs=1e-9)
    assert 0.1 < q6.mean() < 0.55
    for ranks in (2, 3):
        assert np.allclose(found[ranks]["steinhardt_mean"], long["steinhardt_mean"], atol=1e-7)
        assert np.allclose(orders(tmp_path / str(ranks) / "d.dump"), [q6, q4], atol=1e-6)


def test_what_is_wrong_ends_the_run_before_it_begins(host: Host, tmp_path: Path) -> None:
    def text(**settings: object) -> str:
        deck = DECK + host.monitor(10, file="a.h5", **settings) + "run 10\n"
        run = host.run(tmp_path, deck, 2)
        assert run.code != 0
        return run.text

    assert "analyze near: there" not in text(analyze="rdf cutoff 3 bin 5")
    assert "needs all atoms within 9" in text(analyze="steinhardt cutoff 9")
    assert "columns=q8=… and it has q4, q6" in text(analyze="steinhardt cutoff 3.8 columns q8=d_q8")
    assert "the deck has no column 'd_q'" in text(analyze="steinhardt cutoff 3.8 columns q6=d_q")
    assert "the name 'timing' is taken" in text(analyze="rdf cutoff 3 name timing")
