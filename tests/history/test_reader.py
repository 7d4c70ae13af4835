# SPDX-License-Identifier: BSD-3-Clause
"""Opening a history: the Dataset, and an error for everything that is not one."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_histories import OBSERVABLES, create, frame, spawn, written

import insitu
from insitu.errors import HistoryError
from insitu.history import reader
from insitu.history.writing.writer import Observable


def test_dataset(tmp_path: Path) -> None:
    dataset = insitu.open(written(tmp_path / "a.h5", [10, 20, 30]))
    assert dataset.fraction.dims == ("step", "phase")
    assert dataset["count"].dtype == np.int64
    assert dataset.phase.values.tolist() == ["fcc", "hcp", "unknown"]
    assert dataset.code.values.tolist() == [1, 2, 0]
    assert dataset.time.values.tolist() == [5.0, 10.0, 15.0]
    assert dataset.time.attrs["units"] == "ps"
    assert float(dataset.fraction.sel(step=20, phase="fcc")) == 21.0
    assert dataset.temperature.attrs == {"units": "K", "long_name": "temperature"}
    assert "units" not in dataset.fraction.attrs
    assert np.isnan(dataset.pressure).all()
    assert dataset.timing_write.dims == ("step",)
    assert dataset.attrs["model"] == "metals"
    assert dataset.attrs["ranks"] == 4
    assert dataset.attrs["settings"] == '{"every": [1, 2]}'


def test_other_observables_get_dimensions_of_their_own(tmp_path: Path) -> None:
    more = [
        Observable("phases/profile", (5, 3), "f8", "", "profile along z"),
        Observable("diffraction/intensity", (7,), "f8", "", "powder pattern"),
    ]
    history = create(tmp_path / "a.h5", [*OBSERVABLES, *more])
    values = {"phases/profile": np.ones((5, 3)), "diffraction/intensity": np.arange(7.0)}
    history.append(1, 0.5, {**frame(1), **values})
    history.close()
    dataset = reader.open(tmp_path / "a.h5")
    assert dataset.profile.dims == ("step", "phases_profile_0", "phase")
    assert dataset.diffraction_intensity.dims == ("step", "diffraction_intensity_0")


def test_truncates_to_the_shortest(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", range(5))
    with h5py.File(path, "r+") as file:
        file["observables/phases/fraction/value"].resize(6, axis=0)
    assert reader.open(path).step.values.tolist() == [0, 1, 2, 3, 4]
    with h5py.File(path, "r+") as file:
        file["observables/thermo/pressure/value"].resize(4, axis=0)
    with pytest.raises(HistoryError, match="some of its parts have 4 frames, others 6"):
        reader.open(path)  # not what a kill leaves


def test_while_a_run_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    writer = spawn(path)
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        writer.stdout.readline()
        seen = [0]
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            dataset = reader.open(path)
            frames = dataset.sizes["step"]
            assert dataset.step.values.tolist() == list(range(frames))
            np.testing.assert_array_equal(dataset.temperature, 300.0 + np.arange(frames))
            np.testing.assert_array_equal(dataset["count"][:, 0], 1 + np.arange(frames))
            assert frames >= seen[-1]
            seen.append(frames)
        with h5py.File(path, "r") as file:  # another program, with HDF5's usual locking
            assert len(file["observables/phases/fraction/step"]) >= seen[-1]
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.communicate()
    assert seen[-1] > seen[1]


def test_in_the_process_that_writes(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5")
    for step in range(130):
        history.append(step, 0.5 * step, frame(step))
        assert reader.open(history.path).sizes["step"] == step + 1
    history.close()


def test_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", [1])
    path.chmod(0o444)
    before = path.read_bytes(), path.stat().st_mtime_ns
    reader.open(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(tmp_path) == ["a.h5"]


def test_errors(tmp_path: Path) -> None:
    good = written(tmp_path / "phases.h5", range(3))
    text = tmp_path / "log.lammps"
    text.write_text("LAMMPS\n")
    plain, other, newer = (tmp_path / f"{name}.h5" for name in ("plain", "other", "newer"))
    with h5py.File(plain, "w") as file:
        file["x"] = 1
    with h5py.File(other, "w") as file:
        file.create_group("h5md/creator").attrs["name"] = "halmd"
    shutil.copy(good, newer)
    with h5py.File(newer, "r+") as file:
        file["parameters/insitu"].attrs["insitu_format"] = 2
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(good.read_bytes()[:1000])
    empty = written(tmp_path / "empty.h5", [])
    for path, message in (
        (tmp_path / "phase.h5", r"does not exist; .* Did you mean 'phases.h5'\?"),
        (tmp_path, "is a directory; give the name of a history"),
        (text, "is not an HDF5 file; give the name of a history that insitu wrote"),
        (plain, "is HDF5 but not H5MD, for it has no group 'h5md'"),
        (other, "is H5MD written by 'halmd' and holds no phase history"),
        (newer, r"history format 2, and this insitu reads formats up to 1; upgrade with 'pip"),
        (damaged, "is HDF5 but damaged"),
        (empty, "holds no frame yet; wait until the simulation has reached its first"),
    ):
        with pytest.raises(HistoryError, match=message) as caught:
            reader.open(path)
        assert str(path) in str(caught.value)
