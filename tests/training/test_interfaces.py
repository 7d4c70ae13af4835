# SPDX-License-Identifier: BSD-3-Clause
"""Cells of crystal and melt, and the width over which labels blur between them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from insitu.testing import lattice
from insitu.training.dynamics.phase_interfaces import LEFT, Half, from_sites, simulate, upright
from insitu.training.recipes import load_recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("blur", "interfaces", "metals_graphs", "ovito_labels"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(("place", "scale"), [(0.0, 0.3), (2.0, 1.0), (-3.0, 2.0)])
def test_a_logistic_step_is_found_again(place: float, scale: float) -> None:
    from blur import fit

    rng = np.random.default_rng(3)
    z = rng.uniform(-15, 15, 6000)
    share = 0.04 + 0.9 / (1 + np.exp(-(z - place) / scale))
    step = fit(z, rng.random(6000) < share)
    assert step is not None
    assert step.place == pytest.approx(place, abs=0.3)
    # Between 10 and 90 % of a logistic function lie 2 ln 9 of its scales.
    assert step.width == pytest.approx(4.394 * scale, rel=0.25)
    assert step.melt == pytest.approx(0.04, abs=0.02)
    assert step.crystal == pytest.approx(0.94, abs=0.02)
    assert fit(z, rng.random(6000) < 0.3) is None


@pytest.mark.usefixtures("scripts")
def test_labels_that_reach_out_are_measured_at_both_interfaces() -> None:
    from blur import Cell, measure, rows

    r, cell = lattice("sc", 1.0, (12, 12, 50))
    r = r + np.random.default_rng(1).normal(0.0, 0.3, r.shape)
    z = r[:, 2] % cell[2, 2]
    here = Cell("x", "sc", r, cell, (z > 12.0) & (z < 34.0))
    methods = {
        "wider": lambda c: (c.positions[:, 2] % 50 > 9.0) & (c.positions[:, 2] % 50 < 37.0),
        "blind": lambda c: np.zeros(len(c.positions), dtype=bool),
    }
    found = measure([here], methods)
    assert len(found["reference"]) == 2
    for step in found["wider"]:
        assert step is not None
        assert step.place == pytest.approx(3.0, abs=0.4)
        assert step.width < 0.5
    assert found["blind"] == [None, None]
    lines = {line[1]: line for line in rows("x", found)}
    assert lines["blind"][2:4] == ["0 of 2", "–"]
    assert lines["wider"][2] == "2 of 2"


def test_sites_move_with_the_crystal() -> None:
    r, cell = lattice("bcc", 3.0, (4, 4, 10))
    sites = r @ np.linalg.inv(cell)
    later = cell * 1.02
    mean = sites @ later + np.array([0.4, -0.3, 5.0]) + np.outer(0.03 * r[:, 2], [0.0, 0.0, 1.0])
    mean[::7] += [0.0, 1.5, 0.0]
    away = from_sites(mean, later, sites, np.arange(len(r)) % 7 != 0)
    assert away[1:7].max() < 1e-6
    assert np.abs(away[::7] - 1.5).max() < 1e-6


def test_an_upright_cell_has_the_same_lattice() -> None:
    cell = np.array([[5.0, 0.0, 0.0], [-2.4, 4.0, 0.0], [-13.0, 7.0, 9.0]])
    found = upright(cell)
    change = found @ np.linalg.inv(cell)
    assert np.abs(change - np.rint(change)).max() < 1e-9
    assert np.linalg.det(found) == pytest.approx(np.linalg.det(cell))
    assert abs(found[2, 0]) <= 2.5
    assert abs(found[2, 1]) <= 2.0


def test_a_cell_of_crystal_and_melt_knows_who_is_crystal(tmp_path: Path) -> None:
    recipe, _ = load_recipe("sio2")
    recipe["protocol"] |= {"equilibrate": 30, "gap": 10}
    half = Half(
        "stishovite", 35.0, 500.0, room=1.5, atoms=300, melting=0.05, cooling=0.02, settling=0.02,
        length=0.08, average=0.04,
    )  # fmt: skip
    path = simulate(recipe, half, tmp_path)
    with np.load(path) as z:
        positions, cell, away, types = (z[k] for k in ("positions", "cell", "away", "types"))
    crystal, n = np.isfinite(away[0]), positions.shape[1]
    assert positions.shape == (2, n, 3)
    assert crystal.sum() == n // 2
    assert (types[: n // 2] == types[n // 2 :]).all()
    # The crystal's core has not moved, and lies in the lower part of the cell.
    assert (away[:, crystal] < LEFT).mean() > 0.7
    height = (positions[-1] @ np.linalg.inv(cell[-1]))[:, 2] % 1.0
    assert np.median(height[crystal]) < 0.45
    assert np.median(height[~crystal]) > 0.55
    before = path.stat().st_mtime_ns
    simulate(recipe, half, tmp_path)
    assert path.stat().st_mtime_ns == before


@pytest.mark.usefixtures("scripts")
def test_environments_and_scores_count_classes_alike() -> None:
    from metals_graphs import balanced, environments

    from insitu.models.engines.spatial import SpatialSettings
    from insitu.models.networks.whole_sample import WholeSampleGraph
    from insitu.training.data.graphs import Variant

    found = []
    for k, (name, a, size) in enumerate((("fcc", 4.0, 3), ("bcc", 3.0, 4))):
        r, cell = lattice(name, a, (size, size, size))
        found.append(((name, name, False), Variant(0.0, 0.0, r, cell, np.full(len(r), k))))
    some = environments(found, 2, 30, 13, 5)
    assert np.bincount(some.labels).tolist() == [30, 30]
    # The centre, and 12 atoms at a/sqrt(2), or 8 at a sqrt(3)/2 and some of the next six.
    distance = np.linalg.norm(some.vectors, axis=2)
    assert np.abs(distance[some.labels == 0, 1:] - 4.0 / 2**0.5).max() < 1e-5
    assert np.abs(distance[some.labels == 1, 1:9] - 3.0 * 0.75**0.5).max() < 1e-5
    assert np.abs(distance[some.labels == 1, 9:] - 3.0).max() < 1e-5
    graph = SpatialSettings(neighbors=12, layers=1)
    network = WholeSampleGraph(2, graph)
    for p in network.parameters():
        p.data.zero_()
    network.last.bias.data[0] = 1.0  # all fcc: 108 atoms right, 128 wrong
    assert balanced(network, found, graph) == {"all": 0.5, "crystal": 0.5}
