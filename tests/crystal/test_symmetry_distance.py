# SPDX-License-Identifier: BSD-3-Clause
"""Distance of elastic tensors from cubic and hexagonal symmetry, beside the projection of the group."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from insitu.crystal.tensors.projection import project, rotate, symmetry_breaking
from insitu.crystal.tensors.symmetry_distance import closest_symmetry
from insitu.crystal.tensors.voigt import from_voigt
from insitu.errors import SettingError

GROUPS = {
    "cubic": Rotation.create_group("O").as_matrix(),
    "hexagonal": Rotation.create_group("D6").as_matrix(),
}


def stiffness(c11: float, c12: float, c13: float, c33: float, c44: float, c66: float):
    m = np.diag([c11, c11, c33, c44, c44, c66])
    m[0, 1] = m[1, 0] = c12
    m[0, 2] = m[2, 0] = m[1, 2] = m[2, 1] = c13
    return from_voigt(m)


#: Measured at room temperature [GPa].
COPPER = stiffness(168.4, 121.4, 121.4, 168.4, 75.4, 75.4)
ZINC = stiffness(163.7, 36.4, 53.0, 63.5, 38.8, 0.5 * (163.7 - 36.4))
TIN = stiffness(73.5, 23.4, 28.0, 87.0, 22.0, 22.65)  # tetragonal


@given(st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_zero_in_any_orientation(seed: int) -> None:
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    for tensor, system in ((COPPER, "cubic"), (ZINC, "hexagonal")):
        distance, axes = closest_symmetry(rotate(tensor, turn), system)
        assert distance < 1e-7
        # The axes that were found are the crystal's: in them the tensor is as it was.
        assert np.abs(rotate(rotate(tensor, turn), axes) - tensor).max() < 1e-4
    assert closest_symmetry(rotate(ZINC, turn), "hexagonal")[1][2] @ turn[:, 2] == pytest.approx(
        1, abs=1e-6
    ) or closest_symmetry(rotate(ZINC, turn), "hexagonal")[1][2] @ turn[:, 2] == pytest.approx(
        -1, abs=1e-6
    )


@pytest.mark.parametrize("system", GROUPS)
@pytest.mark.parametrize("name", ["copper", "zinc", "tin", "random"])
def test_least_of_all_orientations(system: str, name: str) -> None:
    """What a general optimizer finds with the mean over the group's operations, from many starts."""
    rng = np.random.default_rng(5)
    a = rng.normal(size=(6, 6))
    tensor = {"copper": COPPER, "zinc": ZINC, "tin": TIN, "random": from_voigt(a @ a.T)}[name]
    group = GROUPS[system]

    def breaking(vector: np.ndarray) -> float:
        turned = rotate(tensor, Rotation.from_rotvec(vector).as_matrix())
        return symmetry_breaking(turned, group, "elastic")

    found, axes = closest_symmetry(tensor, system)
    assert symmetry_breaking(rotate(tensor, axes), group, "elastic") == pytest.approx(
        found, abs=1e-9
    )
    starts = [r.as_rotvec() for r in Rotation.random(3, rng=rng)]
    least = min(minimize(breaking, s, method="Nelder-Mead", tol=1e-5).fun for s in starts)
    assert found <= least + 1e-6
    turned = rotate(tensor, Rotation.random(rng=rng).as_matrix())
    assert closest_symmetry(turned, system)[0] == pytest.approx(found, abs=1e-7)


def test_of_a_known_part() -> None:
    """A cubic tensor and a part that cubic symmetry forbids: not more than that part, and more than 0."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(6, 6))
    odd = from_voigt(a + a.T)
    odd -= project(odd, GROUPS["cubic"], "elastic")
    for size in (0.1, 1.0, 5.0):
        whole = COPPER + size * odd
        upright = np.linalg.norm(size * odd) / np.linalg.norm(whole)
        assert 0.5 * upright < closest_symmetry(whole, "cubic")[0] <= upright + 1e-12


def test_messages() -> None:
    with pytest.raises(SettingError, match="Did you mean 'cubic'"):
        closest_symmetry(COPPER, "cubik")
    with pytest.raises(SettingError, match="no symmetry can be told"):
        closest_symmetry(0 * COPPER)
