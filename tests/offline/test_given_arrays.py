# SPDX-License-Identifier: BSD-3-Clause
"""What `insitu.classify` takes as arrays: no numbers other than those that were given."""

from typing import Any

import numpy as np
import pytest

import insitu
from insitu.errors import SettingError
from insitu.testing import lattice

R, CELL = lattice("fcc", 4.0, (3, 3, 3))
N = len(R)


class Length(np.ndarray):
    """An array with a unit, as of unyt or astropy."""

    units = "nm"


def masked(value: bool) -> Any:
    found = np.ma.array(R, mask=np.zeros(R.shape, dtype=bool))
    if value:
        found[3, 1] = np.ma.masked
    return found


@pytest.mark.parametrize(
    "positions",
    [
        R.tolist(), R.astype(np.float32), R.astype(object), R.astype(np.longdouble), R[::-1], R.astype(int),
        [list(map(np.float64, row)) for row in R], masked(False), np.asfortranarray(R),
    ],
)  # fmt: skip
def test_real_numbers_of_any_kind_are_taken(positions: Any) -> None:
    """The lattice has whole coordinates, so that integers are the same sample."""
    assert insitu.classify(positions, CELL, True, device="cpu").fractions["fcc"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": R + 0j}, "positions are complex numbers .complex128.; give real"),
        ({"positions": R + 1j}, "complex"),
        ({"positions": np.array([[1j, 2, 3]], dtype=object)}, "no real numbers"),
        ({"positions": R.astype(str)}, "positions are text"),
        ({"positions": R > 1}, "truth values"),
        ({"positions": R.astype("datetime64[s]")}, "times"),
        ({"positions": masked(True)}, "1 of its values are masked"),
        ({"positions": masked(True), "neighbors": np.arange(N) > 8}, "masked"),
        ({"positions": R.view(Length)}, r"have a unit \(nm\); give plain numbers, lengths in Å"),
        ({"positions": [[1, 2, 3], [4, 5]]}, "positions are no array"),
        ({"positions": None}, "no real numbers"),
        ({"cell": CELL + 0j}, "cell are complex"),
        ({"cell": CELL.astype(str)}, "cell are text"),
        ({"cell": [1e-9, 12.0, 12.0]}, "the cell is so thin"),
        ({"pbc": "ppf"}, "pbc='ppf': give True or False"),
        ({"pbc": ["p", "p", "f"]}, "give True or False"),
        ({"pbc": 2}, "give True or False"),
        ({"species": ["Al"] * N}, "species are text"),
        ({"species": np.full(N, 13.5)}, "species are not all whole numbers"),
        ({"species": np.full(N, np.nan)}, "species are not all whole numbers"),
        ({"species": [13]}, "give .108,., one an atom"),
    ],
)  # fmt: skip
def test_what_would_become_other_numbers_is_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"positions": R, "cell": CELL, "pbc": True, "device": "cpu"} | change
    with pytest.raises(SettingError, match=message):
        insitu.classify(**given)


def test_flags_as_numbers_and_lengths_in_angstrom_are_taken() -> None:
    in_angstrom = R.view(Length)
    in_angstrom.units = "angstrom"
    for positions, pbc in ((R, 1.0), (R, [1.0, 1.0, 1.0]), (in_angstrom, True)):
        assert insitu.classify(positions, CELL, pbc, device="cpu").fractions["fcc"] == 1.0


def test_symbols_in_place_of_atomic_numbers_are_told_what_to_give() -> None:
    with pytest.raises(SettingError, match="atomic numbers, such as 29 for Cu"):
        insitu.classify(R, CELL, True, species=["Cu"] * N, device="cpu")
