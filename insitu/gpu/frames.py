# SPDX-License-Identifier: BSD-3-Clause
"""Frames whose positions are in device memory: their periodic images are made there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from insitu.errors import SettingError
from insitu.frame.cell import heights
from insitu.frame.frame import Frame
from insitu.frame.given import integers
from insitu.frame.neighbors.images import (
    FAR,
    check_finite,
    check_images,
    check_length,
    check_positions,
    images,
    periods_outside,
)
from insitu.gpu.device import Device


def frame_on_device(
    device: Device, positions: Any, cell: ArrayLike | None, pbc: ArrayLike | bool, *, reach: float,
    types: ArrayLike | None = None,
) -> Frame:  # fmt: skip
    """Make a frame of a whole sample in device memory, with its periodic images.

    Parameters
    ----------
    device
        Where the positions are.
    positions
        ``(n, 3)`` [Å], any object with ``__cuda_array_interface__`` or DLPack on that device.
    cell, pbc, reach, types
        As of :meth:`insitu.frame.frame.Frame.from_arrays`; a cell has to be given.

    Raises
    ------
    SettingError
        Wrong shapes, no cell, or a cell without volume in a periodic direction.
    InsituError
        A position is not finite.
    """
    xp = device.xp
    kind = str(getattr(positions, "dtype", ""))
    if "complex" in kind or "bool" in kind:
        raise SettingError(f"positions are of the type {kind}; give real numbers")
    r = device.array(positions, np.float64)
    check_positions(r)
    if cell is None:
        raise SettingError("cell is None; give the cell of positions that are in device memory")
    n = len(r)
    if n and not bool(device.read((xp.abs(r) < FAR).all())):
        check_finite(device.read(r))  # says which
    bare = Frame.from_arrays(np.zeros((0, 3)), cell, pbc, reach=0.0)  # checks cell and pbc
    box, there = bare.cell, device.array(bare.cell, np.float64)
    s = r @ device.array(np.linalg.inv(box), np.float64)
    outside = periods_outside(s, device.array(bare.pbc, np.float64), xp)
    r, s = r - outside @ there, s - outside
    part = reach / heights(box)
    check_images(len(s), bare.pbc, part)
    owner, shift = images(s, bare.pbc, part, xp)
    everyone = xp.concatenate([xp.arange(n), owner])
    kinds = np.ones(n, dtype=np.int32)
    if types is not None:  # with species, of the ghosts as well
        kinds = integers("types", types).astype(np.int32)
        check_length("types", kinds, n)
        kinds = kinds[device.read(everyone)]
    return Frame(
        positions=xp.concatenate([r, r[owner] + shift.astype(np.float64) @ there]),
        types=kinds,
        ids=everyone + 1, n_local=n, cell=box, pbc=bare.pbc,
    )  # fmt: skip
