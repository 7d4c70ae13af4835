# SPDX-License-Identifier: BSD-3-Clause
"""Which atoms make up the surroundings (setting `neighbors`): ghosts belong where their owners do.

LAMMPS tells the groups of ghosts only when it builds its neighbour lists, and a group may change between:
releases until 2022 do not tell ghosts of dynamic groups, and `group` within `run … every` tells none. So
the owners are asked, in every frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.ranks.reduce import Ranks


class Belonging:
    """Leaves out the atoms that do not belong to the surroundings, from frame to frame."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._halo: Halo | None = None

    def only(self, frame: Frame, reach: float) -> Frame:
        """Return a frame without the atoms that do not belong; collective.

        Parameters
        ----------
        frame
            This rank's frame, whose :attr:`~insitu.frame.frame.Frame.belongs` is known.
        reach
            Distance around the owned atoms that matters [Å]. Ghosts further away may be left out.
        """
        own = frame.belongs
        assert own is not None
        self._halo = halo = Halo(frame, self._ranks, 1, 1, self._halo, reach)
        n = frame.n_local
        told = np.zeros(n + halo.received, dtype=bool)
        told[:n] = own
        halo.choose_used(np.ones(halo.received, dtype=bool))

        def put(places: NDArray[np.intp], came: NDArray[np.float32]) -> None:
            told[n + places] = came[:, 0] > 0

        halo.fill_by(lambda atoms: own[atoms, None].astype(np.float32), put)
        owner = halo.owners.of_ghost
        return frame.only(np.concatenate([own, told[owner] & (owner >= 0)]))
