# SPDX-License-Identifier: BSD-3-Clause
"""Ridge regression on sums over samples, whose errors may be correlated in space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
#: Features whose standard deviation is less, relative to the largest, have no weight.
RARE = 0.01


class Errors:
    r"""Errors of a regression in a periodic box: white ones, and a smooth field that neighbours share.

    Their covariance is :math:`δ_{ij} + a \exp(-r_{ij}^2 / 2 ℓ^2)` in units of the white ones' variance. A
    regression that takes them as independent (Aitken's generalised least squares does not) counts what many
    neighbours have in common as often as there are neighbours.

    Parameters
    ----------
    positions, box
        ``(n, 3)``, ``(3,)`` [Å].
    shared
        a.
    length
        ℓ [Å]; the box has to be several times longer.

    References
    ----------
    Aitken, Proc. R. Soc. Edinburgh 55, 42 (1936).
    """

    def __init__(self, positions: Floats, box: Floats, shared: float, length: float) -> None:
        import torch

        n = len(positions)
        square = np.zeros((n, n), dtype=np.float32)
        for x, side in zip((positions / box).T.astype(np.float32), box, strict=True):
            d = x[:, None] - x
            d -= np.rint(d)
            square += (d * np.float32(side)) ** 2
        square /= np.float32(-2.0 * length**2)
        covariance = np.exp(square, out=square)
        covariance *= np.float32(shared)
        covariance[np.arange(n), np.arange(n)] += np.float32(1.0)
        self._factor = torch.linalg.cholesky(torch.from_numpy(covariance))

    def white(self, values: Floats) -> Floats:
        """Return values ``(n, k)`` after the transformation that makes the errors white, in float32."""
        import torch

        given = torch.from_numpy(values.astype(np.float32))
        found: Floats = torch.linalg.solve_triangular(self._factor, given, upper=False).numpy()
        return found.astype(np.float64)


class Sums:
    """Sums over the atoms of some glasses, from which a ridge regression follows; they add and subtract.

    Parameters
    ----------
    x, y
        ``(n, k)`` features, ``(n,)`` barriers.
    errors
        Of this glass; None: independent and alike.
    """

    def __init__(self, x: Floats, y: Floats, errors: Errors | None = None) -> None:
        self.n, self.x, self.square = float(len(x)), x.sum(axis=0), (x**2).sum(axis=0)
        z = np.column_stack([x, np.ones(len(x)), y])
        if errors:
            z = errors.white(z)
        #: Products of the features with themselves and with y; the last feature is the constant.
        self.xx, self.xy = z[:, :-1].T @ z[:, :-1], z[:, :-1].T @ z[:, -1]

    @classmethod
    def of(cls, some: Sequence[Sums]) -> Sums:
        """Return the sums over all of some."""
        found = cls(np.zeros((0, len(some[0].x))), np.zeros(0))
        for name in ("n", "x", "square", "xx", "xy"):
            setattr(found, name, sum(getattr(s, name) for s in some))
        return found

    def fit(self, penalty: ArrayLike) -> tuple[Floats, float]:
        """Return weights ``(k,)`` and constant of the ridge regression on standardised features.

        Parameters
        ----------
        penalty
            Of all weights, or of each ``(k,)``; the constant has none.
        """
        mean, k = self.x / self.n, len(self.x)
        scale = np.sqrt(np.maximum(self.square / self.n - mean**2, 0.0))
        # Distances that hardly occur: their weights would be large and mean nothing.
        used = scale > RARE * max(float(scale.max()), 1e-300)
        inverse = np.where(used, 1.0 / np.where(used, scale, 1.0), 0.0)
        # Products of the standardised features follow from those of the features and the constant.
        xx, xy = self.xx.copy(), self.xy.copy()
        xx[:k] -= np.outer(mean, xx[k])
        xx[:, :k] -= np.outer(xx[:, k], mean)
        xy[:k] -= mean * xy[k]
        factor = np.append(inverse, 1.0)
        xx *= np.outer(factor, factor)
        own = np.append(np.broadcast_to(np.asarray(penalty, dtype=float), k), 0.0)
        found = np.linalg.solve(xx + np.diag(own), factor * xy)
        weight = found[:k] * inverse
        return weight, float(found[k] - mean @ weight)
