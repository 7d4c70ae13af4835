# SPDX-License-Identifier: BSD-3-Clause
"""Histories for other programs, read back as those read them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from histories import melting
from small_histories import OBSERVABLES, create, frame

import insitu
from insitu.errors import SettingError
from insitu.history.export import export
from insitu.history.writing.writer import Observable


def test_csv_is_a_row_for_each_frame_with_all_digits(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5"))
    table = pandas.read_csv(export(history, tmp_path / "a.csv"))
    assert table.columns[:6].tolist() == [
        "step", "time (ps)", "temperature (K)", "potential_energy (eV)", "fraction fcc", "fraction hcp",
    ]  # fmt: skip
    np.testing.assert_array_equal(table["step"], history.step)
    np.testing.assert_array_equal(table["time (ps)"], history.time)
    np.testing.assert_array_equal(table["potential_energy (eV)"], history.potential_energy)
    np.testing.assert_array_equal(table["fraction disordered"], history.fraction[:, 2])
    assert table["count fcc"].dtype == np.int64


def test_missing_numbers_in_each_format(tmp_path: Path) -> None:
    series = create(tmp_path / "a.h5")  # its pressure is NaN
    for step in (1, 2):
        series.append(step, 0.5 * step, frame(step))
    series.close()
    history = insitu.open(tmp_path / "a.h5")
    (first, *_) = csv.DictReader(export(history, tmp_path / "a.csv").read_text().splitlines())
    assert (first["pressure (bar)"], first["temperature (K)"]) == ("", "301.0")
    path = export(history, tmp_path / "a.dat")
    table = np.loadtxt(path)
    names = path.read_text().splitlines()[0].removeprefix("#").split()
    assert table.shape == (2, len(names))
    np.testing.assert_array_equal(table[:, names.index("temperature(K)")], [301.0, 302.0])
    assert np.isnan(table[:, names.index("pressure(bar)")]).all()
    content = json.loads(export(history, tmp_path / "a.json").read_text())
    assert content["columns"]["pressure (bar)"] == [None, None]
    assert content["columns"]["count hcp"] == [3, 4]
    assert content["attributes"]["model"] == "metals"


def test_further_dimensions_are_columns_and_tidy_rows(tmp_path: Path) -> None:
    rows = {"rows": ("group", ("left", "right"))}
    more = [
        Observable("phases/by_group/fraction", (2, 3), "f8", "", "of groups", **rows),
        Observable("phases/profile", (2, 3), "f8", "", "along z"),
    ]
    series = create(tmp_path / "a.h5", [*OBSERVABLES, *more])
    values = np.arange(6.0).reshape(2, 3)
    series.append(7, 3.5, {**frame(7), **{o.path: values for o in more}})
    series.close()
    history = insitu.open(tmp_path / "a.h5")
    (wide,) = csv.DictReader(export(history, tmp_path / "a.csv").read_text().splitlines())
    assert wide["fraction_by_group right hcp"] == "4.0"
    assert wide["profile 1 unknown"] == "5.0"
    tidy = pandas.read_csv(export(history, tmp_path / "t.csv", tidy=True))
    assert list(tidy.columns[:7]) == ["step", "time (ps)", "variable", "unit", "group", "phase",
                                      "phases_profile_0"]  # fmt: skip
    assert len(tidy) == 6 + 6 + 3 + 3 + 1 + 1 + 1
    right = tidy[(tidy.variable == "fraction_by_group") & (tidy.group == "right")]
    assert right.set_index("phase")["value"].to_dict() == {"fcc": 3.0, "hcp": 4.0, "unknown": 5.0}
    assert tidy[tidy.variable == "temperature"].unit.tolist() == ["K"]


def test_an_ensemble_keeps_its_runs(tmp_path: Path) -> None:
    files = [melting(tmp_path / f"{name}.h5", melts_at=at) for name, at in (("a", 100), ("b", 300))]
    tidy = pandas.read_csv(export(insitu.open(files, ensemble=True), tmp_path / "t.csv", tidy=True))
    fcc = tidy[(tidy.variable == "fraction") & (tidy.phase == "fcc") & (tidy.step == 200)]
    assert fcc.set_index("run")["value"].round(1).to_dict() == {"a": 0.0, "b": 1.0}


def test_errors(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5", range(0, 20, 10)))
    with pytest.raises(SettingError, match=r"exported as '\.xls'; .* \.csv, \.dat or \.json"):
        export(history, tmp_path / "a.xls")
    with pytest.raises(SettingError, match=r"could not be written .*a directory that exists"):
        export(history, tmp_path / "no" / "a.csv")
