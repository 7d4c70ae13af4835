# SPDX-License-Identifier: BSD-3-Clause
"""How far LAMMPS' ghost atoms have to reach, and how LAMMPS is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from insitu.errors import DeckError
from insitu.frame.units import ANGSTROM

#: What a ghost cutoff that LAMMPS has anyhow should leave for a density that changes before it is
#: looked at again (2 % in volume or number of atoms, or the next frame).
_ROOM = 1.02
#: One that is raised step by step is said again when it is so many times that of before.
_SAY = 1.25
#: Change of the need between two looks that counts as none.
_STEADY = 0.002
#: Steps without a look, at most.
_LONGEST = 1000
#: Room for more of the same where a cutoff has to be raised again.
_MORE = 1.1
#: A cutoff that was raised is lowered when it reaches this many times further than needed.
_WIDE = 1.5


@dataclass(frozen=True)
class Need:
    """What an analysis needs of the ghosts.

    Parameters
    ----------
    within
        Distance around a rank's own atoms within which all atoms have to be there [Å].
    advised
        The same with room for thermal expansion and melting, to be asked for [Å].
    user
        What needs it, for messages.
    """

    within: float
    advised: float
    user: str


@dataclass(frozen=True)
class HostCutoff:
    """LAMMPS' ghost cutoff, as a host knows it, in the deck's unit of length.

    Parameters
    ----------
    reach
        How far ghosts reach without us: what the deck and the potential ask for.
    raised
        What we asked for the last time, 0 if nothing.
    skin
        The neighbour skin.
    multi
        Whether the deck has ``comm_modify mode multi``.
    most
        How far ghosts can reach at most (``comm_style tiled``: the box), 0 if there is no limit.
    """

    reach: float
    raised: float
    skin: float
    multi: bool = False
    most: float = 0.0


def enough(cutoff: float, skin: float, need: Need, units: str) -> bool:
    """Return whether a ghost cutoff [deck's unit] is enough until the need is looked at again."""
    within = min(_ROOM * need.within, need.advised) / ANGSTROM[units]
    return cutoff >= (within + skin) * (1.0 - 1e-9)


def request(host: HostCutoff, need: Need, units: str, ask: bool) -> tuple[float, str]:
    """Return the ghost cutoff that a host is to set, 0 for none, and a line that says so.

    Parameters
    ----------
    host
        What LAMMPS has.
    need
        What is needed at the present density.
    units
        The deck's unit style.
    ask
        The deck has to be changed instead.

    Raises
    ------
    DeckError
        It is too short and the deck is to be changed (`ask`), or LAMMPS cannot reach so far.
    """
    least, wanted = ((r / ANGSTROM[units] + host.skin) for r in (need.within, need.advised))
    reaches = host.reach >= wanted * (1.0 - 1e-9)
    if reaches or (not ask and enough(host.reach, host.skin, need, units)):
        return 0.0, ""
    if ask:
        raise DeckError(
            f"the ghost atoms reach {host.reach:.5g}, but {asked_for(need, host.skin, units)}; add to "
            f"the deck, before the run, or leave out `ghosts ask`:\n"
            f"    {line(need, host.skin, units, host.multi)}"
        )
    if host.most and wanted > host.most:
        if least > host.most:
            raise DeckError(
                f"{asked_for(need, host.skin, units)}; with `comm_style tiled` ghost atoms reach no "
                f"further than the periodic box, {host.most:.5g}: use `comm_style brick`, or a larger box"
            )
        wanted = host.most
    if enough(host.raised, host.skin, need, units) and host.raised <= _WIDE * wanted:
        return host.raised, ""
    was = max(host.reach, host.raised)
    if 0.0 < host.raised < wanted and not host.most:
        wanted *= _MORE
    if wanted <= was:
        return wanted, ""
    return wanted, (
        f"insitu: ghost cutoff raised from {was:.5g} to {wanted:.5g}: {asked_for(need, host.skin, units)}"
    )


def asked_for(need: Need, skin: float, units: str) -> str:
    """Return who needs how much, in words, in the deck's unit."""
    return (
        f"{need.user} needs all atoms within {need.within / ANGSTROM[units]:.5g} and the neighbour skin "
        f"of {skin:g} (units {units})"
    )


def line(need: Need, skin: float, units: str, multi: bool) -> str:
    """Return the line for a deck: it can be pasted as it is."""
    wanted = need.advised * 1.00001 + skin * ANGSTROM[units]
    digits = 2 if units == "lj" else 1  # of Å
    length = np.ceil(round(wanted * 10**digits, 6)) / 10**digits / ANGSTROM[units]
    return f"comm_modify {'cutoff/multi *' if multi else 'cutoff'} {length:.10g}"


class GhostCutoff:
    """What a host that can set its ghost cutoff is told in the course of a deck, and when.

    Parameters
    ----------
    ask
        The deck has to be changed instead.
    """

    def __init__(self, ask: bool) -> None:
        self._ask = ask
        #: What the host has; None: it cannot be told.
        self.host: HostCutoff | None = None
        self._wait, self._last = 0, 0.0
        self._said = 0.0

    def begin(self, host: HostCutoff, first: bool) -> None:
        """Take note of what the host has; `first`: a run begins, what comes may differ from what was."""
        self.host = host
        if first:
            self._wait, self._last = 0, 0.0

    def request(self, need: Need, units: str) -> tuple[float, int, str]:
        """Return the cutoff to be set, the steps until the next look, and a line to print.

        Raises
        ------
        DeckError
            As :func:`request` has it.
        """
        assert self.host is not None
        wanted, text = request(self.host, need, units, self._ask)
        self.host = replace(self.host, raised=wanted)
        if wanted < _SAY * self._said:
            text = ""
        elif text:
            self._said = wanted
        return wanted, self.next_look(need, units), text

    def next_look(self, need: Need, units: str) -> int:
        """Return in how many steps to look again: at once while the need changes, else ever later."""
        steady = self._last and abs(need.within - self._last) <= _STEADY * self._last
        self._last = need.within
        self._wait = min(2 * self._wait + 1, _LONGEST) if steady else 0
        if self.host is None or enough(
            max(self.host.reach, self.host.raised), self.host.skin, need, units
        ):
            return self._wait
        return 0
