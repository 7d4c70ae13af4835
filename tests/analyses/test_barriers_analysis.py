# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of energy barriers: its contract, any number of ranks, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

import insitu
from insitu.analyses.barriers import Barriers, BarriersSettings
from insitu.analyses.base import System
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame, Thermo
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import check_analysis, lattice
from insitu.testing.conformance import Sample

#: These samples have the density of a glass and not its structure.
pytestmark = pytest.mark.filterwarnings("ignore:insitu.barriers. the mean barrier")


def glass(repeat: int = 6, a: float = 3.987) -> Sample:
    rng = np.random.default_rng(2)
    r, cell = lattice("fcc", a, (repeat, repeat, repeat))
    n = len(r)
    types = np.where(rng.permutation(n) < round(0.64 * n), 1, 2).astype(np.int32)
    r = r + rng.uniform(-0.15, 0.15, size=r.shape)
    return Sample(r, cell, types, np.full(n, -1), np.zeros(n, dtype=np.float32))


SYSTEM = System(n_types=2, masses=(63.55, 91.22))


def found(sample: Sample, temperature: float = 0.0, **settings: object) -> tuple[dict, dict]:
    a = Barriers(BarriersSettings(**settings), SYSTEM)  # type: ignore[arg-type]
    frame = Frame.from_arrays(sample.positions, sample.cell, True, reach=7.001, types=sample.types)
    frame = replace(frame, thermo=Thermo(temperature, 0.0, 0.0))
    own = a(frame, Neighbors(frame, 7.0))
    return own, a.finish(own)


def test_contract() -> None:
    differences = check_analysis(Barriers, {"hottest": 1000.0}, of=glass(), tolerance=1e-8)
    assert {"2 ranks", "3 ranks", "4 ranks"} <= set(differences)


def test_the_same_as_in_memory() -> None:
    s = glass(5)
    own, history = found(s)
    barriers = insitu.barriers(s.positions, s.cell, True, np.array(["Cu", "Zr"])[s.types - 1])
    assert np.allclose(own["barrier"], barriers, rtol=0, atol=1e-9)
    assert history["barriers/mean"] == pytest.approx(barriers.mean())
    assert history["barriers/deviation"] == pytest.approx(barriers.std())
    inside = np.clip(barriers, 0.0, 4.0)
    exact = np.percentile(inside, [5, 25, 50, 75, 95])
    assert np.allclose(history["barriers/percentiles"], exact, atol=0.02)  # two bins
    assert history["barriers/histogram"].sum() * 0.01 == pytest.approx(1.0)
    assert history["barriers/count"] == len(barriers)


def test_correlation_of_neighbours_is_morans() -> None:
    s = glass(5)
    own, history = found(s)
    box = np.diag(s.cell)
    v = s.positions[None] - s.positions[:, None]
    d = np.linalg.norm(v - np.rint(v / box) * box, axis=2)
    weight = np.where(d < 3, 1.0, np.where(d > 4, 0.0, (1 + np.cos(np.pi * (d - 3))) / 2))
    np.fill_diagonal(weight, 0.0)
    off = own["barrier"] - own["barrier"].mean()
    expected = (off @ weight @ off) / weight.sum() / (off**2).mean()
    assert abs(expected) > 0.02
    assert history["barriers/correlation"] == pytest.approx(expected, rel=1e-9)


def test_thermal_positions_are_refused() -> None:
    with pytest.raises(InsituError, match="300 K"):
        found(glass(4), 300.0)
    found(glass(4), 300.0, hottest=400.0)


def test_what_it_refuses() -> None:
    with pytest.raises(SettingError, match="units lj"):
        Barriers(BarriersSettings(), replace(SYSTEM, units="lj"))
    with pytest.raises(SettingError, match="mass 55"):
        Barriers(BarriersSettings(), replace(SYSTEM, masses=(63.55, 55.8)))
    with pytest.raises(SettingError, match="does not know Ni"):
        Barriers(BarriersSettings(), replace(SYSTEM, species=("Cu", "Ni")))
    s = glass(6)
    with pytest.raises(SettingError, match="density is another"):
        found(replace(s, positions=s.positions * 1.2, cell=s.cell * 1.2))
    s = glass(7)
    with pytest.raises(SettingError, match="composition"):
        found(replace(s, types=np.ones_like(s.types)))
