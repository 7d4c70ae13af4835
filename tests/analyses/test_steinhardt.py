# SPDX-License-Identifier: BSD-3-Clause
"""Averaged bond order against freud and the values of perfect crystals; the contract of analyses."""

import numpy as np
import pytest

from insitu.analyses.base import System
from insitu.analyses.steinhardt import Steinhardt, SteinhardtSettings
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import check_analysis, lattice


def order(r: np.ndarray, cell: np.ndarray, **settings: object) -> dict[str, np.ndarray]:
    given = SteinhardtSettings(**settings)  # type: ignore[arg-type]
    frame = Frame.from_arrays(r, cell, True, reach=given.cutoff * 1.0001)
    return Steinhardt(given, System())(frame, Neighbors(frame, given.cutoff))


@pytest.mark.parametrize("number", [None, 12])
@pytest.mark.parametrize("averaged", [True, False])
def test_values_of_freud(number: int | None, averaged: bool) -> None:
    import freud

    r, cell = lattice("fcc", 4.05, (5, 5, 5))
    r = r + np.random.default_rng(0).normal(scale=0.2, size=r.shape)
    cell = cell @ np.array([[1.0, 0.0, 0.0], [0.2, 1.0, 0.0], [-0.1, 0.1, 1.0]])  # triclinic
    r = r @ np.array([[1.0, 0.0, 0.0], [0.2, 1.0, 0.0], [-0.1, 0.1, 1.0]])
    cutoff = 3.9 if number is None else 6.0
    found = order(r, cell, cutoff=cutoff, number=number, degrees=(4, 6, 8), averaged=averaged)
    box = freud.box.Box.from_matrix(cell.T)
    query = {"r_max": cutoff} if number is None else {"num_neighbors": number}
    for degree in (4, 6, 8):
        theirs = freud.order.Steinhardt(degree, average=averaged)
        theirs.compute((box, box.wrap(r)), neighbors={**query, "exclude_ii": True})
        # freud takes positions in single precision.
        assert np.allclose(found[f"q{degree}"], theirs.particle_order, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("structure", "a", "number", "q4", "q6"),
    # Mickel et al., J. Chem. Phys. 138, 044501 (2013), table I; bcc with its 14 neighbours.
    [("fcc", 4.05, 12, 0.1909, 0.5745), ("hcp", 2.86, 12, 0.0972, 0.4848),
     ("bcc", 3.24, 14, 0.0364, 0.5107)],
)  # fmt: skip
def test_perfect_crystals(structure: str, a: float, number: int, q4: float, q6: float) -> None:
    r, cell = lattice(structure, a, (4, 4, 4))
    found = order(r, cell, cutoff=4.2, number=number)
    assert np.allclose(found["q4"], q4, atol=6e-5)
    assert np.allclose(found["q6"], q6, atol=6e-5)


def test_a_shell_that_is_cut_has_no_order_of_its_atoms() -> None:
    """12 of the 14 neighbours of bcc: every atom has the same value, whatever its number."""
    r, cell = lattice("bcc", 3.24, (4, 4, 4))
    found = order(r, cell, cutoff=4.0, number=12)
    assert np.ptp(found["q4"]) < 1e-6
    assert np.ptp(found["q6"]) < 1e-6


def test_atoms_without_enough_neighbours_have_no_value() -> None:
    r = np.array([[0.0, 0, 0], [2.0, 0, 0], [20.0, 20, 20]])
    found = order(r, np.diag([40.0, 40, 40]), cutoff=3.0)
    assert np.isfinite(found["q6"]).tolist() == [True, True, False]
    assert found["atoms"] == 2
    assert found["q6"][:2] == pytest.approx(1.0)  # one bond: P_l of its own direction
    assert order(r, np.diag([40.0, 40, 40]), cutoff=3.0, number=2)["atoms"] == 0


@pytest.mark.parametrize("settings", [{"cutoff": 4.2}, {"cutoff": 5.0, "number": 12}])
def test_contract(settings: dict[str, object]) -> None:
    found = check_analysis(Steinhardt, settings)
    assert max(found.values()) < 1e-6


def test_degrees_are_given_once() -> None:
    with pytest.raises(SettingError, match="degrees=4,4"):
        SteinhardtSettings(4.0, degrees=(4, 4))
