# SPDX-License-Identifier: BSD-3-Clause
"""The Neighbors Map: settings, checks and documentation over kernels/core/neighbors_map.hpp."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.compiled import compiled
from insitu.frame.neighbors.search import Neighbors


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
        color = channel_weights(weights, len(neighbors.frame.positions))
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


def channel_weights(weights: NDArray[Any] | None, points: int) -> NDArray[np.float32]:
    """Return the weights of all channels, those of the first one included.

    Parameters
    ----------
    weights
        ``(n,)`` or ``(channels - 1, n)`` of the further channels; None: there are none.
    points
        How many there have to be, n.

    Returns
    -------
    weights
        ``(channels, n)``; without further channels ``(1, 0)``: all are 1.

    Raises
    ------
    SettingError
        Wrong shape, or a value that is not finite.
    """
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
