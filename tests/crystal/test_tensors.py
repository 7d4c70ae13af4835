# SPDX-License-Identifier: BSD-3-Clause
"""Symmetry of tensors by point group: Nye's tables, characters, published tensors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from insitu.crystal.cells import from_parameters, parameters
from insitu.crystal.spacegroup import cartesian, find, operations_of
from insitu.crystal.tensors import voigt
from insitu.crystal.tensors.moduli import moduli, stable
from insitu.crystal.tensors.projection import (
    KINDS,
    independent,
    project,
    projector,
    rotate,
    symmetrized,
    symmetry_breaking,
)
from insitu.errors import SettingError

#: Independent constants of the 32 classes (Nye): dielectric, piezoelectric, elastic.
NYE = {
    "1": (6, 18, 21), "-1": (6, 0, 21), "2": (4, 8, 13), "m": (4, 10, 13), "2/m": (4, 0, 13),
    "222": (3, 3, 9), "mm2": (3, 5, 9), "mmm": (3, 0, 9), "4": (2, 4, 7), "-4": (2, 4, 7),
    "4/m": (2, 0, 7), "422": (2, 1, 6), "4mm": (2, 3, 6), "-42m": (2, 2, 6), "4/mmm": (2, 0, 6),
    "3": (2, 6, 7), "-3": (2, 0, 7), "32": (2, 2, 6), "3m": (2, 4, 6), "-3m": (2, 0, 6),
    "6": (2, 4, 5), "-6": (2, 2, 5), "6/m": (2, 0, 5), "622": (2, 1, 5), "6mm": (2, 3, 5),
    "-6m2": (2, 1, 5), "6/mmm": (2, 0, 5), "23": (1, 1, 3), "m-3": (1, 0, 3), "432": (1, 0, 3),
    "-43m": (1, 1, 3), "m-3m": (1, 0, 3),
}  # fmt: skip
#: A lattice for the class of the first setting in the tables, by its family.
LATTICES = {
    "tri": (3, 4, 5, 80, 85, 95), "mono": (3, 4, 5, 90, 103, 90), "ortho": (3, 4, 5, 90, 90, 90),
    "tetra": (3, 3, 5, 90, 90, 90), "hexa": (3, 3, 5, 90, 90, 120), "cubic": (3, 3, 3, 90, 90, 90),
}  # fmt: skip
FAMILIES = {
    "tri": "1 -1", "mono": "2 m 2/m", "ortho": "222 mm2 mmm", "tetra": "4 -4 4/m 422 4mm -42m 4/mmm",
    "hexa": "3 -3 32 3m -3m 6 -6 6/m 622 6mm -6m2 6/mmm", "cubic": "23 m-3 432 -43m m-3m",
}  # fmt: skip
FAMILY = {name: family for family, names in FAMILIES.items() for name in names.split()}


def groups():
    """Return the Cartesian operations of the 32 classes, turned at random."""
    found = {}
    turn = Rotation.random(rng=np.random.default_rng(3)).as_matrix()
    for hall in range(1, 531):
        w, name = operations_of(hall)
        if name not in found:
            cell = from_parameters(LATTICES[FAMILY[name]]) @ turn.T
            found[name] = cartesian(cell, w)
    return found


GROUPS = groups()


def characters(rotations):
    """Return the number of invariants by characters alone: traces of R and its powers."""
    counts = []
    for r in rotations:
        t1, t2, t4 = (np.trace(np.linalg.matrix_power(r, n)) for n in (1, 2, 4))
        square = (t1**2 + t2) / 2  # of a symmetric tensor of rank 2
        of_square = (t2**2 + t4) / 2
        counts.append((square, t1 * square, (square**2 + of_square) / 2))
    return tuple(np.rint(np.mean(counts, axis=0)).astype(int))


def test_all_32_classes_are_there():
    assert set(GROUPS) == set(NYE)


@pytest.mark.parametrize("name", NYE)
def test_independent_constants(name):
    group = GROUPS[name]
    assert np.abs(group @ group.transpose(0, 2, 1) - np.eye(3)).max() < 1e-12
    assert tuple(independent(group, kind) for kind in KINDS) == NYE[name] == characters(group)


@pytest.mark.parametrize("name", ["m", "-42m", "3", "6mm", "432"])
@pytest.mark.parametrize("kind", KINDS)
def test_projector(name, kind):
    p = projector(GROUPS[name], kind)
    assert np.abs(p @ p - p).max() < 1e-12
    assert np.abs(p - p.T).max() < 1e-12
    rng = np.random.default_rng(0)
    t = rng.normal(size=(3,) * KINDS[kind].rank)
    kept = project(t, GROUPS[name], kind)
    assert np.allclose(p @ t.ravel(), kept.ravel(), atol=1e-12)
    for r in GROUPS[name]:
        assert np.allclose(rotate(kept, r), kept, atol=1e-12)
    breaking = symmetry_breaking(t, GROUPS[name], kind)
    s = symmetrized(t, kind)
    assert breaking == pytest.approx(np.linalg.norm(s - kept) / np.linalg.norm(s))
    if np.linalg.norm(kept) > 1e-9:
        assert symmetry_breaking(kept, GROUPS[name], kind) < 1e-12


def test_cubic_and_hexagonal_forms():
    rng = np.random.default_rng(1)
    c = voigt.from_voigt(rng.normal(size=(6, 6)))
    upright = {
        name: cartesian(from_parameters(LATTICES[family]), operations_of(hall)[0])
        for name, family, hall in (("m-3m", "cubic", 517), ("6/mmm", "hexa", 485))
    }
    m = voigt.to_voigt(project(c, upright["m-3m"], "elastic"))
    assert np.allclose([m[0, 0], m[0, 1], m[3, 3]], [m[2, 2], m[1, 2], m[5, 5]])
    assert np.allclose(m[:3, 3:], 0) and np.allclose(m[3, 4], 0)  # noqa: PT018
    m = voigt.to_voigt(project(c, upright["6/mmm"], "elastic"))
    assert m[0, 0] - m[0, 1] == pytest.approx(2 * m[5, 5])
    assert m[0, 0] == pytest.approx(m[1, 1])
    assert m[3, 3] == pytest.approx(m[4, 4])


def test_voigt_energy_is_that_of_the_tensors():
    """½ e C e and ½ s S s by all indices, and by six."""
    rng = np.random.default_rng(2)
    a = rng.normal(size=(6, 6))
    six = a @ a.T + 6 * np.eye(6)
    c = voigt.from_voigt(six)
    e = rng.normal(size=(3, 3))
    e = e + e.T
    stress = np.einsum("ijkl,kl->ij", c, e)
    assert np.allclose(voigt.stress_to_voigt(stress), six @ voigt.strain_to_voigt(e))
    assert np.allclose(voigt.strain_from_voigt(voigt.strain_to_voigt(e)), e)
    s = voigt.compliance_from_voigt(np.linalg.inv(six))
    assert np.allclose(np.einsum("ijkl,kl->ij", s, stress), e)
    assert np.allclose(voigt.compliance_to_voigt(s), np.linalg.inv(six))
    piezo = rng.normal(size=(3, 6))
    assert np.allclose(voigt.to_voigt(voigt.from_voigt(piezo)), piezo)
    # LAMMPS: xx yy zz xy xz yz [bar].
    assert np.allclose(voigt.stress_from_lammps([1e4, 0, 0, 2e4, 3e4, 4e4]), [-1, 0, 0, -4, -3, -2])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(KINDS)))
def test_rotations_compose(seed, kind):
    rng = np.random.default_rng(seed)
    a, b = Rotation.random(2, rng=rng).as_matrix()
    t = rng.normal(size=(3,) * KINDS[kind].rank)
    assert np.allclose(rotate(rotate(t, a), b), rotate(t, b @ a))
    assert np.linalg.norm(rotate(t, a)) == pytest.approx(np.linalg.norm(t))


def test_moduli_of_copper():
    """C11, C12, C44 of copper at 300 K, 168.4, 121.4, 75.4 GPa: bulk modulus 137.1, Hill's shear 47.3."""
    c = np.diag([168.4] * 3 + [75.4] * 3)
    c[:3, :3] += 121.4 * (1 - np.eye(3))
    m = moduli(c)
    assert m.bulk_voigt == pytest.approx(m.bulk_reuss) == pytest.approx((168.4 + 2 * 121.4) / 3)
    half = (168.4 - 121.4) / 2
    assert m.shear_voigt == pytest.approx((2 * half + 3 * 75.4) / 5)
    assert m.shear_reuss == pytest.approx(5 * half * 75.4 / (2 * 75.4 + 3 * half))
    assert m.anisotropy == pytest.approx(5 * m.shear_voigt / m.shear_reuss - 5)
    assert stable(c)
    c[3:, 3:] *= -1
    assert not stable(c)


def test_space_group_of_a_strained_turned_crystal():
    """Rock salt, its primitive cell strained by less than the tolerance: operations are exact."""
    turn = Rotation.random(rng=np.random.default_rng(4)).as_matrix()
    cell = 2.82 * (1 - np.eye(3)) @ (np.eye(3) + 1e-3 * np.diag([1, -1, 0.5])) @ turn.T
    found = find(cell, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17], 0.05)
    assert (found.number, found.point_group, len(found.rotations)) == (225, "m-3m", 48)
    assert independent(found.rotations, "elastic") == 3
    assert np.allclose(parameters(found.cell), [5.64, 5.64, 5.64, 90, 90, 90], rtol=2e-3)
    assert find(cell, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17], 1e-4).number != 225


def test_messages():
    with pytest.raises(SettingError, match="Did you mean 'elastic'"):
        project(np.zeros((3, 3)), GROUPS["1"], "elastc")
    with pytest.raises(SettingError, match="rank 4"):
        project(np.zeros((3, 3)), GROUPS["1"], "elastic")
    with pytest.raises(SettingError, match="tolerance=0"):
        find(np.eye(3), [[0, 0, 0]], [1], 0)
    with pytest.raises(SettingError, match="1 … 530"):
        operations_of(531)
