# SPDX-License-Identifier: BSD-3-Clause
"""The history on disk: what is in it, what is refused, and what a kill or a full disk leaves."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_histories import CODES, OBSERVABLES, assert_frames, create, frame, spawn, written

from insitu.errors import HistoryError
from insitu.history import reader
from insitu.history.elements import elements as elements_of


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
        elements = elements_of(file)
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
        patch.setattr(os, "link", full)
        with pytest.raises(HistoryError, match=r"No space left.*look at the space"):
            create(path, if_exists="overwrite")
        with pytest.raises(HistoryError, match="No space left"):
            create(tmp_path / "b.h5")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]
    written(path, [7], if_exists="overwrite")
    assert_frames(path, [7])


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


def test_the_lock_is_kept_over_changes_of_the_structure(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    code = (
        "import sys\nfrom insitu.errors import HistoryError\n"
        "from insitu.history.writing.file_access import check_writable\n"
        "try: check_writable(sys.argv[1], 'append')\nexcept HistoryError as e: "
        "print('another running process' in str(e))\nelse: print('not locked')"
    )

    def locked() -> bool:
        command = [sys.executable, "-P", "-c", code, str(path)]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        return out.stdout.strip() == "True"

    history = create(path)
    assert locked()
    for step in range(65):  # the frame of step 64 needs new chunks
        history.append(step, 0.5 * step, frame(step))
    assert locked()
    history.note_disabled(70, "no luck")
    assert locked()
    history.close()
    assert not locked()


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
