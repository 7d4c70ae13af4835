# SPDX-License-Identifier: BSD-3-Clause
"""Further analyses in a run: words and short forms alike, columns, 1 to 3 ranks, in both hosts."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host, require

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
    assert "needs all atoms within 9" in text(analyze="steinhardt cutoff 9", ghosts="ask")
    assert "columns=q8=… and it has q4, q6" in text(analyze="steinhardt cutoff 3.8 columns q8=d_q8")
    assert "the deck has no column 'd_q'" in text(analyze="steinhardt cutoff 3.8 columns q6=d_q")
    assert "the name 'timing' is taken" in text(analyze="rdf cutoff 3 name timing")


OWN = '''
from dataclasses import dataclass
import numpy as np
from insitu.analyses import Analysis, Observable, setting

@dataclass(frozen=True)
class Settings:
    cutoff: float = setting("bonds are not longer", unit="Å", low=0.1, high=10.0)
    fail_at: int = setting("step at which the rank with atom 1 fails", default=-1)

class Own(Analysis[Settings]):
    """What rank 0 gathers, after two exchanges."""
    name = "own"
    Settings = Settings
    thermo = ("temperature",)
    exchanged, rounds = 6, 2  # three of 8 bytes

    def __init__(self, settings, system, name=""):
        super().__init__(settings, system, name)
        self.cutoff, self.frames = settings.cutoff, 0
        self.sums = {"temperature": (), "ranks": (), "images": ()}
        self.gathers = {"positions": (3,)}
        self.observables = (
            Observable(self.path("in_order"), (), "i8", "", "ids are 1 ... n"),
            Observable(self.path("centre"), (3,), "f8", "Angstrom", "mean position"),
            Observable(self.path("temperature"), (), "f8", "K", "mean of the ranks"),
            Observable(self.path("images"), (), "i8", "", "ghosts that are no image of their owner"),
            Observable(self.path("frames"), (), "i8", "", "since the run began"),
        )

    def __call__(self, frame, neighbors):
        self.frames += 1
        n = frame.n_local
        mine = frame.positions[:n]
        first = self.with_ghosts(mine.copy(), neighbors)
        if frame.step == self.settings.fail_at and 1 in frame.ids[:n]:
            raise ValueError("own fault")
        second = self.with_ghosts(first[:n].copy(), neighbors)
        reached = np.isfinite(second).all(axis=1)
        apart = (frame.positions - second)[reached] @ np.linalg.inv(frame.cell)
        return {
            "temperature": frame.thermo.temperature, "ranks": 1.0,
            "images": (np.abs(apart - np.rint(apart)) > 1e-9).any(axis=1).sum(),
            "positions": (frame.ids[:n], mine),
        }

    def finish(self, sums):
        ids, values = sums["positions"]
        return {
            self.path("in_order"): int((ids == np.arange(1, len(ids) + 1)).all() * len(ids)),
            self.path("centre"): values.mean(axis=0),
            self.path("temperature"): sums["temperature"] / sums["ranks"],
            self.path("images"): round(float(sums["images"])),
            self.path("frames"): self.frames,
        }
'''


def test_an_analysis_of_ones_own(host: Host, tmp_path: Path) -> None:
    """Two exchanges in a frame, what rank 0 gathers, temperature, own state; a rank that fails."""
    (tmp_path / "mine.py").write_text(OWN)
    path = {"PYTHONPATH": str(tmp_path)}
    found = {}
    for ranks in (1, 3):
        deck = DECK + host.monitor(10, file=f"{ranks}.h5", analyze="mine:Own cutoff 3.8")
        run = host.run(tmp_path, deck + "run 20\n", ranks, environment=path)
        assert run.code == 0, run.text[-2000:]
        found[ranks] = insitu.open(tmp_path / f"{ranks}.h5")
        assert (found[ranks]["own_in_order"] == 500).all()
        assert (found[ranks]["own_images"] == 0).all()
        assert found[ranks]["own_frames"].values.tolist() == [1, 2]
        assert np.allclose(found[ranks]["own_temperature"], found[ranks]["temperature"])
    assert np.allclose(found[1]["own_centre"], found[3]["own_centre"], atol=1.0)  # wrapping differs
    deck = DECK + host.monitor(10, file="f.h5", analyze="mine:Own cutoff 3.8 fail_at 20")
    run = host.run(tmp_path, deck + "run 30\n", 3, environment=path)
    assert run.code != 0
    assert "own fault" in run.text
    assert insitu.open(tmp_path / "f.h5")["step"].values.tolist() == [10]


def test_atoms_that_come_near_between_two_neighbor_lists(potentials: Path, tmp_path: Path) -> None:
    """A hot liquid, analysed more often than its neighbour lists are built: ghosts move into reach."""
    host = require("wheel")
    deck = (
        "units metal\nlattice fcc 3.8\nregion b block 0 7 0 7 0 7\ncreate_box 1 b\n"
        f"create_atoms 1 box\npair_style eam\npair_coeff * * {potentials}/Cu_u3.eam\n"
        "velocity all create 6000 12345\nfix move all nve\nrun 100\n"
        + host.monitor(10, file="a.h5", analyze="steinhardt cutoff 3.6")
        + "run 100\n"
    )
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-2000:]
    assert insitu.open(tmp_path / "a.h5").sizes["step"] == 10


def test_a_fix_line_again_replaces_the_fix(tmp_path: Path) -> None:
    """LAMMPS makes the new fix while its list of fixes has a hole where the old one was."""
    host = require("wheel")
    deck = DECK + host.monitor(5, file="a.h5", analyze="rdf cutoff 3")
    deck += host.monitor(5, file="b.h5", analyze="steinhardt cutoff 3.8")
    run = host.run(tmp_path, deck + "run 10\n", 1)
    assert run.code == 0, run.text[-2000:]
    assert insitu.open(tmp_path / "b.h5").step.values.tolist() == [5, 10]
    assert not (tmp_path / "a.h5").exists()
