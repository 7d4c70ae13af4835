# SPDX-License-Identifier: BSD-3-Clause
"""What a powder diffractometer sees: wavelength, range of angles, broadening, Lorentz-polarisation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from insitu.diffraction.scattering.form_factors import RADIATION
from insitu.errors import SettingError, one_of

#: Widest step of the inner grid, and how far it goes beyond the range [degrees].
_FINE, _MARGIN = 0.01, 2.0
#: A peak is never narrower than this many steps of the grid: its area would depend on where it lies.
_NARROWEST = 2.5
_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in standard deviations


@dataclass(frozen=True)
class Instrument:
    """A powder diffractometer.

    Parameters
    ----------
    wavelength
        [Å].
    two_theta
        First and last angle [degrees].
    spacing
        Step of the angles [degrees].
    radiation
        ``xray``, ``neutron`` or ``electron``.
    size
        Size of crystallites [Å]; None: that of the box, finer than which it does not resolve.
    caglioti
        U, V, W of the instrument, FWHM² = U tan²θ + V tan θ + W [degrees²]; none: (0, 0, 0).
    lorentz_polarization
        Whether the intensity has the Lorentz factor 1/(sin²θ cos θ), and the polarisation
        (1 + cos²2θ)/2 of unpolarised X-rays.

    References
    ----------
    G. Caglioti, A. Paoletti, F. P. Ricci, Nucl. Instrum. 3, 223 (1958),
    doi:10.1016/0369-643X(58)90029-X; A. L. Patterson, Phys. Rev. 56, 978 (1939),
    doi:10.1103/PhysRev.56.978 (Scherrer's formula).
    """

    wavelength: float = 1.5406
    two_theta: tuple[float, ...] = (5.0, 90.0)
    spacing: float = 0.02
    radiation: str = "xray"
    size: float | None = None
    caglioti: tuple[float, ...] = ()
    lorentz_polarization: bool = True

    def __post_init__(self) -> None:
        one_of("radiation", self.radiation, tuple(RADIATION))
        for name in ("wavelength", "spacing", "size"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise SettingError(f"{name}={value} is not usable; give a number above 0")
        angles = tuple(self.two_theta)
        if len(angles) != 2 or not 0.1 <= angles[0] < angles[1] <= 175.0:
            raise SettingError(
                f"two_theta={','.join(f'{a:g}' for a in angles)} is not understood; give the first and the "
                "last angle between 0.1 and 175 degrees, for example 10,90"
            )
        if not self.spacing <= 0.1 * (angles[1] - angles[0]):
            raise SettingError(
                f"spacing={self.spacing:g} is too wide for two_theta={angles[0]:g},{angles[1]:g}; give "
                "a tenth of the range at most, for example 0.05"
            )
        if len(self.caglioti) not in (0, 3):
            raise SettingError(
                f"caglioti={','.join(f'{a:g}' for a in self.caglioti)} is not understood; give U,V,W in "
                "degrees², for example 0.05,-0.06,0.07"
            )

    @cached_property
    def angles(self) -> NDArray[np.float64]:
        """``(n,)`` angles 2θ of the pattern [degrees]."""
        low, high = self.two_theta
        steps = np.arange(int((high - low) / self.spacing + 1e-6) + 1)
        return np.asarray(low + self.spacing * steps, dtype=np.float64)

    @cached_property
    def _part(self) -> int:
        return max(int(np.ceil(self.spacing / _FINE - 1e-9)), 1)

    @cached_property
    def _before(self) -> int:
        """Inner angles before the first of the pattern."""
        return int(min(_MARGIN, 0.5 * self.two_theta[0]) / self.fine_spacing)

    @property
    def fine_spacing(self) -> float:
        """Step of the inner grid [degrees]."""
        return self.spacing / self._part

    @cached_property
    def fine(self) -> NDArray[np.float64]:
        """``(m,)`` inner grid of 2θ [degrees]: finer, and a little beyond both ends."""
        after = int(min(_MARGIN, 179.0 - self.angles[-1]) / self.fine_spacing)
        number = self._before + (len(self.angles) - 1) * self._part + after + 1
        steps = np.arange(number) - self._before
        return np.asarray(self.angles[0] + self.fine_spacing * steps, dtype=np.float64)

    def q(self, two_theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Q = 4π sin θ / λ [1/Å] at angles 2θ [degrees]."""
        found: NDArray[np.float64] = (
            4.0 * np.pi / self.wavelength * np.sin(np.radians(two_theta) / 2)
        )
        return found

    @property
    def q_max(self) -> float:
        """Largest Q of the inner grid [1/Å]."""
        return float(self.q(self.fine[-1:])[0])

    def widths(self, size: float) -> NDArray[np.float64]:
        """Return the FWHM ``(n,)`` of peaks at the angles of the pattern [degrees].

        Parameters
        ----------
        size
            Of crystallites, where the instrument does not say it: of the box [Å]; 0: without end.
        """
        theta = np.radians(self.angles) / 2
        d = self.size or size
        square = np.zeros(len(theta))
        if d:
            square += np.degrees(0.9 * self.wavelength / (d * np.cos(theta))) ** 2
        if self.caglioti:
            u, v, w = self.caglioti
            own = u * np.tan(theta) ** 2 + v * np.tan(theta) + w
            square += np.maximum(own, 0.0)
        found: NDArray[np.float64] = np.maximum(np.sqrt(square), _NARROWEST * self.spacing)
        return found

    def broadened(self, values: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Return values of the inner grid at the angles of the pattern, with Gaussian peaks.

        Parameters
        ----------
        values
            ``(m,)``.
        size
            As for :meth:`widths`.

        Returns
        -------
        broadened
            ``(n,)``.
        """
        sigma = self.widths(size) / (_FWHM * self.fine_spacing)
        reach = int(3.5 * sigma.max()) + 1
        windows = np.lib.stride_tricks.sliding_window_view
        padded = np.pad(values, reach)
        inside = np.pad(np.ones(len(values)), reach)
        last = self._before + (len(self.angles) - 1) * self._part
        rows = slice(self._before, last + 1, self._part)
        offsets = np.arange(-reach, reach + 1)
        found = np.empty(len(sigma))
        for at in range(0, len(sigma), 256):
            part = slice(at, at + 256)
            kernel = np.exp(-0.5 * (offsets / sigma[part, None]) ** 2)
            kernel *= windows(inside, 2 * reach + 1)[rows][part]  # nothing is known beyond the ends
            kernel /= kernel.sum(axis=1, keepdims=True)
            found[part] = np.einsum("ij,ij->i", kernel, windows(padded, 2 * reach + 1)[rows][part])
        return found

    def factor(self, two_theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is counted of I(Q)/N ``(k,)`` at angles [degrees].

        I(Q)/N has the Lorentz factor in it: it is a mean over directions.
        """
        angle = np.radians(two_theta)
        if not self.lorentz_polarization:
            found: NDArray[np.float64] = np.sin(angle / 2) ** 2 * np.cos(angle / 2)
            return found
        if self.radiation == "xray":
            return np.asarray(0.5 * (1.0 + np.cos(angle) ** 2))
        return np.ones(len(angle))
