# SPDX-License-Identifier: BSD-3-Clause
"""A file system that hangs, is slow, or full, by calls put before the system's own: the run goes on."""

import json
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest
from conftest import Host, Run, crystal, require

import insitu
from insitu.cli import command
from insitu.history.check import check_file

LIMIT = 5.0


@pytest.fixture(scope="module")
def disturbance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The calls, compiled."""
    made = tmp_path_factory.mktemp("disk") / "slow_disk.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed"
    source = Path(__file__).with_name("slow_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", source, "-o", made, "-ldl"], check=True)
    return made


def deck(host: Host, potentials: Path, **settings: object) -> str:
    """Return a deck whose file system is disturbed from step 5 on."""
    told = {"file": "phases.h5", "write_limit": LIMIT, **settings}
    return (
        crystal(potentials, cells=3) + host.monitor(1, **told)
        + "run 4\nshell touch disturbed\nrun 4\nprint 'the deck goes on'\n"
    )  # fmt: skip


def run(
    host: Host, folder: Path, text: str, disturbance: Path, how: str, which: str = "phases.h5"
) -> Run:
    words = host.command(2, "-in", "in.deck")
    (folder / "in.deck").write_text(text)
    at = words.index(host.program)  # LAMMPS' processes only: a launcher writes as well
    preload = ["env", f"LD_PRELOAD={disturbance}", f"SLOW_DISK={how}", f"SLOW_FILES={which}"]
    return host.start(folder, [*words[:at], *preload, *words[at:]], 300, {})


def steps(folder: Path) -> list[int]:
    found: list[int] = insitu.open(str(folder / "phases.h5"))["step"].values.tolist()
    assert check_file(folder / "phases.h5") == []
    return found


@pytest.mark.parametrize("name", ["wheel", pytest.param("debian", marks=pytest.mark.full)])
def test_a_write_that_hangs(name: str, potentials: Path, tmp_path: Path, disturbance: Path) -> None:
    """All ranks wait for the limit once; the analysis goes on, the history keeps what it has."""
    host = require(name)
    ended = run(host, tmp_path, deck(host, potentials), disturbance, "hang")
    assert ended.code == 0, ended.text[-3000:]
    assert "the deck goes on" in ended.text
    assert ended.text.count(f"has not answered for {LIMIT:g} s") == 1
    assert ended.text.count("Nothing more is written into it") == 1
    assert steps(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("name", [pytest.param("wheel", marks=pytest.mark.full), "debian"])
def test_a_quota_that_is_used_up_for_a_while(
    name: str,
    potentials: Path,
    tmp_path: Path,
    disturbance: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Frames are missing, the run is not stopped, later frames are there, and the history says it."""
    host = require(name)
    text = deck(host, potentials, atoms=1) + "shell rm disturbed\nrun 60\n"
    ended = run(host, tmp_path, text, disturbance, "full")
    assert ended.code == 0, ended.text[-3000:]
    assert ended.text.count("frames that cannot be written are missing") == 1
    assert ended.text.count("is written again from step") == 1
    kept = steps(tmp_path)
    # Atoms are written of frames that the history has.
    with h5py.File(tmp_path / "phases.atoms.h5md") as file:
        assert file["particles/all/position/step"][:].tolist() == kept
    (gap,) = json.loads(insitu.open(str(tmp_path / "phases.h5")).attrs["missing"])
    lost = sorted(set(range(1, 69)) - set(kept))
    assert lost[:4] == [5, 6, 7, 8]
    assert lost == list(range(gap["first"], gap["last"] + 1))
    assert len(lost) == gap["frames"]
    assert "uota" in gap["reason"]
    assert command.main(["show", str(tmp_path / "phases.h5")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(lost)} frames, steps 5 to {lost[-1]}, are missing: [Errno 122]" in said


def test_a_slow_disk_costs_time_only(potentials: Path, tmp_path: Path, disturbance: Path) -> None:
    host = require("wheel")
    ended = run(host, tmp_path, deck(host, potentials, write_limit=60), disturbance, "slow")
    assert ended.code == 0, ended.text[-3000:]
    assert steps(tmp_path) == list(range(1, 9))


def test_stop_is_stop(potentials: Path, tmp_path: Path, disturbance: Path) -> None:
    host = require("wheel")
    text = deck(host, potentials, on_write_error="stop")
    ended = run(host, tmp_path, text, disturbance, "hang")
    assert ended.code != 0
    assert f"has not answered for {LIMIT:g} s" in ended.text
    assert "the deck goes on" not in ended.text
    assert steps(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize(("writers", "which"), [(1, ".atoms.h5md"), (2, ".atoms.2.h5md")])
def test_atoms_whose_write_hangs(
    potentials: Path, tmp_path: Path, disturbance: Path, writers: int, which: str
) -> None:
    """It is an error of all ranks after the limit; history and atoms have the frames before it."""
    host = require("wheel")
    text = deck(host, potentials, atoms=1, **({"atoms_writers": writers} if writers > 1 else {}))
    ended = run(host, tmp_path, text, disturbance, "hang", which)
    assert ended.code != 0
    assert f"has not answered for {LIMIT:g} s" in ended.text
    assert "the atoms of step 5 could not be written" in ended.text
    assert steps(tmp_path) == [1, 2, 3, 4, 5]
    with h5py.File(tmp_path / "phases.atoms.h5md") as file:
        assert file["particles/all/position/step"][:].tolist() == [1, 2, 3, 4]
        ids = file["particles/all/id/value"][()]
        assert [sorted(row[row > 0].tolist()) for row in ids] == [list(range(1, 109))] * 4
