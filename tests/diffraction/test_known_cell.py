# SPDX-License-Identifier: BSD-3-Clause
"""Indices on a known cell, against gemmi's spacings and absences; in a history with `analyze crystal`."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

import insitu
from insitu.cli.command import main
from insitu.diffraction import indices_on_cell
from insitu.errors import SettingError
from insitu.testing import lattice

CELLS = {
    2: (6.1, 7.3, 8.2, 81.0, 97.0, 103.0), 14: (5.3, 7.9, 9.1, 90, 104.0, 90),
    33: (9.3, 5.2, 7.1, 90, 90, 90), 62: (9.3, 5.2, 7.1, 90, 90, 90), 64: (5.4, 13.1, 5.9, 90, 90, 90),
    136: (4.59, 4.59, 2.96, 90, 90, 90), 167: (4.76, 4.76, 12.99, 90, 90, 120),
    194: (3.2, 3.2, 5.2, 90, 90, 120), 205: (5.42, 5.42, 5.42, 90, 90, 90),
    227: (5.43, 5.43, 5.43, 90, 90, 90),
}  # fmt: skip


@pytest.mark.parametrize("number", CELLS)
def test_lines_of_a_space_group_have_their_indices(number: int) -> None:
    """All lines that gemmi lists, and beside each a place where none is."""
    cell = gemmi.UnitCell(*CELLS[number])
    group = gemmi.find_spacegroup_by_number(number)
    listed = gemmi.make_miller_array(cell, group, 1.6, 0, True)
    q = np.unique(np.round([2 * np.pi / cell.calculate_d(h.tolist()) for h in listed], 9))
    found = indices_on_cell(q, np.full(len(q), 1e-6), CELLS[number], number)
    operations = group.operations()
    for place, hkl in zip(q, found.tolist(), strict=True):
        assert 2 * np.pi / cell.calculate_d(hkl) == pytest.approx(place, abs=1e-6)
        assert not operations.is_systematically_absent(hkl)
    none = indices_on_cell(q - 1e-4, np.full(len(q), 1e-6), CELLS[number], number)
    assert not none.any()


def test_forbidden_lines_have_none_and_no_peak_has_none() -> None:
    cell, q = (3.6, 3.6, 3.6, 90, 90, 90), 2 * np.pi / 3.6 * np.sqrt([1, 2, 3, 4, np.nan])
    found = indices_on_cell(q, [0.02] * 5, cell, 225)
    assert found.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1], [2, 0, 0], [0, 0, 0]]
    assert indices_on_cell(q, [0.02] * 5, cell)[:2].tolist() == [[1, 0, 0], [1, 1, 0]]
    for wrong in ((3.6, 3.6, 3.6), (3.6, 3.6, -1, 90, 90, 90), (3, 3, 3, 60, 60, 130)):
        with pytest.raises(SettingError, match=r"parameters=\[.*are no cell"):
            indices_on_cell(q, [0.02] * 5, wrong, 225)
    for number in (0, 231):
        with pytest.raises(SettingError, match=f"space_group={number}; give a number 1"):
            indices_on_cell(q, [0.02] * 5, cell, number)
    for places, widths in ((q, [0.02]), (3.0, 0.02)):
        with pytest.raises(SettingError, match=r"q and widths have shapes .* one a peak"):
            indices_on_cell(places, widths, cell, 225)


def test_peaks_of_a_history_on_the_cell_of_the_crystal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    r, cell = lattice("fcc", 4.05, (7, 7, 7))
    r = r + np.random.default_rng(0).normal(scale=0.08, size=r.shape)
    head = f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(r)}\nITEM: BOX BOUNDS pp pp pp\n"
    box = "".join(f"0 {cell[a, a]:.9f}\n" for a in range(3))
    rows = "".join(f"{i} 1 {x:.6f} {y:.6f} {z:.6f}\n" for i, (x, y, z) in enumerate(r, 1))
    (tmp_path / "al.dump").write_text(f"{head}{box}ITEM: ATOMS id type x y z\n{rows}")
    words = ["diffraction two_theta 30,100", "crystal phase fcc"]
    given = [text for word in words for text in ("--analyze", word)]
    out = tmp_path / "al.h5"
    assert (
        main(["classify", str(tmp_path / "al.dump"), "--out", str(out), "--species", "Al", *given])
        == 0
    )
    capsys.readouterr()
    assert main(["show", str(out)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "indices on the cell of fcc (crystal, space group 225)" in text
    last = insitu.open(out).isel(step=-1)
    position, width = last["diffraction_position"].values, last["diffraction_width"].values
    for k, index in enumerate(("111", "200", "220", "311")):
        # Bragg's law for 4.05 Å
        angle = 2 * np.degrees(
            np.arcsin(1.5406 / 2 / 4.05 * np.sqrt(sum(int(c) ** 2 for c in index)))
        )
        assert position[k] == pytest.approx(angle, abs=0.1 * width[k])
        assert f"{index} {position[k]:.2f}°" in text
