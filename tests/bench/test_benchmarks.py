# SPDX-License-Identifier: BSD-3-Clause
"""The measuring parts of the benchmark scripts, on samples with a known answer."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from insitu.testing import lattice
from insitu.training.tables.accuracy import Measured, Score

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
#: Packages of benchmarks that no extra of the tests has.
OPTIONAL = ("insitu_mdanalysis", "insitu_ovito", "onnxruntime", "openvino", "ovito")


@pytest.fixture(autouse=True)
def scripts_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("interfaces", "accuracy", "ovito_labels", "hot_crystal"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_interfaces_are_where_the_profile_crosses_one_half() -> None:
    from interfaces import crossings, profile

    r, cell = lattice("sc", 2.0, (4, 4, 20))
    inside = (r[:, 2] >= 10.0) & (r[:, 2] < 26.0)
    within = r + np.array([0.0, 0.0, 0.5])  # of their slices
    share, edges = profile(within, cell, inside, 2.0)
    assert crossings(share, edges).tolist() == [10.0, 26.0]
    # A crystal through the periodic border has its two interfaces too.
    share, edges = profile(within, cell, ~inside, 2.0)
    assert crossings(share, edges).tolist() == [10.0, 26.0]
    share, edges = profile(r, cell, np.ones(len(r), dtype=bool), 2.0)
    assert len(crossings(share, edges)) == 0


def test_an_interface_is_measured_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    import interfaces

    classes = ["fcc", "disordered"]
    model = SimpleNamespace(card=SimpleNamespace(classes=classes))
    r, cell = lattice("fcc", 4.0, (5, 5, 16))
    upper = r[:, 2] > cell[2, 2] / 2

    def sides(positions: np.ndarray, box: np.ndarray) -> np.ndarray:
        return np.where(positions[:, 2] > box[2, 2] / 2, 1, 0)

    def classified(crystal: np.ndarray) -> None:
        found = SimpleNamespace(labels=np.where(crystal, 0, 1))
        monkeypatch.setattr(interfaces, "classify_with", lambda *_: found)

    classified(~upper)
    assert interfaces.interface(model, r, cell, r, cell, 0, sides) == (100.0, 100.0, 100.0, 0.0)
    # One interface 6 Å too high: beyond what is masked, the liquid's side has false crystal.
    classified(r[:, 2] <= cell[2, 2] / 2 + 6.0)
    right, crystal, liquid, shift = interfaces.interface(model, r, cell, r, cell, 0, sides)
    assert crystal == 100.0
    assert 80.0 < liquid < 98.0
    assert right == pytest.approx((crystal + liquid) / 2, abs=1.0)
    assert shift == pytest.approx(3.0, abs=1.3)
    # The sides exchanged: nothing is right. No interface: nothing to measure.
    classified(upper)
    assert interfaces.interface(model, r, cell, r, cell, 0, sides)[0] == 0.0
    nowhere = np.zeros(len(r), dtype=int)
    assert interfaces.interface(model, r, cell, r, cell, 0, lambda *_: nowhere) is None


def test_seeds_stand_beside_each_other() -> None:
    from accuracy import spread

    classes = ["fcc", "disordered"]

    def measured(right: int) -> Measured:
        counts = np.array([right, 10 - right, 0])
        return Measured([Score("Cu", "fcc", 1, 1.0, 0.0, -1, 0, counts)])

    text = spread(classes, {"shipped": measured(9), "seed 2": measured(7)})
    assert "| sample | shipped | worst | seed 2 | worst |" in text
    (line,) = (row for row in text.splitlines() if row.startswith("| crystals at T_m"))
    assert line.index("90.00") < line.index("70.00")


def test_the_cost_in_a_run_is_read_from_its_history() -> None:
    short = ["--every", "2", "--frames", "4", "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "in_situ.py", *short],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    assert rows[2:] == [
        "simulation", "arrays", "neighbors", "descriptor", "model", "reduce", "write", "**analysis**"
    ]  # fmt: skip


def test_the_picture_of_atoms_shows_the_nearer_one_in_its_colour() -> None:
    from hot_crystal import render

    # The camera looks along (-2, 1.1, -0.9): the second atom is behind the first, the third apart.
    forward = np.array([-2.0, 1.1, -0.9]) / np.linalg.norm([-2.0, 1.1, -0.9])
    positions = np.stack([np.zeros(3), 5.0 * forward, [0.0, 0.0, 9.0]])

    def colours(labels: list[str]) -> tuple[bool, bool]:
        picture = render(positions, np.array(labels), size=60)
        assert picture.shape == (60, 60, 3)
        assert (picture >= 0.0).all()
        assert (picture <= 1.0).all()
        _, green, blue = np.moveaxis(picture, -1, 0)
        return bool((green > blue + 0.1).any()), bool((blue > green + 0.1).any())

    assert colours(["fcc", "bcc", "other"]) == (True, False)
    assert colours(["bcc", "fcc", "other"]) == (False, True)
    assert colours(["other", "fcc", "bcc"]) == (False, True)


def test_a_dump_is_read_from_the_corner_of_its_box(tmp_path: Path) -> None:
    from hot_crystal import read

    head = (
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n-1 3\n0 5\n2 8\n"
    )
    (tmp_path / "dump").write_text(head + "ITEM: ATOMS id x y z i_phase\n1 -1 0 2 1\n2 0 1 3 100\n")
    cell, rows = read(tmp_path / "dump")
    assert cell.tolist() == [[4, 0, 0], [0, 5, 0], [0, 0, 6]]
    assert rows.tolist() == [[1, 0, 0, 0, 1], [2, 1, 1, 1, 100]]


@pytest.mark.parametrize("script", sorted(p.name for p in BENCHMARKS.glob("*.py")))
def test_what_a_script_imports_is_there(script: str) -> None:
    """A script that nothing else runs would not notice that a module has moved."""
    for node in ast.walk(ast.parse((BENCHMARKS / script).read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module.split(".")[0] == "insitu":
            module = importlib.import_module(node.module)
            for alias in node.names:
                inner = (
                    importlib.util.find_spec(f"{node.module}.{alias.name}")
                    if hasattr(module, "__path__")
                    else None
                )
                assert hasattr(module, alias.name) or inner, f"{node.module}.{alias.name}"
        elif "." not in node.module and node.module not in OPTIONAL:
            here = (BENCHMARKS / f"{node.module}.py").exists()
            assert here or importlib.util.find_spec(node.module), node.module


def test_readers_find_the_same_atoms(tmp_path: Path) -> None:
    from readers import by_ase, by_mdanalysis, ours, write

    for form, path in write(tmp_path, 500, 2).items():
        peer = by_mdanalysis if path.suffix in (".xtc", ".dcd") else by_ase
        assert ours(path) == peer(path) == 2 * 500, form
