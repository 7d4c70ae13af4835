# SPDX-License-Identifier: BSD-3-Clause
"""Which rank owns a ghost, and which of its atoms it is there.

The ranks that have atoms near it are asked (:mod:`insitu.frame.ghosts.partners`). Should none of them own
it, a rendezvous finds the owner: the id of every atom has a home rank, to which owners and those who look
for an owner write; no rank ever sees all atoms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.frame.compiled import compiled
from insitu.frame.frame import Frame
from insitu.frame.ghosts.partners import Partners, lies_in
from insitu.frame.ranks.reduce import Ranks

_NOWHERE = np.zeros(0, dtype=np.intp)
#: How much farther than what is wanted the owners of ghosts are asked for, in units of the reach.
_FARTHER = 0.3


class Owners:
    """Who owns the ghosts of a frame: valid until a rank's atoms change; making it is collective."""

    def __init__(self, frame: Frame, ranks: Ranks, partners: Partners) -> None:
        self.ids = frame.ids if frame.ids.base is None else frame.ids.copy()
        self.n_local = n = frame.n_local
        self.partners = partners
        owners, others = compiled().owners_of_ghosts(self.ids, n)
        foreign = np.flatnonzero(owners >= n)
        #: ``(received,)`` a ghost of each atom of other ranks, as an index into the frame's arrays.
        self.ghosts = np.zeros(len(others), dtype=np.intp)
        self.ghosts[owners[foreign] - n] = n + foreign
        # Of an atom that has several images among the ghosts one suffices to ask for it. What lies a
        # little farther away is asked for as well: it may come nearer before the atoms change.
        s = frame.fractional(n + foreign)
        number = owners[foreign] - n
        wanted, asked = (np.zeros(len(others), dtype=bool) for _ in range(2))
        wanted[number[partners.reach_into(s)]] = True
        asked[number[partners.reach_into(s, _FARTHER)]] = True
        rank, index, clients = self._found(frame, others, wanted, asked, ranks)
        #: Ghosts, as indices into the frame's arrays, whose owner nobody was asked for or knew.
        self._far = n + foreign[(rank < 0)[number] & ~wanted[number]]
        place = np.where(rank >= 0, n + np.arange(len(others), dtype=np.int32), np.int32(-1))
        owners[foreign] = place[owners[foreign] - n]
        #: ``(n_ghost,)`` int32 owned atom, or n_local + k for the k-th atom of other ranks, or −1.
        self.of_ghost: NDArray[np.int32] = owners
        self.received = len(others)
        #: ``(received,)`` ids of these atoms; −1: nobody owns it.
        self.others = np.where(rank >= 0, others, -1)
        #: By rank: places among the received atoms of those that it owns, and its own indices.
        self.sources = {
            int(r): (np.flatnonzero(rank == r), index[rank == r])
            for r in np.unique(rank[rank >= 0])
        }
        #: By rank: how many of this rank's atoms it has as ghosts.
        self.clients: dict[int, int] = clients

    def _found(
        self,
        frame: Frame,
        others: NDArray[np.int64],
        wanted: NDArray[np.bool_],
        asked: NDArray[np.bool_],
        ranks: Ranks,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], dict[int, int]]:
        """Return rank and local index ``(w,)`` of the owners of other ranks' atoms, −1 where there is none.

        Atoms that are not asked for, since they are too far away to be read, have none; those that are
        wanted are looked for on all ranks. The third result is :attr:`clients`.

        Raises
        ------
        InsituError
            On all ranks: two atoms have one id.
        """
        rank, index = (np.full(len(others), -1, np.int32) for _ in range(2))
        s = frame.fractional(self.ghosts)
        asks = {
            r: np.flatnonzero(asked & lies_in(s, box, frame.pbc))
            for r, box in self.partners.near.items()
        }
        came = ranks.between({r: others[k] for r, k in asks.items()}, np.int64)
        known = compiled().owners_of_ghosts(
            np.concatenate([self.ids[: self.n_local], *came.values()]), self.n_local
        )[0]
        known = np.where(known < self.n_local, known, np.int32(-1)).astype(np.int32)
        ends = np.cumsum([len(q) for q in came.values()])[:-1]
        answers = dict(zip(came, np.split(known, ends), strict=True)) if came else {}
        back = ranks.trade(answers, {r: len(k) for r, k in asks.items()}, np.int32)
        twice = None
        for r, found in back.items():
            places = asks[r][found >= 0]
            if (rank[places] >= 0).any():
                one = places[rank[places] >= 0][0]
                twice = (
                    f"two atoms have the id {others[one]} (on ranks {rank[one]} and {r}): ids have to be "
                    "unique; look at the data file, or renumber with reset_atoms id"
                )
            rank[places], index[places] = r, found[found >= 0]
        ranks.agree(twice)  # an owner that is not believed would wait for a message
        clients = {r: int((a >= 0).sum()) for r, a in answers.items() if (a >= 0).any()}
        if ranks.size > 1:
            lost = np.flatnonzero(wanted & (rank < 0))
            if ranks.any(bool(len(lost))):
                rank[lost], index[lost] = _rendezvous(self.ids[: self.n_local], others[lost], ranks)
                owned_by, times = np.unique(rank[lost][rank[lost] >= 0], return_counts=True)
                more = {int(r): np.array([k]) for r, k in zip(owned_by, times, strict=True)}
                for r, k in ranks.deliver(more, np.int64).items():
                    clients[r] = clients.get(r, 0) + int(k[0])
        return rank, index, clients

    def fits(self, frame: Frame, partners: Partners) -> bool:
        """Return whether a frame has the same atoms in the same order, and the same partners.

        No ghost without an owner has come within reach.
        """
        same = partners is self.partners and self.n_local == frame.n_local
        if not same or not np.array_equal(self.ids, frame.ids):
            return False
        return not partners.reach_into(frame.fractional(self._far)).any()


def _rendezvous(
    owned: NDArray[np.int64], wanted: NDArray[np.int64], ranks: Ranks
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rank and local index ``(w,)`` of the owners of some ids, −1 where there is none; collective.

    Every id has a home rank, which is told by the owner and asked by the others. That is a message from
    each rank to nearly each: for ids of which no partner knows, as after a box was remapped.
    """
    told, asked = (_by_home(ids, ranks.size) for ids in (owned, wanted))
    messages = {
        r: np.concatenate([[len(told.get(r, ()))], owned[told.get(r, _NOWHERE)],
                           told.get(r, _NOWHERE), wanted[asked.get(r, _NOWHERE)]])
        for r in told.keys() | asked.keys()
    }  # fmt: skip
    came = ranks.deliver(messages, np.int64)
    owner_of: dict[int, int] = {}
    questions = {}
    for r, message in came.items():
        n = int(message[0])
        ids, indices, questions[r] = np.split(message[1:], [n, 2 * n])
        owner_of.update(zip(ids.tolist(), (indices | r << 32).tolist(), strict=True))
    answers = ranks.deliver(
        {r: np.array([owner_of.get(i, -1) for i in q.tolist()]) for r, q in questions.items()},
        np.int64,
    )
    code = np.full(len(wanted), -1, dtype=np.int64)
    for r, places in asked.items():
        code[places] = answers[r]
    owner: NDArray[np.int32] = (code >> 32).astype(np.int32)  # of −1: −1
    return owner, (code & 0xFFFFFFFF).astype(np.int32)


def _by_home(ids: NDArray[np.int64], size: int) -> dict[int, NDArray[np.intp]]:
    """Return the indices of ids by their home rank."""
    home = ids % size
    order = np.argsort(home, kind="stable")
    homes, begin = np.unique(home[order], return_index=True)
    return dict(zip(homes.tolist(), np.split(order, begin[1:]), strict=True)) if len(ids) else {}
