# SPDX-License-Identifier: BSD-3-Clause
"""The validator, and the readers of other people: pyh5md, h5dump."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_histories import OBSERVABLES, create, frame, written

from insitu.frame.units import THERMO_UNITS, TIME_UNIT
from insitu.history.check import check_file


def test_a_history_is_valid_while_it_is_written_and_after(tmp_path: Path) -> None:
    history = create(tmp_path / "a.h5")
    assert check_file(tmp_path / "a.h5") == []
    for step in range(0, 70):
        history.append(step, 0.5 * step, frame(step) | {"phases/fraction": [0.25, 0.5, 0.25]})
    assert check_file(tmp_path / "a.h5") == []
    history.close()
    assert check_file(tmp_path / "a.h5") == []


@pytest.mark.parametrize("units", sorted(THERMO_UNITS))
def test_units_of_every_style_are_in_the_notation(tmp_path: Path, units: str) -> None:
    names = ("temperature", "potential_energy", "pressure")
    more = [
        series_observable(f"thermo/{n}", u) for n, u in zip(names, THERMO_UNITS[units], strict=True)
    ]
    history = create(tmp_path / "a.h5", [OBSERVABLES[0], *more], time_unit=TIME_UNIT[units])
    history.close()
    assert check_file(tmp_path / "a.h5") == []


def series_observable(path: str, unit: str):  # type: ignore[no-untyped-def]
    from insitu.history.writing.writer import Observable

    return Observable(path, (), "f8", unit, "")


def _no_version(file: h5py.File) -> None:
    del file["h5md"].attrs["version"]


def _no_author(file: h5py.File) -> None:
    del file["h5md/author"]


def _variable_length(file: h5py.File) -> None:
    file["h5md/creator"].attrs["name"] = "insitu"


def _foreign_root(file: h5py.File) -> None:
    file.create_group("pictures")


def _step_goes_back(file: h5py.File) -> None:
    file["observables/phases/fraction/step"][1] = 0


def _time_goes_back(file: h5py.File) -> None:
    file["observables/phases/fraction/time"][1] = -1.0


def _bad_unit(file: h5py.File) -> None:
    file["observables/thermo/pressure/value"].attrs["unit"] = np.bytes_("um2 / s")


def _bad_sum(file: h5py.File) -> None:
    file["observables/phases/fraction/value"][1] = [0.5, 0.1, 0.1]


def _no_codes(file: h5py.File) -> None:
    del file["observables/phases"].attrs["codes"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_version, "/h5md has version None"),
        (_no_author, "/h5md/author has no attribute 'name'"),
        (_variable_length, "attribute 'name' of /h5md/creator is not a string of fixed length"),
        (_foreign_root, "'/pictures' is not a group of H5MD"),
        (_step_goes_back, "/step does not increase"),
        (_time_goes_back, "/time goes back"),
        (_bad_unit, "has unit 'um2 / s'"),
        (_bad_sum, "at step 1 do not sum to 1"),
        (_no_codes, "does not name its classes"),
    ],
)
def test_each_fault_is_found(
    tmp_path: Path, spoil: Callable[[h5py.File], None], message: str
) -> None:
    history = create(tmp_path / "a.h5")
    for step in range(3):
        history.append(step, 0.5 * step, frame(step) | {"phases/fraction": [0.25, 0.5, 0.25]})
    history.close()
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        spoil(file)
    assert any(message in problem for problem in check_file(tmp_path / "a.h5"))


def test_pyh5md_reads_it(tmp_path: Path) -> None:
    pyh5md = pytest.importorskip("pyh5md")
    path = written(tmp_path / "a.h5", range(0, 70, 10))
    with pyh5md.File(str(path), "r") as file:
        element = pyh5md.element(file["observables/thermo"], "temperature")
        assert element.step[:].tolist() == list(range(0, 70, 10))
        assert np.allclose(element.value[:], 300.0 + np.arange(0, 70, 10))
        assert np.allclose(element.time[:], 0.5 * np.arange(0, 70, 10))


def test_h5dump_is_legible(tmp_path: Path) -> None:
    if not shutil.which("h5dump"):
        if os.environ.get("INSITU_REQUIRE_HOSTS"):
            pytest.fail("h5dump is missing: run `make hosts`")
        pytest.skip("h5dump is missing: run `make hosts`")
    path = written(tmp_path / "a.h5", [10, 20])

    def dump(*arguments: str) -> str:
        command = ["h5dump", *arguments, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "(0): 10, 20" in dump("-d", "observables/thermo/temperature/step")
    assert "(0): 310, 320" in dump("-d", "observables/thermo/temperature/value")
    assert '(0): "fcc", "hcp", "unknown"' in dump("-a", "observables/phases/classes").replace(
        "\\000", ""
    )
    assert dump("-n").count("dataset") >= 3 * len(OBSERVABLES)
