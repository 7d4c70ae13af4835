# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of a sample: what does not depend on numbering and ranks; identities from frame to frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from insitu.analyses.base import System
from insitu.analyses.clusters.analysis import Clusters, ClustersSettings
from insitu.errors import SettingError
from insitu.testing import check_analysis, evaluate, sample
from insitu.testing.conformance import Sample

SYSTEM = System(n_types=2, classes=("fcc", "bcc", "unknown"))
HERE = {"phase": "fcc,bcc", "cutoff": 2.7, "largest": 2}


def of(s: Sample, made: Clusters | None = None, **settings: Any) -> dict[str, Any]:
    """Return what there is of a sample on one rank, by name."""
    given = {"phase": ("fcc",), "cutoff": 3.2, "largest": 3} | settings
    found = evaluate(made or Clusters(ClustersSettings(**given), SYSTEM), s)
    return {k.removeprefix("clusters/"): v for k, v in found.values.items()}


def test_contract() -> None:
    assert max(check_analysis(Clusters, HERE, invariant=()).values()) < 1e-6


def test_numbering_place_and_direction_do_not_matter() -> None:
    s = sample()
    rng = np.random.default_rng(3)
    order = rng.permutation(len(s.positions))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    names = ("positions", "types", "phase", "confidence")
    other = replace(s, **{n: getattr(s, n)[order] for n in names})
    other = replace(
        other, positions=(other.positions + rng.random(3) @ s.cell) @ turn, cell=s.cell @ turn
    )
    a, b = of(s, cutoff=2.7), of(other, cutoff=2.7)
    for name in ("number", "sizes", "size"):
        assert (a[name] == b[name]).all()
    for name in ("count", "radius", "spanning"):
        assert np.allclose(a[name][:, 0], b[name][:, 0], equal_nan=True)
    assert a["number"].sum() == a["sizes"].sum() > 4
    assert (a["count"].sum(axis=2) == a["size"]).all()


def droplets(*centres: tuple[float, float, float], radius: float = 4.5) -> Sample:
    """Return a simple cubic box of 12³ atoms, those near some points are fcc, their shell is unknown."""
    grid = np.stack(np.meshgrid(*[np.arange(12.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * 3
    cell = np.diag([36.0] * 3)
    phase = np.ones(len(grid), dtype=np.int64)
    for centre in centres:
        apart = grid - centre
        apart -= 36 * np.rint(apart / 36)
        distance = np.linalg.norm(apart, axis=1)
        phase[(distance < radius + 3) & (phase == 1)] = -1
        phase[distance < radius] = 0
    return Sample(grid, cell, np.ones(len(grid), np.int32), phase, np.ones(len(grid), np.float32))


def test_a_droplet_across_the_corner_with_and_without_its_shell() -> None:
    found = of(droplets((0.0, 0.0, 0.0), (18.0, 18.0, 18.0)))
    assert found["number"].tolist() == [2, 2]
    assert found["size"][:, :2].tolist() == [[19, 19], [81, 81]]  # within 4.5 and 7.5 Å
    assert found["count"][1, 0].tolist() == [19, 0, 62]
    centre = found["center"][0, 0] / 36
    assert np.allclose(centre, np.rint(centre), atol=1e-9)
    assert found["radius"][0, 0] == pytest.approx(np.sqrt((6 * 9 + 12 * 18) / 19))
    assert not found["spanning"].any()


def test_unknown_atoms_alone_are_no_cluster_and_a_slab_spans() -> None:
    s = droplets((18.0, 18.0, 18.0))
    phase = s.phase.copy()
    phase[s.positions[:, 0] == 0] = -1  # a plane, far from the droplet
    found = of(replace(s, phase=phase))
    assert found["number"].tolist() == [1, 1]
    phase[s.positions[:, 0] == 0] = 0
    found = of(replace(s, phase=phase))
    assert found["size"][0, :2].tolist() == [144, 19]
    assert found["spanning"][0, 0].tolist() == [0, 1, 1]
    assert np.isnan(found["center"][0, 0]).all()


def test_identities_follow_the_atoms() -> None:
    made = Clusters(ClustersSettings(("fcc",), 3.2, 3), SYSTEM)

    def numbers(s: Sample, one: Clusters) -> list[int]:
        found: list[int] = of(s, one)["identity"][0].tolist()
        return found

    two = droplets((9.0, 9.0, 9.0), (27.0, 27.0, 27.0), radius=5.0)
    grown = droplets((9.0, 9.0, 9.0), (27.0, 27.0, 24.0), radius=5.0)
    grown.phase[np.linalg.norm(grown.positions - 27, axis=1) < 5] = (
        0  # the second is the larger now
    )
    assert numbers(two, made) == [1, 2, 0]
    kept = of(two, Clusters(ClustersSettings(("fcc",), 3.2, 3), SYSTEM))
    assert numbers(grown, made) == [2, 1, 0]
    # All of the first and more melt, a third appears far away; then both are joined.
    new = droplets((9.0, 27.0, 9.0), (27.0, 27.0, 24.0), radius=5.0)
    assert sorted(numbers(new, made)) == [0, 2, 3]
    joined = droplets((9.0, 27.0, 9.0), (27.0, 27.0, 24.0), (18.0, 27.0, 18.0), radius=7.0)
    assert numbers(joined, made)[0] in (2, 3)
    # From what the history has of a frame it goes on as if nothing had been in between.
    again = Clusters(ClustersSettings(("fcc",), 3.2, 3), SYSTEM)
    again.restore({f"clusters/{k}": v for k, v in kept.items()})
    assert numbers(grown, again) == [2, 1, 0]
    again.restore({})
    assert numbers(grown, again) == [1, 2, 0]


def test_a_phase_that_the_model_does_not_have() -> None:
    with pytest.raises(SettingError, match="no class 'hpc'; it has fcc, bcc, unknown"):
        Clusters(ClustersSettings(("hpc",), 3.2), SYSTEM)
