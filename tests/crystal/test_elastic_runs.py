# SPDX-License-Identifier: BSD-3-Clause
"""Elastic tensors by LAMMPS beside published ones of the same potentials."""

import numpy as np
import pytest

from insitu.crystal.spacegroup import find
from insitu.crystal.tensors.projection import symmetry_breaking
from insitu.crystal.tensors.voigt import from_voigt
from insitu.errors import SettingError
from insitu.frame.lattices.perfect import LATTICES
from insitu.training.data.elastic_runs import Potential, elastic_run

COPPER = Potential("eam/alloy", ("* * {potentials}/Cu_mishin1.eam.alloy Cu",), ("Cu",))
SILICON = Potential("sw", ("* * {potentials}/Si.sw Si",), ("Si",))


@pytest.mark.parametrize(
    ("potential", "kind", "a", "known"),
    [
        # Mishin et al., Phys. Rev. B 63, 224106 (2001): C11, C12, C44 of the potential, 0 K.
        (COPPER, "fcc", 3.60, (169.9, 122.6, 76.2)),
        # Cowley, Phys. Rev. Lett. 60, 2379 (1988): Stillinger-Weber, C44 with internal relaxation.
        (SILICON, "cubic_diamond", 5.45, (151.4, 76.4, 56.4)),
    ],
)
def test_published_constants(
    potential: Potential, kind: str, a: float, known: tuple[float, float, float]
) -> None:
    """From a primitive cell that LAMMPS would not take as it stands: its axes are turned back."""
    basis = np.array(LATTICES[kind][1])
    cell = 0.5 * a * (1 - np.eye(3))
    sites = np.unique(np.round(basis * a @ np.linalg.inv(cell) % 1.0, 6) % 1.0, axis=0)
    found = elastic_run(cell, sites, np.ones(len(sites), dtype=int), potential)
    c = found.stiffness
    assert (c[0, 0], c[0, 1], c[3, 3]) == pytest.approx(known, abs=0.1)
    assert found.asymmetry < 0.05
    group = find(cell, sites, [1] * len(sites), 1e-3)
    assert group is not None
    assert symmetry_breaking(from_voigt(c), group.rotations, "elastic") < 1e-3


def test_messages() -> None:
    with pytest.raises(SettingError, match="the potential has 1 elements"):
        elastic_run(np.eye(3), [[0, 0, 0]], [2], COPPER)
