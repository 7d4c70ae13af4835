# SPDX-License-Identifier: BSD-3-Clause
"""Made-up crystals have the symmetry that they were made with, by spglib, and are like no class."""

import numpy as np
import pytest
import spglib
from scipy.spatial import cKDTree

from insitu.frame.lattices.copies import (
    classes_of_sites,
    nearest,
    random_crystal,
    shuffled,
    unlikeness,
)
from insitu.frame.lattices.random_symmetry import SITES, symmetric_crystal


def space_group(sites: np.ndarray, cell: np.ndarray) -> int:
    """Return the number that spglib gives."""
    found = spglib.get_symmetry_dataset((cell, sites, [1] * len(sites)), symprec=1e-4)
    return int(found.number)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_crystals_are_symmetric_and_of_no_class() -> None:
    rng = np.random.default_rng(5)
    made = [symmetric_crystal(rng) for _ in range(40)]
    groups = [space_group(*c) for c in made]
    # 1 and 2 are triclinic, up to 15 monoclinic.
    assert np.mean([g > 2 for g in groups]) > 0.6
    assert np.mean([g > 15 for g in groups]) > 0.3
    assert len(set(groups)) > 12
    for sites, cell in made:
        assert 2 <= len(sites) <= SITES
        assert nearest(sites, cell, 1).min() >= 0.6
        assert unlikeness(sites, cell).min() > 0.05
        assert set(classes_of_sites(sites, cell)) == {""}


def test_nearest_distances_are_those_of_many_copies() -> None:
    rng = np.random.default_rng(6)
    for k in range(12):
        sites, cell = (random_crystal, shuffled, symmetric_crystal)[k % 3](rng)
        cell = cell / np.cbrt(abs(np.linalg.det(cell)) / len(sites))
        sites = sites + rng.integers(-3, 4, sites.shape)  # any copy of a site is that site
        grid = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3)
        everywhere = ((sites % 1.0)[:, None] + grid[None]).reshape(-1, 3) @ cell
        for many in (1, 4, 18):
            expected = cKDTree(everywhere).query((sites % 1.0) @ cell, many + 1)[0][:, 1:]
            assert np.allclose(nearest(sites, cell, many), expected, atol=1e-9)
