# SPDX-License-Identifier: BSD-3-Clause
"""Analyses by name: words, Python, TOML; others' by entry points; and the kit finds what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.analyses import Analysis, Column, Observable, System, setting
from insitu.analyses.profile.analysis import Profile
from insitu.analyses.rdf import Rdf, RdfSettings
from insitu.analyses.registry import BUILT_IN, RESERVED, find, names, section
from insitu.errors import SettingError
from insitu.pipeline.given_settings import from_words, make
from insitu.testing import check_analysis


@dataclass(frozen=True)
class CountSettings:
    cutoff: float = setting("neighbours are within", default=4.0, unit="Å", low=0.1, high=10.0)
    weights: tuple[float, ...] = setting("of the types", default=())
    fast: bool = setting("as said", default=False)


class Count(Analysis[CountSettings]):
    """Ids of the atoms with an odd number of neighbours: sums, a gather and a column."""

    name = "count"
    Settings = CountSettings
    thermo = ("temperature",)
    reads = ("phase",)
    exchanged, rounds = 2, 1  # an id of 8 bytes

    def __init__(self, settings: CountSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        self.cutoff = settings.cutoff
        self.sums = {"atoms": (), "of_phase": (3,)}
        self.gathers = {"odd": (2,)}
        self.columns = {"neighbors": Column("", "neighbours of the atom")}
        self.observables = (
            Observable(self.path("odd"), (), "f8", "Angstrom", "radius of gyration of odd atoms"),
            Observable(self.path("phases"), (3,), "f8", "", "share of the phases"),
        )

    def __call__(self, frame: Any, neighbors: Any) -> dict[str, Any]:
        offsets, others = neighbors.lists(self.cutoff)
        ids = self.with_ghosts(frame.ids[: frame.n_local, None], neighbors)[:, 0]
        assert (ids[others] == frame.ids[others]).all()
        n = np.full(frame.n_local, np.nan)
        n[neighbors.atoms] = np.diff(offsets)
        odd = np.flatnonzero(n % 2 == 1)
        assert frame.thermo.temperature == 300.0
        phase = frame.results["phase"][neighbors.atoms]
        distance = np.where(odd > -1, n[odd], 0.0)
        return {
            "atoms": len(neighbors.atoms),
            "of_phase": np.bincount(np.where(phase < 0, 2, phase), minlength=3),
            "odd": (frame.ids[odd], np.stack([distance, distance**2], axis=1)),
            "neighbors": n,
        }

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        ids, values = sums["odd"]
        assert (np.diff(ids) > 0).all()
        with np.errstate(invalid="ignore"):
            return {
                self.path("odd"): values[:, 1].sum() if len(ids) else np.nan,
                self.path("phases"): sums["of_phase"] / sums["atoms"],
            }


def test_the_contract_of_ours() -> None:
    found = check_analysis(Rdf, {"cutoff": 5.0, "bins": 40})
    assert set(found) == {
        "2 ranks", "3 ranks", "4 ranks", "order", "translation", "rotation", "group, 2 ranks",
    }  # fmt: skip
    check_analysis(Profile, {"axis": "z", "bins": 7}, invariant=("order",))
    check_analysis(Count, {"cutoff": 3.5, "weights": (1.0, 2.5), "fast": True})


class OfRank(Count):
    """Its result is that of one rank."""

    name = "of_rank"

    def __call__(self, frame: Any, neighbors: Any) -> dict[str, Any]:
        return super().__call__(frame, neighbors) | {"atoms": 1.0}


class OfIds(Count):
    """Its result depends on the numbering."""

    name = "of_ids"

    def __call__(self, frame: Any, neighbors: Any) -> dict[str, Any]:
        even = frame.ids[neighbors.atoms] % 2 == 0
        found = super().__call__(frame, neighbors)
        n = found["neighbors"].copy()
        n[neighbors.atoms[even]] += 1.0
        return found | {"neighbors": n}


class OfPlace(Count):
    """Its result depends on where the sample lies."""

    name = "of_place"

    def __call__(self, frame: Any, neighbors: Any) -> dict[str, Any]:
        low = frame.positions[: frame.n_local, 0] < 5.0
        found = super().__call__(frame, neighbors)
        return found | {"neighbors": np.where(low, 7.0 * found["neighbors"], found["neighbors"])}


class Often(Count):
    """It exchanges more often than it declares."""

    name = "often"

    def __call__(self, frame: Any, neighbors: Any) -> dict[str, Any]:
        super().__call__(frame, neighbors)
        return super().__call__(frame, neighbors)


class Other(Count):
    """It returns something else than it declares."""

    name = "other"

    def __call__(self, frame: Any, neighbors: Any) -> dict[str, Any]:
        return super().__call__(frame, neighbors) | {"more": 1.0}


class Alike(Count):
    """A second one of its kind would write the same."""

    name = "alike"

    def __init__(self, settings: CountSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system)


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        (OfRank, "2 ranks: of_rank/phases differs by"),
        (OfIds, "order: column neighbors differs by"),
        (OfPlace, "translation: column neighbors differs by"),
        (Often, "exchanges 2 values of 4 bytes, and once more than before.*rounds=1"),
        (Other, "returned .*more.* and declares"),
        (Alike, "a second one also writes"),
    ],
)
def test_the_kit_finds_what_is_wrong(analysis: type[Analysis[Any]], words: str) -> None:
    with pytest.raises((AssertionError, Exception), match=words):
        check_analysis(analysis, {"cutoff": 3.5})


def test_one_analysis_in_words_python_and_toml(tmp_path: Path) -> None:
    words = [
        "file",
        "a.h5",
        "analyze",
        "rdf",
        "cutoff",
        "10",
        "bins",
        "200",
        "analyze",
        "profile",
        "axis",
        "z",
        "bins",
        "50",
        "every",
        "5",
    ]
    given = {"rdf": {"cutoff": 10, "bins": 200}, "profile": {"axis": "z", "bins": 50}}
    expected = from_words(words)
    assert make(file="a.h5", every=5, analyze=given) == expected
    assert make(
        file="a.h5", every=5, analyze="rdf cutoff 10 bins 200 analyze profile axis z bins 50"
    ) == expected  # fmt: skip
    (tmp_path / "run.toml").write_text(
        "file = 'a.h5'\nevery = 7\n[analyze.rdf]\ncutoff = 10\nbins = 200\n"
        "[analyze.profile]\naxis = 'z'\nbins = 4\n"
    )
    path = str(tmp_path / "run.toml")
    read = from_words(
        ["config", path, "every", "5", "analyze", "profile", "axis", "z", "bins", "50"]
    )
    assert (read.file, read.every, read.analyses) == ("a.h5", 5, expected.analyses)


def test_short_forms_are_the_same() -> None:
    long = make(analyze="profile axis z bins 50 low 0 high 400 analyze rdf cutoff 8 bins 80")
    assert make(rdf=8.0, rdf_bins=80, profile="z,50,0,400").analyses == long.analyses


def test_several_of_a_kind_have_names() -> None:
    two = from_words(
        ["analyze", "rdf", "cutoff", "10", "analyze", "rdf", "name", "near", "cutoff", "5"]
    )
    assert [r.name for r in two.analyses] == ["rdf", "near"]
    listed = {"rdf": [{"cutoff": 10}, {"name": "near", "cutoff": 5}]}
    assert make(analyze=listed) == two
    near = Rdf(RdfSettings(5.0), System(), "near")
    assert [o.path for o in near.observables] == ["near"]
    assert [a for a, _, _ in near.observables[0].axes] == ["pair", "near_radius"]
    with pytest.raises(SettingError, match="there are two analyses 'rdf'; give each its own name"):
        make(rdf=8.0, analyze="rdf cutoff 5")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("analyze rdff cutoff 5", "analyze rdff: there is no such analysis.*Did you mean 'rdf'"),
        ("analyze rdf", "analyze rdf: cutoff is not given .*largest distance .0.1 … 100 Å"),
        ("analyze rdf cutoff 500", "analyze rdf: cutoff=500.0 is not usable; give 0.1 … 100 Å"),
        ("analyze rdf cutoff wide", "analyze rdf: cutoff='wide' is not a number"),
        (
            "analyze rdf cutoff 5 bin 10",
            "analyze rdf: setting 'bin' is not known.*Did you mean 'bins'",
        ),
        ("analyze rdf cutoff 5 cutoff 6", "analyze rdf: 'cutoff' is given twice"),
        ("analyze rdf cutoff 5 name a/b", "name=a/b is not a word"),
        ("analyze rdf cutoff 5 columns q6", "columns=q6 is not understood"),
        (
            "analyze profile axis w bins 5",
            "analyze profile: axis='w' is not known; allowed: x, y, z",
        ),
        ("analyze profile axis z bins 5 low 3", "low is given and high is not"),
        ("analyze profile axis z bins 5 low 3 high 2", "low=3 high=2 begins at or after its end"),
        ("analyze steinhardt cutoff 4 degrees 4,4", "degrees=4,4; give each once"),
        ("analyze no.such:Thing cutoff 4", "no.such:Thing cannot be imported .ModuleNotFoundError"),
        ("analyze insitu.errors:InsituError cutoff 4", "is no subclass of"),
        ("config nowhere.toml", "config=nowhere.toml cannot be read .No such file"),
    ],
)
def test_each_mistake_has_its_message(words: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_words(words.split())


def test_what_is_wrong_in_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    for text, message in (
        ("file = ", "is not TOML"), ("fil = 'a.h5'", "config=.*Did you mean 'file'"),
        ("[analyze]\nrdf = 5", "analyze=.*is not understood"), ("config = 'b'", "no setting 'config'"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(SettingError, match=message):
            make(config=str(path))


def test_every_one_of_ours_is_documented() -> None:
    for name in BUILT_IN:
        text = section(find(name))
        assert f"## `analyze {name}`" in text
        assert not set(RESERVED) & {
            line.split("`")[1] for line in text.splitlines() if line[:3] == "| `"
        }
    assert "| `cutoff` | number, 0.1 … 100 Å | required | largest distance |" in section(Rdf)


def test_others_are_found_by_their_entry_point(tmp_path: Path) -> None:
    about = tmp_path / "voids-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: voids\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[insitu.analyses]\nvoids = voids:Voids\nbad = voids:no\n"
    )
    (tmp_path / "voids.py").write_text(
        "from insitu.analyses.rdf import Rdf\nclass Voids(Rdf):\n    '''Voids.'''\n    name = 'voids'\n"
    )
    code = (
        "import sys\nfrom insitu.pipeline.given_settings import make\nmake(rdf=5.0)\n"
        "assert 'importlib.metadata' not in sys.modules\n"
        "print(make(analyze='voids cutoff 5').analyses[0].name)\n"
        "from insitu.analyses.registry import names\nassert 'voids' in names()\n"
        "make(analyze='bad cutoff 5')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "voids", done.stderr
    assert "analyze bad: voids:no cannot be imported" in done.stderr
    assert "voids" not in names()
