# SPDX-License-Identifier: BSD-3-Clause
"""Limits by class: the share of a class's atoms that reach theirs is the coverage."""

from pathlib import Path

import numpy as np
import pytest

import insitu
from insitu.analyses.phases.labels import Coverage, chosen_limits, decide
from insitu.errors import SettingError
from insitu.models.card import Card
from insitu.models.store import load
from insitu.pipeline import given_settings as settings
from insitu.training.fit.coverage import COVERAGES, coverage_limits

CLASSES = ["a", "b"]


def trajectory(
    name: str, k: int, n: int, power: float, seed: int
) -> tuple[object, np.ndarray, np.ndarray]:
    p = np.random.default_rng(seed).random(n) ** power
    both = np.stack([p, 1.0 - p], axis=1)
    return name, np.full(n, k), both if k == 0 else both[:, ::-1]


def test_new_atoms_of_a_class_are_covered_whatever_its_probabilities_are() -> None:
    """By the definition: among others of the same distribution as large a share reaches the limit."""
    powers = {0: 0.01, 1: 0.06}
    made = [
        trajectory(f"{k}-{s}", k, 4000, w, 10 * k + s) for k, w in powers.items() for s in range(5)
    ]
    limits = coverage_limits(CLASSES, made)
    assert [*limits] == [f"{c:g}" for c in COVERAGES]
    for k, w in powers.items():
        _, _, p = trajectory("new", k, 100_000, w, 99)
        for c in COVERAGES:
            reached = (p[:, k] >= limits[f"{c:g}"][CLASSES[k]]).mean()
            assert reached == pytest.approx(c, abs=0.006 if c < 0.99 else 0.002)


def test_each_trajectory_counts_the_same() -> None:
    """A long trajectory of sure atoms does not hide a short one of unsure atoms."""
    sure = "sure", np.zeros(10_000, dtype=int), np.tile([0.99, 0.01], (10_000, 1))
    unsure = "unsure", np.zeros(100, dtype=int), np.tile([0.7, 0.3], (100, 1))
    limits = coverage_limits(CLASSES, [sure, unsure])
    assert limits["0.9"]["a"] == pytest.approx(0.7, abs=1e-5)  # half of the weight lies there
    few = "few", np.zeros(10, dtype=int), np.tile([0.1, 0.9], (10, 1))
    assert coverage_limits(CLASSES, [sure, few])["0.999"]["a"] == pytest.approx(0.99, abs=1e-5)
    assert "b" not in limits["0.9"]


def test_what_no_limit_can_cover_is_left_out() -> None:
    """Three of 100 atoms have another class, or none, as the likeliest: no limit gives them their label."""
    p = np.tile([0.97, 0.03], (100, 1))
    p[:2], p[2] = [0.4, 0.6], [0.3, 0.2]
    limits = coverage_limits(CLASSES, [("one", np.zeros(100, dtype=int), p)])
    assert [*limits] == ["0.9", "0.95"]


def test_each_class_has_its_own_limit() -> None:
    more = {"coverage": {"0.99": {"a": 0.9, "b": 0.3}}}
    card = Card("m", ["a", "b", "c"], load("metals").card.descriptor, threshold=0.6, more=more)
    limits = chosen_limits(Coverage(0.99), card)
    np.testing.assert_allclose(limits, [0.9, 0.3, 0.6])
    p = np.array(
        [[0.8, 0.1, 0.1], [0.95, 0.0, 0.0], [0.3, 0.4, 0.3], [0.2, 0.2, 0.55]], dtype=np.float32
    )
    labels, _ = decide(p, limits, np.full(4, 12, dtype=np.int32))
    assert labels.tolist() == [-1, 0, 1, -1]
    with pytest.raises(
        SettingError, match=r"coverage=0.5: model 'm' has limits for 0.99; give one of these"
    ):
        chosen_limits(Coverage(0.5), card)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coverage": 0.99, "threshold": 0.5}, "both say which atoms are unknown"),
        ({"coverage": 99}, "no share of a class's atoms"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        settings.make(**given)


def test_a_sample_and_a_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from insitu.cli.command import main
    from insitu.testing import lattice

    positions, cell = lattice("fcc", 4.05, (4, 4, 4))
    positions += np.random.default_rng(1).normal(0, 0.34, positions.shape)
    limits = load("metals").card.more["coverage"]["0.98"]
    plain = insitu.classify(positions, cell, True)
    found = insitu.classify(positions, cell, True, coverage=0.98)
    own = np.array([limits[c] for c in plain.classes])[plain.probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(
        found.labels >= 0, (plain.labels >= 0) & (plain.confidence >= own)
    )
    assert 0 < (found.labels >= 0).sum() < (plain.labels >= 0).sum()
    import ase
    import ase.io

    file, out = tmp_path / "a.xyz", tmp_path / "a.h5"
    ase.io.write(file, ase.Atoms("Al256", positions, cell=cell, pbc=True))
    assert main(["classify", str(file), "--coverage", "0.98", "--out", str(out)]) == 0
    about = insitu.open(str(out)).attrs
    assert about["coverage"] == 0.98
    assert about["threshold"] == pytest.approx(min(limits.values()))
    again = ["classify", str(file), "--out", str(out), "--if-exists", "append"]
    assert main(again) == 2
    assert "has coverage 0.98, and this run has none" in capsys.readouterr().err
