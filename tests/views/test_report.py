# SPDX-License-Identifier: BSD-3-Clause
"""The report of a run, and the numbers in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from histories import create, melting

import insitu
from insitu.errors import SettingError
from insitu.models.store import ARTIFACTS
from insitu.views.markdown import to_html
from insitu.views.report import page, report
from insitu.views.summary import cost, crossings, stages

VOID = {"meta", "br", "path", "use", "rect"}


class Checked(HTMLParser):
    """A page whose tags must be closed in order; gathers text and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [f"{k}={v}" for k, v in attributes if k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(text: str) -> Checked:
    parser = Checked()
    parser.feed(text)
    parser.close()
    assert parser.stack == []
    return parser


def test_one_file_with_everything_inside(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5", command="lmp -in <in.melt>"))
    path = report(history, tmp_path / "a.html", title="Melting & <more>")
    parser = checked(path.read_text())
    assert {"svg", "table"} <= parser.tags
    assert not parser.tags & {"script", "link", "img", "iframe"}
    assert all(load.split("=")[1].startswith("#") for load in parser.loads)
    assert "url(http" not in path.read_text()
    assert "@import" not in path.read_text()
    text = re.sub(r"\s+", " ", parser.text)
    for words in (
        "Melting & <more>", "Fraction of atoms", "falls below 50 %", "rises above 50 %",
        "25.0 %",  # cost of the analysis
        "lmp -in <in.melt>", "node01", "Trained on Al, Fe, Zr, Si",  # from the model's card
    ):  # fmt: skip
        assert words in text, words


def test_the_same_history_gives_the_same_page(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5"))
    assert page(history, "a") == page(history, "a")


def test_an_analysis_that_was_disabled_and_a_model_that_is_not_here(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5", model_sha256="0" * 64)
    history.close()
    melting(tmp_path / "b.h5", range(0, 30, 10), model_sha256="0" * 64)
    data = insitu.open(tmp_path / "b.h5")
    data.attrs["disabled"] = '[{"step": 1000, "reason": "too few <ghosts>"}]'
    text = checked(page(data, "b")).text
    assert "disabled from step 1,000 on" in text
    assert "too few <ghosts>" in text
    assert "is not at hand here" in text
    assert "No phase gains or loses half" in text


def test_crossings_lie_where_the_fraction_is_one_half(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5", melts_at=203.0))
    found = {c.phase: c for c in crossings(history)}
    assert set(found) == {"fcc", "disordered"}
    assert (found["disordered"].rising, found["fcc"].rising) == (True, False)
    assert found["disordered"].steps == (200, 210)
    assert found["disordered"].time == pytest.approx(0.002 * 203.0, abs=0.002 * 3)
    assert found["disordered"].temperature == pytest.approx(300 + 2 * 203.0, abs=6)


def test_cost_is_relative_to_the_simulation(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5", range(0, 100, 10)))
    assert cost(history) == pytest.approx(0.25)
    assert [(s.name, round(s.total, 6), round(s.share, 6)) for s in stages(history)] == [
        ("simulation", 8.0, 0.8), ("model", 2.0, 0.2),
    ]  # fmt: skip
    assert cost(history.drop_vars("timing_simulation")) is None


def test_markdown_of_a_card() -> None:
    text = to_html("# A\n\nOne `x<y` **bold**\nline [here](https://x.org).\n\n| a | b |\n| --- | --- |\n"
                   "| 1 | <2> |\n\n- p\n  - deep\n- q\n\n![a picture](https://x.org/a.png)", 3)  # fmt: skip
    assert "<h3>A</h3>" in text
    assert (
        '<p>One <code>x&lt;y</code> <strong>bold</strong>\nline <a href="https://x.org">here</a>.</p>'
        in text
    )
    assert '<div class="wide"><table>' in text
    parser = checked(text)
    assert (
        re.sub(r"\s+", " ", parser.text).strip()
        == "A One x<y bold line here. a b 1 <2> p deep q a picture"
    )
    assert {"td", "ul"} <= parser.tags
    assert not parser.tags & {"img", "2"}


@pytest.mark.parametrize("name", sorted(p.parent.name for p in ARTIFACTS.glob("*/README.md")))
def test_every_card_is_legible(name: str) -> None:
    card = (ARTIFACTS / name / "README.md").read_text(encoding="utf-8")
    parser = checked(to_html(card, 3))
    assert "h3" in parser.tags
    assert ("table" in parser.tags) == ("\n|" in card)
    assert "**" not in parser.text
    assert "](" not in parser.text


def test_errors(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5", range(0, 20, 10)))
    with pytest.raises(SettingError, match=r"written as '\.pdf'; give a name that ends in \.html"):
        report(history, tmp_path / "a.pdf")
    with pytest.raises(SettingError, match=r"could not be written .*a directory that exists"):
        report(history, tmp_path / "no" / "a.html")
