# SPDX-License-Identifier: BSD-3-Clause
"""Transitions found in curves whose transitions are known."""

import numpy as np
import pytest
import xarray

from insitu.errors import SettingError
from insitu.transitions import (
    crossing,
    energy_step,
    heating,
    kink,
    melting,
    midpoint,
    on_ramp,
    quench,
    slowest,
)

BOLTZMANN = 8.617333e-5


def glass(rng: np.random.Generator, tg: float = 900.0, n: int = 120) -> tuple[np.ndarray, ...]:
    """Return time, temperature and potential energy of a quench with a thermostat's noise."""
    time = np.arange(n) * 1.0
    ramp = np.linspace(1700, 300, n)
    total = np.where(ramp < tg, 3.0e-4, 3.8e-4) * (ramp - tg) - 4.0
    noise = rng.normal(0, 20.0, n)
    return time, ramp + noise, total - 1.5 * BOLTZMANN * (ramp + noise) + rng.normal(0, 5e-4, n)


@pytest.mark.parametrize("seed", range(5))
def test_the_kink_is_found_within_its_error(seed: int) -> None:
    time, t, e = glass(np.random.default_rng(seed))
    found = kink(*on_ramp(time, t, e))
    assert found.temperature == pytest.approx(900.0, abs=4 * found.error + 1)
    assert 1 < found.error < 30
    assert found.slopes == pytest.approx((3.0e-4, 3.8e-4), rel=0.03)


def test_the_noise_of_the_thermostat_is_taken_out() -> None:
    time, t, e = glass(np.random.default_rng(1))
    line, total = on_ramp(time, t, e)
    assert np.abs(line - np.linspace(1700, 300, 120)).max() < 15
    assert kink(line, total).error < 0.5 * kink(t, e).error


def test_the_order_of_the_points_does_not_matter_and_a_window_does() -> None:
    time, t, e = glass(np.random.default_rng(2))
    line, total = on_ramp(time, t, e)
    assert kink(line[::-1], total[::-1]).temperature == pytest.approx(kink(line, total).temperature)
    part = (line >= 500) & (line <= 1200)
    expected = kink(line[part], total[part]).temperature
    assert kink(line, total, (500, 1200)).temperature == expected


@pytest.mark.parametrize("width", [5.0, 60.0, 200.0])
def test_the_middle_of_a_step_and_its_width(width: float) -> None:
    rng = np.random.default_rng(3)
    t = np.linspace(1700, 300, 150)
    f = 1 / (1 + np.exp((t - 935.0) / width)) + rng.normal(0, 0.01, 150)
    found = midpoint(t, f)
    assert found.temperature == pytest.approx(935.0, abs=4 * found.error + 2)
    assert found.width == pytest.approx(width, rel=0.2)


def history(temperature: np.ndarray, energy: np.ndarray | None = None) -> xarray.Dataset:
    """Return a history as far as transitions look at it."""
    n = len(temperature)
    return xarray.Dataset(
        {
            "temperature": ("step", temperature),
            "potential_energy": ("step", np.zeros(n) if energy is None else energy),
        },
        {"step": np.arange(n), "time": ("step", np.arange(n) * 0.5)},
    )


def test_a_run_is_taken_apart_where_it_is_hottest() -> None:
    t = np.concatenate([np.linspace(300, 2500, 40), np.full(10, 2500), np.linspace(2490, 300, 80)])
    t += np.random.default_rng(4).normal(0, 10, len(t))
    h = history(t)
    assert quench(h)["step"].values[0] == pytest.approx(50, abs=4)
    assert quench(h)["step"].values[-1] == 129
    assert heating(h)["step"].values[0] == 0
    assert heating(h)["step"].values[-1] == pytest.approx(39, abs=3)


def test_the_slower_one_of_two_ramps() -> None:
    noise = np.random.default_rng(5).normal(0, 10, 90)
    two = np.concatenate([np.linspace(2000, 1400, 10), np.linspace(1390, 300, 80)]) + noise
    late = slowest(history(two))["step"].values
    assert late[0] == pytest.approx(10, abs=3)
    assert late[-1] == 89
    one = np.linspace(2000, 300, 90) + noise
    assert slowest(history(one)).sizes["step"] == 90
    assert slowest(history(two[::-1].copy()))["step"].values[0] == 0


@pytest.mark.parametrize(
    ("at", "width", "n"), [(2100, 10.0, 50), (2300, 10.0, 400), (900, 40.0, 120)]
)
def test_the_energy_step_is_half_way_between_two_lines(at: float, width: float, n: int) -> None:
    t = np.linspace(300, 2500, n)
    e = 3e-4 * t + 0.15 / (1 + np.exp(-(t - at) / width))
    e += np.random.default_rng(6).normal(0, 1e-3, n)
    found = energy_step(t, e)
    assert found.temperature == pytest.approx(at, abs=8)
    if width > 2200 / n:  # quarters of a logistic step lie ln 3 widths away from its middle
        assert found.width == pytest.approx(2 * np.log(3) * width, rel=0.35)


def test_a_crossing() -> None:
    x = np.arange(5.0)
    assert crossing(x, np.array([0.0, 0.2, 0.8, 1.0, 1.0])) == pytest.approx(1.5)
    assert np.isnan(crossing(x, np.zeros(5)))


def test_melting_of_a_history_is_its_energy_step() -> None:
    t = np.linspace(300, 2500, 50)
    total = 3e-4 * t + 0.15 / (1 + np.exp(-(t - 2100) / 15))
    noise = np.random.default_rng(7).normal(0, 20, 50)
    found = melting(history(t + noise, total - 1.5 * BOLTZMANN * (t + noise)))
    assert found.temperature == pytest.approx(2100, abs=15)
    assert np.isnan(found.error)


def test_too_few_points_are_an_error_that_says_so() -> None:
    with pytest.raises(SettingError, match=r"2 points .* window \(300, 400\) K are too few"):
        kink([310, 390, 500], [0, 0, 0], (300, 400))
    with pytest.raises(SettingError, match="no temperatures"):
        quench(history(np.full(20, np.nan)))
