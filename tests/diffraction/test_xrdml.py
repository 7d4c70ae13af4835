# SPDX-License-Identifier: BSD-3-Clause
"""PANalytical's XML. The files are written by hand after the published schema, by no diffractometer."""

from pathlib import Path

import numpy as np
import pytest

from insitu.cli.command import main
from insitu.diffraction.patterns.files import read_pattern
from insitu.errors import SettingError

#: Counts of copper's 111 and 200, a line every 0.05 degrees from 42 to 52.
ANGLES = np.linspace(42, 52, 201)
COUNTS = np.rint(
    20
    + 2000 * np.exp(-(((ANGLES - 43.32) / 0.12) ** 2))
    + 900 * np.exp(-(((ANGLES - 50.45) / 0.12) ** 2))
)


def scan(
    values: str = "", positions: str = "", name: str = "intensities", further: str = ""
) -> str:
    values = values or " ".join(f"{v:.0f}" for v in COUNTS)
    positions = positions or ("<startPosition>42.0</startPosition><endPosition>52.0</endPosition>")
    return f"""
    <scan appendNumber="0" mode="Continuous" scanAxis="Gonio" status="Completed">
      <header><startTimeStamp>2026-11-30T12:00:00+01:00</startTimeStamp></header>
      <dataPoints>
        <positions axis="2Theta" unit="deg">{positions}</positions>
        <positions axis="Omega" unit="deg">
          <startPosition>21.0</startPosition><endPosition>26.0</endPosition>
        </positions>
        <commonCountingTime unit="seconds">10.16</commonCountingTime>
        {further}
        <{name} unit="counts">{values}</{name}>
      </dataPoints>
    </scan>"""


def document(
    *scans: str, version: str = "1.5", intended: str = "K-Alpha 1", unit: str = "Angstrom"
) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
  <sample type="To be analyzed"><id>Cu</id></sample>
  <xrdMeasurement measurementType="Scan" status="Completed">
    <usedWavelength intended="{intended}">
      <kAlpha1 unit="{unit}">1.5405980</kAlpha1>
      <kAlpha2 unit="Angstrom">1.5444260</kAlpha2>
      <kBeta unit="Angstrom">1.3922500</kBeta>
      <ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1>
    </usedWavelength>
    <incidentBeamPath><xRayTube><anodeMaterial>Cu</anodeMaterial></xRayTube></incidentBeamPath>
    {"".join(scans)}
  </xrdMeasurement>
</xrdMeasurements>
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "copper.xrdml"


def test_angles_counts_and_wavelength(file: Path) -> None:
    file.write_text(document(scan()), encoding="utf-8")
    two_theta, intensity, wavelength = read_pattern(file)
    np.testing.assert_allclose(two_theta, ANGLES)
    np.testing.assert_array_equal(intensity, COUNTS)
    assert wavelength == 1.540598
    file.write_text(document(scan(), intended="K-Beta"), encoding="utf-8")
    assert read_pattern(file)[2] == 1.39225


def test_listed_angles_and_counts_behind_an_attenuator(file: Path) -> None:
    """In schema 2 counts are as they were counted; each has its factor and may have its time."""
    factors = np.where(COUNTS > 500, 100.0, 1.0)
    times = np.where(ANGLES > 48, 4.0, 2.0)
    further = (
        f"<beamAttenuationFactors>{' '.join(map(str, factors))}</beamAttenuationFactors>"
        f"<countingTimes unit='seconds'>{' '.join(map(str, times))}</countingTimes>"
    )
    listed = f"<listPositions>{' '.join(map(str, ANGLES + 0.01))}</listPositions>"
    counted = " ".join(str(v) for v in COUNTS * times / factors)
    file.write_text(document(scan(counted, listed, "counts", further), version="2.1"))
    two_theta, intensity, _ = read_pattern(file)
    np.testing.assert_allclose(two_theta, ANGLES + 0.01)
    np.testing.assert_allclose(intensity, COUNTS)


def test_intensities_are_corrected_for_the_attenuator_already(file: Path) -> None:
    factors = " ".join(["100"] * len(COUNTS))
    further = f"<beamAttenuationFactors>{factors}</beamAttenuationFactors>"
    file.write_text(document(scan(further=further)))
    np.testing.assert_array_equal(read_pattern(file)[1], COUNTS)


def test_repeated_scans_are_added(file: Path) -> None:
    file.write_text(document(scan(), scan()))
    np.testing.assert_array_equal(read_pattern(file)[1], 2 * COUNTS)


def test_the_command_reads_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(document(scan()))
    assert main(["diffraction", str(file)]) == 0
    out = capsys.readouterr().out
    assert "wavelength 1.5406 Å" in out
    rows = [line.split() for line in out[out.index("2theta") :].splitlines()[1:]]
    assert [float(row[0]) for row in rows] == pytest.approx([43.32, 50.45], abs=0.03)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"])
def test_the_file_says_how_it_is_encoded(file: Path, encoding: str) -> None:
    text = document(scan()).replace("<id>Cu</id>", "<id>Cu, 25 °C</id>")
    said = encoding.removesuffix("-le").removesuffix("-be").removesuffix("-sig").upper()
    text = text.replace('"UTF-8"', f'"{said}"').replace("LATIN-1", "ISO-8859-1")
    mark = "\ufeff" if encoding.endswith("e") else ""  # "utf-16" writes its own
    file.write_bytes((mark + text).encode(encoding))
    two_theta, intensity, wavelength = read_pattern(file)
    np.testing.assert_allclose(two_theta, ANGLES)
    np.testing.assert_array_equal(intensity, COUNTS)
    assert wavelength == 1.540598


def test_a_remark_in_another_encoding_does_not_matter(file: Path) -> None:
    text = document(scan()).replace("<id>Cu</id>", "<id>Cu, 25 °C</id>")
    file.write_bytes(text.encode("latin-1"))  # it says UTF-8
    np.testing.assert_array_equal(read_pattern(file)[1], COUNTS)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_columns_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "copper.xy"
    lines = [f"{a:.2f} {c:.0f}" for a, c in zip(ANGLES, COUNTS, strict=True)]
    path.write_text("\n".join(lines), encoding=encoding)
    two_theta, intensity, _ = read_pattern(path)
    np.testing.assert_allclose(two_theta, ANGLES)
    np.testing.assert_array_equal(intensity, COUNTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("42.0 100\n42.1 101\n", "is no XML"),
        ("<data/>", "<data> where <xrdMeasurements> begins"),
        (document(), "no <dataPoints> in a <scan>"),
        (document(scan(values="12 x 14")), "<intensities> holds what is no number"),
        (document(scan(values=" ")), "<intensities> has no numbers"),
        (document(scan(name="detector")), "neither <intensities> nor <counts>"),
        (
            document(scan(positions="<commonPosition>30</commonPosition>")),
            "no <startPosition> and <endPosition>",
        ),
        (
            document(scan(positions="<listPositions>1 2</listPositions>")),
            "<listPositions> has 2 angles for 201 intensities",
        ),
        (
            document(
                scan(positions="<startPosition>1 2</startPosition><endPosition>3</endPosition>")
            ),
            "<startPosition> has 2 numbers, one is meant",
        ),
        (document(scan().replace('"2Theta"', '"Phi"')), 'no <positions axis="2Theta">'),
        (
            document(scan().replace('"2Theta" unit="deg"', '"2Theta" unit="rad"')),
            "is in 'rad'; export it in 'deg'",
        ),
        (document(scan(), unit="nm"), "<kAlpha1> is in 'nm'"),
        (
            document(
                scan(),
                scan(positions="<startPosition>52</startPosition><endPosition>60</endPosition>"),
            ),
            "2 <scan>s of different ranges, 42 to 52 and 52 to 60",
        ),
        (
            document(scan(name="counts", further="<countingTimes>1 2</countingTimes>")),
            "<countingTimes> has 2 numbers",
        ),
        (
            document(
                scan(name="counts", further="<divergenceCorrections>1</divergenceCorrections>")
            ),
            "not corrected for the slit",
        ),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingError, match=r"copper\.xrdml") as error:
        read_pattern(file)
    assert message in str(error.value)
