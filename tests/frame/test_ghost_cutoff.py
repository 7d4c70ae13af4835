# SPDX-License-Identifier: BSD-3-Clause
"""What is asked of LAMMPS' ghost cutoff, and the line for a deck."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import DeckError
from insitu.frame.ghosts.cutoff import GhostCutoff, HostCutoff, Need, enough, line, request
from insitu.frame.units import ANGSTROM

NEED = Need(6.0, 6.3, "model 'm'")


def test_nothing_where_lammps_reaches_far_enough() -> None:
    assert request(HostCutoff(8.3, 0.0, 2.0), NEED, "metal", ask=False) == (0.0, "")
    assert request(HostCutoff(8.3, 0.0, 2.0), NEED, "metal", ask=True) == (0.0, "")
    # Room for a density that changes until it is looked at again, less than what is asked for.
    assert request(HostCutoff(8.15, 0.0, 2.0), NEED, "metal", ask=False) == (0.0, "")


def test_raised_with_the_skin_of_the_deck() -> None:
    wanted, text = request(HostCutoff(5.5, 0.0, 0.5), NEED, "metal", ask=False)
    assert wanted == pytest.approx(6.8)
    assert text.count("\n") == 0
    assert "from 5.5 to 6.8" in text
    assert "model 'm' needs all atoms within 6 and the neighbour skin of 0.5 (units metal)" in text


def test_kept_while_it_fits_and_lowered_when_it_is_far_too_long() -> None:
    host = HostCutoff(5.5, 8.3, 2.0)
    assert request(host, Need(6.1, 6.4, "m"), "metal", ask=False) == (8.3, "")
    assert request(host, Need(2.0, 2.1, "m"), "metal", ask=False) == (0.0, "")  # 5.5 is enough
    wanted, text = request(HostCutoff(3.0, 50.0, 2.0), NEED, "metal", ask=False)
    assert (wanted, text) == (pytest.approx(8.3), "")


def test_ask_refuses_with_a_line_that_mends_it() -> None:
    with pytest.raises(DeckError, match=r"reach 8\.1, but model 'm' needs") as error:
        request(HostCutoff(8.1, 0.0, 2.0), NEED, "metal", ask=True)
    last = str(error.value).splitlines()[-1].split()
    assert last[:2] == ["comm_modify", "cutoff"]
    assert request(HostCutoff(float(last[2]), 0.0, 2.0), NEED, "metal", ask=True) == (0.0, "")


def test_tiled_communication_reaches_no_further_than_the_box() -> None:
    assert request(HostCutoff(5.0, 0.0, 2.0, most=8.1), NEED, "metal", ask=False)[0] == 8.1
    with pytest.raises(DeckError, match="comm_style brick"):
        request(HostCutoff(5.0, 0.0, 2.0, most=7.9), NEED, "metal", ask=False)


@given(
    units=st.sampled_from(sorted(ANGSTROM)),
    within=st.floats(0.5, 60.0),
    room=st.floats(1.0, 1.2),
    skin=st.floats(0.0, 5.0),
    multi=st.booleans(),
)
def test_line_is_enough_and_not_far_too_much(
    units: str, within: float, room: float, skin: float, multi: bool
) -> None:
    """In any unit; `skin` here in Å."""
    need = Need(within, within * room, "m")
    skin /= ANGSTROM[units]
    words = line(need, skin, units, multi).split()
    assert words[:-1] == ["comm_modify", *(["cutoff/multi", "*"] if multi else ["cutoff"])]
    cutoff = float(words[-1])
    assert enough(cutoff, skin, need, units)
    assert request(HostCutoff(cutoff, 0.0, skin), need, units, ask=True) == (0.0, "")
    assert cutoff * ANGSTROM[units] <= need.advised * 1.0001 + skin * ANGSTROM[units] + 0.1001


def test_the_deck_of_the_issue() -> None:
    """4.4 was advised in reduced units, with a skin of 2 Å, where 2.53 is needed."""
    need = Need(2.2235 / 1.05 * 1.0, 2.2235, "model 'metals'")
    assert line(need, 0.3, "lj", False) == "comm_modify cutoff 2.53"


def test_looks_are_seldom_while_nothing_changes_and_at_once_when_it_does() -> None:
    ghosts = GhostCutoff(ask=False)
    ghosts.begin(HostCutoff(5.5, 0.0, 2.0), first=True)
    waits = [ghosts.request(NEED, "metal")[1]] + [
        ghosts.next_look(NEED, "metal") for _ in range(12)
    ]
    assert waits[:5] == [0, 1, 3, 7, 15]
    assert waits[-1] == 1000
    assert ghosts.next_look(Need(6.03, 6.33, "m"), "metal") == 0  # it changes
    assert ghosts.next_look(Need(6.03, 6.33, "m"), "metal") == 1
    assert ghosts.next_look(Need(7.0, 7.35, "m"), "metal") == 0
    assert ghosts.next_look(Need(7.0, 7.35, "m"), "metal") == 0  # steady, but 8.3 is not enough


def test_a_cutoff_that_grows_step_by_step_is_said_now_and_then() -> None:
    ghosts = GhostCutoff(ask=False)
    said, within, cutoff = [], 6.0, 0.0
    while within < 18.0:
        ghosts.begin(HostCutoff(5.5, cutoff, 2.0), first=not cutoff)
        cutoff, _, text = ghosts.request(Need(within, 1.05 * within, "m"), "metal")
        assert cutoff >= within + 2.0
        said += [text] if text else []
        within *= 1.01
    assert 3 <= len(said) <= 6
