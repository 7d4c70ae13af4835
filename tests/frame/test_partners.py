# SPDX-License-Identifier: BSD-3-Clause
"""Which ranks are near each other, against all pairs of ranks; ghosts counted with them alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from insitu.frame.cell import heights
from insitu.frame.frame import Frame
from insitu.frame.ghosts.check import check
from insitu.frame.ghosts.partners import partners_of
from insitu.testing.ranks import ThreadRanks, together

REACH = 2.5


def cut(
    seed: int, size: int, pbc: tuple[bool, bool, bool], tilt: float, atoms: int, how: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return positions, cell and rank of each atom of a random sample."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(5.0, 30.0, 3))
    cell[1, 0], cell[2, 0], cell[2, 1] = tilt * rng.uniform(-5.0, 5.0, 3)
    s = rng.random((atoms, 3))
    # Some stray over a border, as between two neighbour lists; some are far from any other.
    s[: atoms // 10] += rng.normal(scale=0.02, size=(atoms // 10, 3))
    if how == "slabs":
        rank = np.floor(s[:, 0] * size).astype(int)
    elif how == "clusters":
        centres = rng.random((size, 3))
        rank = np.argmin(((s[:, None] - centres) ** 2).sum(axis=2), axis=1)
    else:
        rank = rng.integers(0, size, atoms)
    # A rank without atoms is common.
    return s @ cell, cell, np.clip(rank, 0, size - 1)


def frames(
    r: NDArray[np.float64], cell: NDArray[np.float64], pbc: Any, rank: NDArray[np.int64], size: int,
    reach: float,
) -> list[Frame]:  # fmt: skip
    """Return each rank's frame, with all ghosts in the box around its atoms, by going over all images."""
    inverse, part = np.linalg.inv(cell), reach * (1 + 1e-3) / heights(cell)
    most = np.ceil(part).astype(int) + 1
    span = [range(-m, m + 1) if p else range(1) for m, p in zip(most, pbc, strict=True)]
    images = np.array(list(itertools.product(*span)))
    s = r @ inverse
    found = []
    for k in range(size):
        own = np.flatnonzero(rank == k)
        points, owner = [r[own]], [own]
        if len(own):
            low, high = s[own].min(axis=0) - part, s[own].max(axis=0) + part
            for image in images:
                moved = s + image
                inside = ((moved >= low) & (moved <= high)).all(axis=1)
                if not image.any():
                    inside[own] = False
                which = np.flatnonzero(inside)
                points.append(r[which] + image @ cell)
                owner.append(which)
        at = np.concatenate(owner)
        found.append(
            Frame(np.concatenate(points), np.ones(len(at), np.int32), at + 1, len(own), cell,
                  pbc=np.array(pbc))
        )  # fmt: skip
    return found


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**20), st.integers(1, 9), st.tuples(*[st.booleans()] * 3),
    st.sampled_from([0.0, 1.0]), st.sampled_from(["slabs", "clusters", "anywhere"]),
)  # fmt: skip
def test_partners_are_those_of_all_pairs(
    seed: int, size: int, pbc: tuple[bool, bool, bool], tilt: float, how: str
) -> None:
    r, cell, rank = cut(seed, size, pbc, tilt, 60, how)
    parts = frames(r, cell, pbc, rank, size, REACH)

    def work(ranks: ThreadRanks) -> list[Any]:
        frame = parts[ranks.rank]
        near = set(partners_of(frame, REACH, ranks).near)
        lacking, drift = check(frame, REACH, ranks)
        assert drift == 0.0
        # One ghost less, whichever it is: it is missed if it is within reach.
        short, missed = frame, 0
        if frame.n_ghost:
            lost = frame.n_local + seed % frame.n_ghost
            keep = np.delete(np.arange(len(frame.positions)), lost)
            short = Frame(
                frame.positions[keep], frame.types[keep], frame.ids[keep], frame.n_local, cell,
                pbc=frame.pbc,
            )  # fmt: skip
            s = frame.positions @ np.linalg.inv(cell)
            own, part = s[: frame.n_local], REACH * (1 + 0.73e-5) / heights(cell)
            low, high = own.min(axis=0) - part, own.max(axis=0) + part
            missed = int(((s[lost] >= low) & (s[lost] <= high)).all())
        return [near, lacking, check(short, REACH, ranks)[0] - missed]

    results = together(size, work)
    for k, (near, *wrong) in enumerate(results):
        assert wrong == [0, 0]
        owners = set(rank[parts[k].ids[parts[k].n_local :] - 1].tolist()) - {k}
        assert owners <= near
        assert k not in near
        assert all(k in results[other][0] for other in near)  # of one another


@pytest.mark.parametrize("moved", [0.1, 3.0])
def test_partners_are_kept_until_atoms_leave_their_bounds(moved: float) -> None:
    rng = np.random.default_rng(2)
    cell = np.diag([40.0, 12.0, 12.0])
    r = rng.random((300, 3)) @ cell
    rank = np.floor(r[:, 0] / 10.0).astype(np.int64)

    def work(ranks: ThreadRanks) -> tuple[bool, set[int]]:
        own = rank == ranks.rank
        frame = Frame(
            r[own], np.ones(own.sum(), np.int32), np.flatnonzero(own) + 1, own.sum(), cell
        )
        before = partners_of(frame, REACH, ranks)
        assert partners_of(frame, REACH, ranks) is before
        shift = np.array([moved if ranks.rank == 1 else 0.0, 0.0, 0.0])
        later = Frame(frame.positions + shift, frame.types, frame.ids, frame.n_local, cell)
        found = partners_of(later, REACH, ranks)
        return found is before, set(found.near)

    # What one rank finds holds for all: they agree.
    assert {kept for kept, _ in together(4, work)} == {moved < 1.0}
