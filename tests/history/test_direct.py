# SPDX-License-Identifier: BSD-3-Clause
"""Frames that are written without HDF5 are the ones that HDF5 writes, also in what a kill leaves behind."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import insitu
from insitu.analyses.base import Observable
from insitu.errors import HistoryError
from insitu.history.check import check_file
from insitu.history.elements import opened
from insitu.history.integrity import half_written
from insitu.history.writing import direct
from insitu.history.writing.writer import Series

CLASSES = ["fcc", "bcc", "unknown"]
OBSERVABLES = [
    Observable("phases/fraction", (3,), "f8", "", "fractions"),
    Observable("phases/count", (3,), "i8", "", "counts"),
    Observable("wide/table", (2, 5, 3), "f4", "", "a table", axes=()),
    Observable("thermo/temperature", (), "f8", "K", "temperature"),
]


def made(path: Path, **more: Any) -> Series:
    return Series.create(
        path, OBSERVABLES, time_unit="ps", provenance={"model": "m"}, classes=CLASSES,
        codes=[1, 2, 0], **more,
    )  # fmt: skip


def frame(k: int) -> dict[str, Any]:
    rng = np.random.default_rng(k)
    values = {o.path: (100 * rng.random(o.shape)).astype(o.dtype) for o in OBSERVABLES}
    count = values["phases/count"] + 1
    return values | {"phases/count": count, "phases/fraction": count / count.sum()}


def test_the_file_is_the_same(tmp_path: Path) -> None:
    """Over two chunks, as HDF5 reads it; and as long."""
    paths = [tmp_path / "direct.h5", tmp_path / "hdf5.h5"]
    for path in paths:
        series = made(path)
        series.direct = path is paths[0]
        for k in range(70):
            series.append(10 * k, 0.5 * k, frame(k))
            assert series.direct is False or k % 64 == 0 or series._places is not None
        series.close()
        assert check_file(path) == []
    one, other = (insitu.open(p) for p in paths)
    assert one.equals(other)
    for k in (0, 1, 62, 63, 64, 65, 69):
        for path, value in frame(k).items():
            with h5py.File(paths[0]) as file:
                assert np.array_equal(file[f"observables/{path}/value"][k], value)
    assert paths[0].stat().st_size == paths[1].stat().st_size


def test_it_goes_on_after_a_restart_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    series = made(path)
    for k in range(10):
        series.append(k, float(k), frame(k))
    series.close()
    series = made(path, if_exists="append", first_step=7)
    for k in range(7, 70):
        series.append(k, float(k), frame(k + 1000 * (k < 12)))
    series.note_disabled(70, "as a test")
    series.append(71, 71.0, frame(71))
    series.append(72, 72.0, frame(72))
    series.close()
    assert check_file(path) == []
    history = insitu.open(path)
    assert history["step"].values.tolist() == [*range(70), 71, 72]
    assert history["count"].values[8].tolist() == frame(1008)["phases/count"].tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 12), st.integers(1, 6))
def test_a_kill_loses_the_frame_that_was_being_written(
    tmp_path_factory: pytest.TempPathFactory, writes: int, before: int
) -> None:
    """The process ends after some of the writes of a frame: every earlier frame is there, and no half."""
    path = tmp_path_factory.mktemp("kill") / "a.h5"
    series = made(path)
    for k in range(before):
        series.append(k, float(k), frame(k))
    left, real = writes, direct._write

    class Killed(BaseException):
        pass

    def some(descriptor: int, data: bytes, place: int) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        real(descriptor, data, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "_write", some)
        with contextlib.suppress(Killed):
            series.append(before, float(before), frame(before))
    series.close()
    with opened(path) as file:
        whole, begun = half_written(file)
        assert whole in (before, before + 1)
        assert whole + begun <= before + 1
    again = made(path, if_exists="append")
    again.append(before + 5, before + 5.0, frame(7))
    again.close()
    assert check_file(path) == []
    steps = insitu.open(path)["step"].values.tolist()
    assert steps[:before] == list(range(before))
    assert steps[-1] == before + 5


def test_a_full_disk_is_said_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    series = made(path)
    for k in range(5):
        series.append(k, float(k), frame(k))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(HistoryError, match=r"step 5 could not be written.*5 frames before"):
            series.append(5, 5.0, frame(5))
    series.append(6, 6.0, frame(6))
    series.close()
    assert insitu.open(path)["step"].values.tolist() == [0, 1, 2, 3, 4, 6]
    assert check_file(path) == []


def test_a_file_of_another_layout_is_left_to_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "new.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("a", data=np.arange(5.0), chunks=(8,), maxshape=(None,))
        file.create_dataset("b", data=np.arange(5.0))
    with h5py.File(path) as file, path.open("rb") as stream:
        assert direct.Places.of(file, stream.fileno(), ["a"], 5) is None
        assert direct.Places.of(file, stream.fileno(), ["b"], 5) is None
