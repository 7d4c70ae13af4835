# SPDX-License-Identifier: BSD-3-Clause
"""Settings: the same from Python keywords and from the words of a fix line."""

import pytest

import insitu
from insitu.errors import SettingError
from insitu.lammps import hook
from insitu.pipeline import given_settings as settings


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
        (["var", "phase"], "Did you mean 'variables'"),
        (["every", "ten"], "every='ten' is not a whole number"),
        (["first", "maybe"], "allowed: yes, no"),
        (["threads", "0"], "threads=0"),
        (["threshold", "2"], "0 … 1"),
        (["if_exists", "replace"], "refuse, append, overwrite, new"),
        (["on_error", "disabel"], "allowed: stop, disable. Did you mean 'disable'"),
        (
            ["labels", "phase"],
            "labels='phase' is not a column .* starts with i_, for example i_phase",
        ),
        (["confidence", "i_sure"], "confidence='i_sure' .* starts with d_"),
        (["labels", "i_"], "labels='i_'"),
        (["groups", "a,b,a"], "groups=a,b,a names 'a' twice"),
        (["groups", "a,,b"], "an empty group"),
        (["neighbors", ","], "an empty group"),
        (["neighbors", "O,O"], "neighbors=O,O names 'O' twice"),
        (["file", ""], "file is empty"),
        (["atoms", "0"], "atoms=0 is not a number of steps; give 1"),
        (["atoms_memory", "5000"], "atoms_memory=5000 is not usable; give 0.01 … 4000 MB"),
    ],
)
def test_each_mistake_has_its_message(words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        settings.from_words(words)


def test_groups_are_words_separated_by_commas_or_a_list() -> None:
    assert settings.from_words(["groups", "surface,bulk"]).groups == ("surface", "bulk")
    assert settings.make(groups=["surface", "bulk"]).groups == ("surface", "bulk")
    with pytest.raises(SettingError, match="groups=3 is not understood"):
        settings.make(groups=3)


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

    assert "N=zero" in create("zero")
    assert "N=-5" in create("-5")
    assert "N=4294967296" in create("4294967296")
    assert "'file' has no value" in create("100", "file")
    assert "every=150 is not a multiple" in create("100", "every", "150")
    assert "its own group" in create("100", "group", "part")
    assert "atoms=150 is not a multiple" in create("100", "atoms", "150")
    damaged = "phases\x1fall\x1f100\x1ffile\x1fü.h5".encode().replace(b"\xc3", b"")
    assert "write names of files and groups in ASCII" in hook.fix_call("create", 1, damaged)
    assert "is not visible in this process" in create("100")  # there is no LAMMPS here
    assert hook.fix_call("step", 1, "nobody") == "fix nobody is not set up"
    assert hook.fix_call("destroy", 1, "phases") == "ok"


def test_neighbors_are_groups_and_numbers_of_types() -> None:
    assert settings.from_words(["neighbors", "metal,3"]).neighbors == ("metal", "3")
    assert settings.make(neighbors=["metal", 3]).neighbors == ("metal", "3")
    assert settings.make(neighbors=1).neighbors == ("1",)
    assert settings.make(neighbors="all") == settings.make()
    with pytest.raises(SettingError, match=r"neighbors=True is not understood; .* atom types"):
        settings.make(neighbors=True)
