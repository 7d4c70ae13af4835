# SPDX-License-Identifier: BSD-3-Clause
"""What analyses show of themselves: panels by their names, lines of `insitu show`, `insitu analyses`."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray

import insitu
from insitu.analyses.base import Observable, System
from insitu.analyses.registry import BUILT_IN, find
from insitu.cli import command as cli
from insitu.errors import SettingError
from insitu.history.writing.writer import Series
from insitu.pipeline.given_settings import make
from insitu.testing import evaluate, sample
from insitu.views import plots
from insitu.views.analyses import lines


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two frames of g(r), one of another name, and bond order."""
    s = sample()
    settings = make(
        analyze="rdf cutoff 6 bins 60 analyze rdf name near cutoff 4 bins 8 analyze steinhardt cutoff 3.6"
    )
    system = System(n_types=2, cell=s.cell, classes=("fcc", "unknown"))
    made = [find(r.analysis)(r.settings, system, r.name) for r in settings.analyses]
    values = {k: v for a in made for k, v in evaluate(a, s).values.items()}
    series = Series.create(
        tmp_path / "a.h5",
        [Observable("phases/fraction", (2,), "f8", "", "fraction"),
         *(o for a in made for o in a.observables)],
        time_unit="ps", provenance={"settings": asdict(settings)}, classes=["fcc", "unknown"], codes=[1, 0],
    )  # fmt: skip
    for step in (10, 20):
        series.append(step, 0.1 * step, {"phases/fraction": [1.0, 0.0], **values})
    series.close()
    return tmp_path / "a.h5"


def test_a_panel_of_each(history: Path, tmp_path: Path) -> None:
    data = insitu.open(history)
    figure = plots.phase_history(data, panels=["phases", "rdf", "near", "steinhardt"])
    assert len(figure.axes) == 6  # two of them are scales of colours
    assert [a.get_ylabel() for a in figure.axes[:4]] == [
        "Fraction of atoms", "Distance\n(Å)", "Distance\n(Å)", "Mean bond order",
    ]  # fmt: skip
    assert figure.axes[2].collections[0].get_array().size == 16
    assert [line.get_label() for line in figure.axes[3].lines] == ["q4", "q6"]
    assert plots.save(data, tmp_path / "a.svg", panels=["near", "steinhardt"]).stat().st_size > 5000
    assert len(plots.phase_history(data).axes) == 1  # the others only where they are asked for
    with pytest.raises(SettingError, match=r"panel 'nere' is not known.*Did you mean 'near'"):
        plots.phase_history(data, panels=["nere"])


def test_lines_of_show(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = insitu.open(history)
    said = lines(data)
    assert [line.split(":")[0] for line in said] == ["rdf", "steinhardt", "near"]
    q6 = float(data["steinhardt_mean"].isel(step=-1).sel(order="q6"))
    assert said[1].endswith(f"q6 {q6:.4f}")
    at = float(data["radius"][data["rdf"].isel(pair=0, step=-1).argmax("radius")])
    assert said[0].endswith(f"at {at:.3g} Angstrom")
    assert cli.main(["show", str(history)]) == 0
    assert said[1] in capsys.readouterr().out


def test_an_analysis_that_is_not_installed_is_left_out(history: Path) -> None:
    data = insitu.open(history)
    settings = json.loads(data.attrs["settings"])
    settings["analyze"][1]["analysis"] = "voids"
    data.attrs["settings"] = json.dumps(settings)
    assert len(lines(data)) == 2
    # Of several files whose settings differ: a list.
    data.attrs["settings"] = json.dumps([json.dumps(settings), None])
    assert len(lines(data)) == 2
    assert lines(xarray.Dataset({"fraction": ("step", np.ones(2))})) == []


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["analyses"]) == 0
    text = capsys.readouterr().out
    assert {line.split()[0] for line in text.splitlines()} >= set(BUILT_IN)
    assert cli.main(["analyses", "rdf"]) == 0
    assert "| `cutoff` | number, 0.1 … 100 Å | required |" in capsys.readouterr().out
    assert cli.main(["analyses", "rfd"]) == 2
    assert "Did you mean 'rdf'" in capsys.readouterr().err
