# SPDX-License-Identifier: BSD-3-Clause
"""Kills, full disks and truncated files: what they may cost, and what is mended afterwards."""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_histories import OBSERVABLES, assert_frames, create, frame, spawn, written

from insitu.errors import HistoryError
from insitu.history import reader
from insitu.history.check import check_file
from insitu.history.writing import storage
from insitu.history.writing import writer as series
from insitu.history.writing.file_access import Disk


def test_full_disk_costs_no_frame_and_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = create(tmp_path / "a.h5")
    for step in range(64):
        history.append(step, 0.5 * step, frame(step))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage.shutil, "copyfileobj", full)
        for _ in range(2):
            with pytest.raises(HistoryError, match="step 64 could not be written, the 64 frames"):
                history.append(64, 32.0, frame(64))
    assert_frames(history.path, list(range(64)))
    history.append(65, 32.5, frame(65))
    assert_frames(history.path, [*range(64), 65])
    history.close()
    assert os.listdir(tmp_path) == ["a.h5"]


def faults(path: Path) -> list[str]:
    """Return what is wrong with a history of these tests, whose fractions tell the step."""
    return [problem for problem in check_file(path) if "do not sum to 1" not in problem]


class Recorder(io.BytesIO):
    """Memory that remembers every write of HDF5."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.writes: list[tuple[int, bytes]] = []

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        self.writes.append((self.tell(), bytes(data)))
        return super().write(data)


@pytest.mark.parametrize(
    "frames", [1, 63, 65, *(pytest.param(n, marks=pytest.mark.full) for n in (5, 100))]
)
def test_every_state_between_two_writes_of_a_frame_is_readable(tmp_path: Path, frames: int) -> None:
    """A kill in the middle of a flush leaves some of its writes done, in whatever order."""
    path = written(tmp_path / "a.h5", range(frames))
    before = path.read_bytes()
    recorder = Recorder(before)
    history = create(path, if_exists="append")
    with h5py.File(recorder, "r+", libver=storage._LIBVER) as file:
        history._put(file, history._next(frames, 0.5 * frames, frame(frames)))
    history.close()
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


@pytest.mark.parametrize("kills", [12, pytest.param(220, marks=pytest.mark.full)])
def test_kill_costs_no_acknowledged_frame(tmp_path: Path, kills: int) -> None:
    """SIGKILL falls on a process that writes one frame after the other, in the midst of it."""
    path = tmp_path / "a.h5"
    random_ = random.Random(7)
    last, done, repairs = -1, 0, []
    while done < kills or last <= 64:  # until beyond the first chunk, however fast the machine is
        done += 1
        writer = spawn(path)
        assert writer.stdout is not None
        # Every frame acknowledged before the last kill is there for the next run to continue.
        acknowledged = [int(writer.stdout.readline().split()[1])]
        assert acknowledged[0] >= last
        for _ in range(random_.randint(1, 12)):  # frames, not seconds: the machine may be busy
            acknowledged.append(int(writer.stdout.readline()))
        time.sleep(random_.uniform(0.0, 0.003))  # a frame takes about a third of it
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        last = acknowledged[-1]
        frames = reader.open(path).sizes["step"]
        assert last + 1 <= frames <= last + 2  # one more, if the kill came before it was said
        assert_frames(path, list(range(frames)))
        opened = create(path, if_exists="append", first_step=frames)
        repairs += opened.repairs
        opened.close()
        assert faults(path) == []
        assert os.listdir(tmp_path) == ["a.h5"]
    if kills > 100:
        print(f"{kills} kills, {last + 1} frames, {len(repairs)} repairs: {sorted(set(repairs))}")
        assert repairs  # some kills did fall into a write


def test_frames_that_are_replaced_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A deck that begins anew under the same name replaces everything: not without a word."""
    path = written(tmp_path / "a.h5", range(5))
    create(path, if_exists="append", first_step=5).close()
    assert not caplog.text
    create(path, if_exists="append", first_step=3).close()
    assert "2 of its 5 frames, steps 3 to 4, are replaced" in caplog.text
    create(path, if_exists="append", first_step=0).close()
    assert "all its 3 frames, steps 0 to 2, are replaced" in caplog.text


def test_repairs_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "a.h5", range(5))
    with h5py.File(path, "r+") as file:
        file["observables/phases/fraction/value"].resize(6, axis=0)
    (tmp_path / ".a.h5.123.tmp").write_bytes(b"half a copy")
    (tmp_path / ".other.h5.123.tmp").touch()
    assert [("frame 6" in p, ".a.h5.123.tmp" in p) for p in faults(path)] == [
        (True, False), (False, True),
    ]  # fmt: skip
    history = create(path, if_exists="append")
    assert len(history.repairs) == 2
    assert "its 5 frames are intact" in caplog.text
    assert "frame 6 was half written" in caplog.text
    history.append(5, 2.5, frame(5))
    history.close()
    assert_frames(path, list(range(6)))
    assert sorted(os.listdir(tmp_path)) == [".other.h5.123.tmp", "a.h5"]
    assert faults(path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 1 MB, where mounting is permitted; else None."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    allowed = (
        shutil.which("mount")
        and not subprocess.run(mount, capture_output=True, check=False).returncode
    )
    yield folder if allowed else None
    if allowed:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_that_fills_up(tmp_path: Path, small_disk: Path | None) -> None:
    """A real full file system (or a limit on the size of files): all frames before it are there."""
    path = (small_disk or tmp_path) / "a.h5"
    wide = [series.Observable("phases/profile", (400,), "f8", "", "wide, so that it fills soon")]
    more = {"phases/profile": np.arange(400.0)}
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    history = create(path, [*OBSERVABLES, *wide])
    done = 0
    try:
        if small_disk is None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
        message = ""
        for done in range(1000):
            try:
                history.append(done, 0.5 * done, {**frame(done), **more})
            except HistoryError as error:
                message = str(error)
                break
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert f"step {done} could not be written, the {done} frames before it are intact" in message
    assert done >= 64
    assert os.listdir(path.parent) in (["a.h5"], ["a.h5", "disk"], ["disk", "a.h5"])
    assert_frames(path, list(range(done)))
    assert faults(path) == []
    if small_disk is not None:  # somebody makes room, and the run is continued
        history.close()
        subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
        again = create(path, [*OBSERVABLES, *wide], if_exists="append", first_step=done)
        again.append(done, 0.5 * done, {**frame(done), **more})
        again.close()
        assert_frames(path, list(range(done + 1)))


@pytest.mark.parametrize("written_before", [0, 3])
@pytest.mark.parametrize("direct", [False, True])
def test_a_frame_whose_write_fails_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_before: int, direct: bool
) -> None:
    """An overwrite can fail as well: a quota, a copy-on-write file system, a broken network."""
    history = create(tmp_path / "a.h5")
    history.direct = direct
    for step in range(5):
        history.append(step, 0.5 * step, frame(step))
    original, at_place, calls = Disk.write, os.pwrite, [0]

    def failing_at_place(descriptor: int, data: bytes, place: int) -> int:
        calls[0] += 1
        if calls[0] <= written_before:
            return at_place(descriptor, data, place)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def failing(self: Disk, data: bytes) -> int:
        calls[0] += 1
        if calls[0] <= written_before:
            return original(self, data)
        self.error = OSError(errno.EDQUOT, "Disk quota exceeded")
        return len(data)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", failing)
        patch.setattr(os, "pwrite", failing_at_place)
        for _ in range(2):
            with pytest.raises(HistoryError, match=r"step 5 could not .*the 5 frames .*quota"):
                history.append(5, 2.5, frame(5))
    assert calls[0] > written_before
    assert_frames(history.path, list(range(5)))
    for step in range(5, 70):
        history.append(step, 0.5 * step, frame(step))
    history.close()
    assert_frames(history.path, list(range(70)))
    assert faults(history.path) == []


def test_truncated_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", range(70))
    whole = path.read_bytes()
    for size in (len(whole) // 2, 600):
        path.write_bytes(whole[:size])
        with pytest.raises(HistoryError, match=rf"{len(whole)} bytes long, and {size} are there"):
            reader.open(path)
        with pytest.raises(HistoryError, match=r"if_exists='append': .*damaged"):
            create(path, if_exists="append")
        assert len(faults(path)) == 1
        assert path.stat().st_size == size
    path.write_bytes(whole[:4])
    with pytest.raises(HistoryError, match="is not an HDF5 file"):
        reader.open(path)
