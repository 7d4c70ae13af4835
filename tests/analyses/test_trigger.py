# SPDX-License-Identifier: BSD-3-Clause
"""Conditions of triggers: threshold, hysteresis, hold, change, re-arm; what they watch; their state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.analyses.base import Observable, System
from insitu.analyses.settings import make
from insitu.analyses.trigger import Trigger, TriggerSettings
from insitu.errors import SettingError

SYSTEM = System(classes=("fcc", "disordered", "unknown"))
KNOWN = (
    Observable("phases/fraction", (3,), "f8", "", "fractions"),
    Observable(
        "clusters/size", (2, 3), "i8", "", "sizes",
        axes=(("unknown", ("without", "with"), ""), ("largest", (1, 2, 3), "")),
    ),
    Observable("steinhardt/count", (), "i8", "", "count"),
)  # fmt: skip


def made(**settings: object) -> Trigger:
    given = {"on": "disordered", "above": 0.5} | settings
    return Trigger(TriggerSettings(**given), SYSTEM)  # type: ignore[arg-type]


def events(t: Trigger, values: Sequence[float]) -> list[int]:
    """Return the frames at which events begin."""
    return [k for k, v in enumerate(values) if t.decide(v).fired]


def test_threshold_hold_hysteresis_and_rearm() -> None:
    values = [0.1, 0.6, 0.4, 0.6, 0.7, 0.45, 0.6, 0.7, 0.2, 0.9, 0.9]
    assert events(made(), values) == [1]
    assert events(made(rearm=True), values) == [1, 3, 6, 9]
    assert events(made(rearm=True, hold=2), values) == [4, 7, 10]
    assert events(made(rearm=True, hysteresis=0.2), values) == [1, 9]
    assert events(made(above=None, below=0.5, rearm=True), values) == [0, 2, 5, 8]
    nan = float("nan")
    assert events(made(rearm=True), [0.6, nan, 0.7, nan, 0.1, nan, 0.6]) == [0, 6]


def test_change_over_a_window() -> None:
    values = [0.0, 0.1, 0.2, 0.3, 0.9, 0.9, 0.9, 0.9]
    assert events(made(change=2, above=0.5), values) == [4]
    assert events(made(change=2, above=None, below=-0.5), [-v for v in values]) == [4]


def test_frames_after_an_event() -> None:
    t = made(after=2, rearm=True)
    found = [t.decide(v) for v in (0.1, 0.9, 0.9, 0.1, 0.1, 0.9)]
    assert [d.fired for d in found] == [False, True, False, False, False, True]
    assert [d.written for d in found] == [False, False, True, True, False, False]


@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.55, 0.9, float("nan")]), max_size=30),
    st.integers(0, 30), st.integers(1, 3), st.booleans(), st.sampled_from([None, 2]),
)  # fmt: skip
def test_goes_on_from_any_frame_of_a_history(
    values: list[float], at: int, hold: int, rearm: bool, change: int | None
) -> None:
    def new() -> Trigger:
        return made(hold=hold, rearm=rearm, change=change, hysteresis=0.1, after=3)

    whole = new()
    decisions = [whole.decide(v) for v in values]
    first, second = new(), new()
    for v in values[:at]:
        first.decide(v)
    kept = {path: np.asarray(first.finish({})[path]) for path in first.state}
    second.restore(kept if values[:at] else {})
    assert [second.decide(v) for v in values[at:]] == decisions[at:]
    assert second.events == whole.events


def test_what_is_watched() -> None:
    values = {
        "phases/fraction": np.array([0.1, 0.7, 0.2]), "steinhardt/count": 12,
        "clusters/size": np.arange(6).reshape(2, 3), "thermo/temperature": 300.0,
    }  # fmt: skip
    for on, value in (
        ("fcc", 0.1), ("unknown", 0.2), ("phases/fraction:disordered", 0.7), ("temperature", 300.0),
        ("clusters/size:with,2", 4.0), ("steinhardt/count", 12.0),
    ):  # fmt: skip
        t = made(on=on)
        t.watch(KNOWN)
        assert t.judge(values) == value
    for on, message in (
        ("liquid", "on=liquid is not known; known: fcc, disordered"),
        ("clusters/size", r"on clusters/size:without,1"),
        ("clusters/size:without,9", "'9' is none of 1, 2, 3"),
        ("clusters/size:without", "one number"),
    ):
        with pytest.raises(SettingError, match=message):
            made(on=on).watch(KNOWN)
    with pytest.raises(SettingError, match="during=4 has no effect without often"):
        made(during=4)
    with pytest.raises(SettingError, match="neither above nor below"):
        TriggerSettings("fcc")
    for words in ({"above": "nan"}, {"above": "inf"}, {"above": "0.5", "hysteresis": "inf"}):
        with pytest.raises(SettingError, match=f"{list(words)[-1]}=.* is not usable"):
            make(TriggerSettings, {"on": "fcc", **words})
    with pytest.raises(SettingError, match="both"):
        TriggerSettings("fcc", above=0.1, below=0.2)
