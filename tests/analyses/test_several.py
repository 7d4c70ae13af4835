# SPDX-License-Identifier: BSD-3-Clause
"""Several files as one: a run that was restarted, an ensemble; and xarray's own way to open one."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from histories import append, create, melting
from small_histories import CODES, OBSERVABLES, PROVENANCE, frame, written
from small_histories import create as create_small

import insitu
from insitu.errors import HistoryError, SettingError
from insitu.history.datasets import average
from insitu.history.xarray_backend import HistoryBackend


def test_restarted_runs_join_and_the_later_one_wins(tmp_path: Path) -> None:
    first = melting(tmp_path / "b.h5", range(0, 310, 10), date="2026-11-21T10:00:00+0000")
    second = melting(
        tmp_path / "a.h5", range(200, 510, 10), melts_at=400.0, date="2026-11-21T12:30:00+0100"
    )
    whole = insitu.open([second, first])  # the order is that of the dates
    assert whole.step.values.tolist() == list(range(0, 510, 10))
    one, two = insitu.open(first), insitu.open(second)
    early, late = whole.sel(step=slice(0, 190)), whole.sel(step=slice(200, None))
    assert early.fraction.equals(one.fraction.sel(step=slice(0, 190)))
    assert late.equals(two)
    assert not late.fraction.sel(step=300).equals(one.fraction.sel(step=300))
    assert whole.time.attrs["units"] == "ps"
    assert whole["count"].dtype == np.int64
    assert json.loads(whole.attrs["files"]) == [str(first), str(second)]
    assert whole.attrs["atoms"] == 1000  # the same in both
    assert json.loads(whole.attrs["date"])[0] == "2026-11-21T10:00:00+0000"


def test_notes_of_replaced_frames_go(tmp_path: Path) -> None:
    for name, steps, note in (("a", range(0, 100, 10), 95), ("b", range(50, 150, 10), 145)):
        history = create(tmp_path / f"{name}.h5")
        for step in steps:
            append(history, step)
        history.note_disabled(note, f"reason {name}")
        history.close()
    whole = insitu.open(str(tmp_path / "?.h5"))
    assert [n["step"] for n in json.loads(whole.attrs["disabled"])] == [145]
    runs = insitu.open([tmp_path / "a.h5", tmp_path / "b.h5"], ensemble=True)
    assert [(n["step"], n["run"]) for n in json.loads(runs.attrs["disabled"])] == [
        (95, "a"), (145, "b"),
    ]  # fmt: skip


def test_a_pattern_sorts_by_number(tmp_path: Path) -> None:
    for number in (10, 9, 8):
        melting(tmp_path / f"p_{number}.h5", range(10 * number, 10 * number + 15, 5))
    whole = insitu.open(str(tmp_path / "p_*.h5"))
    assert [Path(f).stem for f in json.loads(whole.attrs["files"])] == ["p_8", "p_9", "p_10"]
    assert whole.step.values.tolist() == list(range(80, 115, 5))


def test_an_ensemble_has_the_steps_that_all_runs_have(tmp_path: Path) -> None:
    for name, end, at in (("one", 410, 200.0), ("two", 300, 100.0), ("three", 410, 150.0)):
        (tmp_path / name).mkdir()
        melting(tmp_path / name / "phases.h5", range(0, end, 10), melts_at=at)
    runs = insitu.open(str(tmp_path / "*" / "phases.h5"), ensemble=True)
    assert runs.run.values.tolist() == ["one", "three", "two"]  # what their names differ in
    assert runs.fraction.dims == ("run", "step", "phase")
    assert runs.step.values.tolist() == list(range(0, 300, 10))
    assert runs.time.dims == ("step",)
    assert runs.fraction.attrs == {"long_name": "fraction of the atoms"}
    single = insitu.open(tmp_path / "two" / "phases.h5")
    assert runs.fraction.sel(run="two").drop_vars("run").equals(single.fraction)
    mean = average(runs)
    fcc = runs.fraction.sel(phase="fcc", step=150).values
    assert float(mean.fraction.sel(phase="fcc", step=150)) == pytest.approx(fcc.mean())
    error = float(mean.standard_error.sel(phase="fcc", step=150))
    assert error == pytest.approx(fcc.std(ddof=1) / np.sqrt(3))
    assert mean.temperature.attrs["units"] == "K"
    assert average(single) is single


def test_runs_with_time_steps_of_their_own(tmp_path: Path) -> None:
    written(tmp_path / "a.h5", range(3))
    history = create_small(tmp_path / "b.h5")
    for step in range(3):
        history.append(step, 0.25 * step, frame(step))
    history.close()
    runs = insitu.open([tmp_path / "a.h5", tmp_path / "b.h5"], ensemble=True)
    assert runs.time.dims == ("run", "step")
    assert runs.time.values.tolist() == [[0, 0.5, 1.0], [0, 0.25, 0.5]]
    assert average(runs).time.values.tolist() == [0, 0.375, 0.75]


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    small = {"provenance": PROVENANCE, "codes": CODES}
    for name, more in (
        ("a", {}), ("same", {}), ("late", {}), ("units", {"time_unit": "fs"}),
        ("classes", {"classes": ["bcc", "hcp", "unknown"]}),
        ("threshold", {"provenance": {**PROVENANCE, "threshold": 0.9}}),
        ("fewer", {"observables": OBSERVABLES[:3]}),
    ):  # fmt: skip
        observables = more.pop("observables", OBSERVABLES)
        history = create_small(tmp_path / f"{name}.h5", observables, **{**small, **more})
        for step in range(5, 8) if name == "late" else range(3):
            paths = {o.path for o in observables}
            history.append(step, 0.5 * step, {k: v for k, v in frame(step).items() if k in paths})
        history.close()
    a = tmp_path / "a.h5"
    for other, several, message in (
        ("same", False, "nothing would be left of .*a.h5.* as an ensemble"),
        ("units", False, "has time unit fs, and .* has ps"),
        ("classes", True, r"has phases \['bcc', .*, and .* has \['fcc'"),
        ("threshold", False, "has threshold 0.9, and .* has none"),
        ("fewer", True, r"has observables none, and .*'pressure \[\] bar'"),
        ("late", True, "no analysed step in common .*'.*a.h5' 0 to 2, .* 5 to 7"),
    ):
        with pytest.raises(HistoryError, match=message):
            insitu.open([a, tmp_path / f"{other}.h5"], ensemble=several)
    assert insitu.open([a, tmp_path / "late.h5"]).step.values.tolist() == [0, 1, 2, 5, 6, 7]
    with pytest.raises(SettingError, match=r"no file matches '.*x\*\.h5'"):
        insitu.open(str(tmp_path / "x*.h5"))
    with pytest.raises(SettingError, match="is given twice"):
        insitu.open([a, a])
    with pytest.raises(SettingError, match="no file is given"):
        insitu.open([])


def test_a_continued_file_tells_of_every_run(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", range(5))
    more = {"provenance": {**PROVENANCE, "ranks": 8}, "if_exists": "append", "first_step": 5}
    written(path, range(5, 7), **more)
    attrs = insitu.open(path).attrs
    assert attrs["ranks"] == 4
    assert [run["ranks"] for run in json.loads(attrs["continued"])] == [8]


def test_pandas(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5"))
    table = history[["temperature", "potential_energy"]].to_dataframe()
    assert table.loc[100, "temperature"] == 500.0
    assert history.fraction.to_pandas().loc[400, "disordered"] > 0.9
    assert history.to_dataframe().index.names == ["step", "phase"]


def test_xarray_opens_a_history_by_the_name_of_the_engine(tmp_path: Path) -> None:
    path = melting(tmp_path / "a.h5")
    if "insitu" not in xarray.backends.list_engines():
        pytest.fail("the entry point xarray.backends is not installed; install insitu again")
    found = xarray.open_dataset(path, engine="insitu", drop_variables="count")
    assert found.equals(insitu.open(path).drop_vars("count"))
    assert found.attrs == insitu.open(path).attrs
    with pytest.raises(HistoryError, match="does not exist"):
        xarray.open_dataset(tmp_path / "b.h5", engine="insitu")


def test_the_backend_leaves_other_files_alone(tmp_path: Path) -> None:
    backend = HistoryBackend()
    path = melting(tmp_path / "a.h5", range(0, 20, 10))
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "log.lammps").write_text("LAMMPS")
    assert backend.guess_can_open(path)
    assert backend.guess_can_open(os.fspath(path))
    for other in ("plain.h5", "log.lammps", "missing.h5", ""):
        assert not backend.guess_can_open(tmp_path / other)
    with path.open("rb") as stream:
        assert not backend.guess_can_open(stream)
    assert not backend.guess_can_open("https://example.org/a.nc")
    assert backend.open_dataset(path).equals(insitu.open(path))
    shutil.copy(path, tmp_path / "b[1].h5")  # a name that is no pattern
    assert insitu.open(tmp_path / "b[1].h5").equals(insitu.open(path))
    assert re.search("insitu", backend.description)
