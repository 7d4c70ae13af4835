# SPDX-License-Identifier: BSD-3-Clause
"""What is checked before a history is written, and names that are free."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import pytest
from small_histories import assert_frames, create, frame, written

from insitu.errors import HistoryError, SettingError
from insitu.history.writing import storage
from insitu.history.writing import writer as series
from insitu.history.writing.file_access import check_writable, free_name


def test_check_writable(tmp_path: Path) -> None:
    text = tmp_path / "in.melt"
    text.write_text("units metal\n")
    foreign = tmp_path / "other.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    cases = [
        (tmp_path, "refuse", "is a directory; give a file name"),
        (tmp_path / "no" / "a.h5", "refuse", "directory .* does not exist"),
        (text, "refuse", "exists already"),
        (text, "append", "if_exists='append': .* is not an HDF5 file"),
        (text, "overwrite", "is not an HDF5 file and is left alone"),
        (foreign, "append", "if_exists='append': .* is HDF5 but not H5MD"),
    ]
    for path, if_exists, message in cases:
        with pytest.raises(HistoryError, match=message):
            check_writable(path, if_exists)
    with pytest.raises(SettingError, match="Did you mean 'append'"):
        check_writable(tmp_path / "new.h5", "apend")
    check_writable(tmp_path / "new.h5", "refuse")
    assert sorted(os.listdir(tmp_path)) == ["in.melt", "other.h5"]
    assert text.read_text() == "units metal\n"


def test_unwritable_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(HistoryError, match="is not writable; give a file name in a directory"):
        check_writable(tmp_path / "a.h5", "refuse")


def test_free_name(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = free_name(tmp_path / "run.a.h5")
        path.touch()
        names.append(path.name)
    assert names == ["run.a.h5", "run.a_1.h5", "run.a_2.h5"]
    check_writable(tmp_path / "run.a.h5", "new")


def test_permissions_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", [1])
    path.chmod(0o600)
    written(path, range(2, 70), if_exists="append")
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_runs_that_want_the_same_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found it free; the second to come takes the next one, or says so."""
    path = tmp_path / "a.h5"
    one = written(path, [1])
    monkeypatch.setattr(series, "check_writable", lambda *_: None)
    monkeypatch.setattr(storage, "free_name", lambda _: path)
    with pytest.raises(HistoryError, match="exists already"):
        create(path)
    monkeypatch.undo()
    late = iter([path, tmp_path / "a_1.h5"])
    monkeypatch.setattr(storage, "free_name", lambda _: next(late))
    second = create(path, if_exists="new")
    second.append(2, 1.0, frame(2))
    second.close()
    assert second.path.name == "a_1.h5"
    assert_frames(one, [1])
    assert_frames(tmp_path / "a_1.h5", [2])
