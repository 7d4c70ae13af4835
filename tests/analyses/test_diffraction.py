# SPDX-License-Identifier: BSD-3-Clause
"""The analysis `diffraction`: the contract, the mean over frames, what goes wrong, its panel."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import insitu
from insitu.analyses.base import Observable, System
from insitu.analyses.diffraction.analysis import Diffraction, DiffractionSettings
from insitu.diffraction import powder_pattern
from insitu.diffraction.scattering import mesh
from insitu.errors import InsituError, SettingError
from insitu.history.writing.writer import Series
from insitu.pipeline.given_settings import make
from insitu.testing import check_analysis, evaluate, lattice
from insitu.testing.conformance import Sample
from insitu.views import plots
from insitu.views.analyses import lines


@pytest.mark.parametrize(
    "settings",
    [
        {"spacing": 0.2, "memory": 3.2},  # MB: four slabs
        {"method": "histogram", "cutoff": 7.0, "spacing": 0.5},
        {
            "radiation": "neutron",
            "frames": 1,
            "size": 30.0,
            "caglioti": (0.05, -0.06, 0.07),
            "two_theta": (20.0, 60.0),
        },
        {"spacing": 0.2, "symmetry": True},
    ],
)
def test_contract(settings: dict[str, object]) -> None:
    found = check_analysis(Diffraction, settings)
    assert max(found.values()) < 1e-7


def copper(sigma: float, seed: int = 0) -> Sample:
    r, cell = lattice("fcc", 3.615, (7, 7, 7))
    r = r + np.random.default_rng(seed).normal(scale=sigma, size=r.shape)
    n = len(r)
    return Sample(r, cell, np.ones(n, np.int32), np.zeros(n, np.int64), np.ones(n, np.float32))


def made(sample: Sample, **settings: object) -> Diffraction:
    return Diffraction(
        DiffractionSettings(**settings), System(1, cell=sample.cell, masses=(63.55,))
    )


def test_it_is_the_pattern_of_arrays_and_the_mean_of_the_last_frames() -> None:
    samples = [copper(0.1, seed) for seed in range(3)]
    analysis = made(samples[0], frames=2)
    found = [evaluate(analysis, s).values for s in samples]
    alone = [
        powder_pattern(s.positions, s.cell, True, "Cu", two_theta=(10, 90), spacing=0.05, threads=1)
        for s in samples
    ]
    assert [v["diffraction/frames"] for v in found] == [1, 2, 2]
    for k, those in ((0, alone[:1]), (2, alone[1:])):
        mean = np.mean([p.intensity for p in those], axis=0)
        assert np.abs(found[k]["diffraction/intensity"] - mean).max() < 1e-6 * mean.max()
        mean = np.mean([p.structure_factor for p in those], axis=0)
        assert np.allclose(found[k]["diffraction/structure_factor"], mean, atol=1e-5 * mean.max())
    position = found[2]["diffraction/position"]
    assert position[:3] == pytest.approx([43.317, 50.449, 74.126], abs=0.02)
    assert np.isnan(position[3:]).all()


def test_a_failure_on_one_rank_is_a_message_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = copper(0.1)

    def broken(*_: object) -> None:
        raise MemoryError("no room for it")

    monkeypatch.setattr(mesh, "amplitudes", broken)
    monkeypatch.setattr("insitu.diffraction.scattering.intensities.amplitudes", broken)
    with pytest.raises(InsituError, match=r"analyze diffraction: .*no room for it"):
        evaluate(made(sample), sample, (2, 1, 1), lambda: made(sample))


def test_too_many_atoms_for_the_memory_are_refused() -> None:
    sample = copper(0.1)
    with pytest.raises(InsituError, match=r"analyze diffraction: .*memory=.*method histogram"):
        evaluate(made(sample, memory=1.0, two_theta=(10.0, 12.0)), replace_many(sample))
    with pytest.raises(InsituError, match="memory allows"):
        made(replace(sample, cell=20 * sample.cell), memory=1.0)
    with pytest.raises(InsituError, match="nodes, more than"):
        made(replace(sample, cell=50 * sample.cell), memory=1.0)


def replace_many(sample: Sample) -> Sample:
    """Return a sample of so many atoms that their positions alone are above 1 MB."""
    n = 10_000
    r = np.random.default_rng(0).random((n, 3)) @ sample.cell
    return Sample(
        r, sample.cell, np.ones(n, np.int32), np.zeros(n, np.int64), np.ones(n, np.float32)
    )


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingError, match="cutoff=9 is of method histogram"):
        DiffractionSettings(cutoff=9.0)
    with pytest.raises(SettingError, match="symmetry=yes is read from the nodes of the mesh"):
        DiffractionSettings(method="histogram", symmetry=True)
    with pytest.raises(SettingError, match="units lj"):
        Diffraction(DiffractionSettings(), System(1, units="lj"))
    with pytest.raises(SettingError, match="no masses"):
        Diffraction(DiffractionSettings(), System(1))


def test_symmetry_of_the_last_frames_and_its_loss() -> None:
    """Copper, cold and hot, then atoms anywhere, which no frame of the window may outlive."""
    analysis = made(copper(0.1), frames=2, symmetry=True)
    (names,) = (o.axes[0][1] for o in analysis.observables if o.path == "diffraction/system")
    (groups,) = (o.axes[0][1] for o in analysis.observables if o.path == "diffraction/group")
    for sigma in (0.1, 0.25):
        values = evaluate(analysis, copper(sigma)).values
        system, group = values["diffraction/system"], values["diffraction/group"]
        assert names[int(np.argmax(system))] == "cubic"
        assert groups[int(np.argmax(group))] == "cubic F - - -"
        assert system.sum() == pytest.approx(1.0)
        assert group.sum() == pytest.approx(1.0 - system[-1])
        assert values["diffraction/cell"] == pytest.approx([3.615] * 3, rel=1e-3)
        assert values["diffraction/hkl"][:3].tolist() == [[1, 1, 1], [2, 0, 0], [2, 2, 0]]
    for _ in range(2):
        values = evaluate(analysis, copper(5.0)).values
    assert values["diffraction/system"][-1] == 1.0
    assert values["diffraction/reflections"] == 0.0
    assert np.isnan(values["diffraction/cell"]).all()
    assert not values["diffraction/hkl"].any()
    analysis.restore({})
    values = evaluate(analysis, copper(0.1)).values
    assert names[int(np.argmax(values["diffraction/system"]))] == "cubic"


def test_symmetry_needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"symmetry=yes needs torch.*pip install 'insitu"):
        made(copper(0.1), symmetry=True)


@pytest.mark.parametrize("symmetry", [False, True])
def test_panel_and_line_of_a_history(tmp_path: Path, symmetry: bool) -> None:
    sample = copper(0.1)
    settings = make(
        analyze=f"diffraction two_theta 30,80 spacing 0.1 symmetry {'yes' if symmetry else 'no'}"
    )
    (asked,) = settings.analyses
    analysis = Diffraction(asked.settings, System(1, cell=sample.cell, species=("Cu",)), asked.name)
    series = Series.create(
        tmp_path / "a.h5",
        [Observable("phases/fraction", (2,), "f8", "", "fraction"), *analysis.observables],
        time_unit="ps", provenance={"settings": asdict(settings)}, classes=["fcc", "unknown"], codes=[1, 0],
    )  # fmt: skip
    for step in (10, 20):
        values = evaluate(analysis, sample).values
        series.append(step, 0.1 * step, {"phases/fraction": [1.0, 0.0], **values})
    series.close()
    data = insitu.open(tmp_path / "a.h5")
    assert data["diffraction_intensity"].attrs["long_name"] == "of an atom, mean of the last frames"
    figure = plots.phase_history(data, panels=["phases", "diffraction"])
    assert figure.axes[1].get_ylabel() == "2θ\n(degrees)"
    image = figure.axes[1].collections[0].get_array()
    assert image.size == 2 * 501
    (line,) = lines(data)
    if symmetry:
        assert data["diffraction_system"].dims == ("step", "crystal_system")
        assert re.fullmatch(
            r"diffraction: Bragg peaks of the last frame at 111 43\.3\d° \(100%\), 200 50\.\d\d° .*; "
            r"symmetry cubic \d+%, cell (3\.61\d ){3}Å; extinction groups cubic F - - - \d+%, .*",
            line,
        )
        (strip,) = (a for a in figure.axes[1].child_axes if a.get_legend())
        assert [t.get_text() for t in strip.get_legend().get_texts()] == ["cubic"]
        return
    assert re.fullmatch(
        r"diffraction: Bragg peaks of the last frame at 43\.3\d° \(100%\), 50\.\d\d° .*", line
    )
