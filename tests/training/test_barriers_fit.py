# SPDX-License-Identifier: BSD-3-Clause
"""The fit of energy barriers: it finds weights that are there, and samples that are one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import SettingError
from insitu.models.barriers import load, save
from insitu.models.engines.angular import AngularSettings
from insitu.testing import lattice
from insitu.training.fit import barriers as fit
from insitu.training.fit.barriers import Glass, Score
from insitu.training.fit.ridge import Errors, Sums

SETTINGS = replace(fit.SETTINGS, centres=(2.6, 3.2, 4.0, 5.0), width=0.5, angular=None)
ANGULAR = replace(SETTINGS, angular=AngularSettings(3, (2.6, 4.2), 0.6, 5.0, 4.0))


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


def test_components_stand_for_the_spectra(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    glasses = [glass(k) for k in range(2)]
    reduction = fit.Reduction.of(glasses, ANGULAR, components=6)
    x = fit.features(glasses[1], ANGULAR, reduction)
    weight = rng.normal(size=x.shape[1])
    own = x.reshape(len(x), 2, 5, -1)[:, :, 0].sum(
        axis=1
    )  # of the atom itself, of whatever species
    for s in (0, 1):  # both glasses have a part in the standard deviations
        parts = [
            fit.features(g, ANGULAR, reduction).reshape(len(x), 2, 5, -1)[:, s, 0][g.species == s]
            for g in glasses
        ]
        found = np.concatenate(parts)[:, reduction.rank > 0]
        assert np.allclose(np.cov(found.T, bias=True), np.eye(6), atol=1e-6)
        assert np.allclose(found.mean(axis=0), 0, atol=1e-8)
    assert np.allclose(own[:, -1], 1)
    assert reduction.penalties(2.0, 10.0).shape == weight.shape
    assert set(reduction.penalties(2.0, 10.0)) == {2.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0}
    # The artefact has weights of the spectra themselves.
    card = fit.card_of("made", glasses, ANGULAR)
    network = fit.network_of(weight, 0.2, ANGULAR, reduction)
    model = load(str(save(network, card, tmp_path / "made")))
    assert model.card.settings == ANGULAR
    atoms, pairs, _ = fit.described(glasses[1], ANGULAR)
    found = np.empty(len(atoms))
    found[atoms] = model.network.whole(pairs, glasses[1].species[atoms])
    assert np.allclose(found, x @ weight + 0.2, atol=1e-7)


def test_errors_that_neighbours_share_are_counted_once() -> None:
    rng = np.random.default_rng(9)
    box = np.array([21.0, 20.0, 19.0])
    r = rng.uniform(size=(600, 3)) * box
    errors = Errors(r, box, 3.0, 2.5)
    d = r[:, None] - r
    d -= np.rint(d / box) * box
    covariance = 3.0 * np.exp(-(d**2).sum(2) / (2 * 2.5**2)) + np.eye(len(r))
    white = errors.white(errors.white(covariance).T)
    assert np.allclose(white, np.eye(len(r)), atol=2e-3)
    # Weights of a smooth and of a rough feature, with errors of that kind: many times.
    factor = np.linalg.cholesky(covariance)
    x = np.column_stack([np.sin(2 * np.pi * r[:, 0] / box[0]), rng.normal(size=len(r))])
    off = []
    for _ in range(20):
        y = x @ [1.0, -2.0] + factor @ rng.normal(size=len(r))
        fits = [Sums(x, y, e).fit(1e-9)[0] for e in (None, errors)]
        off.append([abs(w[1] + 2.0) for w in fits])
    assert np.mean(off, axis=0)[1] < 0.8 * np.mean(off, axis=0)[0]


def test_penalties_of_single_weights() -> None:
    rng = np.random.default_rng(10)
    x = rng.normal(size=(400, 3))
    y = x @ [1.0, 1.0, 1.0] + 5.0
    weight, constant = Sums(x, y).fit([1e-9, 1e9, 1e-9])
    assert abs(weight[1]) < 1e-3
    assert weight[0] == pytest.approx(1.0, abs=0.15)
    assert constant == pytest.approx(5.0, abs=0.2)
    # As scikit-learn's and every other ridge regression: standardised features, a free constant.
    z = (x - x.mean(0)) / x.std(0)
    direct = np.linalg.solve(z.T @ z + 7.0 * np.eye(3), z.T @ (y - y.mean())) / x.std(0)
    assert np.allclose(Sums(x, y).fit(7.0)[0], direct)


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
