# SPDX-License-Identifier: BSD-3-Clause
"""The verbs that read histories, as a shell sees them: output, files, exit codes."""

from __future__ import annotations

import shlex
from pathlib import Path

import h5py
import pandas
import pytest
from histories import melting

from insitu.cli import command as cli

VERBS = (
    "show",
    "plot",
    "watch",
    "export",
    "compare",
    "report",
    "classify",
    "models",
    "train",
    "saddles",
    "submit",
    "diffraction",
)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A history `a.h5` in the current folder."""
    monkeypatch.chdir(tmp_path)
    melting(tmp_path / "a.h5")
    return "a.h5"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_that_parses(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    examples = [
        shlex.split(line) for line in text.splitlines() if line.startswith(f"  insitu {verb}")
    ]
    assert examples
    for words in examples:
        assert cli.parser().parse_args(words[1:]).verb == verb


def test_show_check(history: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", history, "--check"]) == 0
    assert capsys.readouterr().out == "a.h5: valid H5MD 1.1, 41 frames, complete\n"
    with h5py.File(history, "r+") as file:
        del file["h5md/author"]
    assert cli.main(["show", history, "--check"]) == 1
    assert "author" in capsys.readouterr().out


def test_several_files_are_one_run_or_an_ensemble(
    history: str, capsys: pytest.CaptureFixture[str]
) -> None:
    melting(Path("b.h5"), range(300, 610, 10))
    assert cli.main(["show", history, "b.h5", "--rows", "3"]) == 0
    assert "3 of 61 frames shown" in capsys.readouterr().out
    melting(Path("c.h5"), melts_at=100.0)
    assert cli.main(["show", history, "c.h5"]) == 2
    assert "nothing would be left of 'a.h5'" in capsys.readouterr().err
    assert cli.main(["show", history, "c.h5", "--ensemble"]) == 0
    assert "Mean of 2 runs." in capsys.readouterr().out


def test_plot(history: str, capsys: pytest.CaptureFixture[str]) -> None:
    melting(Path("c.h5"), melts_at=100.0)
    for more in (
        [], ["--x", "temperature"], ["--stacked", "--panels", "phases,cost"], ["c.h5", "--beside"],
        ["c.h5", "--ensemble", "--width", "8.6"],
    ):  # fmt: skip
        assert cli.main(["plot", history, *more, "--out", "p.svg"]) == 0, capsys.readouterr().err
        assert Path("p.svg").read_text().startswith("<?xml")
        Path("p.svg").unlink()
    capsys.readouterr()
    assert cli.main(["plot", history, "--panels", "phases,energie"]) == 2
    assert "Did you mean 'energy'?" in capsys.readouterr().err
    assert cli.main(["plot", history, "--out", "a.gif"]) == 2


def test_export_into_a_pipe(history: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", history, "--out", "-"]) == 0
    assert capsys.readouterr().out.startswith("step,time (ps),temperature (K)")
    assert cli.main(["export", history]) == 0
    assert len(pandas.read_csv("a.csv")) == 41


def test_compare_has_the_exit_code_of_a_test(
    history: str, capsys: pytest.CaptureFixture[str]
) -> None:
    melting(Path("b.h5"), melts_at=210.0)
    assert cli.main(["compare", history, "b.h5", "--tolerance", "0.5"]) == 0
    assert "No phase differs by more than 50 %" in capsys.readouterr().out
    assert cli.main(["compare", history, "b.h5", "--out", "d.png"]) == 1
    assert "Beyond 1 % first at step" in capsys.readouterr().out
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["compare", history]) == 2
    assert cli.main(["compare", history, "--ptm", "dump", "--group", "all"]) == 2


def test_watch_and_report(history: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", history, "--once", "--steps", "400", "--width", "70"]) == 0
    assert "finished" in capsys.readouterr().out.splitlines()[0]
    assert cli.main(["watch", "no.h5", "--once"]) == 1
    assert cli.main(["report", history]) == 0
    assert Path("a.html").read_text().startswith("<!DOCTYPE html>")


def test_whose_atoms_make_up_the_surroundings_is_told(
    history: str, capsys: pytest.CaptureFixture[str]
) -> None:
    melting(Path("o.h5"))
    with h5py.File("o.h5", "r+") as file:
        file["parameters/insitu"].attrs["neighbors"] = "O"
    assert cli.main(["show", "o.h5"]) == 0
    assert "Only the atoms of O make up the surroundings (neighbors)" in capsys.readouterr().out
    assert cli.main(["show", history]) == 0
    assert "surroundings" not in capsys.readouterr().out
    assert cli.main(["compare", history, "o.h5"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Surroundings differ: A's are made up by neighbors=all, B's by O." in said
    assert cli.main(["report", "o.h5"]) == 0
    assert "surroundings made up by (neighbors)" in Path("o.html").read_text()
    assert cli.main(["show", history, "o.h5"]) == 2
    assert "'o.h5' has neighbors O, and 'a.h5' has all" in capsys.readouterr().err
    assert cli.main(["compare", "o.h5", "--ptm", "a.dump"]) == 2
    assert "name them by atom types in the run: neighbors 1" in capsys.readouterr().err


def test_a_job_of_a_deck_with_a_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the script names is one that a shell takes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.my deck").touch()
    assert cli.main(["submit", "in.my deck", "--dry-run"]) == 0
    assert "hand it in with: sbatch 'in.my deck.sbatch'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("time", "grace", "said"),
    [
        ("2", 120, True), ("2", 119, False), ("1:59", 119, True), ("0:02:00", 120, True),
        ("0-01", 3600, True),
        ("1-00:01", 86460, True), ("1-00:01:01", 86460, False), ("0", 120, False),
    ],
)  # fmt: skip
def test_a_job_that_would_end_when_it_begins(
    time: str, grace: int, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (deck := tmp_path / "in.melt").touch()
    words = ["submit", str(deck), "--dry-run", "--time", time, "--grace", str(grace)]
    assert cli.main(words) == (2 if said else 0)
    assert ("is not shorter than --time" in capsys.readouterr().err) == said


def test_the_script_of_a_job_does_not_replace_its_deck(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deck = tmp_path / "in.melt"
    deck.write_text("run 0\n")
    assert cli.main(["submit", str(deck), "--out", str(deck)]) == 2
    assert "is the deck itself" in capsys.readouterr().err
    assert deck.read_text() == "run 0\n"
