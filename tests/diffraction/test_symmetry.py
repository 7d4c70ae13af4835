# SPDX-License-Identifier: BSD-3-Clause
"""The symmetry that patterns of well-known crystals show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import insitu
from insitu.cli.command import main
from insitu.diffraction.lattices.indexing import index
from insitu.diffraction.patterns.grid import ANGLES, network_input, on_uniform_grid
from insitu.diffraction.patterns.lines import find_lines
from insitu.diffraction.scattering.form_factors import scattering_factors
from insitu.diffraction.symmetry.features import describe
from insitu.diffraction.symmetry.groups import SYSTEMS
from insitu.errors import InsituError
from insitu.frame.species import SYMBOLS

CU = 1.5406
GRID = np.linspace(5, 90, 8501)

#: Fractional coordinates and atomic numbers of the conventional cells, and lengths [Å].
FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
DIAMOND = FCC + [[x + 0.25, y + 0.25, z + 0.25] for x, y, z in FCC]
RUTILE = [
    [0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0],
    [0.195, 0.805, 0.5], [0.805, 0.195, 0.5],
]  # fmt: skip
CRYSTALS: dict[str, tuple[Any, Any, tuple[float, float, float], str, int]] = {
    "copper": (FCC, [29] * 4, (3.615,) * 3, "cubic", 225),
    "iron": ([[0, 0, 0], [0.5, 0.5, 0.5]], [26] * 2, (2.866,) * 3, "cubic", 229),
    "silicon": (DIAMOND, [14] * 8, (5.431,) * 3, "cubic", 227),
    "rutile": (RUTILE, [22] * 2 + [8] * 4, (4.594, 4.594, 2.959), "tetragonal", 136),
}


def pattern(
    points: Any, elements: Any, lengths: tuple[float, float, float], grid: np.ndarray = GRID,
    wavelength: float = CU, width: float = 0.12,
) -> np.ndarray:  # fmt: skip
    """Pattern of an orthogonal cell by the definition: all hkl, Gaussian lines."""
    points, elements, axes = np.array(points), np.array(elements), np.array(lengths)
    reach = [int(a * 2 / wavelength) for a in axes]
    hkl = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(
        -1, 3
    )
    inverse_d = np.linalg.norm(hkl / axes, axis=1)
    fine = (inverse_d > 0) & (inverse_d * wavelength / 2 < 0.75)
    hkl, sine = hkl[fine], inverse_d[fine] * wavelength / 2
    kinds, which = np.unique(elements, return_inverse=True)
    factors = scattering_factors([SYMBOLS[z] for z in kinds], 4 * np.pi * sine / wavelength)[which]
    amplitude = (factors.T * np.exp(2j * np.pi * hkl @ points.T)).sum(1)
    angle = 2 * np.arcsin(sine)
    values = np.abs(amplitude) ** 2 * (1 + np.cos(angle) ** 2) / (sine**2 * np.cos(angle / 2))
    places, where = np.unique(np.degrees(angle).round(5), return_inverse=True)
    heights = np.bincount(where, values)
    out = np.zeros(len(grid))
    for x, height in zip(places, heights, strict=True):
        out += height * np.exp(-4 * np.log(2) * ((grid - x) / width) ** 2)
    return out


@pytest.mark.parametrize("name", list(CRYSTALS))
def test_symmetry_of_a_well_known_crystal(name: str) -> None:
    *crystal, system, number = CRYSTALS[name]
    found = insitu.symmetry(GRID, pattern(*crystal))
    assert max(found.systems, key=lambda s: found.systems[s]) == system
    assert any(number in group.space_groups for group in found.groups[:3])
    assert found.unknown < 0.5
    lengths = {cell.kind: cell.lengths for cell in found.cells}[system]
    np.testing.assert_allclose(sorted(lengths), sorted(crystal[2]), rtol=2e-3)


def test_probabilities_are_complete() -> None:
    found = insitu.symmetry(GRID, pattern(*CRYSTALS["silicon"][:3]))
    assert list(found.systems) == list(SYSTEMS)
    assert np.isclose(sum(found.systems.values()), 1)
    assert len(found.groups) == 101
    assert np.isclose(sum(g.probability for g in found.groups), 1)
    falling = [g.probability for g in found.groups]
    assert falling == sorted(falling, reverse=True)
    assert sorted(n for g in found.groups for n in g.space_groups) == list(range(1, 231))


def best(*arguments: Any, **named: Any) -> tuple[str, str]:
    found = insitu.symmetry(*arguments, **named)
    return max(found.systems, key=lambda s: found.systems[s]), found.groups[0].name


def test_scale_order_grid_and_wavelength_do_not_matter() -> None:
    crystal = CRYSTALS["rutile"][:3]
    intensity = pattern(*crystal)
    wanted = best(GRID, intensity)
    assert best(GRID, 1e6 * intensity + 10) == wanted
    assert best(GRID[::-1], intensity[::-1]) == wanted
    coarse = np.arange(10, 90, 0.03)
    assert best(coarse, pattern(*crystal, grid=coarse)) == wanted
    short = np.arange(2, 45, 0.01)
    molybdenum = pattern(*crystal, grid=short, wavelength=0.7093, width=0.06)
    assert best(short, molybdenum, wavelength=0.7093) == wanted


def test_ends_of_a_scan_are_no_lines_and_say_nothing_of_what_is_beyond() -> None:
    """Of a scan from 20 to 70 degrees above a background the same lines and group are read."""
    crystal = CRYSTALS["rutile"][:3]
    grid = np.arange(20, 70, 0.02)
    intensity = pattern(*crystal, grid=grid)
    part = insitu.symmetry(grid, intensity + 0.05 * intensity.max())
    whole = insitu.symmetry(GRID, pattern(*crystal))
    q = np.array([line.q for line in whole.lines])
    within = q[q < 4 * np.pi / CU * np.sin(np.radians(35))]
    # Less one fainter than the background's edge lets pass at most; none that is not in the whole.
    assert len(within) - 1 <= len(part.lines) <= len(within)
    for line in part.lines:
        assert np.abs(q - line.q).min() < 0.01
    assert part.groups[0].name == whole.groups[0].name
    assert part.groups[0].probability > 0.5
    pattern_of_part = on_uniform_grid(grid, intensity + 0.05 * intensity.max(), CU)
    every = describe(pattern_of_part)
    own = describe(pattern_of_part, (20.0, 70.0))
    assert own.missing.max() >= every.missing.max()
    assert (own.missing >= every.missing - 1.0).mean() > 0.9
    assert own.missing.sum() > every.missing.sum() + 10


def test_a_wavelength_is_only_another_scale_of_angles() -> None:
    """Positions and intensities of silver's tube become those of copper's."""
    crystal = CRYSTALS["silicon"][:3]
    fine = np.arange(1.5, 35, 0.004)
    moved = on_uniform_grid(
        fine, pattern(*crystal, grid=fine, wavelength=0.5594, width=0.05), 0.5594
    )
    given = on_uniform_grid(GRID, pattern(*crystal), CU)
    a, b = find_lines(moved), find_lines(given)
    np.testing.assert_allclose(a.angles, b.angles, atol=0.01)

    def areas(values: np.ndarray, lines: np.ndarray) -> np.ndarray:
        near = [values[np.abs(ANGLES - x) < 0.6].sum() for x in lines]
        return np.array(near) / np.sum(near)

    np.testing.assert_allclose(areas(moved, b.angles), areas(given, b.angles), rtol=0.02)


@pytest.mark.parametrize("name", ["copper", "iron"])
def test_lines_beyond_the_grid_count_where_there_are_few(name: str) -> None:
    """With a molybdenum tube a metal has a dozen lines, not four: its group is clear, its cell the same."""
    *crystal, _, number = CRYSTALS[name]
    grid = np.arange(4, 90, 0.01)
    intensity = pattern(*crystal, grid=grid, wavelength=0.7093, width=0.08)
    found = insitu.symmetry(grid, intensity, wavelength=0.7093)
    assert number in found.groups[0].space_groups
    assert found.groups[0].probability > 0.6
    assert found.cell is not None
    assert found.cell.lengths == pytest.approx(crystal[2], rel=1e-3)
    for line in found.lines:
        assert line.hkl is not None
        assert line.q == pytest.approx(
            2 * np.pi / crystal[2][0] * np.linalg.norm(line.hkl), rel=2e-3
        )


def test_a_halo_and_noise_are_unknown() -> None:
    rng = np.random.default_rng(0)
    halo = 0.2 + np.exp(-(((GRID - 30) / 6) ** 2)) + 0.3 * np.exp(-(((GRID - 52) / 8) ** 2))
    assert insitu.symmetry(GRID, halo + 0.01 * rng.standard_normal(len(GRID))).unknown > 0.5
    assert insitu.symmetry(GRID, 100 + rng.standard_normal(len(GRID))).unknown > 0.5
    assert insitu.symmetry(GRID, pattern(*CRYSTALS["copper"][:3])).unknown < 0.5


def test_an_orthorhombic_cell_is_found() -> None:
    rng = np.random.default_rng(3)
    lengths = (5.1, 6.7, 8.9)
    points = rng.random((5, 3))
    signs = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)])
    intensity = pattern(
        (points[:, None] * signs).reshape(-1, 3), np.repeat([14, 8, 8, 26, 20], 8), lengths
    )
    lines = find_lines(on_uniform_grid(GRID, intensity, CU))
    lattice = index(lines, "orthorhombic")[0]
    np.testing.assert_allclose(np.sort(1 / np.sqrt(lattice.abc)), lengths, rtol=2e-3)
    assert abs(lattice.zero) < 0.01


def test_background_and_scale_are_taken_off() -> None:
    sharp = on_uniform_grid(GRID, pattern(*CRYSTALS["copper"][:3]), CU)
    sharp /= sharp.max()
    plain, lifted = (
        network_input(sharp[None]),
        network_input((30 * (sharp + 0.4))[None]),
    )
    np.testing.assert_allclose(lifted, plain, atol=0.02)
    assert np.allclose(describe(sharp).observed, describe(7 * sharp).observed)


@pytest.mark.parametrize(
    ("arguments", "wavelength", "message"),
    [
        ((GRID, GRID[:-1]), CU, "give two arrays of one dimension"),
        ((GRID[:20], GRID[:20]), CU, "the pattern has 20 points; at least 100"),
        ((GRID, np.full(len(GRID), np.nan)), CU, "not finite"),
        ((GRID * 3, GRID), CU, "give degrees from 0 to 180"),
        ((GRID.round(1), GRID), CU, "the same angle twice"),
        ((GRID, np.ones(len(GRID))), CU, "the same everywhere"),
        ((GRID, GRID), 12.0, "wavelength=12.0: give it in Å, from 0.1 to 5"),
        ((GRID, ["a"] * len(GRID)), CU, "give numbers"),
        (
            (np.linspace(100, 170, 500), np.arange(500.0)),
            CU,
            "holds nothing between 5 and 90 degrees",
        ),
    ],
)
def test_what_is_no_pattern_is_refused(arguments: Any, wavelength: float, message: str) -> None:
    with pytest.raises(InsituError, match=message):
        insitu.symmetry(*arguments, wavelength=wavelength)


def test_the_command_reads_columns_and_cif(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    intensity = pattern(*CRYSTALS["copper"][:3])
    rows = [f"{x:.2f}, {y:.4f}" for x, y in zip(GRID, intensity, strict=True)]
    Path("cu.xy").write_text("# angle, counts\n" + "\n".join(rows))
    body = "\n".join(r.replace(",", "") for r in rows)
    Path("cu.cif").write_text(
        f"data_cu\n_diffrn_radiation_wavelength 1.5406\nloop_\n_pd_meas_2theta_scan\n"
        f"_pd_meas_intensity_total\n{body}\n"
    )
    assert main(["diffraction", "cu.xy", "cu.cif", "--top", "2"]) == 0
    first, second = capsys.readouterr().out.split("cu.cif")
    assert "cubic F - - -" in first
    assert "space groups 196, 202, 209, 216, 225" in first
    assert first.splitlines()[1:] == second.splitlines()[1:]
    rows = [line.split() for line in first[first.index("2theta") :].splitlines()[1:]]
    assert [row[3:] for row in rows[:3]] == [["1", "1", "1"], ["2", "0", "0"], ["2", "2", "0"]]
    d = [3.615 / 3**0.5, 3.615 / 2, 3.615 / 8**0.5]
    assert [float(row[1]) for row in rows[:3]] == pytest.approx(d, rel=1e-3)
    assert [float(row[0]) for row in rows[:3]] == pytest.approx([43.32, 50.45, 74.13], abs=0.03)
    assert main(["diffraction", "cu.xy", "--lines", "0"]) == 0
    assert "2theta" not in capsys.readouterr().out
    Path("empty.xy").write_text("nothing\n")
    assert main(["diffraction", "empty.xy"]) == 2
    assert "no two columns of numbers" in capsys.readouterr().err
