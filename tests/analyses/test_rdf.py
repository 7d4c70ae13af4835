# SPDX-License-Identifier: BSD-3-Clause
"""g(r) against a sum over all pairs, in cells that are triclinic, open, small, and of one type."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import insitu
from insitu.analyses.base import Observable, System
from insitu.analyses.rdf import Rdf, RdfSettings
from insitu.errors import HistoryError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.history.check import check_file
from insitu.history.writing.writer import Series
from insitu.pipeline.given_settings import make

CELLS = {
    "orthogonal": (np.diag([18.0, 20.0, 22.0]), True),
    "triclinic": (np.array([[18.0, 0, 0], [5.0, 20.0, 0], [-4.0, 3.0, 22.0]]), True),
    "film": (np.diag([18.0, 20.0, 22.0]), (True, True, False)),
    "smaller than the radius": (np.diag([7.0, 9.0, 7.7]), True),
}


def rdf_of(radius: float, bins: int, n_types: int = 1) -> Rdf:
    return Rdf(RdfSettings(radius, bins), System(n_types))


def all_pairs(
    r: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return first atom, second atom and distance of all ordered pairs, with every image."""
    shifts = [range(-3, 4) if p else range(1) for p in pbc]
    first, second, distances = [], [], []
    for image in np.stack(np.meshgrid(*shifts, indexing="ij"), -1).reshape(-1, 3):
        d = np.linalg.norm(r[None] + image @ cell - r[:, None], axis=2)
        if not image.any():
            np.fill_diagonal(d, np.inf)
        i, j = np.nonzero(d < radius)
        first.append(i)
        second.append(j)
        distances.append(d[i, j])
    return np.concatenate(first), np.concatenate(second), np.concatenate(distances)


@pytest.mark.parametrize("name", list(CELLS))
def test_g_of_r_is_the_count_of_all_pairs(name: str) -> None:
    cell, periodic = CELLS[name]
    rng = np.random.default_rng(3)
    n, radius, bins = 240 if "radius" not in name else 40, 8.0, 60
    r, types = rng.random((n, 3)) @ cell, rng.integers(1, 4, n)
    pbc = np.broadcast_to(periodic, 3)
    frame = Frame.from_arrays(r, cell, pbc, reach=radius * 1.0001, types=types)
    rdf = rdf_of(radius, bins, 3)
    g = rdf.finish(rdf(frame, Neighbors(frame, radius)))["rdf"]
    i, j, d = all_pairs(r, cell, pbc, radius)
    edges = np.linspace(0.0, radius, bins + 1)
    ideal = 4 / 3 * np.pi * np.diff(edges**3) / abs(np.linalg.det(cell))
    assert rdf.pairs == ("all", "1-1", "1-2", "1-3", "2-2", "2-3", "3-3")
    expected = [np.histogram(d, edges)[0] / (n * (n - 1) * ideal)]
    for a, b in ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)):
        mine = (types[i] == a) & (types[j] == b)
        count = (types == a).sum() * ((types == b).sum() - (a == b))
        expected.append(np.histogram(d[mine], edges)[0] / (count * ideal))
    assert len(d) > 5000
    assert np.allclose(g, expected, rtol=1e-12, atol=1e-12)


def test_first_atoms_are_those_of_the_group() -> None:
    rng = np.random.default_rng(4)
    cell = np.diag([12.0, 13.0, 14.0])
    r, chosen = rng.random((150, 3)) @ cell, rng.random(150) < 0.3
    frame = Frame.from_arrays(r, cell, True, reach=6.001, selected=chosen)
    rdf = rdf_of(6.0, 30)
    sums = rdf(frame, Neighbors(frame, 6.0))
    i, _, d = all_pairs(r, cell, np.ones(3, bool), 6.0)
    edges = np.linspace(0.0, 6.0, 31)
    assert (sums["pairs"][0] == np.histogram(d[chosen[i]], edges)[0]).all()
    ideal = 4 / 3 * np.pi * np.diff(edges**3) / 12 / 13 / 14
    expected = np.histogram(d[chosen[i]], edges)[0] / (chosen.sum() * 149 * ideal)
    assert np.allclose(rdf.finish(sums)["rdf"][0], expected, rtol=1e-12)


def test_pairs_that_the_sample_has_not_are_nan() -> None:
    r = np.random.default_rng(5).random((50, 3)) * 10
    frame = Frame.from_arrays(r, [10, 10, 10], True, reach=4.001)
    rdf = rdf_of(4.0, 10, 2)
    g = rdf.finish(rdf(frame, Neighbors(frame, 4.0)))["rdf"]
    assert np.isfinite(g[:2]).all()
    assert np.isnan(g[2:]).all()
    assert (g[0] == g[1]).all()


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [("rdf", "0", "rdf=0.0"), ("rdf", "wide", "not a number"), ("rdf_bins", "0", "rdf_bins=0")],
)
def test_unusable_settings_are_named(setting: str, value: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make(**{setting: value})


def history(path: Path, radius: float, if_exists: str = "refuse", step: int = 10) -> Series:
    """Write one frame of g(r) into a history."""
    rdf = rdf_of(radius, 20, 2)
    observables = [Observable("phases/fraction", (2,), "f8", "", "fraction"), *rdf.observables]
    series = Series.create(
        path, observables, time_unit="ps", provenance={}, classes=["fcc", "unknown"], codes=[1, 0],
        if_exists=if_exists,
    )  # fmt: skip
    series.append(step, 0.1 * step, {"phases/fraction": [1.0, 0.0], "rdf": np.full((4, 20), 0.5)})
    series.close()
    return series


def test_pairs_and_radii_are_in_the_history(tmp_path: Path) -> None:
    history(tmp_path / "a.h5", 8.0)
    history(tmp_path / "a.h5", 8.0, "append", 20)
    assert check_file(tmp_path / "a.h5") == []
    data = insitu.open(tmp_path / "a.h5")
    assert data["rdf"].dims == ("step", "pair", "radius")
    assert data["rdf"].dtype == np.float32
    assert data["pair"].values.tolist() == ["all", "1-1", "1-2", "2-2"]
    assert np.allclose(data["radius"], np.arange(0.2, 8.0, 0.4))
    assert data["radius"].attrs["units"] == "Angstrom"
    assert data["step"].values.tolist() == [10, 20]


def test_another_radius_does_not_go_into_the_same_history(tmp_path: Path) -> None:
    history(tmp_path / "a.h5", 8.0)
    with pytest.raises(HistoryError, match="has observables"):
        history(tmp_path / "a.h5", 6.0, "append", 20)
    history(tmp_path / "b.h5", 6.0, step=20)
    with pytest.raises(HistoryError, match="radius"):
        insitu.open([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_the_panel_is_a_map_over_time(tmp_path: Path) -> None:
    from insitu.views import plots

    history(tmp_path / "a.h5", 8.0)
    history(tmp_path / "a.h5", 8.0, "append", 20)
    data = insitu.open(tmp_path / "a.h5")
    assert len(plots.phase_history(data).axes) == 1  # only where it is asked for
    axes = plots.phase_history(data, panels=["phases", "rdf"]).axes[1]
    (drawn,) = axes.collections
    assert drawn.get_array().size == 40
    assert axes.get_ylabel() == "Distance\n(Å)"
    with pytest.raises(SettingError, match="panel 'rdf': the history has no such data"):
        plots.phase_history(data.drop_vars("rdf"), panels=["rdf"])
