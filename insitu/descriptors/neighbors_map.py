# SPDX-License-Identifier: BSD-3-Clause
"""The Neighbors Map: settings, checks and documentation over kernels/neighbors_map.hpp."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors import Neighbors, compiled
from insitu.gpu.device import Device, choose
from insitu.gpu.search import DeviceSearch


@dataclass(frozen=True)
class NeighborsMap:
    r"""Settings of the descriptor (Allera et al., arXiv:2307.00978, section 2.2).

    The ball of atom *i* is the atom and its neighbours :math:`n_1, n_2, …` in order of distance.
    With :math:`d_{jk}` the distance of :math:`n_j` (:math:`n_0 = i`) to its *k*-th nearest other
    atom *m* within the ball, pixel *k* of row *j* is
    :math:`a_j\,w_{n_j} w_m / d_{jk}^γ`, :math:`a_0 = 1`, :math:`a_j = d_{0j}^{-1/β}`; pixels
    without an atom are 0. Lengths are in Å, or with `scale_free` in units of the mean distance of
    the `local` nearest neighbours.

    Neighbours at equal distance (to 1e-5 of the cutoff, or of the local length) are ordered by where the
    others lie, not by atom id, so that an image depends neither on the numbers of the atoms nor on the
    decomposition over ranks: the smallest sum of distances to the neighbours in the ball comes first.
    A scale-free ball that ends inside a shell of equal distances takes of it, one after the other, the
    atoms with the largest sum of distances to all up to this shell and to those taken before. Colours at
    equal distance come in the order of their weights. Distances under 0.01 length units count as 0.01.

    Parameters
    ----------
    cutoff
        Radius of the ball [Å]; with `scale_free` the radius of the search.
    size
        Rows and columns of the image, 2 … 128.
    gamma
        Decay of a pixel with distance, > 0.
    beta
        Decay of a row with its atom's distance, > 0; ``gamma + 1/beta`` is at most 19, so that two
        atoms on one spot give a finite pixel.
    scale_free
        The ball is the `ball` nearest neighbours, all lengths relative: uniform scaling of the
        sample changes nothing.
    ball
        Neighbours in a scale-free ball.
    local
        Nearest neighbours whose mean distance is the unit of length of a scale-free ball.
    """

    cutoff: float = 6.0
    size: int = 32
    gamma: float = 2.0
    beta: float = 3.0
    scale_free: bool = False
    ball: int = 32
    local: int = 14

    def __post_init__(self) -> None:
        limits: list[tuple[str, float, float]] = [
            ("cutoff", 1e-3, 1e3), ("size", 2, 128), ("gamma", 1e-3, 20.0), ("beta", 1e-3, 1e6),
            ("ball", 1, 1000), ("local", 1, 1000),
        ]  # fmt: skip
        for name, low, high in limits:
            value, whole = getattr(self, name), name in ("size", "ball", "local")
            usable = isinstance(value, Integral if whole else (int, float, np.floating, np.integer))
            if not usable or not low <= value <= high:
                kind = "a whole number of " if whole else ""
                raise SettingError(f"{name}={value} is not usable; give {kind}{low:g} … {high:g}")
        # The largest pixel, 0.01 ** -(gamma + 1/beta), has to be a float32.
        if self.gamma + 1.0 / self.beta > 19.0:
            raise SettingError(
                f"gamma={self.gamma} with beta={self.beta} is not usable: pixels of near atoms "
                "overflow; give gamma + 1/beta <= 19"
            )

    def searching(self, radius: float) -> NeighborsMap:
        """Return these settings with another radius [Å], as wide as a sparse sample needs."""
        wider = copy(self)
        object.__setattr__(wider, "cutoff", radius)  # past the limits of what a user gives
        return wider

    def as_dict(self) -> dict[str, Any]:
        """Return the settings for a model's metadata."""
        return asdict(self)

    def batches(
        self,
        neighbors: Neighbors,
        *,
        weights: NDArray[np.float32] | None = None,
        batch: int = 64,
        isa: str = "",
        threads: int = 1,
        places: NDArray[np.int32] | None = None,
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]]:
        """Yield the images of a frame batch by batch in one buffer that is used again.

        Memory is that of one batch: ``batch * channels * size² * 4`` bytes (262 kB for 64 images
        of one channel), so images are consumed while they are in the processor's cache.

        Parameters
        ----------
        neighbors
            Search over the frame, with a cutoff of at least this descriptor's.
        weights
            ``(channels - 1, n_local + n_ghost)`` weights of the further channels.
        batch
            Images at a time.
        isa
            Instruction set, see ``insitu._kernels.isa_available()``; "" is the best one.
        threads
            OpenMP threads of the kernel; 1 makes none.
        places
            Places in the search's cell order to describe instead of the owned atoms; `atoms` then
            counts them.

        Yields
        ------
        atoms, images, found
            ``(b,)`` int32 indices of owned atoms, ``(b, channels, size, size)`` float32, and
            ``(b,)`` int32 number of neighbours in the ball; with `scale_free` those found, up to
            the larger of `ball` and `local`.

        Raises
        ------
        SettingError
            The search is too short for this descriptor, or the weights do not fit.
        """
        if self.cutoff > neighbors.cutoff:
            raise SettingError(
                f"cutoff={self.cutoff} of the descriptor exceeds the {neighbors.cutoff} of this "
                "neighbour search; make the search with the largest cutoff"
            )
        color = _channel_weights(weights, len(neighbors.frame.positions))
        channels = len(color)
        buffer = np.empty((batch, channels, self.size, self.size), dtype=np.float32)
        found = np.empty(batch, dtype=np.int32)
        atoms = neighbors.atoms if places is None else np.arange(len(places), dtype=np.int32)
        places = neighbors.places if places is None else places
        engine = compiled().MapEngine(
            neighbors.cells, color, self.cutoff, self.size, self.gamma, self.beta, self.scale_free,
            self.ball, self.local, isa, threads,
        )  # fmt: skip
        for start in range(0, len(places), batch):
            end = start + batch
            if end > len(places):
                buffer, found = buffer[: len(places) - start], found[: len(places) - start]
            engine.images(places[start:end], buffer, found)
            yield atoms[start:end], buffer, found


def _channel_weights(weights: NDArray[Any] | None, points: int) -> NDArray[np.float32]:
    if weights is None:
        return np.ones((1, 0), dtype=np.float32)
    extra = np.atleast_2d(np.asarray(weights, dtype=np.float32))
    if extra.ndim != 2 or extra.shape[1] != points:
        raise SettingError(
            f"weights have shape {np.shape(weights)}; give (n,) or (channels - 1, n) with n={points}"
        )
    if not np.isfinite(extra).all():
        raise SettingError("weights hold a value that is not finite; give numbers")
    return np.ascontiguousarray(np.concatenate([np.ones((1, points), np.float32), extra]))


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
    """Return the Neighbors Map images of a sample (see :class:`NeighborsMap` for the definition).

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
            color = _channel_weights(np.asarray(weights), n)[1:][:, owner]
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
