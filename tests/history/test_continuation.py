# SPDX-License-Identifier: BSD-3-Clause
"""A history whose run is set back, continued with other settings, or whose analysis was disabled."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
from small_histories import OBSERVABLES, PROVENANCE, assert_frames, create, frame, written

from insitu.errors import HistoryError
from insitu.history import elements, reader
from insitu.history.writing.writer import Observable

BY_GROUP = Observable(
    "phases/by_group/fraction", (2, 3), "f8", "", "of each group", ("group", ("left", "right"))
)
COUNT = Observable(
    "phases/by_group/count", (2, 3), "i8", "", "of each group", ("group", ("left", "right"))
)
BY_TYPE = Observable("phases/by_type/count", (2, 3), "i8", "", "of each type", ("type", (1, 2)))


@pytest.mark.parametrize("if_exists", ["append", "overwrite"])
@pytest.mark.parametrize("first_step", [0, 40, 65, 70])
def test_frames_behind_the_step_are_replaced(
    tmp_path: Path, if_exists: str, first_step: int
) -> None:
    history = create(tmp_path / "a.h5", if_exists=if_exists)
    for step in range(70):
        history.append(step, 0.5 * step, frame(step))
    assert history.begin(70, 70) is history  # the clock goes on
    assert history.last_step == 69
    assert history.begin(min(first_step, 69), first_step) is history
    assert history.last_step == (min(first_step, 70) - 1 if first_step else None)
    assert history.last_time == (0.5 * history.last_step if first_step else None)
    for step in range(first_step, first_step + 80):
        history.append(step, 0.5 * step, frame(step))
    history.close()
    assert_frames(tmp_path / "a.h5", list(range(first_step + 80)))


def test_new_and_refuse_leave_the_file_as_it_is(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5", if_exists="new")
    history.append(5, 2.5, frame(5))
    assert history.begin(3, 1) is None
    second = create(tmp_path / "a.h5", if_exists="new")
    second.append(3, 1.5, frame(3))
    second.close()
    history.close()
    assert_frames(tmp_path / "a.h5", [5])
    assert_frames(tmp_path / "a_1.h5", [3])
    refusing = create(tmp_path / "b.h5")
    refusing.append(5, 2.5, frame(5))
    with pytest.raises(HistoryError, match=r"step 5 is not after step 5.*if_exists append.*new"):
        refusing.begin(5, 5)
    refusing.close()
    assert_frames(tmp_path / "b.h5", [5])


def test_notes_of_a_disabled_analysis(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5")
    history.append(10, 5.0, frame(10))
    history.note_disabled(20, "no memory")
    history.close()
    assert_frames(tmp_path / "a.h5", [10])
    again = create(tmp_path / "a.h5", if_exists="append", first_step=30)
    again.append(30, 15.0, frame(30))
    again.note_disabled(40, "no luck")
    again.close()
    with elements.opened(tmp_path / "a.h5") as file:
        both = [(n["step"], n["reason"]) for n in elements.disabled(file)]
    assert both == [(20, "no memory"), (40, "no luck")]
    third = create(tmp_path / "a.h5", if_exists="append", first_step=35)
    third.append(40, 20.0, frame(40))
    third.close()
    with elements.opened(tmp_path / "a.h5") as file:  # its frames have been replaced since
        assert [n["step"] for n in elements.disabled(file)] == [20]
    assert_frames(tmp_path / "a.h5", [10, 30, 40])


def test_a_history_without_frames_says_why(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5")
    history.note_disabled(20, "no memory")
    history.close()
    with pytest.raises(HistoryError, match="disabled from step 20 on: no memory"):
        reader.open(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "mine", "theirs", "message"),
    [
        ("threshold", 0.5, 0.9, "has threshold 0.5, and this run has 0.9"),
        ("group", "all", "left", "has group all, and this run has left"),
        ("neighbors", "O", "1", "has neighbors O, and this run has 1"),
        ("model_sha256", "ab", "cd", "has model_sha256 ab, and this run has cd"),
    ],
)
def test_numbers_of_another_meaning_are_not_appended(
    tmp_path: Path, name: str, mine: object, theirs: object, message: str
) -> None:
    path = written(tmp_path / "a.h5", [1], provenance={**PROVENANCE, name: mine})
    written(path, [2], if_exists="append", provenance={**PROVENANCE, name: mine, "ranks": 2})
    with pytest.raises(HistoryError, match=message):
        create(path, if_exists="append", provenance={**PROVENANCE, name: theirs})
    assert_frames(path, [1, 2])


def test_a_history_that_does_not_say_its_surroundings_has_all_atoms_in_them(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", [1])
    written(path, [2], if_exists="append", provenance={**PROVENANCE, "neighbors": "all"})
    with pytest.raises(HistoryError, match="has neighbors all, and this run has O"):
        create(path, if_exists="append", provenance={**PROVENANCE, "neighbors": "O"})


def test_rows_of_groups_and_types(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5", [*OBSERVABLES, BY_GROUP, COUNT, BY_TYPE])
    values = {BY_GROUP.path: [[1, 0, 0], [0.5, 0.5, 0]], BY_TYPE.path: [[3, 0, 0], [4, 0, 1]]}
    values[COUNT.path] = [[2, 0, 0], [1, 1, 0]]
    history.append(1, 0.5, {**frame(1), **values})
    history.close()
    dataset = reader.open(tmp_path / "a.h5")
    assert dataset.fraction_by_group.dims == ("step", "group", "phase")
    assert dataset.fraction_by_group.sel(step=1, group="right").values.tolist() == [0.5, 0.5, 0]
    assert dataset.count_by_type.sel(step=1, type=2, phase="unknown") == 1
    right = reader.subset(dataset, group="right")
    assert right.fraction.values.tolist() == [[0.5, 0.5, 0]]
    assert reader.subset(dataset).fraction.equals(dataset.fraction)
    with pytest.raises(HistoryError, match=r"group 'rihgt' .* left, right. Did you mean 'right'"):
        reader.subset(dataset, group="rihgt")
    with pytest.raises(HistoryError, match=r"type 2 is not recorded .* `types yes`"):
        reader.subset(reader.open(written(tmp_path / "b.h5", [1])), kind=2)
    other = Observable(
        BY_GROUP.path, (2, 3), "f8", "", "of each group", ("group", ("left", "wrong"))
    )
    with pytest.raises(HistoryError, match=r"left, right.* left, wrong"):
        create(tmp_path / "a.h5", [*OBSERVABLES, other, COUNT, BY_TYPE], if_exists="append")
    with h5py.File(tmp_path / "a.h5") as file:
        value = file["observables/phases/by_group/fraction/value"]
        assert value.attrs["groups"].tolist() == [b"left", b"right"]
