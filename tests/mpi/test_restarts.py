# SPDX-License-Identifier: BSD-3-Clause
"""One history over restarts, clocks set back, and repeated runs: replaced, never duplicated."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import Host, crystal, require

import insitu
from insitu.models.store import load


def steps(path: Path) -> list[int]:
    """Return the steps in a history."""
    found: list[int] = insitu.open(str(path))["step"].values.tolist()
    return found


def again(potentials: Path) -> str:
    """Return the head of a deck that goes on from a restart file."""
    lines = crystal(potentials).splitlines(keepends=True)
    kept = ("pair_", "comm_", "thermo", "fix")
    return "units metal\nread_restart at.25\n" + "".join(x for x in lines if x.startswith(kept))


def test_restart_replaces_the_frames_behind_it(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    deck = crystal(potentials) + host.monitor(5, file="phases.h5", if_exists="append")
    run = host.run(tmp_path, deck + "restart 25 at.*\nrun 45\n", 2)
    assert run.code == 0, run.text[-3000:]
    first = insitu.open(str(tmp_path / "phases.h5"))
    assert first["step"].values.tolist() == list(range(5, 50, 5))
    # From the restart on every 10th step only: step 30 has to go although the first new frame is
    # that of step 30, and 35 and 45 although no new frame is written there.
    deck = again(potentials) + host.monitor(10, file="phases.h5", if_exists="append")
    run = host.run(tmp_path, deck + "run 15\n", 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [5, 10, 15, 20, 25, 30, 40]
    assert abs(history["time"].values - 0.001 * history["step"].values).max() < 1e-12
    # The restarted run took over where the other was: its own energies, the same trajectory.
    old = first["temperature"].sel(step=[30, 40]).values
    assert abs(history["temperature"].sel(step=[30, 40]).values / old - 1).max() < 1e-6
    with h5py.File(tmp_path / "phases.h5") as file:
        assert "continued_1" in file["parameters/insitu"]
    # Frames between the restart and the first new one are of the past as well.
    deck = again(potentials) + host.monitor(40, file="phases.h5", if_exists="append")
    run = host.run(tmp_path, deck + "run 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert steps(tmp_path / "phases.h5") == [5, 10, 15, 20, 25, 40]


@pytest.mark.parametrize("if_exists", ["append", "new"])
def test_clock_set_back(host: Host, potentials: Path, tmp_path: Path, if_exists: str) -> None:
    deck = crystal(potentials) + host.monitor(10, file="phases.h5", if_exists=if_exists)
    run = host.run(tmp_path, deck + "run 40\nreset_timestep 15\nrun 20\nrun 10\n", 2)
    assert run.code == 0, run.text[-3000:]
    if if_exists == "append":
        assert steps(tmp_path / "phases.h5") == [10, 20, 30, 40]
        assert "phases_1.h5" not in run.text
    else:
        assert steps(tmp_path / "phases.h5") == [10, 20, 30, 40]
        assert steps(tmp_path / "phases_1.h5") == [20, 30, 40]
        assert re.search(r"the history is '.*phases_1.h5'", run.text)


def test_first_frame_again_when_the_clock_is_set_back(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    monitor = host.monitor(10, file="phases.h5", if_exists="append", first="yes")
    deck = crystal(potentials) + monitor + "run 20\nrun 10\nreset_timestep 0\n"
    deck += "velocity all scale 100\nrun 20\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [0, 10, 20]
    assert abs(float(history["temperature"][0]) - 100) < 1e-6


def test_another_threshold_is_not_appended(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10) + "run 10\n"
    assert host.run(tmp_path, deck, 2).code == 0
    changed = host.monitor(10, if_exists="append", threshold=0.9)
    run = host.run(tmp_path, crystal(potentials) + changed + "run 10\n", 2)
    assert run.code != 0
    assert f"has threshold {load('metals').card.threshold:g}, and this run has 0.9" in run.text
    assert steps(tmp_path / "phases.h5") == [10]
    changed = host.monitor(10, if_exists="append", coverage=0.95)
    run = host.run(tmp_path, crystal(potentials) + changed + "run 10\n", 2)
    assert run.code != 0
    assert "has coverage none, and this run has 0.95" in run.text


def test_rerun_gives_the_same_history(host: Host, potentials: Path, tmp_path: Path) -> None:
    """A deck for the run serves its trajectory too: same steps, times and fractions."""
    deck = crystal(potentials, temperature=6000)
    dump = "dump d all custom 10 traj id type x y z vx vy vz\ndump_modify d format float %.17g\n"
    run = host.run(tmp_path, deck + host.monitor(10, file="run.h5") + dump + "run 40\n", 2)
    assert run.code == 0, run.text[-3000:]
    lines = host.monitor(10, file="rerun.h5") + "rerun traj first 10 dump x y z vx vy vz\n"
    run = host.run(tmp_path, deck + lines, 2)
    assert run.code == 0, run.text[-3000:]
    one, two = (insitu.open(str(tmp_path / f)) for f in ("run.h5", "rerun.h5"))
    assert two["step"].values.tolist() == [10, 20, 30, 40]
    assert abs(one["time"].values - two["time"].values).max() < 1e-12
    assert (one["count"].values == two["count"].values).all()
    assert abs(one["temperature"].values / two["temperature"].values - 1).max() < 1e-6
    assert len({tuple(row) for row in one["count"].values.tolist()}) > 1


def test_run_0_and_minimisation(host: Host, potentials: Path, tmp_path: Path) -> None:
    """`run 0` is a frame where the host can; a minimisation is none, and the run after it is."""
    more = {"first": "yes"} if host.plugin else {}
    deck = crystal(potentials) + host.monitor(10, file="phases.h5", **more)
    run = host.run(tmp_path, deck + "minimize 0 1e-3 5 50\nrun 0\n", 2)
    assert run.code == 0, run.text[-3000:]
    ended = int(re.findall(r"^\s*(\d+)\s", run.text[run.text.rindex("Step") :], re.M)[0])
    if host.plugin:
        assert steps(tmp_path / "phases.h5") == [ended]
    else:
        assert not (tmp_path / "phases.h5").exists()


def test_rerun_of_a_part_replaces_that_part_only(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    head = crystal(potentials) + host.monitor(10, file="phases.h5", if_exists="append")
    dump = "dump d all custom 10 part id type x y z vx vy vz\ndump_modify d first no\n"
    run = host.run(tmp_path, head + "run 20\n" + dump + "run 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert steps(tmp_path / "phases.h5") == [10, 20, 30, 40]
    run = host.run(tmp_path, head + "rerun part first 30 dump x y z vx vy vz\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert steps(tmp_path / "phases.h5") == [10, 20, 30, 40]


def test_rerun_with_its_first_frame(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    dump = "dump d all custom 10 traj id type x y z vx vy vz\n"
    assert host.run(tmp_path, crystal(potentials) + dump + "run 20\n", 1).code == 0
    deck = crystal(potentials) + host.monitor(10, file="phases.h5", first="yes")
    run = host.run(tmp_path, deck + "rerun traj dump x y z vx vy vz\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert steps(tmp_path / "phases.h5") == [0, 10, 20]


def test_times_after_two_resets(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="phases.h5", if_exists="append")
    deck += "run 40\nreset_timestep 15\nrun 20\nreset_timestep 0\nrun 20\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    times = insitu.open(str(tmp_path / "phases.h5"))["time"].values
    assert abs(times - [0.01, 0.02]).max() < 1e-12


def test_time_that_lags_after_a_restart_but_does_not_fall_back(
    potentials: Path, tmp_path: Path
) -> None:
    """The restart file of step 70 holds the time of step 60, at which its run began."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(40, file="phases.h5", if_exists="append")
    run = host.run(tmp_path, deck + "run 60\nrestart 70 at.*\nrun 30\n", 2)
    assert run.code == 0, run.text[-3000:]
    deck = again(potentials).replace("at.25", "at.70")
    deck += host.monitor(40, file="phases.h5", if_exists="append") + "run 90\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [40, 80, 120, 160]
    assert abs(history["time"].values - 0.001 * history["step"].values).max() < 1e-12


def test_one_monitor_called_by_two_fixes(potentials: Path, tmp_path: Path) -> None:
    host = require("debian")
    deck = crystal(potentials) + host.monitor(20, file="phases.h5", if_exists="append")
    deck += "fix again all python/invoke 50 end_of_step phases\nrun 100\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    assert steps(tmp_path / "phases.h5") == [20, 40, 50, 60, 80, 100]


def test_groups_that_were_deleted(host: Host, potentials: Path, tmp_path: Path) -> None:
    """LAMMPS' list of groups has holes; the C library of older releases crashes on them."""
    deck = crystal(potentials).replace(
        "fix move", "group a id 1\ngroup b id 2:30\ngroup c id 5:9\ngroup a delete\nfix move"
    )
    deck += host.monitor(10, file="phases.h5", groups="c,b") + "run 10\n"
    deck += "group c delete\nrun 10\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code != 0
    assert "group 'c' is not defined" in run.text
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["count_by_group"].sum("phase").values.tolist() == [[5, 29]]


def test_fractions_of_a_step_that_comes_again(potentials: Path, tmp_path: Path) -> None:
    """Nothing of the frame of step 40 is shown at another step 40."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(40, file="phases.h5", if_exists="append")
    deck += "thermo 40\nthermo_style custom step f_phases[1]\nrun 49\nreset_timestep 40\n"
    deck += "compute low all reduce min f_phases[1]\n"
    deck += "thermo_style custom step f_phases[1] c_low\nrun 0\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    rows = [line.split() for line in run.text.splitlines() if line.split()[:1] == ["40"]]
    assert rows == [["40", "1"], ["40", "nan", "-1"]]


def test_bins_stay_parts_of_the_box_over_a_restart(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """A box that has grown: the history is continued, and its bins mean what they meant."""
    half = 2 * 4.05  # of the box at the first frame
    analyze = f"profile axis z bins 5 analyze profile name lower axis z bins 3 low 0 high {half}"
    monitor = host.monitor(5, file="phases.h5", if_exists="append", analyze=analyze)
    dump = "dump d all custom 5 d.* id z\ndump_modify d format float %.17g\n"
    deck = crystal(potentials, temperature=300) + monitor + "run 5\nwrite_restart at.25\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    deck = again(potentials) + "change_box all z scale 1.15 boundary p p p remap units box\n"
    run = host.run(tmp_path, deck + monitor + dump + "run 10\n", 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [5, 10, 15]
    for step in (10, 15):
        lines = (tmp_path / f"d.{step}").read_text().splitlines()
        low, high = map(float, lines[7].split()[:2])
        assert high - low == pytest.approx(1.15 * 2 * half)
        z = (np.array([line.split()[1] for line in lines[9:]], float) - low) / (high - low) % 1.0
        for name, ends in (("profile", (0, 1, 6)), ("lower", (0, 0.5, 4))):
            counts = history[f"{name}_count"].sel(step=step).sum("phase").values
            assert counts.tolist() == np.histogram(z, np.linspace(*ends))[0].tolist()
