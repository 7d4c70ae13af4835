# SPDX-License-Identifier: BSD-3-Clause
"""Powder patterns in PANalytical's XML (`.xrdml`, schemas 1.0 to 2.x of www.xrdml.com)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from insitu.diffraction.patterns.grid import Array
from insitu.errors import SettingError

#: What scans of one range may differ by [degrees].
_SAME = 1e-4


def read_xrdml(path: Path, content: bytes) -> tuple[Array, Array, float | None]:
    """Return a powder pattern.

    Intensities are taken as they are, counts are multiplied by the factors of the attenuator; where
    points have counting times of their own, both are divided by them. Scans of one range are added.

    Parameters
    ----------
    path : Path
        For messages.
    content : bytes
        What is in the file, encoded as its byte order mark or its first line says.

    Returns
    -------
    two_theta, intensity : array, shape (n,)
    wavelength : float or None
        K-alpha1, or K-beta where that was meant [Å].

    Raises
    ------
    SettingError
        It is no such file, or an element is missing or holds something else; the message names it.
    """
    root = _parsed(path, content)
    if _name(root) != "xrdMeasurements":
        raise SettingError(
            f"pattern '{path}' has <{_name(root)}> where <xrdMeasurements> begins an .xrdml file; give "
            "another, or two columns"
        )
    found = [
        _scan(path, points)
        for scan in root.iter()
        if _name(scan) == "scan"
        for points in scan
        if _name(points) == "dataPoints"
    ]
    if not found:
        raise SettingError(f"pattern '{path}' has no <dataPoints> in a <scan>; measure it anew")
    two_theta, intensity = found[0]
    for other, more in found[1:]:
        if other.shape != two_theta.shape or np.abs(other - two_theta).max() > _SAME:
            raise SettingError(
                f"pattern '{path}' has {len(found)} <scan>s of different ranges, {two_theta[0]:g} to "
                f"{two_theta[-1]:g} and {other[0]:g} to {other[-1]:g} degrees; give one scan a file"
            )
        intensity = intensity + more
    return two_theta, intensity, _wavelength(path, root)


def _parsed(path: Path, content: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        try:  # a remark in another encoding than the rest
            return ElementTree.fromstring(content.decode(errors="replace"))
        except ElementTree.ParseError:
            raise SettingError(
                f"pattern '{path}' is no XML ({error}); give the .xrdml file as the diffractometer wrote it"
            ) from None


def _name(element: ElementTree.Element) -> str:
    """Name without the schema."""
    return element.tag.rsplit("}", 1)[-1]


def _child(element: ElementTree.Element, *names: str) -> ElementTree.Element | None:
    return next((child for name in names for child in element if _name(child) == name), None)


def _numbers(path: Path, element: ElementTree.Element) -> Array:
    try:
        values = np.array([float(word) for word in (element.text or "").split()])
    except ValueError as error:
        raise SettingError(
            f"pattern '{path}': <{_name(element)}> holds what is no number ({error}); export it anew"
        ) from None
    if not len(values) or not np.isfinite(values).all():
        raise SettingError(
            f"pattern '{path}': <{_name(element)}> has no numbers, or infinite ones; export it anew"
        )
    return values


def _number(path: Path, element: ElementTree.Element) -> float:
    values = _numbers(path, element)
    if len(values) != 1:
        raise SettingError(
            f"pattern '{path}': <{_name(element)}> has {len(values)} numbers, one is meant; export it anew"
        )
    return float(values[0])


def _scan(path: Path, points: ElementTree.Element) -> tuple[Array, Array]:
    """Angles and intensities of one scan."""
    values = _child(points, "intensities", "counts")
    if values is None:
        raise SettingError(
            f"pattern '{path}': <dataPoints> has neither <intensities> nor <counts>; measure it anew"
        )
    intensity = _numbers(path, values)

    def of_points(name: str) -> Array | None:
        element = _child(points, name)
        if element is None:
            return None
        factors = _numbers(path, element)
        if len(factors) != len(intensity) or factors.min() <= 0:
            raise SettingError(
                f"pattern '{path}': <{name}> has {len(factors)} numbers from {factors.min():g} on for "
                f"{len(intensity)} points; one above 0 for each is meant, export it anew"
            )
        return factors

    if _name(values) == "counts":
        if _child(points, "divergenceCorrections") is not None:
            raise SettingError(
                f"pattern '{path}': <counts> are not corrected for the slit (<divergenceCorrections>); "
                "export <intensities>"
            )
        factors = of_points("beamAttenuationFactors")
        if factors is not None:
            intensity = intensity * factors
    times = of_points("countingTimes")
    if times is not None:
        intensity = intensity / times
    return _angles(path, points, len(intensity)), intensity


def _angles(path: Path, points: ElementTree.Element, count: int) -> Array:
    for positions in points:
        if _name(positions) != "positions" or positions.get("axis") != "2Theta":
            continue
        if positions.get("unit", "deg") != "deg":
            raise SettingError(
                f"pattern '{path}': <positions axis=\"2Theta\"> is in '{positions.get('unit')}'; export "
                "it in 'deg'"
            )
        listed = _child(positions, "listPositions")
        if listed is not None:
            angles = _numbers(path, listed)
            if len(angles) != count:
                raise SettingError(
                    f"pattern '{path}': <listPositions> has {len(angles)} angles for {count} intensities; "
                    "export it anew"
                )
            return angles
        ends = [_child(positions, name) for name in ("startPosition", "endPosition")]
        if ends[0] is None or ends[1] is None:
            raise SettingError(
                f"pattern '{path}': <positions axis=\"2Theta\"> has no <startPosition> and <endPosition>; "
                "the angle was not scanned, give a scan of 2theta"
            )
        return np.linspace(_number(path, ends[0]), _number(path, ends[1]), count)
    raise SettingError(
        f"pattern '{path}': <dataPoints> has no <positions axis=\"2Theta\">; give a scan of 2theta"
    )


def _wavelength(path: Path, root: ElementTree.Element) -> float | None:
    """Length of the line that was meant [Å]; None where the file does not say it."""
    for used in root.iter():
        if _name(used) != "usedWavelength":
            continue
        beta = used.get("intended", "").replace("-", "").replace(" ", "").lower() == "kbeta"
        element = _child(used, "kBeta" if beta else "kAlpha1")
        if element is None:
            return None
        if element.get("unit", "Angstrom") != "Angstrom":
            raise SettingError(
                f"pattern '{path}': <{_name(element)}> is in '{element.get('unit')}'; export it in "
                "'Angstrom', or take it out and give --wavelength"
            )
        return _number(path, element)
    return None
