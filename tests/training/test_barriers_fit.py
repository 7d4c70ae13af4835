# SPDX-License-Identifier: BSD-3-Clause
"""The fit of energy barriers: it finds weights that are there, and samples that are one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import SettingError
from insitu.models.barriers import load, save
from insitu.testing import lattice
from insitu.training.fit import barriers as fit
from insitu.training.fit.barriers import Glass, Score, Sums

SETTINGS = replace(fit.SETTINGS, centres=(2.6, 3.2, 4.0, 5.0), width=0.5)


def glass(number: int) -> Glass:
    rng = np.random.default_rng(number)
    r, cell = lattice("fcc", 3.99, (5, 5, 5))
    r = r + rng.uniform(-0.3, 0.3, r.shape)
    species = (rng.random(len(r)) < 0.36).astype(np.int64)
    return Glass(number, r, np.diag(cell), species, np.zeros(len(r)))


def test_features_are_those_of_the_network_and_the_fit_finds_its_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    glasses = [glass(k) for k in range(3)]
    xs = [fit.features(g, SETTINGS) for g in glasses]
    true = rng.normal(size=xs[0].shape[1])
    ys = [x @ true + 0.3 for x in xs]
    weight, constant = Sums.of([Sums(x, y) for x, y in zip(xs[:2], ys, strict=False)]).fit(1e-9)
    assert np.allclose(xs[2] @ weight + constant, ys[2], atol=1e-3)
    # The artefact predicts the same from positions.
    card = fit.card_of("made", glasses[:2], SETTINGS, penalty=1e-9)
    model = load(str(save(fit.network_of(weight, constant, SETTINGS), card, tmp_path / "made")))
    atoms, pairs, _ = fit.described(glasses[2], SETTINGS)
    found = np.empty(len(atoms))
    found[atoms] = model.network.whole(pairs, glasses[2].species[atoms])
    assert np.allclose(found, xs[2] @ weight + constant, atol=1e-8)
    assert model.card.more["trained_on"] == [0, 1]


def test_one_sample_is_left_out_together() -> None:
    first, second, other = glass(0), glass(1), glass(2)
    strained = Glass(
        4, first.positions * 1.04 + 1.7, first.box * 1.04, first.species, first.barriers
    )
    # Atoms of different samples have nothing to do with each other: another order.
    second = replace(second, positions=np.random.default_rng(0).permutation(second.positions))
    other = replace(other, positions=np.random.default_rng(1).permutation(other.positions))
    assert fit.groups([first, second, strained, other]) == [(0, 4), (1,), (2,)]


def test_a_left_out_glass_takes_no_part() -> None:
    glasses = [glass(k) for k in range(3)]
    rng = np.random.default_rng(3)
    xs = {g.number: fit.features(g, SETTINGS) for g in glasses}
    ys = {k: rng.normal(size=len(x)) for k, x in xs.items()}
    together = [(0, 1), (2,)]
    before = fit.left_out(xs, ys, together, 1.0)
    ys[1] = ys[1] + rng.normal(size=len(ys[1]))
    after = fit.left_out(xs, ys, together, 1.0)
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert not np.allclose(before[2], after[2])


def test_scores() -> None:
    y = np.array([1.0, 2.0, 3.0])
    assert Score.of(2 * y + 1, y) == Score(
        pytest.approx(1.0), pytest.approx(3.0), pytest.approx(np.sqrt(29 / 3))
    )


def test_a_missing_glass(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"glass3\.npz is not there"):
        fit.read(tmp_path, 3)
