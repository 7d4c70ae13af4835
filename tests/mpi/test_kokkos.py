# SPDX-License-Identifier: BSD-3-Clause
"""Under LAMMPS' KOKKOS, whose styles may work on other memory than that which a fix on the host reads.

On a host backend with double precision that is one memory; with mixed or single precision
(`tools/lammps_from_source.sh --kokkos=mixed`) it is not, as on a GPU: what is not copied from one to the
other is stale here too.
"""

import itertools
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import FROM_SOURCE, Host, crystal, require
from numpy.typing import NDArray

import insitu
from insitu.models.card import class_codes
from insitu.models.store import load

CLASSES = load("metals").card.classes
CODES = np.array([*class_codes(CLASSES)[:-1], 0])  # by label; the last is that of unknown
OPTIONS = ("-k", "on", "t", "1", "-sf", "kk")
#: Fixes of the host that are in the deck with and without ours. One has data of atoms, which travel by
#: LAMMPS' host code then; and in mixed precision any that is called changes LAMMPS' trajectory by rounding.
HOST_FIXES = 'fix old all store/state 0 xu\nfix quiet all print 20 "." screen no\n'


@cache
def _lacks() -> str:
    if not FROM_SOURCE:
        return "needs a LAMMPS with the package KOKKOS: tools/lammps_from_source.sh --kokkos"
    program = FROM_SOURCE.split()[1]
    known = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    packages = known.partition("Installed packages")[2].partition("* List of")[0]
    return "" if "KOKKOS" in packages.split() else f"{program} has no package KOKKOS"


@pytest.fixture(params=["built", "built-plugin"])
def host(request: pytest.FixtureRequest) -> Host:
    """A LAMMPS with KOKKOS switched on, with either form of the fix."""
    if reason := _lacks():
        pytest.skip(reason)
    found = require(request.param)
    found.options = OPTIONS
    return found


Frame = dict[str, NDArray[np.float64]]


def frames(path: Path) -> dict[int, Frame]:
    """Return the frames of a dump by step: columns sorted by id, and "box" ``(3,)``."""
    found = {}
    for part in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        lines = part.splitlines()
        at = next(k for k, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
        rows = np.array([[float(w) for w in line.split()] for line in lines[at + 1 :]])
        rows = rows[np.argsort(rows[:, 0])]
        box = np.array([[float(w) for w in line.split()] for line in lines[at - 3 : at]])
        names = lines[at].split()[2:]
        frame = dict(zip(names, rows.T, strict=True)) | {"box": box[:, 1] - box[:, 0]}
        found[int(lines[0])] = frame
    return found


def offline(frame: Frame) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return integers of the phases and their probabilities from the dumped positions."""
    r = np.stack([frame[c] for c in "xyz"], axis=1)
    found = insitu.classify(r, frame["box"], True, device="cpu", threads=1)
    return CODES[found.labels], found.confidence


def melting(potentials: Path, temperature: float = 3600.0) -> str:
    """Return the head of a deck of 500 atoms that move far, sorted often."""
    head = crystal(potentials, cells=5, temperature=temperature)
    return head.replace("fix move", "atom_modify sort 4 3.0\nfix move")


DUMP = "dump_modify d format float %.17g sort id\n"


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_what_a_deck_sees(host: Host, potentials: Path, tmp_path: Path, ranks: int) -> None:
    """Columns, groups (one of them dynamic), f_ID, variables: all of the frame that LAMMPS dumps."""
    deck = melting(potentials).replace(
        "fix move",
        "group some id 1:400\nvariable right atom x>8\n"
        "group right dynamic all every 20 var right\nfix move",
    )
    settings = {"labels": "i_phase", "confidence": "d_sure", "groups": "right", "variables": "ph",
                "file": "phases.h5"}  # fmt: skip
    own = "f_phases[1] f_phases[2]" if host.plugin else ""
    printed = "f_phases[1]" if host.plugin else ""
    deck += (
        "fix columns all property/atom i_phase d_sure\nvariable ph_fcc string 0\n"
        "variable fcc equal v_ph_fcc\n" + host.monitor(20, "some", **settings)
        + f"thermo_style custom step v_fcc {printed}\nthermo 20\n"
        + f"dump d all custom 10 dumped id x y z i_phase d_sure {own}\n{DUMP}run 60\n"
    )  # fmt: skip
    if host.plugin:  # LAMMPS does not let them be read between two frames
        deck = deck.replace("custom 10", "custom 20")
    run = host.run(tmp_path, deck, ranks)
    assert run.code == 0, run.text[-3000:]
    assert "KOKKOS mode" in run.text
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [20, 40, 60]
    dumped, seen = frames(tmp_path / "dumped"), []
    for step, frame in dumped.items():
        chosen = frame["id"] <= 400
        if step % 20:
            before = dumped[step - 10]
            for column in ("i_phase", "d_sure"):  # they have travelled with their atoms
                assert (frame[column] == before[column]).all()
            continue
        if not step:
            continue
        codes, sure = offline(frame)
        assert (frame["i_phase"][chosen] == codes[chosen]).all()
        assert np.abs(frame["d_sure"][chosen] - sure[chosen]).max() < 1e-5
        assert (frame["i_phase"][~chosen] == -1).all()
        if host.plugin:
            assert (frame["f_phases[1]"] == frame["i_phase"]).all()
            assert np.abs(frame["f_phases[2]"] - frame["d_sure"]).max() < 1e-6
        right = chosen & (frame["x"] > 8)
        for part, of in (
            (chosen, history["count"]),
            (right, history["count_by_group"].sel(group="right")),
        ):
            found = of.sel(step=step)
            fcc = CODES[CLASSES.index("fcc")]
            assert int(found.sum()) == int(part.sum())
            assert int(found.sel(phase="fcc")) == int((codes[part] == fcc).sum())
        seen.append(codes)
    assert any((a != b).any() for a, b in itertools.pairwise(seen))  # else nothing is shown


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_same_as_without_kokkos(
    host: Host, potentials: Path, tmp_path: Path, ranks: int
) -> None:
    """Over the steps that rounding leaves alone, also in single precision."""
    deck = melting(potentials) + "fix columns all property/atom i_phase\n"
    deck += host.monitor(10, labels="i_phase", file="phases.h5")
    deck += f"dump d all custom 10 dumped id x y z i_phase\n{DUMP}run 20\n"
    found = []
    for name, options in (("kokkos", OPTIONS), ("plain", ())):
        folder, host.options = tmp_path / name, options
        folder.mkdir()
        run = host.run(folder, deck, ranks)
        assert run.code == 0, run.text[-3000:]
        assert ("KOKKOS mode" in run.text) == bool(options)
        history = insitu.open(str(folder / "phases.h5"))
        found.append((frames(folder / "dumped"), history["count"].values))
    (a, counts), (b, others) = found
    for step in (10, 20):
        apart = max(float(np.abs(a[step][c] - b[step][c]).max()) for c in "xyz")
        assert apart < 1e-4  # [Å] no atom has crossed the box meanwhile
        assert (a[step]["i_phase"] == b[step]["i_phase"]).mean() > 0.99
    assert np.abs(counts - others).sum() <= 4


def test_the_trajectory_is_that_without_the_analysis(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """Bit by bit, over re-neighbourings: what the host has read is not written back changed."""
    finals = []
    for name in ("with", "without"):
        folder = tmp_path / name
        folder.mkdir()
        deck = (
            melting(potentials, 2400)
            + "fix columns all property/atom i_phase d_sure\n"
            + HOST_FIXES
        )
        if name == "with":
            deck += host.monitor(20, labels="i_phase", confidence="d_sure")
        deck += "run 120\nwrite_dump all custom final id x y z vx vy vz "
        deck += "modify sort id format float %.17g\n"
        run = host.run(folder, deck, 2)
        assert run.code == 0, run.text[-3000:]
        assert int(run.text.partition("Neighbor list builds = ")[2].split()[0]) >= 1
        finals.append((folder / "final").read_text())
    assert finals[0] == finals[1]


def test_columns_outlive_what_kokkos_does_with_them(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """A further column has KOKKOS bring all columns from its own memory.

    No new neighbour list comes in between: with one LAMMPS takes all data from the host.
    """
    deck = melting(potentials) + "neigh_modify delay 100\n"
    deck += "fix columns all property/atom i_phase d_sure\n"
    deck += host.monitor(20, labels="i_phase", confidence="d_sure")
    dump = "write_dump all custom {} id x y z i_phase d_sure modify sort id format float %.17g\n"
    deck += "run 20\n" + dump.format("before")
    deck += "fix more all property/atom d_more\n" + dump.format("after")
    deck += "run 10\n" + dump.format("later")
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    before, after, later = (
        next(iter(frames(tmp_path / name).values())) for name in ("before", "after", "later")
    )
    codes, sure = offline(before)
    assert (before["i_phase"] == codes).all()
    assert np.abs(before["d_sure"] - sure).max() < 1e-5
    for frame in (after, later):
        assert (frame["i_phase"] == before["i_phase"]).all()
        assert (frame["d_sure"] == before["d_sure"]).all()


def test_restart(host: Host, potentials: Path, tmp_path: Path) -> None:
    lines = host.monitor(10, file="phases.h5", if_exists="append")
    run = host.run(tmp_path, melting(potentials) + lines + "restart 20 at.*\nrun 40\n", 2)
    assert run.code == 0, run.text[-3000:]
    first = insitu.open(str(tmp_path / "phases.h5"))
    kept = ("pair_", "comm_", "thermo", "fix")
    again = "".join(x for x in melting(potentials).splitlines(keepends=True) if x.startswith(kept))
    deck = "units metal\nread_restart at.20\n" + again + lines
    deck += f"dump d all custom 10 dumped id x y z\n{DUMP}run 20\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [10, 20, 30, 40]
    old = first["temperature"].sel(step=[30, 40]).values
    assert np.abs(history["temperature"].sel(step=[30, 40]).values / old - 1).max() < 1e-4
    fcc = CODES[CLASSES.index("fcc")]
    for step in (30, 40):
        codes, _ = offline(frames(tmp_path / "dumped")[step])
        assert int(history["count"].sel(step=step, phase="fcc")) == int((codes == fcc).sum())


def test_the_first_frame_and_a_minimisation(host: Host, potentials: Path, tmp_path: Path) -> None:
    """The frame of a run's first step, after the host or the device has moved the atoms."""
    if not host.plugin:
        pytest.skip("LAMMPS does not call fix python/invoke there")
    deck = melting(potentials) + host.monitor(10, first="yes", file="phases.h5")
    deck += "displace_atoms all random 0.25 0.25 0.25 77\n"
    dump = "write_dump all custom {} id x y z modify sort id format float %.17g\n"
    deck += "run 0\n" + dump.format("at.0") + "run 20\nminimize 0 1e-3 3 30\nrun 0\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    codes, _ = offline(next(iter(frames(tmp_path / "at.0").values())))
    fcc = CODES[CLASSES.index("fcc")]
    assert int(history["count"].sel(step=0, phase="fcc")) == int((codes == fcc).sum())
