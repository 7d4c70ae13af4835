# SPDX-License-Identifier: BSD-3-Clause
"""Monoclinic lattices: reduction against shortest vectors, and baddeleyite by its published structure."""

import numpy as np
import pytest
from numpy.typing import NDArray

import insitu
from insitu.diffraction.lattices.indexing import predicted
from insitu.diffraction.lattices.monoclinic import axes, reduced
from insitu.diffraction.scattering.form_factors import scattering_factors

GRID = np.linspace(5, 90, 8501)


def metric_of(a: float, b: float, c: float, beta: float) -> NDArray[np.float64]:
    """Return A, B, C, D of 1/d² from a cell, by inversion of its metric."""
    m = a * c * np.cos(np.radians(beta))
    g = np.linalg.inv(np.array([[a * a, 0, m], [0, b * b, 0], [m, 0, c * c]]))
    return np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[0, 2]])


@pytest.mark.parametrize("seed", range(5))
def test_reduced_cells_have_the_shortest_axes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c, beta = *rng.uniform(3, 12, 3), rng.uniform(91, 135)
    angle = np.radians(beta)
    first, second = np.array([a, 0.0]), np.array([c * np.cos(angle), c * np.sin(angle)])
    grid = [(i, j) for i in range(-6, 7) for j in range(-6, 7) if i or j]
    found = np.array([i * first + j * second for i, j in grid])
    found = found[np.argsort(np.linalg.norm(found, axis=1))]
    shortest = found[0]
    other = next(v for v in found if abs(shortest[0] * v[1] - shortest[1] * v[0]) > 1e-6)
    wanted = sorted(np.linalg.norm([shortest, other], axis=1))
    x, y, z, turned = axes(metric_of(a, b, c, beta))
    assert sorted((x, z)) == pytest.approx(wanted, rel=1e-6)
    assert y == pytest.approx(b)
    cosine = abs(shortest @ other) / np.prod(wanted)
    assert turned == pytest.approx(180 - np.degrees(np.arccos(cosine)), abs=1e-4)
    once = reduced(metric_of(a, b, c, beta)[None])
    assert reduced(once) == pytest.approx(once)


def test_lines_are_those_of_the_definition() -> None:
    constants = metric_of(5.1, 6.2, 7.3, 104.0)
    hkl, q = predicted("monoclinic", constants, 0.3)
    grid = np.indices((9, 9, 11)).reshape(3, -1).T - np.array([4, 4, 5])
    h, k, l = grid.T  # noqa: E741
    every = (
        constants[0] * h * h + constants[1] * k * k + constants[2] * l * l + constants[3] * h * l
    )
    wanted = np.unique(every[(every > 0) & (every <= 0.3)].round(9))
    assert np.unique(q.round(9)) == pytest.approx(wanted)
    assert (np.diff(q) >= 0).all()
    h, k, l = hkl.T  # noqa: E741
    assert q == pytest.approx(
        constants[0] * h * h + constants[1] * k * k + constants[2] * l * l + constants[3] * h * l
    )


def test_baddeleyite_is_indexed() -> None:
    """ZrO2, P21/c, of C. J. Howard et al., Acta Cryst. B44, 116 (1988): its pattern by the definition."""
    cell = (5.1505, 5.2116, 5.3173, 99.23)
    sites = {
        "Zr": [(0.2754, 0.0395, 0.2083)],
        "O": [(0.07, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
    }
    hkl = np.indices((23, 23, 23)).reshape(3, -1).T - 11
    a, b, c, d = metric_of(*cell)
    h, k, l = hkl.T  # noqa: E741
    sine = 0.5 * 1.5406 * np.sqrt(a * h * h + b * k * k + c * l * l + d * h * l)
    fine = (sine > 0) & (sine < 0.72)
    hkl, sine = hkl[fine], sine[fine]
    amplitude = np.zeros(len(hkl), dtype=complex)
    for element, places in sites.items():
        (f,) = scattering_factors([element], 4 * np.pi * sine / 1.5406)
        for x, y, z in places:
            for image in ((x, y, z), (-x, -y, -z), (-x, y + 0.5, 0.5 - z), (x, 0.5 - y, z + 0.5)):
                amplitude += f * np.exp(2j * np.pi * hkl @ np.array(image))
    theta = np.arcsin(sine)
    heights = np.abs(amplitude) ** 2 * (1 + np.cos(2 * theta) ** 2) / (sine**2 * np.cos(theta))
    places, where = np.unique(np.degrees(2 * theta).round(4), return_inverse=True)
    intensity = np.zeros(len(GRID))
    for x, height in zip(places, np.bincount(where, heights), strict=True):
        intensity += height * np.exp(-4 * np.log(2) * ((GRID - x) / 0.12) ** 2)
    found = insitu.symmetry(GRID, intensity)
    assert found.system == "monoclinic"
    assert found.cell is not None
    assert found.cell.kind == "monoclinic"
    assert sorted(found.cell.lengths) == pytest.approx(sorted(cell[:3]), rel=1e-3)
    assert found.cell.beta == pytest.approx(cell[3], abs=0.1)
    assert found.explained > 0.99
    assert found.groups[0].name == "monoclinic P 1 21/c 1"
    x, y, z = found.cell.lengths
    own = metric_of(x, y, z, found.cell.beta)
    for line in found.lines:
        h, k, l = line.hkl or (0, 0, 0)  # noqa: E741
        if line.hkl:
            square = own @ np.array([h * h, k * k, l * l, h * l])
            assert line.q == pytest.approx(2 * np.pi * np.sqrt(square), rel=2e-3)
    strongest = max(found.lines, key=lambda line: line.height)
    assert sorted(map(abs, strongest.hkl or ())) == [1, 1, 1]
    assert 360 / np.pi * np.arcsin(strongest.q * 1.5406 / (4 * np.pi)) == pytest.approx(
        28.2, abs=0.1
    )
