# SPDX-License-Identifier: BSD-3-Clause
"""Ghosts that lack atoms or are not where their owners are, on one rank."""

import dataclasses

import numpy as np
import pytest

from insitu.errors import DeckError
from insitu.frame.frame import Frame
from insitu.frame.ghosts.check import GhostCheck, check, require
from insitu.frame.ghosts.cutoff import HostCutoff, Need
from insitu.frame.ranks.reduce import Ranks
from insitu.testing import lattice

REACH = 6.0
NEED = Need(REACH, REACH, "model 'm'")


def frame(reach: float = REACH + 1.0) -> Frame:
    positions, cell = lattice("fcc", 4.05, (4, 4, 4))
    positions = positions + np.random.default_rng(4).normal(0.0, 0.1, positions.shape)
    return Frame.from_arrays(positions, cell, True, reach=reach)


def moved(made: Frame, shift: np.ndarray) -> Frame:
    """Return the frame after its owned atoms have moved and its ghosts have not."""
    positions = made.positions.copy()
    positions[: made.n_local] += shift
    return dataclasses.replace(made, positions=positions)


def host() -> HostCutoff:
    return HostCutoff(0.0, 0.0, 2.0)


def test_complete_and_current() -> None:
    assert check(frame(), REACH, Ranks()) == (0, 0.0)
    require(frame(), NEED, Ranks(), host)


def test_missing_atoms_are_counted_and_the_advice_can_be_pasted() -> None:
    short = frame(5.0)
    missing, drift = check(short, REACH, Ranks())
    assert missing > 0
    assert drift == 0.0
    with pytest.raises(DeckError) as error:
        require(short, NEED, Ranks(), host)
    assert f"lack {missing} atoms" in str(error.value)
    assert str(error.value).splitlines()[-1] == "    comm_modify cutoff 8.1"


def test_one_missing_ghost_is_noticed() -> None:
    made = frame(REACH * 1.0001)
    ghosts = made.positions[made.n_local :]
    inside = np.abs(ghosts - made.cell.diagonal() / 2).max(axis=1).argmin()
    keep = np.delete(np.arange(len(made.positions)), made.n_local + inside)
    lame = Frame(
        positions=made.positions[keep], types=made.types[keep], ids=made.ids[keep],
        n_local=made.n_local, cell=made.cell,
    )  # fmt: skip
    assert check(lame, REACH, Ranks()) == (1, 0.0)


@pytest.mark.parametrize("size", [1e-3, 0.05, 1.0])
def test_moved_atoms_are_stale_ghosts_whatever_is_counted(size: float) -> None:
    """Never "lack -4139 atoms"."""
    made = frame()
    shift = np.random.default_rng(1).normal(0.0, size, (made.n_local, 3))
    with pytest.raises(DeckError, match="stale") as error:
        require(moved(made, shift), NEED, Ranks(), host)
    assert "lack" not in str(error.value)
    assert "comm_modify" not in str(error.value)


@pytest.mark.parametrize("size", [1e-9, 1e-7, 2e-6, 2.9e-5])
def test_a_shift_that_no_distance_shows_stops_nothing(size: float) -> None:
    """`fix ehex` corrects positions by such amounts."""
    positions, cell = lattice("sc", 3.0, (4, 4, 4))  # planes 4.4e-5 Å within the border
    made = Frame.from_arrays(positions, cell, True, reach=REACH + 1.0)
    left = made.positions[: made.n_local, :1] < 4.5
    after = moved(made, np.where(left, size, -size) * np.ones(3))
    assert check(after, REACH, Ranks()) == (0, 0.0)
    this = GhostCheck(after, REACH)
    question = this.question()
    counted = this.missing(question, this.answer(question[None, :]))
    assert (counted != 0) == (size > 2e-5)  # atoms that cross the border
