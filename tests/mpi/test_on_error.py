# SPDX-License-Identifier: BSD-3-Clause
"""`on_error disable`: the simulation goes on, the history says from which step and why."""

import json
import re
from pathlib import Path

import pytest
from conftest import SPY, Host, crystal, require

import insitu
from insitu.history.elements import opened


def noted(path: Path) -> list[dict[str, object]]:
    """Return what a history says of disabled analyses."""
    found: list[dict[str, object]] = json.loads(insitu.open(str(path)).attrs["disabled"])
    return found


@pytest.mark.parametrize(
    ("where", "rank", "ranks"),
    [
        ("analysis", "1", 2),
        pytest.param("frame", "1", 3, marks=pytest.mark.full),
        pytest.param("write", "0", 2, marks=pytest.mark.full),
        pytest.param("collective", "0", 1, marks=pytest.mark.full),
    ],
)
def test_the_simulation_goes_on(
    host: Host, potentials: Path, tmp_path: Path, where: str, rank: str, ranks: int
) -> None:
    deck = crystal(potentials) + (
        "fix columns all property/atom i_phase d_sure\nvariable ph_fcc string 0\n"
        "variable fcc equal v_ph_fcc\nthermo_style custom step temp v_fcc\n"
        + host.monitor(10, file="phases.h5", on_error="disable", labels="i_phase",
                       confidence="d_sure", variables="ph")
        + "dump d all custom 10 d.* id i_phase d_sure\nrun 40\nrun 10\n"
    )  # fmt: skip
    if host.plugin:
        style = "thermo_style custom step temp v_fcc f_phases[1]\n"
        deck = deck.replace("dump d all", style + "dump d all")
    run = host.run(
        tmp_path, deck, ranks, seconds=300,
        environment={"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": f"{where}:{rank}"},
    )  # fmt: skip
    assert run.code == 0, run.text[-3000:]
    assert run.text.count("the analysis is disabled from step 20 on") == 1
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [10]
    (note,) = noted(tmp_path / "phases.h5")
    assert note["step"] == 20
    assert "injected fault" in str(note["reason"])
    # Nothing of the last good frame lingers on as if it were of today.
    rows = {int(x.split()[0]): x.split() for x in run.text.splitlines() if x.split()[:1] != []
            and x.split()[0].isdigit() and len(x.split()) in (3, 4)}  # fmt: skip
    assert rows[10][2] == "1"
    assert rows[50][2] == "-1"
    if host.plugin:
        assert [rows[10][3], rows[50][3]] == ["1", "nan"]
    last = [line.split() for line in (tmp_path / "d.50").read_text().splitlines()[9:]]
    assert {tuple(row[1:]) for row in last} == {("-1", "0")}


def test_the_first_frame_fails(potentials: Path, tmp_path: Path) -> None:
    """A ghost cutoff that gets too short: a history without frames that says why."""
    host = require("wheel")
    head = re.sub(
        "pair_style.*\n.*", "mass 1 27\npair_style lj/cut 4\npair_coeff * * 0.1 2.7",
        crystal(potentials, cutoff=""),
    )  # fmt: skip
    deck = head + host.monitor(
        10, file="phases.h5", model="crystals-cnn", on_error="disable", ghosts="ask"
    )
    deck += "run 20\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    with opened(tmp_path / "phases.h5") as file:
        (note,) = json.loads(file["parameters/insitu"].attrs["disabled"])
    assert note["step"] == 0
    assert "comm_modify cutoff" in note["reason"]
    with pytest.raises(insitu.InsituError, match=r"(?s)from step 0 on: .*comm_modify"):
        insitu.open(str(tmp_path / "phases.h5"))


def test_a_run_that_continues_it_clears_the_note(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="a.h5", on_error="disable")
    fault = {"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "analysis:all"}
    run = host.run(tmp_path, deck + "run 30\n", 2, environment=fault)
    assert run.code == 0, run.text[-3000:]
    assert [n["step"] for n in noted(tmp_path / "a.h5")] == [20]
    deck = crystal(potentials) + host.monitor(10, file="a.h5", if_exists="append")
    run = host.run(tmp_path, deck + "run 30\n", 2)  # the same simulation anew, from step 0
    assert run.code == 0, run.text[-3000:]
    assert insitu.open(str(tmp_path / "a.h5"))["step"].values.tolist() == [10, 20, 30]
    assert noted(tmp_path / "a.h5") == []


def test_a_line_that_is_wrong_stops_where_it_stands(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, model="mettals", on_error="disable")
    run = host.run(tmp_path, deck + "print 'went on'\nrun 10\n", 2)
    assert run.code != 0
    assert "Did you mean 'metals'?" in run.text
    assert "\nwent on" not in run.text


def test_first_call_of_python_invoke_fails(potentials: Path, tmp_path: Path) -> None:
    host = require("debian")
    deck = crystal(potentials) + host.monitor(10, model="mettals", on_error="disable")
    run = host.run(tmp_path, deck + "run 20\nprint 'went on'\n", 2)
    assert run.code == 0, run.text[-2000:]
    assert "\nwent on" in run.text
    assert run.text.count("the analysis is disabled, the simulation goes on") == 1


def test_what_is_not_ours_is_left_alone(potentials: Path, tmp_path: Path) -> None:
    """Somebody puts another file in the place of the history: the note does not go there."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="a.h5", on_error="disable")
    (tmp_path / "other").write_bytes(b"somebody's results")
    run = host.run(tmp_path, deck + "run 20\nshell mv other a.h5\nrun 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert "disabled from step 30 on" in run.text
    assert "this is not in the history" in run.text
    assert (tmp_path / "a.h5").read_bytes() == b"somebody's results"


@pytest.mark.parametrize("if_exists", ["overwrite", "append"])
def test_a_failure_before_the_first_frame_keeps_the_old_history(
    potentials: Path, tmp_path: Path, if_exists: str
) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="a.h5") + "run 20\n"
    assert host.run(tmp_path, deck, 1).code == 0
    bad = host.monitor(10, file="a.h5", if_exists=if_exists, on_error="disable", labels="i_nowhere")
    run = host.run(tmp_path, crystal(potentials) + bad + "run 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    assert "no column 'i_nowhere'" in run.text
    assert insitu.open(str(tmp_path / "a.h5"))["step"].values.tolist() == [10, 20]
    if if_exists == "append":
        assert len(noted(tmp_path / "a.h5")) == 1
    else:
        assert "is of an earlier run and is kept" in run.text


def test_results_are_blanked_though_a_column_is_gone(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + "fix cols all property/atom i_phase\n"
    deck += host.monitor(10, file="a.h5", on_error="disable", labels="i_phase")
    deck += "compute low all reduce min f_phases[1]\nthermo_style custom step f_phases[1] c_low\n"
    run = host.run(tmp_path, deck + "run 20\nunfix cols\nrun 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    rows = re.findall(r"^\s*(\d+)\s+(\S+)\s+(-?\d)\s*$", run.text, re.M)
    assert ("20", "1", "1") in rows
    assert ("30", "nan", "-1") in rows
