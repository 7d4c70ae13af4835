# SPDX-License-Identifier: BSD-3-Clause
"""Pairs by distance: blocks of any size give the same, flat samples and empty ranks work."""

import numpy as np
import pytest

from insitu.frame.frame import Frame
from insitu.frame.neighbors import pairs
from insitu.frame.neighbors.search import Neighbors


@pytest.mark.parametrize("block", [10, 500_000])
def test_pairs_are_counted_once(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_BLOCK", block)
    rng = np.random.default_rng(0)
    r, types = rng.random((120, 3)) * 9.0, rng.integers(1, 3, 120)
    r[:, 2] = 4.0  # flat
    frame = Frame.from_arrays(r, None, False, reach=4.0, types=types)
    those, row = pairs.rows_of_pairs(2)
    assert those == [(0, 0), (0, 1), (1, 1)]
    found = pairs.count_pairs(frame, Neighbors(frame, 4.0), row, 4.0, 20)
    d = np.linalg.norm(r[:, None] - r[None], axis=2)
    np.fill_diagonal(d, np.inf)
    for k, (a, b) in enumerate(those):
        mask = (types[:, None] == a + 1) & (types[None] == b + 1)
        mask |= mask.T
        assert (found[k] == np.histogram(d[mask & (d <= 4.0)], 20, (0, 4.0))[0]).all()


def test_no_atoms_have_no_pairs() -> None:
    frame = Frame.from_arrays(np.zeros((0, 3)), np.eye(3) * 9, True, reach=4.0)
    found = pairs.count_pairs(frame, Neighbors(frame, 4.0), np.zeros((1, 1), int), 4.0, 5)
    assert not found.any()
