# SPDX-License-Identifier: BSD-3-Clause
"""The Neighbors Maps of a whole sample in memory, on the CPU or a GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.descriptors.neighbors_map import NeighborsMap, channel_weights
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.gpu.device import Device, choose
from insitu.gpu.search import DeviceSearch


def neighbors_map(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    *,
    cutoff: float = 6.0,
    size: int = 32,
    gamma: float = 2.0,
    beta: float = 3.0,
    weights: ArrayLike | None = None,
    indices: ArrayLike | None = None,
    scale_free: bool = False,
    device: str = "cpu",
    ball: int | None = None,
    local: int = 14,
) -> NDArray[np.float32]:
    """Return the Neighbors Map images of a sample.

    Their definition is that of :class:`~insitu.descriptors.neighbors_map.NeighborsMap`.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    cell
        ``(3, 3)`` cell vectors as rows, or ``(3,)`` lengths [Å]; None if nothing is periodic.
    pbc
        One flag or three.
    cutoff, size, gamma, beta
        As in :class:`NeighborsMap`.
    weights
        ``(n,)`` or ``(channels - 1, n)``: weights of the channels after the first, whose weights
        are 1. None: one channel.
    indices
        Atoms whose images are wanted; None: all, in order.
    scale_free
        Ball by number of neighbours, lengths relative. The search widens until it has found them.
    device
        "cpu", "cuda", "cuda:N" or "auto" (:func:`insitu.gpu.device.choose`). On a GPU the images have up
        to 32 pixels and stay there: a CuPy array comes back, torch takes it through DLPack.
    ball, local
        Neighbours in a scale-free ball (default `size`), and in its local length.

    Returns
    -------
    images
        float32 ``(n, channels, size, size)``.

    Raises
    ------
    SettingError
        A setting, a shape or the device is not usable.

    References
    ----------
    Allera et al., arXiv:2307.00978, equations (1)–(3).

    Examples
    --------
    >>> import insitu
    >>> from insitu.testing import lattice
    >>> positions, cell = lattice("fcc", 4.05, (3, 3, 3))
    >>> insitu.neighbors_map(positions, cell, True).shape
    (108, 1, 32, 32)
    """
    there = choose(device)
    ball = size if ball is None else ball
    settings = NeighborsMap(cutoff, size, gamma, beta, scale_free, ball, local)
    radius = cutoff
    while True:
        frame = Frame.from_arrays(positions, cell, pbc, reach=radius * (1 + 1e-4))
        n = frame.n_local
        owner = frame.ids - 1
        wanted = np.arange(n) if indices is None else _chosen(indices, n)
        if indices is not None:
            frame = replace(frame, selected=np.isin(np.arange(n), wanted))
        color = None
        if weights is not None:
            color = channel_weights(np.asarray(weights), n)[1:][:, owner]
        settings = settings.searching(radius)
        if there is None:
            images, found = _collect(settings, Neighbors(frame, radius), color, n)
        else:
            with there.here():
                images, found = _collect_on(
                    there, settings, DeviceSearch(frame, radius, there), color
                )
        # A scale-free ball, and its unit of length, are numbers of neighbours: a sparse sample needs
        # a wider search.
        everything = len(frame.positions) == n and radius >= _extent(frame)
        if not scale_free or not len(found) or found.min() >= max(ball, local) or everything:
            break
        radius *= 1.5
    if indices is None:
        return images
    if there is None:
        return images[wanted]
    with there.here():
        chosen: NDArray[np.float32] = images[there.array(wanted, np.int64)]
    return chosen


def _chosen(indices: ArrayLike, n: int) -> NDArray[np.intp]:
    given = np.asarray(indices)
    try:
        wanted: NDArray[np.intp] = np.arange(n)[given if given.size else np.zeros(0, dtype=int)]
    except IndexError as error:
        raise SettingError(f"indices cannot be used with {n} atoms: {error}") from None
    return wanted


def _extent(frame: Frame) -> float:
    return float(np.linalg.norm(np.ptp(frame.positions, axis=0))) if frame.n_local else 0.0


def _collect(
    settings: NeighborsMap, neighbors: Neighbors, weights: NDArray[np.float32] | None, n: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    channels = 1 if weights is None else 1 + len(weights)
    images = np.zeros((n, channels, settings.size, settings.size), dtype=np.float32)
    counts = []
    for atoms, batch, found in settings.batches(neighbors, weights=weights):
        images[atoms] = batch
        counts.append(found.copy())
    return images, np.concatenate(counts) if counts else np.zeros(0, dtype=np.int32)


def _collect_on(
    device: Device,
    settings: NeighborsMap,
    search: DeviceSearch,
    weights: NDArray[np.float32] | None,
) -> tuple[Any, NDArray[np.int32]]:
    """Do the same on a device; the images stay there."""
    from insitu.descriptors.neighbors_map_gpu import DeviceDescriber

    places = search.places
    if search.frame.selected is not None:
        places = places[device.array(search.frame.selected, np.bool_)[search.atoms]]
    describer = DeviceDescriber(settings, device)
    colors = None if weights is None else describer.colors(search, weights)
    batch, found = describer.images(search, places, colors)
    images = device.xp.zeros((search.frame.n_local, *batch.shape[1:]), dtype=np.float32)
    images[search.index[places]] = batch
    return images, device.read(found)
