# SPDX-License-Identifier: BSD-3-Clause
"""A failure on any rank at any stage ends the run with a message: no hang, no harm to the file."""

from pathlib import Path

import pytest
from conftest import SPY, Host, crystal

import insitu

# where, on which rank, what the message has, frames that have to be in the history
FAULTS = [
    ("import", "1", "injected fault", 0),
    ("load", "1", "injected fault", 0),
    ("frame", "1", "injected fault", 1),
    ("analysis", "1", "injected fault", 1),
    ("analysis", "all", "injected fault", 1),
    ("collective", "1", "injected fault", 1),
    ("write", "0", "injected fault", 1),
]
# Three ranks, one of which owns no atoms of the small sample, in the full suite.
CASES = [pytest.param(*f, 2, id=f"{f[0]}-{f[1]}-n2") for f in FAULTS] + [
    pytest.param(
        *f, 3, id=f"{f[0]}-{f[1]}-n3", marks=() if f[0] == "analysis" else pytest.mark.full
    )
    for f in FAULTS
]


@pytest.mark.parametrize(("where", "rank", "message", "frames", "ranks"), CASES)
def test_fault_ends_the_run(
    host: Host, potentials: Path, tmp_path: Path,
    where: str, rank: str, message: str, frames: int, ranks: int,
) -> None:  # fmt: skip
    deck = crystal(potentials) + host.monitor(10, file="phases.h5") + "run 1000\n"
    run = host.run(
        tmp_path, deck, ranks, seconds=300,
        environment={"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": f"{where}:{rank}"},
    )  # fmt: skip
    assert run.code != 0
    assert message in run.text
    if frames:
        history = insitu.open(str(tmp_path / "phases.h5"))
        # In a collective stage rank 0 may be done with its part when the other rank fails.
        complete = [10, 20] if where == "collective" else [10]
        assert history["step"].values.tolist() in ([10], complete)
    else:
        assert not (tmp_path / "phases.h5").exists()


def test_agreed_error_is_printed_once(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials) + host.monitor(10, model="mettals") + "run 100\n"
    run = host.run(tmp_path, deck, 3, seconds=300)
    assert run.code != 0
    assert run.text.count("is neither a shipped model") == 1
    assert "Did you mean 'metals'?" in run.text
    assert "Traceback" not in run.text
