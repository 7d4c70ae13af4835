# SPDX-License-Identifier: BSD-3-Clause
"""What a deck sees of the analysis: columns, f_ID, variables, groups, types; and what it may not see."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Host, crystal, require
from numpy.typing import NDArray

import insitu
from insitu.models.card import class_codes
from insitu.models.store import load

CLASSES = load("metals").card.classes
CODES = dict(zip([*CLASSES, "unknown"], class_codes(CLASSES), strict=True))


def dumps(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a dump of one frame sorted by id, and the lengths of its box."""
    lines = path.read_text().splitlines()
    box = np.array([[float(x) for x in line.split()] for line in lines[5:8]])
    rows = np.array([[float(x) for x in line.split()] for line in lines[9:]])
    return rows[np.argsort(rows[:, 0])], box[:, 1] - box[:, 0]


def thermo(text: str) -> dict[int, list[float]]:
    """Return the rows of thermo output, by step."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].isdigit() and re.fullmatch(r"[-+.\dena\s]+", line):
            found[int(words[0])] = [float(w) for w in words[1:]]
    return found


@pytest.mark.parametrize(
    "ranks", [2, pytest.param(1, marks=pytest.mark.full), pytest.param(3, marks=pytest.mark.full)]
)
def test_labels_fractions_groups_and_types(
    host: Host, potentials: Path, tmp_path: Path, ranks: int
) -> None:
    """A melting crystal, half of which is analysed, with the atoms sorted every other step."""
    plugin = host.plugin
    deck = crystal(potentials, cells=5, temperature=3600).replace(
        "fix move",
        "atom_modify sort 2 3.0\nset type 1 type/fraction 2 0.3 11\ngroup some id 1:300\n"
        "group left id 101:200\ngroup both id 150:400\nfix move",
    )
    deck = deck.replace("create_box 1", "create_box 2").replace(
        "Al_mm.eam.fs Al", "Al_mm.eam.fs Al Al"
    )
    settings = {"labels": "i_phase", "confidence": "d_sure", "groups": "left,both",
                "types": "yes", "variables": "ph", "file": "phases.h5"}  # fmt: skip
    lines = (
        "fix columns all property/atom i_phase d_sure\nvariable ph_fcc string 0\n"
        "variable fcc equal v_ph_fcc\ncompute phase all property/atom i_phase\n"
        "compute mean all reduce ave c_phase\n" + host.monitor(20, "some", **settings)
    )
    if plugin:
        lines += (
            "compute twice all reduce ave f_phases[1]\n"
            "thermo_style custom step v_fcc c_mean c_twice f_phases[1] f_phases[2][1] f_phases[5][1]\n"
            "dump f all custom 20 f.* id f_phases[1] f_phases[2]\n"
            "dump_modify f format float %.17g\n"
        )
    else:
        lines += "thermo_style custom step v_fcc c_mean\n"
    lines += (
        "thermo 20\ndump d all custom 20 d.* id type x y z i_phase d_sure\n"
        "dump_modify d format float %.17g\nrun 100\n"
    )
    run = host.run(tmp_path, deck + lines, ranks)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [20, 40, 60, 80, 100]
    printed = thermo(run.text)
    seen = set()
    for step in history["step"].values.tolist():
        atoms, box = dumps(tmp_path / f"d.{step}")
        chosen = atoms[:, 0] <= 300
        # An independent way to the labels: the dumped positions, offline.
        offline = insitu.classify(atoms[:, 2:5], box, True)
        expected = np.array([*(CODES[c] for c in CLASSES), 0])[offline.labels]
        assert (atoms[chosen, 5] == expected[chosen]).all()
        assert np.abs(atoms[chosen, 6] - offline.confidence[chosen]).max() < 1e-5
        assert (atoms[~chosen, 5] == -1).all()
        seen |= set(expected[chosen].tolist())
        frame = history.sel(step=step)
        parts = {
            "all": chosen,
            "left": chosen & (atoms[:, 0] > 100) & (atoms[:, 0] <= 200),
            "both": chosen & (atoms[:, 0] >= 150),
            1: chosen & (atoms[:, 1] == 1),
            2: chosen & (atoms[:, 1] == 2),
        }
        for name, part in parts.items():
            counted = [int((atoms[part, 5] == CODES[p]).sum()) for p in history["phase"].values]
            if name == "all":
                found = frame["count"]
            elif isinstance(name, str):
                found = frame["count_by_group"].sel(group=name)
            else:
                found = frame["count_by_type"].sel(type=name)
            assert found.values.tolist() == counted
        assert np.allclose(frame["fraction_by_type"].sum("phase"), 1.0)
        fcc = float(frame["fraction"].sel(phase="fcc"))
        assert np.allclose(printed[step][:2], [fcc, atoms[:, 5].mean()], rtol=1e-6)
        if plugin:
            own, _ = dumps(tmp_path / f"f.{step}")
            assert (own[:, 1:] == atoms[:, 5:]).all()
            left = float(frame["fraction_by_group"].sel(group="left", phase="fcc"))
            second = float(frame["fraction_by_type"].sel(type=2, phase="fcc"))
            assert np.allclose(
                printed[step][2:], [atoms[:, 5].mean(), fcc, left, second], rtol=1e-6
            )
    assert len(seen) > 1  # labels that are all the same would prove nothing


def test_plugin_before_its_first_frame_and_at_other_steps(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    head = crystal(potentials) + host.monitor(10)
    deck = head + "thermo_style custom step f_phases[1]\nthermo 10\nrun 10\nrun 0\nrun 10\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    rows = re.findall(r"^\s*(\d+)\s+(nan|[\d.]+)\s*$", run.text, re.M)
    assert rows[0][1] == "nan"
    assert {value for step, value in rows if step != "0"} == {"1"}
    assert "f_phases: [1] fcc, [2] bcc" in run.text
    assert run.text.count("insitu: fractions in f_phases") == 1
    # The last step of a run is printed too; no fractions of another step there.
    deck = head + "thermo_style custom step f_phases[1]\nthermo 10\nrun 25\n"
    deck += "print 'now $(f_phases[1])'\n"
    run = host.run(tmp_path, deck.replace("insitu 10", "insitu 10 if_exists overwrite"), 2)
    assert run.code == 0, run.text[-3000:]
    assert thermo(run.text)[20] == [1.0]
    assert np.isnan(thermo(run.text)[25]).all()
    assert "\nnow 1\n" in run.text
    bad = head + "thermo_style custom step f_phases[1]\nthermo 5\nrun 10\n"
    run = host.run(tmp_path, bad.replace("insitu 10", "insitu 10 if_exists overwrite"), 2)
    assert run.code != 0
    assert "not computed at compatible times" in run.text


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        (
            "wheel",
            {"labels": "i_phase"},
            ["no column 'i_phase'", "fix columns all property/atom i_phase"],
        ),
        ("debian", {"variables": "ph"}, ["defines none of ph_fcc", "variable ph_fcc string 0"]),
        (
            "debian",
            {"groups": "left,rihgt"},
            ["group 'rihgt' is not defined", "Did you mean 'right'?"],
        ),
    ],
)
def test_what_the_deck_lacks_is_named(
    potentials: Path, tmp_path: Path, name: str, settings: dict[str, object], expected: list[str]
) -> None:
    host = require(name)
    deck = crystal(potentials).replace(
        "fix move", "group left id 1:9\ngroup right id 9:20\nfix move"
    )
    run = host.run(tmp_path, deck + host.monitor(10, **settings) + "run 20\n", 2, seconds=300)
    assert run.code != 0
    for text in expected:
        assert text in run.text, run.text[-3000:]


def test_fix_halt_on_a_fraction(host: Host, potentials: Path, tmp_path: Path) -> None:
    """The run ends at the step at which half of the crystal is gone."""
    deck = crystal(potentials, temperature=6000) + (
        "variable ph_fcc string 1\nvariable fcc equal v_ph_fcc\n"
        + host.monitor(20, file="phases.h5", variables="ph")
        + "fix stop all halt 20 v_fcc < 0.5 error continue message yes\nrun 2000\n"
    )
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    fcc = insitu.open(str(tmp_path / "phases.h5"))["fraction"].sel(phase="fcc").values
    assert fcc[-1] < 0.5
    assert (fcc[:-1] >= 0.5).all()
    assert len(fcc) < 100
