# SPDX-License-Identifier: BSD-3-Clause
"""Damaged copies of a history: the same numbers, or one sentence; never anything else."""

from __future__ import annotations

import collections
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from small_histories import CLASSES, CODES, OBSERVABLES, PROVENANCE, frame

from insitu.errors import HistoryError
from insitu.history import reader
from insitu.history.check import check_file
from insitu.history.writing.writer import Observable, Series

MORE = [
    Observable("phases/by_group/fraction", (2, 3), "f8", "", "", ("group", ("left", "right"))),
    Observable(
        "rdf/g", (1, 20), "f4", "", "g(r)",
        axes=(("pair", ("all",), ""), ("radius", tuple(np.linspace(1, 5, 20)), "Angstrom")),
    ),
]  # fmt: skip


def values(step: int) -> dict[str, object]:
    """A frame of everything, no two of them alike."""
    random_ = np.random.default_rng(step)
    share = random_.dirichlet([1, 1, 1])
    return {
        **frame(step), "phases/fraction": share, "rdf/g": random_.random((1, 20)),
        "phases/by_group/fraction": random_.dirichlet([1, 1, 1], 2),
    }  # fmt: skip


def continued(path: Path, frames: range, **more: object) -> None:
    history = Series.create(
        path, [*OBSERVABLES, *MORE], time_unit="ps", classes=CLASSES, codes=CODES, if_exists="append",
        provenance={**PROVENANCE, "atoms": 1000, "job": "17", **more},
    )  # fmt: skip
    for step in frames:
        history.append(step, 0.5 * step, values(step))
    if frames[0]:
        history.note_disabled(frames[-1] + 1, "no memory")
    history.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of two chunks, made by two runs, with a disabled analysis."""
    path = tmp_path_factory.mktemp("damage") / "whole.h5"
    continued(path, range(50))
    continued(path, range(50, 90))
    return path


def damaged(data: bytes, random_: random.Random) -> bytes:
    """Return a copy as disks, networks and people make them."""
    copy, size = bytearray(data), len(data)
    kind = random_.choice(("bit", "byte", "bytes", "zeros", "noise", "cut", "head", "moved"))
    at = random_.randrange(size)
    if kind == "head":  # where HDF5's structure is
        at, kind = random_.randrange(4096), "byte"
    length = random_.choice((16, 64, 512, 4096))
    if kind == "bit":
        copy[at] ^= 1 << random_.randrange(8)
    elif kind == "byte":
        copy[at] ^= random_.randrange(1, 256)
    elif kind == "bytes":
        for _ in range(random_.randrange(2, 20)):
            copy[random_.randrange(size)] ^= random_.randrange(1, 256)
    elif kind == "zeros":
        at -= at % length
        copy[at : at + length] = bytes(len(copy[at : at + length]))
    elif kind == "noise":
        at -= at % length
        copy[at : at + length] = random_.randbytes(len(copy[at : at + length]))
    elif kind == "moved":  # a block of another place
        source = random_.randrange(size - length)
        copy[at : at + length] = copy[source : source + len(copy[at : at + length])]
    else:
        del copy[at:]
    return bytes(copy)


def without_one_thing(path: Path, data: bytes, number: int) -> str | None:
    """Write a copy that lacks one attribute, dataset or group; return its name, None if no more."""
    path.write_bytes(data)
    with h5py.File(path, "r+") as file:
        names: list[tuple[str, str]] = []

        def visit(name: str) -> None:
            names.extend((name, key) for key in file[name].attrs)
            names.append((name, ""))

        file.visit_links(visit)
        if number >= len(names):
            return None
        name, key = names[number]
        if key:
            del file[name].attrs[key]
        else:
            del file[name]
    return f"{name}@{key}"


def sentence(error: Exception) -> str:
    """Return a message, once it is known to be a sentence that a terminal can show."""
    text = str(error)
    assert text.isprintable()
    assert text.endswith(".")
    return text


def outcome(path: Path, original: xarray.Dataset, number: int) -> str:
    """Open a damaged copy; return what came of it. Every third is checked, every fifth continued."""
    found, problems = None, None
    try:
        found = reader.open(path)
    except HistoryError as error:
        sentence(error)
    if number % 3 == 0 or (found is not None and not found.identical(original)):
        problems = check_file(path)
        assert all(problem.isprintable() for problem in problems)
        assert problems or found is not None
    if number % 5 == 0:
        before = path.read_bytes()
        try:
            reader.writers(path)
            continued(path, range(90, 91))
        except HistoryError as error:
            sentence(error)
            assert path.read_bytes() == before, "a damaged history is left as it is"
    if found is None:
        return "sentence"
    if found.identical(original):
        return "same numbers"
    # A last frame whose block is empty looks like one that a kill has cut short.
    assert found.identical(original.isel(step=slice(-1)))
    assert any("was begun and not finished" in problem for problem in problems or ())
    return "without the last frame"


def outcomes(whole: Path, path: Path, seed: int, copies: int) -> collections.Counter[str]:
    """Damage copies of a history; return how often what came of it."""
    data, original = whole.read_bytes(), reader.open(whole)
    random_, found = random.Random(seed), collections.Counter[str]()
    for number in range(copies):
        path.write_bytes(damaged(data, random_))
        found[outcome(path, original, number)] += 1
    return found


def test_damaged_bytes(whole: Path, tmp_path: Path) -> None:
    found = outcomes(whole, tmp_path / "copy.h5", 1, 100)
    assert found["sentence"] > 40
    assert found["same numbers"] > 10
    assert found["without the last frame"] < 3


@pytest.mark.full
def test_no_damage_ends_the_process(whole: Path, tmp_path: Path) -> None:
    """Neither a crash of HDF5, nor a loop, nor all of the memory."""
    limit = 4 << 30
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", __file__, str(whole), str(tmp_path / "copy.h5")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}, text=True,
        capture_output=True, check=False, timeout=280,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sentence" in done.stdout


def test_anything_that_is_missing(whole: Path, tmp_path: Path) -> None:
    data, original = whole.read_bytes(), reader.open(whole)
    path, number, found = tmp_path / "copy.h5", 0, collections.defaultdict(list)
    while (name := without_one_thing(path, data, number)) is not None:
        found[outcome(path, original, number)].append(name)
        number += 1
    assert set(found) == {"sentence", "same numbers"}
    # H5MD's head is not part of what insitu reads.
    assert all(name.startswith("h5md") for name in found["same numbers"]), found["same numbers"]


def test_a_history_of_a_version_without_checksums(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    path.write_bytes(whole.read_bytes())
    original = reader.open(path)
    with h5py.File(path, "r+") as file:
        del file["parameters/insitu_checksums"]
        del file["observables/phases"].attrs["checksums"]
    assert reader.open(path).identical(original)
    continued(path, range(90, 95))  # has them from now on
    with h5py.File(path, "r+") as file:
        assert len(file["parameters/insitu_checksums/frames"]) == 95
        file["observables/thermo/temperature/value"][3] += 1.0
    with pytest.raises(HistoryError, match="frame 4 is not what was written"):
        reader.open(path)


def test_a_long_text(tmp_path: Path) -> None:
    """One that is too long for an attribute is a dataset."""
    path = tmp_path / "a.h5"
    continued(path, range(2), deck="run 0\n" * 12_000)
    assert reader.open(path).attrs["deck"].startswith("run 0")
    path.write_bytes(path.read_bytes().replace(b"run 0\nrun 0\n", b"run 0\nrun 1\n", 1))
    with pytest.raises(HistoryError, match="parameters/insitu/deck is not what was written"):
        reader.open(path)


def test_what_other_programs_add_is_no_damage(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.h5"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "r+") as file:
        file["observables/phases"].attrs["comment"] = "the good one"
        file["parameters"].create_group("mine").attrs["x"] = 1.0
    assert reader.open(path).identical(reader.open(whole))


def test_xarray_says_the_sentence(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.h5"
    without_one_thing(path, whole.read_bytes(), 0)
    path.write_bytes(whole.read_bytes()[:-1])
    with pytest.raises(HistoryError, match="damaged"):
        xarray.open_dataset(path, engine="insitu")


if __name__ == "__main__":
    print(dict(outcomes(Path(sys.argv[1]), Path(sys.argv[2]), 2, 1500)))
