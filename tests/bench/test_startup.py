# SPDX-License-Identifier: BSD-3-Clause
"""insitu bench --startup and --memory: the measurements themselves, and what they have to show."""

import json
import subprocess
import sys

import pytest

from insitu.bench import memory, startup
from insitu.cli import command as cli
from insitu.errors import SettingError


def loaded(stage: str) -> set[str]:
    """Return the modules that a stage of the start has loaded."""
    code = startup.STAGES[stage] + "\nimport sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_a_rank_loads_neither_torch_nor_hdf5() -> None:
    modules = loaded("a rank with metals")
    assert {"insitu.pipeline.pipeline", "insitu._kernels", "mpi4py.MPI"} <= modules
    assert not modules & {"torch", "h5py", "xarray", "importlib.metadata", "email", "subprocess"}


def test_startup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    few = {k: startup.STAGES[k] for k in ("python alone", "a rank with metals")}
    monkeypatch.setattr(startup, "STAGES", few)
    assert cli.main(["bench", "--startup", "--ranks", "2", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "start of 2 processes at once" in text
    found = {name: startup.measure(name, repeats=1) for name in few}
    bare, rank = found["python alone"], found["a rank with metals"]
    assert 0 < bare.seconds < rank.seconds
    assert bare.own <= bare.resident < rank.resident < 80  # numpy, mpi4py, kernels, the model
    if rank.accesses is not None and bare.accesses is not None:
        assert 3 * bare.accesses < rank.accesses < 2500


def test_memory_formula_agrees_with_what_the_arrays_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two instruments: resident memory of the process, and NumPy's arrays with the cell list."""
    small, large = (memory._apart(n, "metals") for n in (30_000, 120_000))
    owned = large.owned - small.owned
    resident = (large.resident - small.resident) / owned
    arrays = max((b.peak - a.peak) / owned for a, b in zip(small.stages, large.stages, strict=True))
    assert 0.9 < resident / arrays < 1.3
    assert resident < 900  # the page's figure and some room
    text = memory.format_table(small, large, "metals")
    assert f"MiB + {resident:.0f} bytes · owned atoms" in text


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(SettingError, match="--atoms 100 is too few"):
        memory.run(cli.parser().parse_args(["bench", "--memory", "--atoms", "100"]))
    with pytest.raises(SettingError, match="--ranks 0 is not usable"):
        startup.run(cli.parser().parse_args(["bench", "--startup", "--ranks", "0"]))
