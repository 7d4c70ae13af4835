# SPDX-License-Identifier: BSD-3-Clause
"""`insitu crystal`: dumps, data files, CIFs; what is printed and written."""

import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from insitu.cli.command import main
from insitu.testing import lattice


def dump(path: Path, frames: int, shift: bool = False) -> None:
    """Write frames of hot B2, ids in another order in each."""
    r, cell = lattice("bcc", 2.88, (7, 7, 7))
    rng = np.random.default_rng(0)
    text = ""
    for k in range(frames):
        moved = (r + rng.normal(scale=0.15, size=r.shape) + k * shift * 0.3) % cell[0, 0]
        rows = [f"{i + 1} {1 + i % 2} {x} {y} {z}" for i, (x, y, z) in enumerate(moved.tolist())]
        rng.shuffle(rows)
        text += f"ITEM: TIMESTEP\n{10 * k}\nITEM: NUMBER OF ATOMS\n{len(r)}\n"
        text += "ITEM: BOX BOUNDS pp pp pp\n" + 3 * f"0 {cell[0, 0]}\n"
        text += "ITEM: ATOMS id type x y z\n" + "\n".join(rows) + "\n"
    path.write_text(text)


def test_a_tensor_that_is_not_positive_definite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Simple tetragonal polonium of twice the height: moduli of it would be nonsense."""
    ase.io.write(tmp_path / "po.cif", ase.Atoms("Po", cell=[3, 3, 7], pbc=True))
    assert main(["crystal", str(tmp_path / "po.cif"), "--elastic"]) == 0
    text = capsys.readouterr().out
    assert "not positive definite" in text
    assert "bulk" not in text


def test_a_dump_and_its_cif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One frame, and the mean of several, from which the atoms' scatter is gone."""
    file, out = tmp_path / "a.dump", tmp_path / "a.cif"
    dump(file, 6)
    assert main(["crystal", str(file), "--species", "Ni,Al"]) == 0
    one = capsys.readouterr().out
    assert "frame 5, step 50: 1 crystal" in one
    assert "NiAl" in one.replace("AlNi", "NiAl")
    assert "Pm-3m (221)" in one
    a = float(re.findall(r"a (\d\.\d+) ±", one)[0])
    assert a == pytest.approx(2.88, rel=1e-3)
    density = float(re.findall(r"([\d.]+) g/cm³", one)[0])
    assert density == pytest.approx((58.693 + 26.982) * 1.66054 / 2.88**3, rel=3e-3)
    assert main(["crystal", str(file), "--species", "Ni,Al", "--elastic"]) == 0
    text = capsys.readouterr().out
    assert 100 < float(re.findall(r"bulk (\d+)", text)[0]) < 220  # 158 ± 2 GPa at 300 K
    assert main(["crystal", str(file), "--species", "Ni,Al", "--energy"]) == 0
    text = capsys.readouterr().out
    assert float(re.findall(r"predicted: (\S+) eV/atom", text)[0]) == pytest.approx(-0.64, abs=0.2)
    assert main(["crystal", str(file), "--energy"]) == 2
    assert "--energy needs elements" in capsys.readouterr().err
    assert main(["crystal", str(file), "--elastic"]) == 2
    assert "--elastic needs elements" in capsys.readouterr().err
    words = ["crystal", str(file), "--index", ":", "--average", "6", "--cif", str(out)]
    assert main([*words, "--species", "Ni,Al"]) == 0
    mean = capsys.readouterr().out
    scatter = [float(re.findall(r"([\d.]+) Å from their sites", t)[0]) for t in (one, mean)]
    assert scatter[1] < 0.5 * scatter[0]
    atoms = ase.io.read(out)
    assert sorted(atoms.get_chemical_symbols()) == ["Al", "Ni"]
    assert atoms.cell.cellpar() == pytest.approx([2.88] * 3 + [90] * 3, rel=1e-3)
    assert main([*words, "--species", "Ni,Al"]) == 2
    assert "exists" in capsys.readouterr().err
    # Elements that nobody told are X, which readers of CIF files take.
    unnamed = tmp_path / "x.cif"
    assert main([*words[:-1], str(unnamed)]) == 0
    atoms = ase.io.read(unnamed)
    assert atoms.get_chemical_symbols() == ["X", "X"]
    assert "# X: type" in unnamed.read_text()
    assert len({tuple(r) for r in atoms.get_scaled_positions().round(2).tolist()}) == 2


def test_cells_in_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The primitive cell of a CIF, a skewed supercell, and a cell that is no crystal."""
    zno = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    ase.io.write(tmp_path / "zno.cif", zno)
    ase.io.write(tmp_path / "many.vasp", zno * (3, 3, 2))
    for name in ("zno.cif", "many.vasp"):
        assert main(["crystal", str(tmp_path / name)]) == 0
        text = capsys.readouterr().out
        assert "P6_3mc (186)" in text
        assert "a 3.2500" in text
        assert "c 5.2000" in text
    gas = zno * (4, 4, 3)
    gas.set_scaled_positions(np.random.default_rng(1).random((len(gas), 3)))
    ase.io.write(tmp_path / "gas.cif", gas)
    words = ["crystal", str(tmp_path / "gas.cif")]
    assert main(words) == 0
    assert ": no crystal: " in capsys.readouterr().out
    assert main([*words, "--cif", str(tmp_path / "none.cif")]) == 2
    assert "nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--average", "0"], "--average 0"),
        (["--tolerance", "-1"], "--tolerance -1"),
        (["--species", "Xx"], "'Xx' is no element"),
        (["--species", "Ni"], "names 1 elements"),
    ],
)
def test_messages(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump(tmp_path / "a.dump", 1)
    assert main(["crystal", str(tmp_path / "a.dump"), *words]) == 2
    assert message in capsys.readouterr().err
