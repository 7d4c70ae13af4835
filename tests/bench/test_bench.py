# SPDX-License-Identifier: BSD-3-Clause
"""`insitu bench`: its rows, its JSON, and that methods name a crystal alike. No time is asserted."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference

import insitu
from insitu.bench import compare, lammps_peers, own, samples, scaling
from insitu.cli.command import main
from insitu.errors import DeckError
from insitu.testing import lattice

ATOMS = 400


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The whole command on small samples."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    code = main(["bench", "--atoms", str(ATOMS), "--repeats", "2", "--json", str(out)])
    assert code == 0
    return json.loads(out.read_text())


def rows(system: dict[str, Any]) -> dict[str, Any]:
    return {row["method"]: row for row in system["methods"]}


def test_every_method_that_can_run_here_has_its_row(results: Any) -> None:
    expected = {
        "descriptor, 32 × 32 images", "metals", "metals, 2 threads", "crystals-cnn, native",
        "crystals-cnn, native, 2 threads", "crystals-cnn, TorchScript",
        "crystals-cnn, TorchScript, 2 threads", "compute cna/atom",
        "compute cna/atom, list reused", "compute sna/atom, 2J = 8", "compute slcsa/atom",
        "a step of EAM", "descriptor in NumPy", "paper's CNN, torch as it comes",
    }  # fmt: skip
    if find_spec("ovito"):
        expected |= {"OVITO a-CNA", "OVITO PTM (fcc, hcp, bcc)", "OVITO PTM, all structures"}
    assert [s["structure"] for s in results["systems"]] == ["fcc", "bcc"]
    for system in results["systems"]:
        assert set(rows(system)) == expected
        assert rows(system)["metals"]["ratio"] == 1.0
        for row in system["methods"]:
            assert len(row["us_per_atom"]) == results["repeats"] == 2
            assert 0 < row["atoms"] <= system["atoms"]
            if row["fraction"] is not None:  # warm crystals
                assert row["fraction"] > 0.8, row["method"]
    assert {"processor", "versions", "date", "load"} <= set(results["machine"])


def test_the_table_has_the_rows_of_the_json_ratios_first(results: Any) -> None:
    text = compare.table(results)
    for system in results["systems"]:
        assert system["title"] in text
        for row in system["methods"]:
            (line,) = [
                x for x in text.split(system["title"])[1].split("\n\n")[1].splitlines()
                if x.strip("| ").split(" |")[0].rstrip(" ¹²³⁴⁵⁶⁷⁸⁹") == row["method"]
            ]  # fmt: skip
            assert line.split(" | ")[1] == compare._short(row["ratio"])


@pytest.mark.parametrize("symbol", ["Al", "Fe"])
def test_methods_agree_on_a_perfect_crystal(symbol: str) -> None:
    chosen = samples.element(symbol)
    r, cell = lattice(chosen.structure, chosen.a, (4, 4, 4))
    perfect = samples.Sample(chosen, r, cell, "perfect")
    found = list(compare.methods(perfect, ["insitu", "ovito", "lammps", "torch"], [1]))
    try:
        labelled = {m.name: m.run().fraction for m in found}
    finally:
        for method in found:
            method.close()
    labelled = {name: fraction for name, fraction in labelled.items() if fraction is not None}
    assert {"metals", "crystals-cnn, native", "compute cna/atom"} <= set(labelled)
    assert set(labelled.values()) == {1.0}


def test_the_definition_in_numpy_is_the_descriptor() -> None:
    r, cell = reference.packing(60, 0.06, seed=4)
    images = insitu.neighbors_map(r, cell, True)
    for i in (0, 31):
        points, _, d = reference.images_around(i, r, cell, (True,) * 3, 6.0)
        ball = np.vstack([np.zeros(3), points[np.argsort(d)]])
        np.testing.assert_allclose(own.definition(ball), images[i, 0], rtol=1e-5)


def test_a_sample_has_about_as_many_atoms_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "lammps_program", lambda: None)
    for symbol in samples.ELEMENTS:
        for atoms in (300, 4000, 108_000):
            found = samples.sample(samples.element(symbol), atoms)
            assert abs(len(found.positions) / atoms - 1) < 0.2
            assert "random displacements" in found.origin
            assert f"{found.element.noise:g} Å" in found.origin
            s = found.positions @ np.linalg.inv(found.cell)
            assert s.min() > -0.05
            assert s.max() < 1.05


def test_a_refused_deck_is_said_and_ends(tmp_path: Path) -> None:
    with pytest.raises(DeckError, match="Unknown command"):
        lammps_peers.Session("units metal\nno_such_command\n", tmp_path)


def test_scaling(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SIZES", (500, 2000))
    assert main(["bench", "--scaling", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert "| 500 |" in text
    assert "| 2,048 |" in text
    assert "Time grows as" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "ovitto"], "--only ovitto.*insitu, ovito, lammps, numpy, torch.*'ovito'"),
        (["--elements", "Cu"], "--elements Cu.*Al, Fe"),
        (["--atoms", "50"], "--atoms 50 is too few.*108"),
        (["--threads", "two"], "--threads two.*1,2"),
        (["--threads", "0"], "--threads 0.*1 or more"),
        (["--repeats", "0"], "--repeats 0.*1 or more"),
        (["--json", "/no/such/folder/x.json"], "--json.*does not exist"),
        (["--scaling", "--model", "metal"], "'metal'.*'metals'"),
    ],
)
def test_unusable_options(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert main(["bench", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
