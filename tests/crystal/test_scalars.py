# SPDX-License-Identifier: BSD-3-Clause
"""The regression of scalars: its algebra, invariance, the shipped formation energies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from insitu.crystal import formation_energy
from insitu.crystal.prediction import kernel, weights
from insitu.crystal.prediction.graph import graph
from insitu.crystal.prediction.kernel import REACH
from insitu.errors import SettingError
from insitu.training.data.element_properties import table

FCC = 0.5 * (1 - np.eye(3))
#: Cell [Å], sites, atomic numbers, measured heat of formation [eV/atom].
KNOWN = {
    "NaCl": (5.64 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17], -2.13),
    "MgO": (4.21 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [12, 8], -3.12),
    "CaF2": (5.46 * FCC, [[0, 0, 0], [0.25] * 3, [0.75] * 3], [20, 9, 9], -4.2),
    "NiAl": (2.89 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [28, 13], -0.64),
    "GaAs": (5.65 * FCC, [[0, 0, 0], [0.25] * 3], [31, 33], -0.37),
}


def test_kernel() -> None:
    """Values are interpolated; those that are left out are as if they had not been there."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 7)), rng.normal(size=(40, 2))
    k = kernel.kernel(x, x)
    assert np.allclose(np.diagonal(k), 1)
    assert np.allclose(k, k.T)
    assert np.linalg.eigvalsh(k).min() > 0
    d = float(np.linalg.norm(x[3] - x[4]))
    assert k[3, 4] == pytest.approx((1 + np.sqrt(3) * d) * np.exp(-np.sqrt(3) * d))
    c = kernel.fit(x, y, 1e-9)
    assert np.abs(y.mean(axis=0) + k @ c - y).max() < 1e-6
    part = np.arange(40) % 4
    found, rest = kernel.left_out(x, y, 1e-3, part), part != 2
    alone = kernel.kernel(x[~rest], x[rest]) @ kernel.fit(x[rest], y[rest], 1e-3)
    assert np.abs(found[~rest] - y[rest].mean(axis=0) - alone).max() < 1e-10


def test_no_jump_where_bonds_begin() -> None:
    """A cell that is stretched little by little has an energy that changes little by little."""
    cell, sites, z, _ = KNOWN["MgO"]
    stretched = np.linspace(0.9, 1.3, 161)
    energies = [formation_energy(cell @ np.diag([1, 1, s]), sites, z).value for s in stretched]
    assert np.abs(np.diff(energies)).max() < 0.1
    fine = [
        formation_energy(cell @ np.diag([1, 1, s]), sites, z).value
        for s in 1.1 + 1e-6 * np.arange(5)
    ]
    assert np.abs(np.diff(fine)).max() < 1e-3


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_same_crystal_has_the_same_energy(seed: int) -> None:
    """Turned, mirrored, shifted, in another order, as a skewed cell of twice the volume."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    cell, sites = 3.5 * np.eye(3) + 0.4 * rng.normal(size=(3, 3)), rng.random((n, 3))
    sites = np.array([[0.1, 0.0, 0.2], [0.55, 0.5, 0.4], [0.4, 0.9, 0.75]])[:n] + 0.03 * sites
    z = rng.integers(1, 90, size=n)
    expected = formation_energy(cell, sites, z)
    turn = Rotation.random(rng=rng).as_matrix()
    m = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 2]])
    twice = np.concatenate([sites, sites + np.array([0, 0, 1])]) @ np.linalg.inv(m)
    order = rng.permutation(n)
    for same in (
        (cell @ turn.T, sites, z), (-cell, sites, z), (cell, sites[order] + 0.37, z[order]),
        (m @ cell, twice, np.tile(z, 2)),
    ):  # fmt: skip
        found = formation_energy(*same)
        assert found.value == pytest.approx(expected.value, abs=1e-6)
        assert found.alike == pytest.approx(expected.alike, abs=1e-9)


def test_features_count_what_they_say() -> None:
    """Rock salt by hand: six unlike neighbours, twelve like ones, in units of the sums of their radii."""
    properties, radius = table()[:, 1:], table()[:, 0]
    cell, sites, z, _ = KNOWN["NaCl"]
    p = properties.shape[1]
    found = kernel.bonds(graph(cell, sites, z, REACH), properties, radius)
    assert found.shape == (2 * p + 32,)
    near, far = 5.64 / 2, 5.64 / np.sqrt(2)
    lengths = np.array(
        [near / (radius[11] + radius[17]), far / (2 * radius[11]), far / (2 * radius[17])]
    )
    touch = np.where(lengths < 1, 1, np.exp(-0.5 * ((lengths - 1) / 0.15) ** 2))
    inside = (REACH - np.sqrt(2)) / 0.15  # the second shell is near the end of the bonds
    touch[1:] *= inside**2 * (3 - 2 * inside)
    sodium, chlorine = 6 * touch[0] + 12 * touch[1], 6 * touch[0] + 12 * touch[2]
    total = sodium + chlorine + 0.02
    apart = np.abs(properties[11] - properties[17]) * 12 * touch[0] / total
    assert np.allclose(found[p + 1 : 2 * p + 1], apart)
    like = 12 * (touch[1] + touch[2]) / total
    assert found[2 * p + 1] == pytest.approx(like)
    mean, half = (sodium + chlorine) / 2, abs(sodium - chlorine) / 2
    assert np.allclose(found[2 * p + 6 : 2 * p + 10], [mean, half, mean - half, mean + half])
    nearest = [min(lengths[0], lengths[1]), min(lengths[0], lengths[2])]
    assert found[2 * p + 10] == pytest.approx(np.mean(nearest))
    # Of the most electronegative element, chlorine, and of the least.
    assert np.allclose(found[2 * p + 14 : 2 * p + 18], [chlorine, nearest[1], sodium, nearest[0]])
    size = np.log(np.cbrt(5.64**3 / 8))
    assert found[2 * p + 18] == pytest.approx(size)


@pytest.mark.parametrize("name", KNOWN)
def test_known_energies(name: str) -> None:
    """Well-known heats of formation: within what the model may be off."""
    cell, sites, z, expected = KNOWN[name]
    found = formation_energy(cell, sites, z)
    assert found.value == pytest.approx(expected, abs=0.5)
    assert 0.9 < found.alike <= 1


def test_card_says_what_it_reaches() -> None:
    notes = weights.loaded("formation_energy")[1]
    assert notes["test"]["composition and bonds"][0] < 0.85 * notes["test"]["composition"][0]
    assert notes["shipped"] == pytest.approx(notes["test"]["composition and bonds"], abs=1e-3)
    assert notes["crystals"] == {"train": 3138, "validation": 388, "test": 412}
    assert (weights.FOLDER / "formation_energy.npz").stat().st_size < 1_500_000


def test_what_is_like_nothing_says_so() -> None:
    """Atoms as far apart as in no crystal, or on top of each other."""
    assert formation_energy(9.0 * np.eye(3), [[0, 0, 0]], [9]).alike < 0.9
    with pytest.raises(SettingError, match="atomic numbers of H"):
        formation_energy(4 * np.eye(3), [[0, 0, 0]], [99])
    with pytest.raises(SettingError, match="apart; give an ordered structure"):
        formation_energy(4 * np.eye(3), [[0, 0, 0], [0.01, 0, 0]], [1, 1])


def test_numbers_that_are_not_finite_are_refused() -> None:
    """They had no end: an infinite cell has infinitely many images."""
    for cell, sites in ((np.full((3, 3), np.nan), [[0, 0, 0]]), (4 * np.eye(3), [[0, np.inf, 0]])):
        with pytest.raises(SettingError, match="no finite number"):
            formation_energy(cell, sites, [13])
