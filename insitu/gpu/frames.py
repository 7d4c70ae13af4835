# SPDX-License-Identifier: BSD-3-Clause
"""Frames whose positions are in device memory: their periodic images are made there."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from insitu.errors import InsituError, SettingError
from insitu.frame.frame import FAR, Frame, heights
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
    r = device.array(positions, np.float64)
    if r.ndim != 2 or r.shape[1] != 3:
        raise SettingError(f"positions have shape {r.shape}; give one of (n, 3)")
    if cell is None:
        raise SettingError("cell is None; give the cell of positions that are in device memory")
    n = len(r)
    if n and not bool(device.read((xp.abs(r) < FAR).all())):
        everything = device.read(r)
        i = int(np.flatnonzero(~(np.abs(everything) < FAR).all(axis=1))[0])
        raise InsituError(
            f"the position of atom {i + 1} is {everything[i].tolist()}; only finite positions can be "
            "analysed"
        )
    bare = Frame.from_arrays(np.zeros((0, 3)), cell, pbc, reach=0.0)  # checks cell and pbc
    box, periodic = bare.cell, bare.pbc
    fractions = r @ device.array(np.linalg.inv(box), np.float64)
    shift = xp.floor(fractions) * device.array(periodic, np.float64)
    fractions -= shift
    there = device.array(box, np.float64)
    r = r - shift @ there
    part = reach / heights(box)
    spans = [
        range(-int(np.ceil(p)), int(np.ceil(p)) + 1) if flag else range(1)
        for p, flag in zip(part, periodic, strict=True)
    ]
    points, owner = [r], [xp.arange(n)]
    for image in itertools.product(*spans):
        if image == (0, 0, 0):
            continue
        inside = xp.ones(n, dtype=bool)
        for axis in np.flatnonzero(periodic):
            moved = fractions[:, int(axis)] + float(image[axis])
            inside &= (moved >= -float(part[axis])) & (moved <= 1.0 + float(part[axis]))
        which = xp.flatnonzero(inside)
        owner.append(which)
        points.append(r[which] + device.array(np.array(image) @ box, np.float64))
    everyone = xp.concatenate(owner)
    kinds = np.ones(n, dtype=np.int32)
    if types is not None:  # with species, of the ghosts as well
        kinds = np.asarray(types).astype(np.int32)
        if kinds.shape != (n,):
            raise SettingError(f"types have shape {kinds.shape}; give ({n},), one an atom")
        kinds = kinds[device.read(everyone)]
    return Frame(
        positions=xp.concatenate(points), types=kinds, ids=everyone + 1, n_local=n,
        cell=box, pbc=periodic,
    )  # fmt: skip
