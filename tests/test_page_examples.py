# SPDX-License-Identifier: BSD-3-Clause
"""The Python blocks of the pages run, on the files that they name: small ones of real runs.

Those of *Coming from PTM or CNA* and *Adding an analysis*, and the notebook, have tests of their own.
"""

import re
import shutil
import warnings
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from conftest import require

import insitu
from insitu.crystal import find_crystals
from insitu.diffraction import powder_pattern
from insitu.pipeline.given_settings import from_words
from insitu.testing import lattice

ROOT = Path(__file__).resolve().parents[1]
#: Pages, and what in their blocks belongs to a larger run than the one here.
PAGES = {
    "docs/adding_to_your_deck.md": {
        'phase="melt"': 'phase="disordered"', "16384": "500", '"melt.data"': '"film.data"',
    },
    "docs/barriers.md": {},
    "docs/crystal.md": {},
    "docs/diffraction.md": {},
    "docs/files_and_arrays.md": {},
    "docs/models.md": {},
    "docs/on_a_gpu.md": {"cuda": "cpu"},  # there is none
    "docs/reading_a_history.md": {},
    "docs/settings.md": {},
    "docs/symmetry.md": {},
    "lammps_inputs/README.md": {"5:35": "2:5", "> 0.5": "> 0.005"},
    "integrations/ovito/README.md": {},
    "integrations/mdanalysis/README.md": {'backend="multiprocessing", n_workers=4': ""},
}  # fmt: skip
#: What the blocks of a page leave behind, not empty.
RESULTS = {
    "docs/adding_to_your_deck.md": ("history", "frames"), "docs/barriers.md": ("barriers",),
    "docs/reading_a_history.md": ("history",), "lammps_inputs/README.md": ("front",),
}  # fmt: skip
#: Two species on a lattice, half of it held; what the pages' blocks look up is analysed.
DECK = """units metal
lattice fcc 4.05
region b block 0 5 0 5 0 5
create_box 2 b
create_atoms 1 box
set type 1 type/fraction 2 0.3 4711
mass * 26.98
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 8.5
velocity all create 300 4711 loop geom
region low block INF INF INF INF INF 2.4
group bound region low
group free subtract all bound
fix move all nve
dump d all custom 10 melt.lammpsdump id type x y z
"""


def blocks(page: str) -> list[str]:
    """Return the Python blocks of a page, as they are to be run."""
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    for old, new in PAGES[page].items():
        assert any(old in text for text in found), old
        found = [text.replace(old, new) for text in found]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages name, of one run and of small samples."""
    folder = tmp_path_factory.mktemp("pages")
    host = require("wheel")
    monitor = host.monitor(
        10, file="film.h5", groups="free,bound", types="yes", atoms=10,
        analyze="rdf cutoff 7 bins 50 analyze profile axis x bins 8 analyze crystal",
    )  # fmt: skip
    run = host.run(folder, DECK + monitor + "run 40\nwrite_data film.data\n", 1)
    assert run.code == 0, run.text[-2000:]
    for name in ("phases", "shock", "deposit", "expansion"):
        shutil.copy(folder / "film.h5", folder / f"{name}.h5")
    shutil.copy(folder / "film.atoms.h5md", folder / "phases.atoms.h5md")
    for number in (1, 2):
        (folder / f"run_{number}").mkdir()
        shutil.copy(folder / "film.h5", folder / f"run_{number}" / "phases.h5")
    shutil.copy(folder / "melt.lammpsdump", folder / "melt.dump")
    rng = np.random.default_rng(1)
    r, cell = lattice("fcc", 3.987, (5, 5, 5))
    symbols = np.where(rng.permutation(len(r)) < round(0.64 * len(r)), "Cu", "Zr")
    glass = ase.Atoms(symbols, r + rng.uniform(-0.15, 0.15, r.shape), cell=cell, pbc=True)
    ase.io.write(folder / "minimised.data", glass, format="lammps-data", masses=True)
    omega = ase.Atoms("Ti3", scaled_positions=[[0, 0, 0], [1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]],
                      cell=[4.6, 4.6, 2.82, 90, 90, 120], pbc=True)  # fmt: skip
    ase.io.write(folder / "omega.cif", omega)
    quartz = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True) * 8
    pattern = powder_pattern(
        quartz.positions, quartz.cell.array, True, quartz.get_chemical_symbols(), wavelength=1.5406,
        two_theta=(10, 90),
    )  # fmt: skip
    np.savetxt(folder / "quartz.xy", np.column_stack([pattern.two_theta, pattern.intensity]))
    return folder


def given() -> dict[str, object]:
    """Return what the blocks take for given: a hot sample and its crystal."""
    import xarray

    atoms = ase.build.bulk("PdH", "rocksalt", a=4.09, cubic=True) * 4
    atoms.rattle(0.03, seed=1)
    found = find_crystals(atoms.positions, atoms.cell.array, True, atoms.numbers)
    crystal = found.crystals[0]
    return {
        "insitu": insitu, "xarray": xarray, "positions": atoms.positions, "cell": atoms.cell.array,
        "numbers": atoms.numbers, "crystal": crystal, "sites": crystal.sites,
        "tensor": np.random.default_rng(1).normal(size=(3, 3, 3, 3)), "pbc": True,
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page(page: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("ovito", "MDAnalysis"):
        if f"integrations/{package.lower()}" in page:
            pytest.importorskip(package, reason=f"{package} is not installed")
    for name in ("ovito", "mdanalysis"):
        monkeypatch.syspath_prepend(str(ROOT / "integrations" / name))
    monkeypatch.chdir(made)
    names = given()
    for text in blocks(page):
        if "znh5md" in text:
            pytest.importorskip("znh5md", reason="ZnH5MD is not installed")
        if "group.rotations" in text:  # of the crystal's own cell
            names |= {"cell": names["crystal"].cell, "numbers": names["crystal"].kinds}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other packages, and of samples that are none
            exec(compile(text, page, "exec"), names)
    for name in RESULTS.get(page, ()):
        assert names[name] is not None, name
        assert np.size(getattr(names[name], "step", names[name])), name


def test_every_page_with_a_block_is_here() -> None:
    own = {"docs/coming_from_ptm.md", "docs/adding_an_analysis.md"}
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *ROOT.glob("*/README.md"),
             *ROOT.glob("integrations/*/README.md")]  # fmt: skip
    with_blocks = {str(p.relative_to(ROOT)) for p in pages if "```python\n" in p.read_text()}
    assert with_blocks - own == set(PAGES)


def fix_lines() -> list[str]:
    """Return the lines of all pages that define `fix insitu`, each as one line without its comment."""
    pages = [ROOT / "README.md", ROOT / "lammps_inputs" / "README.md", *ROOT.glob("docs/*.md")]
    found = []
    for page in sorted(pages):
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.M | re.S):
            whole = re.sub(r"\s*&\s*\n\s*", " ", block)
            found += re.findall(r"^\s*(fix +\S+ +\S+ +insitu [^#\n]*)", whole, re.M)
    return found


def test_the_fix_lines_of_the_pages_are_read() -> None:
    lines = fix_lines()
    assert len(lines) > 30
    for line in lines:
        words = line.split()
        assert int(words[4]) > 0, line
        assert from_words(words[5:]), line
