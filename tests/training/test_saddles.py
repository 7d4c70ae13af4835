# SPDX-License-Identifier: BSD-3-Clause
"""Saddle points: those that are known exactly, and a sampling that is killed and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from insitu.cli.saddles import atoms_of
from insitu.errors import DeckError, SettingError
from insitu.training.saddles.barriers import ATTEMPTS, Sampler, Sampling, within
from insitu.training.saddles.potential_energy import PotentialEnergy
from insitu.training.saddles.search import Search, attempt, lowest_mode, relax

BIN = Path(sys.executable).parent
Floats = NDArray[np.float64]
SIGMA = 2.5

VACANCY = """\
units metal
atom_style atomic
lattice fcc 3.615
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 63.546
pair_style eam/alloy
pair_coeff * * {potentials}/Cu_mishin1.eam.alloy Cu
"""
HOLE = """\
group hole id 1
delete_atoms group hole compress yes
"""


def lennard_jones(x: Floats) -> tuple[float, Floats]:
    """A free cluster, with a depth of 1 eV."""
    d = x[:, None] - x
    r2 = (d**2).sum(axis=2) / SIGMA**2
    np.fill_diagonal(r2, np.inf)
    six = r2**-3.0
    pull = (24 * (2 * six**2 - six) / r2 / SIGMA**2)[..., None] * d
    return float(2 * (six**2 - six).sum()), pull.sum(axis=1)


def test_forces_of_the_reference_are_those_of_its_energy() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3)) * 2.5
    f = lennard_jones(x)[1]
    for k in np.ndindex(*x.shape):
        h = np.zeros_like(x)
        h[k] = 1e-5
        slope = (lennard_jones(x + h)[0] - lennard_jones(x - h)[0]) / 2e-5
        assert f[k] == pytest.approx(-slope, rel=1e-4, abs=1e-5)


def test_lowest_mode_is_that_of_the_whole_hessian() -> None:
    rng = np.random.default_rng(1)
    x = relax(lennard_jones, rng.normal(size=(9, 3)) * 2.2, 1e-6)[2]
    x = x + 0.1 * rng.normal(size=x.shape)
    hessian = np.empty((27, 27))
    for k in range(27):
        h = np.zeros(27)
        h[k] = 1e-4
        up, down = (lennard_jones(x + s * h.reshape(9, 3))[1].ravel() for s in (1, -1))
        hessian[k] = (down - up) / 2e-4
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    assert values[0] < -0.1  # a saddle-like place, else the test shows nothing
    start = rng.normal(size=x.shape)
    value, mode = lowest_mode(lennard_jones, x, lennard_jones(x)[1], start, 27, 1e-6)
    assert value == pytest.approx(values[0], rel=0.01)
    assert abs(mode.ravel() @ vectors[:, 0]) > 0.99


def test_three_atoms_pass_through_a_line() -> None:
    """From the triangle to its mirror image, two bonds stay: 2 V(r) + V(2 r), smallest over r."""
    triangle = SIGMA * 2 ** (1 / 6) * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0]])
    e, _, x = relax(lennard_jones, triangle, 1e-6)
    assert e == pytest.approx(-3.0, abs=1e-9)
    r = np.linspace(1.0, 1.3, 30_001)
    pair = 4 * (r**-12 - r**-6)
    line = (2 * pair + 4 * ((2 * r) ** -12 - (2 * r) ** -6)).min()
    search = Search(force=0.002, curvature=-0.05, same=0.6)
    near = np.array([False, False, True])
    outcomes = [
        attempt(lennard_jones, x, e, near, np.random.default_rng(k), search) for k in range(12)
    ]
    found = [a.barrier for a in outcomes if a.outcome == "saddle"]
    assert min(abs(b - (line + 3.0)) for b in found) < 1e-4
    assert all(np.isnan(a.barrier) for a in outcomes if a.outcome != "saddle")


def test_vacancy_of_copper(potentials: Path, tmp_path: Path) -> None:
    """Formation and migration as published for this potential: 1.272 and 0.689 eV (here 1.273, 0.6885)."""
    perfect, deck = tmp_path / "in.perfect", tmp_path / "in.vacancy"
    perfect.write_text(VACANCY.format(cells=4, potentials=potentials))
    deck.write_text(VACANCY.format(cells=4, potentials=potentials) + HOLE)
    whole, surface = PotentialEnergy(perfect), PotentialEnergy(deck)
    bulk = whole(whole.positions)[0]
    e, _, x = relax(surface, surface.positions, 1e-3)
    assert e - bulk * 255 / 256 == pytest.approx(1.273, abs=0.01)
    hole = whole.positions[0]
    first = np.flatnonzero(within(x, hole, surface.cell, np.ones(3, dtype=bool), 2.7))
    assert len(first) == 12
    near = within(x, x[first[0]], surface.cell, np.ones(3, dtype=bool), 3.0)
    barriers = []
    for k in range(3):
        a = attempt(surface, x, e, near, np.random.default_rng(k), Search(force=0.005))
        if a.outcome == "saddle" and abs(a.moved - 3.615 / 2**0.5) < 0.1:
            barriers.append(a.barrier)
    assert len(barriers) >= 2
    assert np.allclose(barriers, 0.6885, atol=0.002), barriers
    whole.close()
    surface.close()


@pytest.fixture
def deck(potentials: Path, tmp_path: Path) -> Path:
    path = tmp_path / "in.vacancy"
    path.write_text(VACANCY.format(cells=3, potentials=potentials) + HOLE)
    return path


def command(deck: Path, out: Path, ranks: int = 1) -> list[str]:
    words = [str(BIN / "insitu"), "saddles", str(deck), "--out", str(out), "--barriers", "1",
             "--attempts", "2", "--atoms", "1-3"]  # fmt: skip
    return words if ranks == 1 else [str(BIN / "mpiexec"), "-n", str(ranks), *words]


def clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PMI_")} | {
        "OMP_NUM_THREADS": "1"
    }


def results(out: Path) -> dict[int, list[dict[str, object]]]:
    found: dict[int, list[dict[str, object]]] = {}
    for line in (out / ATTEMPTS).read_text().splitlines()[1:]:
        entry = json.loads(line)
        found.setdefault(entry["atom"], []).append(entry)
    return found


def test_killed_goes_on_and_ranks_do_not_matter(deck: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(command(deck, whole, 3), capture_output=True, text=True, env=clean(),
                          timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "barriers of" in done.stdout
    process = subprocess.Popen(command(deck, killed), env=clean(), stdout=subprocess.DEVNULL)
    file, end = killed / ATTEMPTS, time.monotonic() + 300
    while not file.exists() or file.read_bytes().count(b"\n") < 2:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = file.read_bytes()
    with file.open("ab") as torn:
        torn.write(b'{"atom": 2, "outc')
    sampler = Sampler(Sampling(deck, barriers=1, attempts=2), killed, [1, 2, 3])
    assert sorted(sampler) == [1, 2, 3]
    assert file.read_bytes().startswith(before)
    assert results(killed) == results(whole)
    with np.load(killed / "barriers.npz") as z:
        assert np.isnan(z["barrier"][3:]).all()
        assert (z["samples"][:3] == [sum(e["outcome"] == "saddle" for e in results(whole)[a])
                                     for a in (1, 2, 3)]).all()  # fmt: skip
        assert np.isfinite(z["barrier"][:3]).any()


def test_another_sampling_is_not_mixed_in(deck: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Sampler(Sampling(deck), out, [1])
    with pytest.raises(SettingError, match="another seed"):
        Sampler(Sampling(deck, seed=2), out, [1])
    with pytest.raises(SettingError, match=r"atom 108 does not exist.*1 to 107"):
        Sampler(Sampling(deck), out, [1, 108])


def test_files_that_changed_are_told(deck: Path, potentials: Path, tmp_path: Path) -> None:
    """What the deck reads is no part of its hash."""
    lines = deck.read_text().splitlines()
    pair = [line for line in lines if line.startswith("pair_")]
    read = tmp_path / "pair.in"
    read.write_text("\n".join(pair) + "\n")
    reading = tmp_path / "in.reading"
    rest = [line for line in lines if not line.startswith(("pair_", "group", "delete"))]
    holes = [line for line in lines if line.startswith(("group", "delete"))]
    reading.write_text("\n".join([*rest, f"include {read}", *holes]) + "\n")
    out = tmp_path / "out"
    list(Sampler(Sampling(reading, attempts=1), out, [1]))
    read.write_text(f"pair_style eam/fs\npair_coeff * * {potentials}/Al_mm.eam.fs Al\n")
    with pytest.raises(SettingError, match="is no minimum of the sample"):
        list(Sampler(Sampling(reading, attempts=2), out, [2]))
    (out / ATTEMPTS).write_bytes((out / ATTEMPTS).read_bytes() + b"\0\0\0\n")
    with pytest.raises(SettingError, match="line 3 is no attempt"):
        Sampler(Sampling(reading), out, [1])
    (out / ATTEMPTS).unlink()
    (out / "minimum.npz").write_bytes(b"nothing")
    with pytest.raises(SettingError, match=r"minimum.npz cannot be read"):
        Sampler(Sampling(reading), out, [1])


def test_decks_that_do_not_fit(deck: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="does not exist"):
        PotentialEnergy(tmp_path / "in.nothing")
    moving = tmp_path / "in.moving"
    moving.write_text(deck.read_text() + "fix m all nve\n")
    with pytest.raises(DeckError, match="fix m"):
        PotentialEnergy(moving)
    wrong = tmp_path / "in.wrong"
    wrong.write_text("units metal\nnonsense 1\n")
    with pytest.raises(DeckError, match="nonsense"):
        PotentialEnergy(wrong)
    reduced = tmp_path / "in.lj"
    reduced.write_text("units lj\nregion b block 0 9 0 9 0 9\ncreate_box 1 b\n")
    with pytest.raises(DeckError, match="units lj"):
        PotentialEnergy(reduced)


def test_lists_of_ids() -> None:
    assert atoms_of("3,1,5-7") == [1, 3, 5, 6, 7]
    assert atoms_of(None) is None
    for text in ("a", "5-3", "1-99999999999"):
        with pytest.raises(SettingError, match="1,17,30-60"):
            atoms_of(text)
