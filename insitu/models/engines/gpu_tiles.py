# SPDX-License-Identifier: BSD-3-Clause
"""How many atoms a block of a device's threads takes: what a layer needs of them is in shared memory."""

from __future__ import annotations

from insitu.errors import SettingError
from insitu.gpu.device import Device

#: Atoms of a block, the most first; all divide it. kernels/cuda/tile_network.hpp takes four at a time.
TILES = (32, 16, 8, 4)


def tile_for(device: Device, words: int, what: str) -> int:
    """Return the atoms of a block.

    Parameters
    ----------
    device
        Where.
    words
        Floats of shared memory that an atom needs.
    what
        Whose they are, for the message.

    Raises
    ------
    SettingError
        The fewest atoms need more than a block may have.
    """
    for tile in TILES:
        if 4 * tile * words <= device.shared_limit:
            return tile
    raise SettingError(
        f"{what} needs {4 * TILES[-1] * words} bytes of shared memory in a block of threads and "
        f"{device.name} has {device.shared_limit}; use device=cpu, or train a narrower network"
    )
