# SPDX-License-Identifier: BSD-3-Clause
"""SIGTERM on one rank ends the run on all of them at that frame, and the deck goes on."""

from pathlib import Path

import pytest
from conftest import SPY, Host, Run, crystal, require

import insitu

#: A second run that has to be skipped, and a restart file that has to be written.
TAIL = 'run 100\nprint "behind $(step)"\nwrite_restart at.end\nrun 50\nprint "at last $(step)"\n'


def run(
    host: Host, potentials: Path, folder: Path, rank: int, tail: str = TAIL, **more: object
) -> Run:
    """Run a deck of which one rank gets SIGTERM at step 20."""
    deck = crystal(potentials) + host.monitor(10, file="phases.h5", **more) + tail
    return host.run(
        folder, deck, 2, seconds=60,
        environment={"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": f"sigterm:{rank}"},
    )  # fmt: skip


@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.full)])
def test_the_run_ends_and_the_deck_goes_on(
    host: Host, potentials: Path, tmp_path: Path, rank: int
) -> None:
    done = run(host, potentials, tmp_path, rank)
    assert done.code == 0, done.text[-3000:]
    assert done.text.count("SIGTERM: the run ends at step 20") == 1
    assert "behind 20\n" in done.text
    assert "at last 20\n" in done.text
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10, 20]
    # What was written is a restart file of that step, and the history goes on from there.
    lines = crystal(potentials).splitlines(keepends=True)
    kept = [x for x in lines if x.startswith(("pair_", "comm_", "thermo", "fix"))]
    deck = "units metal\nread_restart at.end\n" + "".join(kept)
    deck += host.monitor(10, file="phases.h5", if_exists="append") + "run 20\n"
    again = host.run(tmp_path, deck, 2)
    assert again.code == 0, again.text[-3000:]
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10, 20, 30, 40]


def test_die(potentials: Path, tmp_path: Path) -> None:
    """With `on_sigterm die` it is as without insitu."""
    done = run(require("wheel"), potentials, tmp_path, 1, on_sigterm="die")
    assert done.code != 0
    assert "behind" not in done.text
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10]


def test_sigterm_kills_again_behind_unfix(potentials: Path, tmp_path: Path) -> None:
    """Nobody would read the note: the signal is not swallowed."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="phases.h5") + "run 10\nunfix phases\n"
    # The shell's parent is the lmp process of rank 0.
    deck += 'run 10\nshell "kill -TERM $PPID; sleep 1"\nrun 10\nprint "survived"\n'
    done = host.run(tmp_path, deck, 1)
    assert done.code != 0
    assert "survived" not in done.text
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10]
