# SPDX-License-Identifier: BSD-3-Clause
"""Settings: the same from Python keywords and from the words of a fix line."""

import pytest

import insitu
from insitu import hook, settings
from insitu.errors import SettingError


def test_words_and_keywords_are_the_same() -> None:
    words = ["model", "metals", "file", "a.h5", "every", "200", "threshold", "0.7", "first", "yes"]
    from_python = settings.make(model="metals", file="a.h5", every=200, threshold=0.7, first=True)
    assert settings.from_words(words) == from_python


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["file"], "'file' has no value"),
        (["file", "a.h5", "file", "b.h5"], "'file' is given twice"),
        (["modell", "metals"], "Did you mean 'model'"),
        (["every", "ten"], "every='ten' is not a whole number"),
        (["first", "maybe"], "allowed: yes, no"),
        (["threads", "0"], "threads=0"),
        (["threshold", "2"], "0 … 1"),
        (["if_exists", "replace"], "refuse, append, overwrite"),
        (["file", ""], "file is empty"),
    ],
)
def test_each_mistake_has_its_message(words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        settings.from_words(words)


@pytest.mark.parametrize("value", [10.7, True, "10.5"])
def test_no_number_is_cut_down(value: object) -> None:
    with pytest.raises(SettingError, match="every="):
        settings.make(every=value)
    assert settings.make(every=10.0).every == 10


def test_monitor_checks_at_once() -> None:
    with pytest.raises(SettingError, match="Did you mean 'threshold'"):
        insitu.monitor(treshold=0.5)
    assert callable(insitu.monitor(file="x.h5"))


def test_fix_call_answers_and_never_raises() -> None:
    def create(*words: str) -> str:
        return hook.fix_call("create", 1, "\x1f".join(["phases", "all", *words]))

    assert create("100", "every", "300", "first", "yes") == "ok 300 1"
    assert create("100") == "ok 100 0"
    assert "N=zero" in create("zero")
    assert "N=-5" in create("-5")
    assert "every=150 is not a multiple" in create("100", "every", "150")
    assert "its own group" in create("100", "group", "part")
    assert hook.fix_call("step", 1, "nobody") == "fix nobody is not set up"
    assert hook.fix_call("destroy", 1, "phases") == "ok"
