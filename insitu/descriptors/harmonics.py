# SPDX-License-Identifier: BSD-3-Clause
"""Real spherical harmonics of directions, of some degrees in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def harmonics(u: NDArray[np.float64], degrees: Sequence[int]) -> list[NDArray[np.float64]]:
    r"""Return the real spherical harmonics ``(n, 2 l + 1)`` of unit vectors ``(n, 3)``, of each degree l.

    :math:`\sum_m Y_{lm}(u) Y_{lm}(v) = P_l(u \cdot v)`. :math:`P_l^m` without its factor
    :math:`\sin^m θ`, which goes with :math:`e^{imφ}`, is a polynomial of z.
    """
    x, y, z = u.T
    found = {degree: np.empty((len(u), 2 * degree + 1)) for degree in degrees}
    most = max(found)
    wave = np.ones(len(u), dtype=complex)  # (x + i y)^m
    for m in range(most + 1):
        before, now = np.zeros(len(u)), np.full(len(u), float(math.prod(range(1, 2 * m, 2))))
        for k in range(m, most + 1):
            if k > m:
                before, now = now, ((2 * k - 1) * z * now - (k + m - 1) * before) / (k - m)
            if k not in found:
                continue
            factor = math.sqrt((2 if m else 1) * math.factorial(k - m) / math.factorial(k + m))
            found[k][:, k + m] = factor * now * wave.real
            if m:
                found[k][:, k - m] = factor * now * wave.imag
        wave *= x + 1j * y
    return [found[degree] for degree in degrees]
