# SPDX-License-Identifier: BSD-3-Clause
"""Phases in bins along an axis: counts, moving boxes, history, plot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import insitu
from insitu.analyses.base import System
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.profile.analysis import Profile, ProfileSettings
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.history.writing.writer import Series
from insitu.models.card import class_codes
from insitu.models.store import load
from insitu.pipeline.given_settings import from_words, make
from insitu.testing import lattice
from insitu.views import plots


def profile_of(frame: Frame, *words: str, n_phases: int = 8) -> Profile:
    classes = tuple(map(str, range(n_phases)))
    system = System(cell=frame.cell, origin=frame.origin, pbc=frame.pbc, classes=classes)
    return Profile(ProfileSettings.parse(words), system)


def test_bins_are_those_of_the_positions() -> None:
    rng = np.random.default_rng(1)
    cell = np.array([[20.0, 0, 0], [3.0, 15.0, 0], [2.0, -4.0, 30.0]])
    r = rng.uniform(-40, 60, (500, 3))
    for pbc in (True, [True, True, False]):
        frame = Frame.from_arrays(r, cell, pbc, reach=0.0, origin=np.array([1.0, 2.0, -5.0]))
        found = profile_of(frame, "z", "6").bins_of(frame)
        z = frame.positions[: frame.n_local, 2] + 5.0
        expected = np.floor(z / 5.0).astype(int)
        outside = (expected < 0) | (expected > 5)
        assert (found[outside] == -1).all()
        assert (found[~outside] == expected[~outside]).all()
        assert outside.any() == (pbc is not True)
    part = profile_of(frame, "z", "2", "0", "10")
    assert part.positions.tolist() == [2.5, 7.5]
    z = frame.positions[: frame.n_local, 2]
    assert (part.bins_of(frame) == np.where((z >= 0) & (z < 10), z // 5, -1)).all()


def test_bins_follow_a_periodic_box_only() -> None:
    r = np.array([[1.0, 1.0, 1.3], [1.0, 1.0, 9.3], [1.0, 1.0, 5.3]])
    first = Frame.from_arrays(r, [10.0, 10.0, 10.0], True, reach=0.0)
    wide = Frame.from_arrays(1.2 * r, [12.0, 12.0, 12.0], True, reach=0.0)
    follows = profile_of(first, "z", "10")
    assert follows.bins_of(first).tolist() == follows.bins_of(wide).tolist() == [1, 9, 5]
    still = profile_of(
        Frame.from_arrays(r, [10.0, 10.0, 10.0], [True, True, False], reach=0.0), "z", "10"
    )
    assert still.bins_of(wide).tolist() == [1, -1, 6]


def test_profile_of_two_crystals_and_its_history(tmp_path: Path) -> None:
    """Half fcc, half bcc: the profile has each in its half, in the file, the reader and the plot."""
    fcc, cell = lattice("fcc", 4.05, (4, 4, 6))
    bcc, _ = lattice("bcc", 3.24, (5, 5, 7))
    height = cell[2, 2]
    r = np.concatenate([fcc, bcc + np.array([0.0, 0.0, height + 1.0])])
    box = np.diag([cell[0, 0], cell[1, 1], 2 * height])
    model = load("metals")
    bare = Frame.from_arrays(r, box, [True, True, False], reach=0.0)
    profile = profile_of(bare, "z", "8")
    analyzer = Phases(model)
    analyzer.classifier.measure(spacing(bare))
    frame = Frame.from_arrays(r, box, [True, True, False], reach=analyzer.classifier.search * 1.001)
    search = Neighbors(frame, analyzer.classifier.search)
    values = analyzer.finish(analyzer(frame, search))
    labelled = replace(frame, results={"phase": analyzer.labels})
    values |= profile.finish(profile(labelled, search))
    count = values["phases/profile_count"]
    inside = profile.bins_of(frame) >= 0
    assert count.sum() == inside.sum()
    names = analyzer.classes
    assert (values["phases/profile"][1:3, names.index("fcc")] > 0.95).all()
    assert (values["phases/profile"][5:6, names.index("bcc")] > 0.95).all()
    path = tmp_path / "p.h5"
    series = Series.create(
        path, [*analyzer.observables, *profile.observables], time_unit="ps",
        provenance={"model": "metals"}, classes=names, codes=class_codes(names[:-1]),
    )  # fmt: skip
    for k in range(3):
        series.append(10 * k, 0.1 * k, values)
    series.close()
    history = insitu.open(path)
    assert history["profile"].dims == ("step", "bin", "phase")
    assert history["profile_count"].sel(step=10).values.tolist() == count.tolist()
    assert np.allclose(history["bin"].values, profile.positions)
    assert history["bin"].attrs["units"] == "Angstrom"
    found = plots.save(history, tmp_path / "p.png", panels=["phases", "profile"])
    assert found.stat().st_size > 5000
    plots.save(history.isel(step=[0]), tmp_path / "one.svg", panels=["profile"])


def test_atoms_on_the_faces_of_a_periodic_box_are_in_a_bin() -> None:
    """Just below 0 a fraction of the box is rounded to 1."""
    r, cell = lattice("fcc", 4.05, (6, 6, 6))
    r = r + np.random.default_rng(0).normal(scale=1e-16, size=r.shape)
    frame = Frame.from_arrays(r, cell, True, reach=0.0)
    for word in ("x,10", "z,7"):
        profile = profile_of(frame, *word.split(","), n_phases=1)
        assert (profile.bins_of(frame) >= 0).all()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("w,50", "profile=w,50 is not understood; give an axis"),
        ("z", "is not understood"),
        ("z,many", "is not understood"),
        ("z,50,0", "is not understood"),
        ("z,0", "0 bins; give 1 … 10000"),
        ("z,5,4,4", "begins at or after its end"),
    ],
)
def test_what_is_no_profile_is_refused(word: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_words(["profile", word])


def test_a_profile_in_python() -> None:
    assert make(profile=("z", 50, 0.0, 4e2)).profile == ("z", "50", "0.0", "400.0")
    assert make(profile="x,5").profile == from_words(["profile", "x,5"]).profile
