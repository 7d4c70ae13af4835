# SPDX-License-Identifier: BSD-3-Clause
"""What an elastic tensor says of a polycrystal, of stability and of anisotropy.

References
----------
R. Hill, Proc. Phys. Soc. A 65, 349 (1952), doi:10.1088/0370-1298/65/5/307.
S. I. Ranganathan and M. Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008),
doi:10.1103/PhysRevLett.101.055504.
F. Mouhat and F.-X. Coudert, Phys. Rev. B 90, 224104 (2014), doi:10.1103/PhysRevB.90.224104.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Moduli:
    """Moduli of a polycrystal without texture [GPa]: bounds of Voigt and Reuss, and Hill's mean."""

    bulk_voigt: float
    bulk_reuss: float
    shear_voigt: float
    shear_reuss: float

    @property
    def bulk(self) -> float:
        """Bulk modulus, Hill's mean [GPa]."""
        return 0.5 * (self.bulk_voigt + self.bulk_reuss)

    @property
    def shear(self) -> float:
        """Shear modulus, Hill's mean [GPa]."""
        return 0.5 * (self.shear_voigt + self.shear_reuss)

    @property
    def anisotropy(self) -> float:
        """Universal elastic anisotropy; 0 where elasticity is isotropic."""
        return 5 * self.shear_voigt / self.shear_reuss + self.bulk_voigt / self.bulk_reuss - 6


def moduli(stiffness: ArrayLike) -> Moduli:
    """Return the moduli of an elastic tensor.

    Parameters
    ----------
    stiffness
        ``(6, 6)`` in Voigt notation [GPa].

    Raises
    ------
    numpy.linalg.LinAlgError
        It is singular.
    """
    c = np.asarray(stiffness, dtype=np.float64)
    s = np.linalg.inv(c)

    def parts(m: np.ndarray) -> tuple[float, float, float]:
        return (
            float(np.trace(m[:3, :3])), float(m[0, 1] + m[0, 2] + m[1, 2]), float(np.trace(m[3:, 3:]))
        )  # fmt: skip

    (a, b, d), (p, q, r) = parts(c), parts(s)
    return Moduli(
        (a + 2 * b) / 9, 1 / (p + 2 * q), (a - b + 3 * d) / 15, 15 / (4 * p - 4 * q + 3 * r)
    )


def stable(stiffness: ArrayLike) -> bool:
    """Return whether a crystal without load is elastically stable: the stiffness is positive definite."""
    c = np.asarray(stiffness, dtype=np.float64)
    return bool(np.linalg.eigvalsh(0.5 * (c + c.T)).min() > 0.0)
