# SPDX-License-Identifier: BSD-3-Clause
"""The history on disk: what is in it, what is refused, and what a kill or a full disk leaves."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from insitu import reader, series
from insitu.errors import HistoryError
from insitu.series import Observable, Series

CLASSES, CODES = ["fcc", "hcp", "unknown"], [1, 2, 0]
OBSERVABLES = [
    Observable("phases/fraction", (3,), "f8", "", "fraction of the atoms"),
    Observable("phases/count", (3,), "i8", "", "number of atoms"),
    Observable("thermo/temperature", (), "f8", "K", "temperature"),
    Observable("thermo/pressure", (), "f8", "bar", "pressure"),
    Observable("timing/write", (), "f8", "s", "wall time of writing"),
]
PROVENANCE = {"model": "metals", "ranks": 4, "overhead": 0.02, "settings": {"every": [1, 2]}}

# The same history, from a process of its own: prints each step once append() has returned.
WRITER = """
import sys
sys.path[:0] = {path!r}
from test_series import create, frame
series = create(sys.argv[1], if_exists="append")
step = -1 if series.last_step is None else series.last_step
print("ready", step, flush=True)
while True:
    step += 1
    series.append(step, 0.5 * step, frame(step))
    print(step, flush=True)
"""


def create(path: Path | str, observables=OBSERVABLES, **more) -> Series:
    settings = {"time_unit": "ps", "provenance": PROVENANCE, "classes": CLASSES, "codes": CODES}
    return Series.create(path, observables, **{**settings, **more})


def frame(step: int) -> dict[str, object]:
    """A frame that tells its step everywhere."""
    return {
        "phases/fraction": np.array([1.0, 0.0, 0.0]) + step,
        "phases/count": np.array([1, 2, 3]) + step,
        "thermo/temperature": 300.0 + step,
        "thermo/pressure": float("nan"),
        "timing/write": step / 1000,
    }


def written(path: Path, steps, **more) -> Path:
    history = create(path, **more)
    for step in steps:
        history.append(step, 0.5 * step, frame(step))
    history.close()
    return path


def assert_frames(path: Path, steps: list[int]) -> None:
    dataset = reader.open(path)
    assert dataset.step.values.tolist() == steps
    np.testing.assert_array_equal(dataset.time, 0.5 * np.array(steps))
    np.testing.assert_array_equal(dataset.temperature, 300.0 + np.array(steps))
    np.testing.assert_array_equal(dataset["count"][:, 2], 3 + np.array(steps))


def spawn(path: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    code = textwrap.dedent(WRITER).format(path=[str(here), str(here.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )


def test_is_h5md_that_any_hdf5_reader_understands(tmp_path: Path) -> None:
    path = written(tmp_path / "phases.h5", range(0, 700, 10))
    with h5py.File(path, "r") as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert file["h5md/creator"].attrs["name"] == b"insitu"
        assert file["h5md/author"].attrs["name"]
        assert file["h5md/modules/units"].attrs["version"].tolist() == [1, 0]
        assert file["h5md/modules/units"].attrs["system"] == b"LAMMPS"  # bar is not SI
        element = file["observables/thermo/temperature"]
        assert element["value"].attrs["unit"] == b"K"
        assert element["time"].attrs["unit"] == b"ps"
        assert element["step"][-1] == 690
        assert "unit" not in file["observables/phases/fraction/value"].attrs
        assert file["observables/phases"].attrs["classes"].tolist() == [b"fcc", b"hcp", b"unknown"]
        assert file["observables/phases"].attrs["codes"].tolist() == CODES
        assert file["observables/phases/fraction/value"].attrs["classes"][-1] == b"unknown"
        about = file["parameters/insitu"].attrs
        assert (about["model"], about["ranks"], about["overhead"]) == (b"metals", 4, 0.02)
        assert about["insitu_format"] == 1
        assert json.loads(about["settings"]) == {"every": [1, 2]}
        # Strings are fixed-length, as H5MD asks.
        for group, name in (("h5md/creator", "version"), ("observables/phases", "classes")):
            kind = h5py.check_string_dtype(file[group].attrs.get_id(name).dtype)
            assert kind is not None
            assert kind.length is not None
    assert path.stat().st_size < 60_000


def test_si_units_are_declared_as_such(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", [], observables=OBSERVABLES[:3], time_unit="ps")
    with h5py.File(path, "r") as file:
        assert file["h5md/modules/units"].attrs["system"] == b"SI"


def test_all_elements_share_one_clock(tmp_path: Path) -> None:
    with h5py.File(written(tmp_path / "a.h5", [1, 2]), "r") as file:
        elements = reader.elements(file)
        assert len(elements) == len(OBSERVABLES)
        for name in ("step", "time"):
            objects = {h5py.h5o.get_info(group[name].id).addr for group in elements.values()}
            assert len(objects) == 1
        assert h5py.h5o.get_info(file["observables/phases/count/step"].id).rc == len(OBSERVABLES)


def test_append_refuses_what_does_not_fit(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5")
    history.append(5, 2.5, frame(5))
    before = history.path.read_bytes()
    bad = frame(6)
    for change, message in (
        (
            {"phases/fraction": np.ones(2)},
            r"shape \(2,\), and the history takes f8 of shape \(3,\)",
        ),
        ({"phases/count": np.ones(3)}, "phases/count at step 6 is float64"),
        ({"thermo/temperature": None}, "thermo/temperature at step 6 is object"),
        ({"thermo/temperatur": 1.0}, "Did you mean 'thermo/temperature'"),
    ):
        with pytest.raises(HistoryError, match=message):
            history.append(6, 3.0, {**bad, **change})
    with pytest.raises(HistoryError, match="lacks timing/write"):
        history.append(6, 3.0, {k: v for k, v in bad.items() if k != "timing/write"})
    for step in (4, 5):
        with pytest.raises(HistoryError, match=f"step {step} is not after step 5, the last in"):
            history.append(step, 3.0, bad)
    assert history.path.read_bytes() == before
    assert history.last_step == 5
    history.append(6, 3.0, bad)
    history.close()
    history.close()
    with pytest.raises(HistoryError, match="is closed"):
        history.append(7, 3.5, bad)
    assert_frames(history.path, [5, 6])


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65, 130])
def test_a_restart_replaces_frames(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path / "a.h5", range(150))
    history = create(path, if_exists="append", first_step=kept, provenance={"ranks": 2})
    assert history.last_step == (kept - 1 if kept else None)
    for step in range(kept, kept + 70):
        history.append(step, 0.5 * step, frame(step))
    history.close()
    assert_frames(path, list(range(kept + 70)))
    with h5py.File(path, "r") as file:
        assert file["parameters/insitu"].attrs["ranks"] == 4
        assert file["parameters/insitu/continued_1"].attrs["ranks"] == 2


def test_append_creates_or_continues(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", [1, 2], if_exists="append")
    written(path, [3], if_exists="append")
    assert_frames(path, [1, 2, 3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"if_exists": "refuse"}, "if_exists append .* if_exists overwrite .* another file name"),
        ({"classes": ["fcc", "bcc", "unknown"]}, r"classes \['fcc', 'hcp', .*'bcc', 'unknown'\]"),
        ({"codes": [1, 3, 0]}, r"codes \[1, 2, 0\], and this run has \[1, 3, 0\]"),
        ({"time_unit": "fs"}, "time_unit ps, and this run has fs"),
        ({"observables": OBSERVABLES[:4]}, r"observables \['timing/write f8\[\] s'\], .* has none"),
    ],
)
def test_a_refused_run_leaves_the_file_alone(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = written(tmp_path / "a.h5", range(70))
    before = path.read_bytes()
    with pytest.raises(HistoryError, match=message):
        create(path, **{"if_exists": "append", **change})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]


def test_overwrite_replaces_only_when_the_new_file_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.h5", [1, 2, 3])
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(HistoryError, match=r"No space left.*look at the space"):
            create(path, if_exists="overwrite")
        with pytest.raises(HistoryError, match="No space left"):
            create(tmp_path / "b.h5")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]
    written(path, [7], if_exists="overwrite")
    assert_frames(path, [7])


def test_full_disk_costs_no_frame_and_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = create(tmp_path / "a.h5")
    for step in range(64):
        history.append(step, 0.5 * step, frame(step))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(series.shutil, "copy", full)
        for _ in range(2):
            with pytest.raises(HistoryError, match="step 64 could not be written, the 64 frames"):
                history.append(64, 32.0, frame(64))
    assert_frames(history.path, list(range(64)))
    history.append(65, 32.5, frame(65))
    assert_frames(history.path, [*range(64), 65])
    history.close()
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("what", ["unlink", "replace"])
def test_a_removed_file_is_noticed(tmp_path: Path, what: str) -> None:
    history = create(tmp_path / "a.h5")
    history.append(1, 0.5, frame(1))
    if what == "unlink":
        history.path.unlink()
    else:
        os.replace(written(tmp_path / "b.h5", [1]), history.path)
    with pytest.raises(HistoryError, match="was removed or replaced while the run was writing"):
        history.append(2, 1.0, frame(2))
    history.close()


class Recorder(io.BytesIO):
    """Memory that remembers every write of HDF5."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.writes: list[tuple[int, bytes]] = []

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        self.writes.append((self.tell(), bytes(data)))
        return super().write(data)


@pytest.mark.parametrize("frames", [1, 5, 63, 65, 100])
def test_every_state_between_two_writes_of_a_frame_is_readable(tmp_path: Path, frames: int) -> None:
    """A kill in the middle of a flush leaves some of its writes done, in whatever order."""
    path = written(tmp_path / "a.h5", range(frames))
    before = path.read_bytes()
    recorder = Recorder(before)
    history = Series(path, OBSERVABLES)
    history._frames = frames
    with h5py.File(recorder, "r+", libver=series._LIBVER) as file:
        history._file = file
        history._put(history._rows(frames, 0.5 * frames, frame(frames)))
    assert len(recorder.getvalue()) == len(before), "a frame within its chunk allocates nothing"
    random_ = random.Random(frames)
    orders = [recorder.writes, recorder.writes[::-1]]
    orders += [random_.sample(recorder.writes, len(recorder.writes)) for _ in range(4)]
    seen = set()
    for writes, done in itertools.product(orders, range(len(recorder.writes) + 1)):
        state = bytearray(before)
        for offset, data in writes[:done]:
            state[offset : offset + len(data)] = data
        path.write_bytes(state)
        dataset = reader.open(path)
        seen.add(dataset.sizes["step"])
        assert dataset.step.values[:frames].tolist() == list(range(frames))
        np.testing.assert_array_equal(dataset["count"][:frames, 0], 1 + np.arange(frames))
    assert seen == {frames, frames + 1}


def test_new_chunks_are_allocated_in_a_copy(tmp_path: Path) -> None:
    """In place, they are what a kill in the middle of a flush cannot survive."""
    history = create(tmp_path / "a.h5")
    files = []
    for step in range(130):
        history.append(step, 0.5 * step, frame(step))
        files.append(history.path.stat().st_ino)
    history.close()
    changes = [step for step in range(1, 130) if files[step] != files[step - 1]]
    assert changes == [64, 128]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_kill_costs_no_acknowledged_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    random_ = random.Random(7)
    last = -1
    for _ in range(12):
        writer = spawn(path)
        assert writer.stdout is not None
        # Every frame acknowledged before the last kill is there for the next run to continue.
        assert int(writer.stdout.readline().split()[1]) >= last
        time.sleep(random_.uniform(0.0, 0.25))
        writer.kill()
        acknowledged = [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        last = acknowledged[-1] if acknowledged else last
        if last >= 0:
            frames = reader.open(path).sizes["step"]
            assert frames >= last + 1
            assert_frames(path, list(range(frames)))
    assert last > 64  # beyond the first chunk


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", [0])
    writer = spawn(path)
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        for if_exists in ("append", "overwrite"):
            with pytest.raises(HistoryError, match="is being written by another running process"):
                create(path, if_exists=if_exists)
    finally:
        writer.kill()
        writer.communicate()
    written(path, [10**6], if_exists="append")


def test_classes_must_end_with_unknown(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="with 'unknown' last"):
        create(tmp_path / "a.h5", classes=["unknown", "fcc", "hcp"])
    assert os.listdir(tmp_path) == []


def test_long_and_foreign_text_in_the_provenance(tmp_path: Path) -> None:
    provenance = {"deck": "run 1\n" * 50_000, "author": "Ångström", "threshold": None}
    attrs = reader.open(written(tmp_path / "a.h5", [1], provenance=provenance)).attrs
    assert attrs["deck"] == provenance["deck"]
    assert attrs["author"] == "Ångström"
    assert attrs["threshold"] == "none"
