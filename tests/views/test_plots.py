# SPDX-License-Identifier: BSD-3-Clause
"""Plot and table of a history."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
import xarray

from insitu.cli.command import main
from insitu.errors import SettingError
from insitu.views import plots, table
from insitu.views.plot_panels import all_panels
from insitu.views.terminal import terminal
from insitu.views.units import printed

NAMES = ["fcc", "hcp", "bcc", "cubic_diamond", "hexagonal_diamond", "sc", "disordered", "unknown"]


def table_text(history: xarray.Dataset, width: int, max_rows: int | None = 20) -> str:
    out = io.StringIO()
    terminal(out, width).print(table.phase_table(history, width=width, max_rows=max_rows))
    return out.getvalue().rstrip("\n")


@pytest.fixture
def melting() -> xarray.Dataset:
    """Heating and melting of 1000 atoms of an fcc metal; sc and the diamonds stay below 0.5 %."""
    steps = np.arange(100)
    liquid = 1 / (1 + np.exp(-(steps - 60) / 3.0))
    fraction = np.zeros((100, 8))
    fraction[:, 1], fraction[:, 2] = 0.02 * (1 - liquid), 0.01
    fraction[:, 3], fraction[:, 7] = 0.004, 0.03
    fraction[:, 6] = 0.9 * liquid
    fraction[:, 0] = 1 - fraction.sum(axis=1)
    count = np.rint(1000 * fraction).astype(int)
    count[:, 0] += 1000 - count.sum(axis=1)
    axes = ("step", "phase")
    return xarray.Dataset(
        {
            "fraction": (axes, fraction),
            "count": (axes, count),
            "standard_error": (axes, np.full((100, 8), 0.01)),
            "temperature": ("step", 300.0 + 15 * steps, {"units": "K"}),
            "potential_energy": ("step", -3540.0 + 100 * liquid, {"units": "eV"}),
        },
        {"step": 100 * steps, "time": ("step", 0.1 * steps, {"units": "ps"}), "phase": NAMES},
    )


def test_three_panels_with_units(melting: xarray.Dataset) -> None:
    figure = plots.phase_history(melting, title="Melting")
    phases, temperature, energy = figure.axes
    assert phases.get_ylabel() == "Fraction of atoms"
    assert temperature.get_ylabel() == "Temperature\n(K)"
    assert energy.get_ylabel() == "Potential energy\n(eV/atom)"
    assert energy.get_xlabel() == "Time (ps)"
    assert phases.get_shared_x_axes().joined(phases, energy)
    legend = [entry.get_text() for entry in phases.get_legend().get_texts()]
    assert legend == ["fcc", "hcp", "bcc", "disordered", "unknown"]
    np.testing.assert_allclose(energy.lines[0].get_ydata()[0], -3.54, atol=1e-3)
    np.testing.assert_allclose(energy.lines[0].get_xdata(), melting.time)
    assert figure.get_suptitle() == "Melting"


@pytest.mark.parametrize(
    ("unit", "last", "label", "end"),
    [
        ("fs", 140_000.0, "Time (ps)", 140.0),
        ("ps", 140_000.0, "Time (ns)", 140.0),
        ("fs", 900.0, "Time (fs)", 900.0),
        ("ps", 0.25, "Time (fs)", 250.0),
        ("us", 3.0, "Time (µs)", 3.0),
        ("s", 2e-9, "Time (ns)", 2.0),
        ("lj", 5000.0, "Time (lj)", 5000.0),
    ],
)
def test_time_is_in_a_unit_of_its_size(
    melting: xarray.Dataset, unit: str, last: float, label: str, end: float
) -> None:
    time = xarray.DataArray(np.linspace(0.0, last, 100), dims="step", attrs={"units": unit})
    history = melting.assign_coords(time=time)
    axes = plots.phase_history(history).axes[-1]
    assert axes.get_xlabel() == label
    assert axes.lines[0].get_xdata()[-1] == pytest.approx(end)
    assert history["time"].attrs["units"] == unit  # the caller's own is left alone


def test_axes_beside_each_other_have_one_unit(melting: xarray.Dataset) -> None:
    pressure = xarray.DataArray(np.linspace(0.0, 3e5, 100), dims="step", attrs={"units": "bar"})
    slow = melting.assign(pressure=pressure / 1e3).assign_coords(time=1e3 * melting["time"])
    slow["time"].attrs["units"] = slow["pressure"].attrs["units"] = "fs"
    slow["pressure"].attrs["units"] = "bar"
    both = {"a": melting.assign(pressure=pressure), "b": slow}
    figure = plots.phase_history(both, panels=["phases", "pressure"])
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["Time (ps)"] * 2
    assert figure.axes[2].get_ylabel() == "Pressure\n(GPa)"
    ends = [float(axes.lines[0].get_ydata()[-1]) for axes in figure.axes[2:]]
    assert ends == pytest.approx([30.0, 0.03])


def test_units_as_they_are_printed() -> None:
    units = ["Angstrom", "kcal mol-1/atom", "pg um-1 us-2", "eV/atom", "K", "dyn cm-2", ""]
    assert [printed(unit) for unit in units] == [
        "Å", "kcal mol⁻¹/atom", "pg µm⁻¹ µs⁻²", "eV/atom", "K", "dyn cm⁻²", "",
    ]  # fmt: skip


def test_help_names_every_panel(
    capsys: pytest.CaptureFixture[str], melting: xarray.Dataset
) -> None:
    with pytest.raises(SystemExit):
        main(["plot", "--help"])
    text = capsys.readouterr().out
    for name in all_panels([melting]):
        assert name in text or name == "difference"  # that one is drawn by `compare`


def test_panels_without_data_are_left_out(melting: xarray.Dataset) -> None:
    melting["temperature"][:] = np.nan
    assert len(plots.phase_history(melting).axes) == 2
    (axes,) = plots.phase_history(melting[["fraction"]]).axes
    del melting["time"].attrs["units"]
    (axes,) = plots.phase_history(melting[["fraction"]]).axes
    assert axes.get_xlabel() == "Step"


def test_one_frame_is_visible(melting: xarray.Dataset) -> None:
    axes = plots.phase_history(melting.isel(step=[3])).axes[0]
    assert all(line.get_marker() == "o" for line in axes.lines)


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_save(tmp_path: Path, melting: xarray.Dataset, suffix: str, start: bytes) -> None:
    path = plots.save(melting, tmp_path / f"phases.{suffix}")
    assert path.read_bytes().startswith(start)
    assert path.stat().st_size > 5000
    if suffix == "svg":
        assert "Temperature" in path.read_text(encoding="utf-8")


def test_legend_of_many_phases_stays_in_the_figure(melting: xarray.Dataset) -> None:
    melting["fraction"][:] = 1 / 8
    figure = plots.phase_history(melting)
    figure.canvas.draw()
    box = figure.axes[0].get_legend().get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().width > 0.8 * figure.bbox.width


def test_save_errors(tmp_path: Path, melting: xarray.Dataset) -> None:
    with pytest.raises(SettingError, match=r"written as '\.gif'; .* \.png, \.svg or \.pdf"):
        plots.save(melting, tmp_path / "a.gif")
    with pytest.raises(SettingError, match=r"No such file or directory.* a directory that exists"):
        plots.save(melting, tmp_path / "no" / "a.png")


def _luminance(color: str, colour_blind: bool = False) -> np.ndarray:
    rgb = np.array(matplotlib.colors.to_rgb(color))
    rgb = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return rgb @ [0.2126, 0.7152, 0.0722]


def test_lines_are_legible_and_told_apart_without_hue() -> None:
    styles = plots.STYLES
    contrast = {name: 1.05 / (_luminance(color) + 0.05) for name, (color, _) in styles.items()}
    assert contrast["unknown"] < 2.5  # light on purpose
    assert all(value > 2.5 for name, value in contrast.items() if name != "unknown")
    metals = [styles[name][1] for name in ("fcc", "hcp", "bcc")]
    assert len({str(dashes) for dashes in metals}) == 3
    assert contrast["hcp"] / contrast["fcc"] > 2  # the red-green pair


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("even", [False, True])
def test_table_fits(melting: xarray.Dataset, width: int, even: bool) -> None:
    if even:
        melting["fraction"][:] = 1 / 8
    text = table_text(melting, width=width, max_rows=12)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:4] == ["step", "time", "T", "E"]
    assert "eV/atom" in lines[1]
    rows = [line.split() for line in lines[2:14]]
    assert (rows[0][0], rows[-1][0]) == ("0", "9900")
    assert all(len(row) == len(rows[0]) for row in rows)
    assert abs(sum(map(float, rows[5][4:])) - 100) < (0.6 if not even else 0.3)
    assert "12 of 100 frames shown, 88 thinned out." in " ".join(lines[14:])


def test_table_says_what_it_sums_up(melting: xarray.Dataset) -> None:
    melting["fraction"][:] = 1 / 8
    text = table_text(melting, width=60)
    assert "other" in text
    missing = [name for name in NAMES if name.split("_")[0] not in text]
    assert missing == []
    wide = table_text(melting, width=120, max_rows=None)
    assert "other" not in wide
    assert len(wide.splitlines()) == 102
    assert max(map(len, table_text(melting, width=30).splitlines())) <= 30


def test_table_without_thermodynamics(melting: xarray.Dataset) -> None:
    melting["temperature"][:] = np.nan
    melting["potential_energy"][5] = np.nan
    lines = table_text(melting, width=100, max_rows=None).splitlines()
    assert " T " not in lines[0]
    assert "-" in lines[7].split()


def test_energy_uses_the_number_of_atoms_of_the_run(melting: xarray.Dataset) -> None:
    melting.attrs["atoms"] = 2000  # the group held half of them
    energy, unit = table.energy_per_atom(melting)
    assert unit == "eV/atom"
    np.testing.assert_allclose(energy[0], -1.77, atol=1e-3)


def test_over_temperature_and_step(melting: xarray.Dataset) -> None:
    phases, energy = plots.phase_history(melting, x="temperature").axes
    assert energy.get_xlabel() == "Temperature (K)"
    np.testing.assert_array_equal(phases.lines[0].get_xdata(), melting.temperature)
    assert plots.phase_history(melting, x="step").axes[-1].get_xlabel() == "Step"
    melting["temperature"][:] = np.nan
    with pytest.raises(SettingError, match="x='temperature': the history has no temperature"):
        plots.phase_history(melting, x="temperature")
    with pytest.raises(SettingError, match=r"x='tme' is not known; .* Did you mean 'time'"):
        plots.phase_history(melting, x="tme")


def test_stacked_areas_fill_up_to_what_is_shown(melting: xarray.Dataset) -> None:
    axes = plots.phase_history(melting, stacked=True).axes[0]
    tops = [area.get_datalim(axes.transData).y1 for area in axes.collections]
    shown = melting.fraction.sel(phase=["fcc", "hcp", "bcc", "disordered", "unknown"])
    np.testing.assert_allclose(max(tops), float(shown.sum("phase").max()), atol=1e-6)
    assert [tuple(a.get_facecolor()[0][:3]) for a in axes.collections][:2] == [
        matplotlib.colors.to_rgb(plots.STYLES[n][0]) for n in ("fcc", "hcp")
    ]
    one = plots.phase_history(melting.isel(step=[3]), stacked=True).axes[0]
    assert all(area.get_datalim(one.transData).width > 0 for area in one.collections)


def test_what_runs_beside_the_simulation(melting: xarray.Dataset) -> None:
    """Beside it in percent of its time; what it waited for is the panel of the cost."""
    part = np.linspace(0.0, 0.3, 100)
    data = melting.assign(
        timing_simulation=("step", np.full(100, 2.0)), timing_model=("step", 0.5 - part),
        overlap_beside=("step", 2.0 * part),
    )  # fmt: skip
    overlap, cost = plots.phase_history(data, panels=["overlap", "cost"]).axes
    beside, waited = overlap.lines
    np.testing.assert_allclose(beside.get_ydata(), 100 * part)
    np.testing.assert_allclose(waited.get_ydata(), 50 * (0.5 - part))
    np.testing.assert_allclose(cost.lines[0].get_ydata(), waited.get_ydata())


def test_chosen_panels(melting: xarray.Dataset) -> None:
    melting["timing_simulation"] = "step", np.full(100, 2.0)
    melting["timing_model"] = "step", np.full(100, 0.5)
    cost, phases = plots.phase_history(melting, panels=["cost", "phases"]).axes
    assert phases.get_ylabel() == "Fraction of atoms"
    np.testing.assert_allclose(cost.lines[0].get_ydata(), 25.0)
    with pytest.raises(SettingError, match="panel 'pressure': the history has no such data"):
        plots.phase_history(melting, panels=["pressure"])


def test_side_by_side_each_has_its_phases(melting: xarray.Dataset) -> None:
    solid = melting.isel(step=slice(0, 20))
    figure = plots.phase_history({"melting": melting, "solid": solid})
    assert [axes.get_title() for axes in figure.axes[:2]] == ["melting", "solid"]
    assert len(figure.axes) == 6
    assert len(figure.axes[0].lines) == 5
    assert len(figure.axes[1].lines) == 4  # nothing is disordered there
    assert len(figure.legends) == 1
    with pytest.raises(SettingError, match="5 histories do not fit side by side; give up to 4"):
        plots.phase_history(dict.fromkeys("abcde", melting))


def test_an_ensemble_is_its_mean_and_its_runs(melting: xarray.Dataset) -> None:
    runs = xarray.concat([melting, 0.5 * melting], "run", coords="minimal", compat="override")
    axes = plots.phase_history(runs, panels=["phases"]).axes[0]
    thin = [line for line in axes.lines if line.get_alpha() is not None]
    assert len(thin) == 2 * (len(axes.lines) - len(thin))
    bold = next(line for line in axes.lines if line.get_label() == "fcc")
    np.testing.assert_allclose(bold.get_ydata(), 0.75 * melting.fraction.sel(phase="fcc"))


@pytest.mark.parametrize(("step", "x"), [(5000, 5.0), (12000, 12.0)])
def test_where_the_analysis_was_disabled_is_marked(
    melting: xarray.Dataset, step: int, x: float
) -> None:
    melting.attrs["disabled"] = f'[{{"step": {step}, "reason": "ghosts"}}]'
    for axes in plots.phase_history(melting).axes:
        assert axes.lines[-1].get_xdata()[0] == pytest.approx(x)
    texts = [t.get_text() for t in plots.phase_history(melting).axes[0].texts]
    assert texts == ["analysis disabled"]


def test_a_reference_is_points_and_its_difference_a_panel(melting: xarray.Dataset) -> None:
    other = melting.isel(step=slice(0, 100, 10)).copy(deep=True)
    other["fraction"] = other.fraction - 0.1
    options = {"reference": ("PTM", other), "tolerance": 0.2, "panels": ["phases", "difference"]}
    phases, difference = plots.phase_history(melting, **options).axes
    points = [line for line in phases.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points[0].get_xdata(), other.time)
    assert "PTM" in [entry.get_text() for entry in phases.get_legend().get_texts()]
    np.testing.assert_allclose(difference.lines[0].get_ydata(), 0.1)
    with pytest.raises(SettingError, match="panel 'difference' is not known"):
        plots.phase_history(melting, panels=["difference"])


def test_an_image_for_a_page_has_no_background_and_no_date(melting: xarray.Dataset) -> None:
    image = plots.svg(melting)
    assert image.startswith("<svg")
    assert "metadata" not in image
    assert image == plots.svg(melting)


def test_energy_is_that_of_the_atoms_of_each_frame(melting: xarray.Dataset) -> None:
    melting.attrs["atoms"] = 2000
    melting["atoms"] = "step", np.linspace(1000, 2000, 100)
    energy, _ = table.energy_per_atom(melting)
    np.testing.assert_allclose(energy[[0, -1]], [-3.54, -1.72], atol=1e-3)
    melting = melting.drop_vars("atoms").assign_attrs(atoms="[1000, 2000]")  # an ensemble
    assert table.energy_per_atom(melting)[1] == "eV"
