# SPDX-License-Identifier: BSD-3-Clause
"""Two histories next to each other, and PTM next to ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from histories import melting

import insitu
from insitu.errors import HistoryError, InsituError, SettingError
from insitu.history.compare import compare, format_comparison
from insitu.offline import ptm

needs_ovito = pytest.mark.skipif(
    importlib.util.find_spec("ovito") is None, reason="OVITO is not installed"
)


def test_a_history_equals_itself(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5"))
    found = compare(history, history, tolerance=0.0)
    assert found.beyond is None
    assert all(d.largest == 0 for d in found.deviations)
    assert "No phase differs by more than 0 %." in format_comparison(found, ("a", "a"))


def test_deviations_are_those_of_the_common_steps(tmp_path: Path) -> None:
    a = insitu.open(melting(tmp_path / "a.h5"))
    b = insitu.open(melting(tmp_path / "b.h5", range(0, 420, 20), melts_at=240.0))
    found = compare(a, b, tolerance=0.1)
    assert found.steps == list(range(0, 420, 20))[: len(found.steps)]
    fcc = next(d for d in found.deviations if d.name == "fcc")
    apart = np.abs(a.fraction.sel(step=found.steps) - b.fraction.sel(step=found.steps))[:, 0].values
    assert (fcc.mean, fcc.largest) == (apart.mean(), apart.max())
    assert fcc.at == found.steps[apart.argmax()] == 220
    assert found.beyond is not None
    assert found.beyond.beyond == found.steps[int((apart > 0.1).argmax())]
    text = format_comparison(found, ("a.h5", "b.h5"), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "20 of 41 frames of A have no counterpart." in text
    assert f"Beyond 10 % first at step {found.beyond.beyond}" in text


def test_a_missing_fraction_is_a_difference_and_two_are_none(tmp_path: Path) -> None:
    a = insitu.open(melting(tmp_path / "a.h5", range(0, 50, 10)))
    b = a.copy(deep=True)
    b["fraction"][2] = np.nan
    found = compare(a, b)
    assert found.beyond is not None
    assert found.beyond.beyond == 20
    assert compare(b, b).beyond is None


def test_what_is_not_alike_is_said(tmp_path: Path) -> None:
    a = insitu.open(melting(tmp_path / "a.h5", range(0, 50, 10)))
    b = a.copy(deep=True)
    b["count"][:] *= 2
    notes = compare(a, b.assign_coords(phase=["bcc", "hcp", "disordered", "unknown"])).notes
    assert any("Only A knows fcc" in n for n in notes)
    assert any("numbers of atoms differ (1,000 and 2,000" in n for n in notes)
    with pytest.raises(HistoryError, match="no step in common: A has steps 0 to 40, B 5 to 45"):
        compare(a, a.assign_coords(step=a.step + 5))


def test_other_units_are_not_subtracted(tmp_path: Path) -> None:
    """A deck in units lj has temperatures and energies without a unit: these are not kelvins."""
    a = insitu.open(melting(tmp_path / "a.h5", range(0, 50, 10)))
    b = a.copy(deep=True)
    for name in ("temperature", "potential_energy"):
        del b[name].attrs["units"]
    found = compare(a, b)
    assert not {"temperature", "energy"} & {d.name for d in found.deviations}
    assert "A has its temperature in K, B in no unit: they are not compared." in found.notes
    assert "A has its energy in eV/atom, B in no unit: they are not compared." in found.notes
    assert {"temperature", "energy"} <= {d.name for d in compare(a, a).deviations}


def test_everything_without_a_template_is_other(tmp_path: Path) -> None:
    a = insitu.open(melting(tmp_path / "a.h5"))
    seen = ptm.without_order(a)
    assert seen.phase.values.tolist() == ["fcc", "hcp", "other"]
    np.testing.assert_allclose(seen.fraction.sum("phase"), 1.0)
    np.testing.assert_array_equal(seen["count"].sel(phase="other"), a["count"][:, 2:].sum("phase"))
    assert seen.temperature.equals(a.temperature)


def dump(path: Path, steps: list[int], *, molten: int) -> Path:
    """A dump of fcc crystals of 256 atoms; from step `molten` on they are a gas."""
    generator = np.random.default_rng(1)
    cell = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    crystal = 4.05 * (corners + cell).reshape(-1, 3)
    with path.open("w") as out:
        for step in steps:
            positions = crystal if step < molten else generator.uniform(0, 16.2, crystal.shape)
            out.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(positions)}\n")
            out.write(
                "ITEM: BOX BOUNDS pp pp pp\n" + "0 16.2\n" * 3 + "ITEM: ATOMS id type x y z\n"
            )
            for i, (x, y, z) in enumerate(positions):
                out.write(f"{i + 1} {1 + i % 2} {x} {y} {z}\n")
    return path


@needs_ovito
def test_ptm_of_a_dump_at_the_steps_of_the_history(tmp_path: Path) -> None:
    path = dump(tmp_path / "d.lammpstrj", [0, 10, 15, 20], molten=20)
    found = ptm.match(path, ["fcc", "disordered", "unknown"], [0, 10, 20, 30])
    assert found.step.values.tolist() == [0, 10, 20]
    assert found.phase.values.tolist() == ["fcc", "other"]
    assert found["count"].sum("phase").values.tolist() == [256, 256, 256]
    assert found.fraction.sel(phase="fcc").values[:2].tolist() == [1.0, 1.0]
    assert float(found.fraction.sel(phase="fcc")[2]) < 0.1
    assert ptm.match(path, ["fcc"], [0], kind=2)["count"].values.tolist() == [[128, 0]]
    # Every other atom on the sites of another lattice.
    alone = ptm.match(path, ["fcc"], [0], neighbors=[2])
    assert alone["count"].sum("phase").values.tolist() == [128]
    assert float(alone.fraction.sel(phase="fcc")[0]) < 0.1
    with pytest.raises(SettingError, match="none of its 4 frames is at a step of the history"):
        ptm.match(path, ["fcc"], [5])
    with pytest.raises(SettingError, match="OVITO cannot read it"):
        ptm.match(tmp_path / "no.dump", ["fcc"], [5])


@pytest.mark.skipif(importlib.util.find_spec("ovito") is not None, reason="OVITO is installed")
def test_without_ovito_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InsituError, match=r"--ptm needs OVITO.* pip install ovito"):
        ptm.match(tmp_path / "d", ["fcc"], [0])


def test_a_tolerance_is_a_difference_of_fractions(tmp_path: Path) -> None:
    history = insitu.open(melting(tmp_path / "a.h5"))
    for wrong in (-1.0, 1.5, float("nan")):
        with pytest.raises(SettingError, match="give 0 … 1"):
            compare(history, history, tolerance=wrong)
