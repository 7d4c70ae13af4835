# SPDX-License-Identifier: BSD-3-Clause
"""Bragg reflections of samples against the reciprocal lattice, and the symmetry that is read from them."""

from itertools import product

import ase.build
import numpy as np
import pytest
from numpy.typing import NDArray

from insitu.diffraction.lattices.indexing import Lattice, to_angle
from insitu.diffraction.patterns.grid import ANGLES, pattern_of_lines
from insitu.diffraction.powder import period
from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.form_factors import elements_of, scattering_factors
from insitu.diffraction.scattering.reflections import (
    bright_nodes,
    one_lattice,
    reach,
    reflections,
    vectors,
)
from insitu.diffraction.symmetry.classification import symmetry_of_reflections
from insitu.diffraction.symmetry.extinctions import allowed
from insitu.diffraction.symmetry.found import Symmetry
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, class_of
from insitu.diffraction.symmetry.hkl import indices
from insitu.testing import lattice


def bright(
    r: NDArray[np.float64], cell: NDArray[np.float64], species: object = "Cu", periodic: bool = True,
    q_max: float | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    box = period(cell, np.full(3, periodic))
    elements, kinds = elements_of(species, len(r))
    q_max = q_max or reach(abs(float(np.linalg.det(box))), len(r))
    slabs = mesh.slabs(box, q_max, 1e8, len(elements))
    return bright_nodes(r @ np.linalg.inv(box), kinds, elements, box, slabs, "xray", q_max)


def places(hkl: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(vectors(hkl, cell), axis=1))


def read(atoms: ase.Atoms, sigma: float = 0.08, seed: int = 0) -> Symmetry:
    r = atoms.positions + np.random.default_rng(seed).normal(
        scale=sigma, size=atoms.positions.shape
    )
    nodes = bright(r, atoms.cell.array, atoms.get_chemical_symbols())
    hkl, intensity = reflections(nodes)
    return symmetry_of_reflections(places(hkl, atoms.cell.array), intensity)


def test_bright_nodes_are_the_direct_sum_at_the_reciprocal_lattice() -> None:
    """Two elements in a triclinic box: all that are there, none else, and |F|²/N by its definition."""
    primitive = np.array([[3.1, 0, 0], [0.4, 3.3, 0], [-0.2, 0.5, 2.9]])
    cells = np.array(list(product(range(6), repeat=3))) @ primitive
    r = np.concatenate([cells, cells + np.array([0.3, 0.45, 0.5]) @ primitive])
    species = ["Ni"] * len(cells) + ["Al"] * len(cells)
    r = r + np.random.default_rng(3).normal(scale=0.05, size=r.shape)
    nodes = bright(r, 6 * primitive, species, q_max=6.0)
    nodes = nodes[nodes[:, :3].any(axis=1)]
    assert (nodes[:, :3] % 6 == 0).all()
    hkl = np.array([h for h in product(range(-4, 5), repeat=3) if h[0] >= 0 and any(h)])
    k = 2 * np.pi * hkl @ np.linalg.inv(primitive).T
    q = np.linalg.norm(k, axis=1)
    f = scattering_factors(["Ni", "Al"], q, "xray")
    wave = np.exp(1j * k @ r.T)
    total = f[0] * wave[:, : len(cells)].sum(1) + f[1] * wave[:, len(cells) :].sum(1)
    intensity = np.abs(total) ** 2 / len(r)
    wanted = {tuple(6 * h): i for h, i, v in zip(hkl, intensity, q, strict=True) if v <= 6.0}
    found = {tuple(n[:3].astype(int)): n[3] for n in nodes}
    assert len(found) > 30
    for h, i in found.items():
        assert i == pytest.approx(wanted[h], rel=1e-4)
    assert min(found.values()) < 0.2 * max(found.values())
    missed = [i for h, i in wanted.items() if h not in found]
    assert max(missed, default=0) < min(found.values()) * 1.5


def test_each_reflection_counts_once_also_of_a_particle() -> None:
    """Reflections of fcc have indices all even or all odd; those of a particle are spread over nodes."""
    r, cell = lattice("fcc", 3.615, (8, 8, 8))
    q_max = 7.3
    hkl = np.array(list(product(range(-5, 6), repeat=3)))
    k = 2 * np.pi / 3.615 * np.linalg.norm(hkl, axis=1)
    fine = (k > 0) & (k <= q_max) & ((hkl % 2).sum(1) % 3 == 0)
    found, intensity = reflections(bright(r, cell, q_max=q_max))
    q = places(found, cell)
    assert np.sort(q) == pytest.approx(np.sort(k[fine]), rel=1e-6)
    assert (intensity > 0).all()
    middle = np.linalg.norm(r - r.mean(0), axis=1) < 13.0
    ball = r[middle] + np.random.default_rng(0).normal(scale=0.05, size=(middle.sum(), 3))
    found, intensity = reflections(bright(ball, np.eye(3) * 32.0, periodic=False, q_max=q_max))
    q = places(found, np.eye(3) * 64.0)
    strong = intensity > 0.05 * intensity.max()
    nearest = np.abs(q[strong, None] - k[fine]).min(1)
    assert strong.sum() == fine.sum()
    assert nearest.max() < 0.02  # nodes are 0.1 apart


def test_atoms_anywhere_have_no_reflections_and_are_unknown() -> None:
    r = np.random.default_rng(1).random((3000, 3)) * 35.0
    hkl, intensity = reflections(bright(r, np.eye(3) * 35.0))
    assert not len(hkl)
    found = symmetry_of_reflections(places(hkl, np.eye(3) * 35.0), intensity)
    assert found.unknown == 1.0
    assert found.cell is None
    assert not found.lines
    assert len(found.groups) == 101


SAMPLES = {
    "Cu": (ase.build.bulk("Cu", cubic=True) * 6, "cubic", 225),
    "Fe": (ase.build.bulk("Fe", cubic=True) * 8, "cubic", 229),
    "Si": (ase.build.bulk("Si", cubic=True) * 5, "cubic", 227),
    "NaCl": (ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True) * 5, "cubic", 225),
    "NiAl": (ase.build.bulk("NiAl", "cesiumchloride", a=2.88, cubic=True) * 8, "cubic", 221),
    "Zr": (ase.build.bulk("Zr", orthorhombic=True) * (9, 5, 5), "hexagonal", 194),
    "In": (ase.build.bulk("In") * (9, 9, 9), "tetragonal", 139),
}


@pytest.mark.parametrize("name", list(SAMPLES))
def test_symmetry_of_hot_crystals(name: str) -> None:
    atoms, system, number = SAMPLES[name]
    found = read(atoms)
    assert found.unknown < 0.2
    # Trigonal and hexagonal groups with the same absences are one.
    systems = {"trigonal", "hexagonal"} if system == "hexagonal" else {system}
    assert sum(found.systems[s] for s in systems) > 0.8
    assert any(number in g.space_groups for g in found.groups[:2])


def test_lines_have_their_indices() -> None:
    found = read(SAMPLES["Si"][0])
    assert found.cell is not None
    assert found.cell.lengths == pytest.approx((5.43,) * 3, rel=1e-3)
    given = [line.hkl for line in found.lines]
    assert given[:6] == [(1, 1, 1), (2, 2, 0), (3, 1, 1), (4, 0, 0), (3, 3, 1), (4, 2, 2)]
    for line in found.lines:
        assert line.hkl is not None
        assert line.q == pytest.approx(2 * np.pi / 5.43 * np.linalg.norm(line.hkl), rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "abc", "number"),
    [
        ("hexagonal", (0.06, 0.06, 0.037), 194),
        ("tetragonal", (0.047, 0.047, 0.114), 136),
        ("orthorhombic", (0.021, 0.013, 0.034), 62),
    ],
)
def test_indices_of_lines_by_definition(kind: str, abc: tuple[float, ...], number: int) -> None:
    """Lines of random allowed reflections get indices with their spacing, which the group allows."""
    conditions = EXTINCTION_GROUPS[class_of(number)].conditions
    grid = np.array([h for h in product(range(4), repeat=3) if any(h)])
    h, k, l = grid.T  # noqa: E741
    mixed = abc[0] * h * k if kind == "hexagonal" else 0.0
    q = abc[0] * h * h + abc[1] * k * k + abc[2] * l * l + mixed
    may = allowed(conditions, grid) & (q < 0.4)
    angles = to_angle(np.unique(q[may]))
    lattice_ = Lattice(kind, np.array(abc), 0.05, 0.0)
    found = indices(angles + 0.05, lattice_, conditions)
    assert found.any(axis=1).all()
    h, k, l = found.T  # noqa: E741
    mixed = abc[0] * h * k if kind == "hexagonal" else 0.0
    assert to_angle(abc[0] * h * h + abc[1] * k * k + abc[2] * l * l + mixed) == pytest.approx(
        angles, abs=0.1
    )
    assert not indices(np.array([to_angle(np.array(abc[2] * 0.5))]), lattice_, conditions).any()


def test_made_lines_are_where_bragg_has_them() -> None:
    q, heights = np.array([2.0, 2.0, 4.0]), np.array([1.0, 2.0, 5.0])
    pattern = pattern_of_lines(q, heights)
    areas = []
    for place in (2.0, 4.0):
        centre = 2 * np.degrees(np.arcsin(place * 1.5406 / 4 / np.pi))
        part = pattern * (np.abs(ANGLES - centre) < 1.0)
        assert (part @ ANGLES) / part.sum() == pytest.approx(centre, abs=0.005)
        theta = np.radians(centre / 2)
        areas.append(part.sum() * np.sin(theta) ** 2 * np.cos(theta) / (1 + np.cos(2 * theta) ** 2))
    assert areas[1] / areas[0] == pytest.approx(5.0 / 3.0, rel=1e-4)


def test_crystals_side_by_side_are_not_one_lattice() -> None:
    """Two halves of copper, one of them turned by 30 degrees; and neither."""
    r, cell = lattice("fcc", 3.615, (10, 10, 10))
    shifts = np.array(list(product((-1, 0, 1), repeat=2))) @ cell[:2]
    large = (r[None] + shifts[:, None]).reshape(-1, 3) - cell.sum(0) / 2
    found = []
    for angle in (0.0, np.radians(30.0)):
        c, s = np.cos(angle), np.sin(angle)
        turned = large @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + cell.sum(0) / 2
        inside = ((turned > -1e-6) & (turned < np.diag(cell) - 1e-6)).all(axis=1)
        upper = turned[inside & (turned[:, 0] > 18.0)]
        both = np.concatenate([r[r[:, 0] < 18.0], upper])
        both += np.random.default_rng(0).normal(scale=0.05, size=both.shape)
        hkl, intensity = reflections(bright(both, cell))
        found.append(one_lattice(vectors(hkl, cell), intensity))
    assert found[0] > 0.95
    assert found[1] < 0.85
