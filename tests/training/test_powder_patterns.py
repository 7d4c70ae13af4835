# SPDX-License-Identifier: BSD-3-Clause
"""The generator of crystals and patterns that the symmetry network is fitted to."""

import warnings
from typing import Any

import gemmi
import numpy as np
import pytest
import spglib

from insitu.diffraction.patterns.grid import ANGLES, REFERENCE
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, class_of
from insitu.training.symmetry.library import found_group, make_classes
from insitu.training.symmetry.peaks import multiplicities, reflections, squared_structure_factors
from insitu.training.symmetry.render import Instrument, render
from insitu.training.symmetry.sites import sites
from insitu.training.symmetry.structures import Crystal, lattice_vectors, random_crystal

BOX = np.array([h for h in np.ndindex(5, 5, 5) if any(h)]) - np.array([0, 2, 2])
BOX = BOX[(BOX != 0).any(1)]


@pytest.mark.parametrize("k", range(101), ids=lambda k: EXTINCTION_GROUPS[k].name)
def test_forbidden_reflections_vanish(k: int) -> None:
    """Structure factors of all atoms of the cell, absences from gemmi."""
    rng = np.random.default_rng(k)
    crystal = None
    while crystal is None:
        crystal = random_crystal(int(rng.choice(EXTINCTION_GROUPS[k].space_groups)), rng)
    ops = gemmi.find_spacegroup_by_number(crystal.number).operations()
    absent = np.array([ops.is_systematically_absent([int(i) for i in h]) for h in BOX])
    values = squared_structure_factors(crystal, BOX)
    assert (values[absent] < 1e-8 * values.max()).all()
    assert absent.any() or EXTINCTION_GROUPS[k].conditions == ""


@pytest.mark.parametrize("number", [14, 62, 141, 166, 194, 225])
def test_special_positions_are_those_of_the_tables(number: int) -> None:
    """Multiplicities and free coordinates of International Tables A."""
    tables = {
        14: {(4, 3), (2, 0)},
        62: {(8, 3), (4, 2), (4, 0)},
        141: {(32, 3), (16, 2), (16, 1), (16, 0), (8, 1), (8, 0), (4, 0)},
        166: {(36, 3), (18, 2), (18, 1), (9, 0), (6, 1), (3, 0)},
        194: {(24, 3), (12, 2), (12, 1), (6, 1), (6, 0), (4, 1), (2, 0)},
        225: {(192, 3), (96, 2), (48, 1), (32, 1), (24, 1), (24, 0), (8, 0), (4, 0)},
    }
    found = {(s.multiplicity, s.free) for s in sites(number)}
    assert found <= tables[number]
    assert len(found) >= len(tables[number]) - 2  # rare ones may be missing


def test_multiplicities_of_the_tables() -> None:
    hkl = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 0], [3, 2, 1]])
    assert multiplicities(225, hkl).tolist() == [6, 12, 8, 24, 48]
    assert multiplicities(205, hkl)[3:].tolist() == [12, 24]  # m-3 has half of them
    assert multiplicities(194, np.array([[0, 0, 2], [1, 0, 0], [1, 1, 0], [2, 1, 3]])).tolist() == [
        2,
        6,
        6,
        24,
    ]


def test_spglib_rejects_what_has_more_symmetry() -> None:
    copper = Crystal(1, np.array([3.6, 3.6, 3.6, 90, 90, 90.0]), np.zeros((1, 3)), np.array([29]))
    assert found_group(copper) is None
    rng = np.random.default_rng(1)
    library, kept = make_classes(np.arange(0, 101, 10), 3)
    assert 0.3 < kept <= 1
    assert [class_of(int(n)) for n in library.numbers] == list(range(0, 101, 10))
    patterns = render(library, np.arange(len(library)), rng, Instrument())
    assert patterns.shape == (11, len(ANGLES))
    assert np.isfinite(patterns).all()


@pytest.fixture(scope="module")
def prototypes() -> list[Any]:
    """Twelve of the AFLOW prototypes that pymatgen has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY as LIBRARY
    return [entry["snl"].structure for entry in LIBRARY[::24]]


@pytest.mark.full
def test_patterns_of_prototypes_agree_with_pymatgen(
    prototypes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against pymatgen's calculator with its form factors, of cells that spglib standardizes."""
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, XRDCalculator

    def theirs(elements: list[str], q: np.ndarray) -> np.ndarray:
        out, s = [], q / (4 * np.pi)
        for symbol in elements:
            a, b = np.array(ATOMIC_SCATTERING_PARAMS[symbol]).T
            z = gemmi.Element(symbol).atomic_number
            out.append(z - 41.78214 * s**2 * (a[:, None] * np.exp(-b[:, None] * s**2)).sum(0))
        return np.array(out)

    monkeypatch.setattr("insitu.training.symmetry.peaks.scattering_factors", theirs)
    calculator = XRDCalculator(wavelength=REFERENCE, symprec=0)
    compared = 0
    for structure in prototypes:
        lattice, kinds = structure.lattice.matrix, [site.specie.Z for site in structure]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = spglib.get_symmetry_dataset(
                (lattice, structure.frac_coords, kinds), symprec=1e-3
            )
        cell = gemmi.UnitCell(*cell_of(found.std_lattice))
        crystal = Crystal(
            found.number,
            np.array(cell.parameters),
            found.std_positions,
            np.asarray(found.std_types),
        )
        if max(crystal.elements) <= 83 and len(kinds) < 24:
            compare(crystal, calculator.get_pattern(structure, two_theta_range=(5, 88)))
            compared += 1
    assert compared > 6


def cell_of(lattice: np.ndarray) -> list[float]:
    """Lengths and angles of rows of vectors."""
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    return [
        *lengths,
        *(np.degrees(np.arccos(unit[i] @ unit[j])) for i, j in ((1, 2), (0, 2), (0, 1))),
    ]


def compare(crystal: Crystal, wanted: Any) -> None:
    """Angles to 0.002 degrees, intensities to 0.05 % of the strongest."""
    hkl, values = reflections(crystal, REFERENCE / 2 / np.sin(np.radians(44)))
    reciprocal = np.linalg.inv(lattice_vectors(crystal.cell)).T
    sine = 0.5 * REFERENCE * np.linalg.norm(hkl @ reciprocal, axis=1)
    angle = 2 * np.degrees(np.arcsin(sine))
    cosine = np.cos(np.radians(angle))
    values = values * (1 + cosine**2) / (sine**2 * np.sqrt(1 - sine**2))
    # Lines nearer than 0.01 degrees are one, of both.
    groups = np.split(np.arange(len(wanted.x)), np.flatnonzero(np.diff(wanted.x) > 0.01) + 1)
    theirs = np.array([np.sum(wanted.y[g]) for g in groups])
    ends = np.array([[wanted.x[g[0]] - 2e-3, wanted.x[g[-1]] + 2e-3] for g in groups])
    near = (angle[None] > ends[:, :1]) & (angle[None] < ends[:, 1:])
    assert near.any(1).all()
    ours = np.array([values[n].sum() for n in near])
    np.testing.assert_allclose(100 * ours / ours.max(), 100 * theirs / theirs.max(), atol=0.05)
    inside = (angle > 5) & (angle < 88)
    assert values[inside & ~near.any(0)].sum() < 1e-2 * values[inside].sum()
