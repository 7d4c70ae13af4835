# SPDX-License-Identifier: BSD-3-Clause
"""Powder patterns from files: columns of numbers, CIF of powder data, and PANalytical's XML."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import numpy as np

from insitu.diffraction.patterns.grid import Array
from insitu.diffraction.patterns.xrdml import read_xrdml
from insitu.errors import SettingError

#: Names of the angle and of the intensity in the CIF dictionary of powder data, most processed first.
_ANGLES = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_scan", "_pd_meas_2theta_corrected")
_INTENSITIES = (
    "_pd_proc_intensity_net", "_pd_proc_intensity_total", "_pd_meas_intensity_total",
    "_pd_meas_counts_total", "_pd_meas_intensity_net", "_pd_calc_intensity_total",
)  # fmt: skip
_WAVELENGTHS = ("_diffrn_radiation_wavelength", "_pd_proc_wavelength")


def read_pattern(path: Path) -> tuple[Array, Array, float | None]:
    """Return a powder pattern from a file.

    Parameters
    ----------
    path : Path
        Text with two or more columns (2theta [degrees], intensity, …), separated by blanks, commas or
        semicolons; lines that do not begin with two numbers are skipped. Or a CIF (``.cif``) of powder
        data, or PANalytical's ``.xrdml``. UTF-8; text with a byte order mark may be UTF-16, and XML is
        in what it says.

    Returns
    -------
    two_theta, intensity : array, shape (n,)
    wavelength : float or None
        [Å], where the file says it.

    Raises
    ------
    SettingError
        There is no such file, or no pattern in it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingError(
            f"pattern '{path}' cannot be read ({error.strerror or error}); give a text file of two "
            "columns, a CIF of powder data or an .xrdml file"
        ) from None
    if path.suffix.lower() == ".xrdml":
        return read_xrdml(path, content)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    if path.suffix.lower() == ".cif":
        return _from_cif(path, text)
    rows = []
    for line in text.splitlines():
        words = line.replace(",", " ").replace(";", " ").split()
        try:
            rows.append((float(words[0]), float(words[1])))
        except (IndexError, ValueError):
            continue
    if len(rows) < 2:
        raise SettingError(
            f"pattern '{path}' has no two columns of numbers; give 2theta in degrees and intensity on each "
            "line, or a CIF of powder data"
        )
    columns = np.array(rows)
    return columns[:, 0], columns[:, 1], None


def _from_cif(path: Path, text: str) -> tuple[Array, Array, float | None]:
    try:
        from gemmi import cif
    except ImportError:
        raise SettingError(
            f"pattern '{path}' is a CIF, which gemmi reads, and gemmi is not installed; "
            "pip install 'insitu[diffraction]'"
        ) from None
    try:
        blocks: Any = cif.read_string(text)
    except (RuntimeError, ValueError) as error:
        raise SettingError(
            f"pattern '{path}' is no CIF ({str(error).splitlines()[0]}); give another"
        ) from None
    for block in blocks:
        wavelength = next(
            (_number(v) for name in _WAVELENGTHS if (v := block.find_value(name))), None
        )
        for name in _INTENSITIES:
            values = np.array([_number(v) for v in block.find_loop(name)], dtype=float)
            if len(values) < 2:
                continue
            for of_angle in _ANGLES:
                angles = np.array([_number(v) for v in block.find_loop(of_angle)], dtype=float)
                if len(angles) == len(values):
                    fine = np.isfinite(angles) & np.isfinite(values)
                    return angles[fine], values[fine], wavelength
            ends = [
                _number(block.find_value(f"_pd_meas_2theta_range_{e}") or "")
                for e in ("min", "max")
            ]
            if np.isfinite(ends).all():
                return np.linspace(ends[0], ends[1], len(values)), values, wavelength
    raise SettingError(
        f"pattern '{path}' is a CIF without powder data (_pd_…); give one with a "
        "measured pattern, or two columns (`insitu crystal` reads a CIF of a structure)"
    )


def _number(text: str) -> float:
    """Return a number of a CIF, its standard uncertainty left out; not a number where there is none."""
    try:
        return float(text.split("(")[0].strip("'\""))
    except ValueError:
        return float("nan")
