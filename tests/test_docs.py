# SPDX-License-Identifier: BSD-3-Clause
"""The pages that people read agree with the code and with the decks."""

import re
import sys
import types
from dataclasses import fields
from pathlib import Path

import pytest

from insitu.history import IF_EXISTS
from insitu.pipeline.given_settings import make
from insitu.pipeline.settings import ON_ERROR, ON_SIGTERM, ON_WRITE_ERROR, OVERLAP, Settings

ROOT = Path(__file__).resolve().parents[1]
DECKS = ROOT / "lammps_inputs"
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md",
    DECKS / "README.md",
    ROOT / "slurm" / "README.md", ROOT / "benchmarks" / "README.md", *sorted(DOCS.glob("*.md")),
    *sorted((ROOT / "integrations").glob("*/README.md")),
]  # fmt: skip
SETTINGS = (DOCS / "settings.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    section = text.split(f"# {heading}\n", 1)[1]
    lines = section[section.index("|") :].split("\n\n", 1)[0].splitlines()
    return [[c.strip() for c in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_setting_is_on_the_page_with_its_default() -> None:
    table = {row[0].strip("` |"): row for row in rows(SETTINGS, "Settings")}
    assert list(table) == [f.name for f in fields(Settings)] or set(table) == {
        f.name for f in fields(Settings)
    }
    for field in fields(Settings):
        default, shown = field.default, table[field.name][2]
        if field.name == "threads":
            assert shown == "`OMP_NUM_THREADS`, else `1`"
        elif default is None or default == ():
            assert shown.startswith("none"), field.name
        elif isinstance(default, bool):
            assert shown == f"`{'yes' if default else 'no'}`", field.name
        else:
            assert shown == f"`{default}`", field.name


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("if_exists", IF_EXISTS),
        ("on_error", ON_ERROR),
        ("on_write_error", ON_WRITE_ERROR),
        ("on_sigterm", ON_SIGTERM),
        ("overlap", OVERLAP),
    ],
)
def test_allowed_words_are_on_the_page(name: str, allowed: tuple[str, ...]) -> None:
    (row,) = (r for r in rows(SETTINGS, "Settings") if r[0].strip("` |") == name)
    assert re.findall(r"`(\w+)`", row[1]) == list(allowed)


def test_threshold_of_the_shipped_model() -> None:
    from insitu.models.store import load

    (row,) = (r for r in rows(SETTINGS, "Settings") if r[0].strip("` |") == "threshold")
    assert f"({load('metals').card.threshold:g} for `metals`)" in row[2]


def test_codes_of_the_page() -> None:
    from insitu.models.card import class_codes
    from insitu.models.store import load

    classes = load("metals").card.classes
    codes = dict(zip([*classes, "unknown"], class_codes(classes), strict=True))
    page = (DOCS / "adding_to_your_deck.md").read_text()
    table = page.split("| integer | phase |")[1].split("\n\n")[0]
    named: dict[str, int] = {}
    for numbers, names in re.findall(r"^\| ([\d, ]+) \| ([\w, ]+)", table, re.M):
        words = [n.strip().replace(" ", "_") for n in names.split(",")]
        named |= dict(zip(words, map(int, numbers.split(",")), strict=True))
    assert f"`metals` has {codes.pop('disordered')} disordered" in table
    assert {name: named[name] for name in codes} == codes


def test_every_deck_is_in_the_table() -> None:
    decks = {p.relative_to(DECKS).as_posix() for p in DECKS.rglob("in.*")}
    listed = {
        link for row in rows((DECKS / "README.md").read_text(), "The decks")
        for link in re.findall(r"\[in\.\w+\]\(([^)]+)\)", row[0])
    }  # fmt: skip
    assert listed == decks


@pytest.mark.parametrize("deck", sorted(p.name for p in DECKS.glob("in.*")))
def test_a_deck_says_how_to_run_it_and_whose_potential_it_has(deck: str) -> None:
    text = (DECKS / deck).read_text()
    assert f"-in {deck}" in text
    assert "# Potential: " in text
    if deck != "in.trajectory":  # no analysis in it
        assert "fix python/invoke" in text or "python/invoke $" in text
        assert f"-in {deck} -var host python" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}
            assert anchor in slugs, target


def test_messages_of_the_page_are_in_the_code() -> None:
    """A remedy helps only if its message is the one that is printed."""
    python, plugin = (
        re.sub(r'"\s*\n\s*f?"', "", "".join(p.read_text() for p in sorted(found)))
        for found in ((ROOT / "insitu").rglob("*.py"), (ROOT / "kernels").rglob("*.cpp"))
    )
    code = re.sub(r"\{[^{}]*\}", "…", python).replace("\\n    ", " ") + plugin
    of_lammps = ("Unrecognized fix style", "Unknown command", "No module named", "(LAMMPS")
    unknown = []
    for row in rows((DOCS / "messages.md").read_text(), "Messages and remedies"):
        if any(word in row[0] for word in of_lammps):
            continue
        for message in re.findall(r"`([^`]+)`", row[0]):
            for part in re.split(r" ?… ?", message):
                if len(part) > 3 and part not in code:
                    unknown.append(part)
    assert unknown == []


def test_the_diff_of_an_analysis_is_in_the_code() -> None:
    """Each hunk of the guide's diffs is, as it stands after it, in the file that it names."""
    page = (DOCS / "adding_an_analysis.md").read_text()
    diffs = re.findall(r"^```diff\n--- \S+\n\+\+\+ b/(\S+)\n(.*?)^```$", page, re.M | re.S)
    assert len(diffs) == 3
    for path, text in diffs:
        after = (ROOT / path).read_text()
        for hunk in text.split("@@\n")[1:]:
            lines = [line[1:] for line in hunk.splitlines() if line[:1] in "+ "]
            assert "\n".join(lines) in after, (path, lines)


def test_the_example_of_an_analysis_keeps_the_contract() -> None:
    page = (DOCS / "adding_an_analysis.md").read_text()
    example, test = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    names: dict[str, object] = {"__name__": "example"}
    module = types.ModuleType("example")
    exec(example, module.__dict__)
    names["Coordination"] = module.__dict__["Coordination"]
    sys.modules["example"] = module
    try:
        exec(test, names)
    finally:
        del sys.modules["example"]


def test_the_file_of_the_settings_page_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", SETTINGS, re.M | re.S)
    (tmp_path / "run.toml").write_text(text)
    read = make(config=str(tmp_path / "run.toml"))
    assert read.groups == ("surface", "bulk")
    assert [r.name for r in read.analyses] == ["steinhardt", "rdf", "near"]


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {p.name for p in DOCS.glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([\w.]+)\)", index))


def test_the_numbers_of_the_hot_crystal_are_those_of_its_picture() -> None:
    """benchmarks/hot_crystal.py writes what it measured into the picture's text."""
    from PIL import Image

    with Image.open(DOCS / "hot_crystal.png") as picture:
        measured = [value.removesuffix(" fcc") for value in picture.text.values()]
    assert len(measured) == 3
    readme = (ROOT / "README.md").read_text()
    accuracy = (DOCS / "accuracy.md").read_text()
    for share in measured:
        assert share in readme
        assert f"| {share.removesuffix(' %')} |" in accuracy


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60


def test_the_map_of_the_source_has_every_folder() -> None:
    """tools/data_way.py draws it; run it again when folders have changed."""
    drawn = (DOCS / "data_way.svg").read_text()
    folders = {p.parent.name for p in (ROOT / "insitu").glob("*/__init__.py")}
    assert {f for f in folders if f">{f}<" not in drawn} == set()
